//! Connections to servers and hubs: made with a deadline, kept for the next request.
//!
//! A connection is kept only when its last answer was read to its end; hyper closes it when anything is left over.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::body::RequestBody;
use super::socket::Socket;
use crate::table::{Address, Target};

/// A connection must be there in so long.
const CONNECT: Duration = Duration::from_secs(5);
/// An unused connection is kept for so long.
const KEEP: Duration = Duration::from_secs(30);
/// Unused connections kept to one place.
const MOST_KEPT: usize = 32;
/// The most that is buffered of a message.
const BUFFER: usize = 64 * 1024;
/// Header lines of an answer.
const HEADER_LINES: usize = 256;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The system said no.
    #[error("it cannot be reached")]
    Unreachable(#[source] io::Error),
    /// No answer in time.
    #[error("no answer to the connection in 5 s")]
    Silent,
    /// The HTTP handshake.
    #[error("the connection ended at once")]
    Handshake(#[source] hyper::Error),
}

/// Which connection will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// One that was used before, or a new one.
    Any,
    /// A new one.
    Fresh,
}

/// Kept connections.
#[derive(Debug)]
pub(crate) struct Upstreams {
    // Held for a few vector moves, never across an await.
    kept: Mutex<HashMap<Arc<Address>, Vec<Kept>>>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Kept {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// A connection for one request.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Sends the request.
    pub(crate) sender: SendRequest<RequestBody>,
    /// Whether it carried a request before, and so may be closing at the other end.
    pub(crate) reused: bool,
    address: Arc<Address>,
    upstreams: Arc<Upstreams>,
}

impl Lease {
    /// The answer was read to its end: another request may have the connection.
    pub(crate) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut kept = self
            .upstreams
            .kept
            .lock()
            .expect("no panic under this lock");
        let place = kept.entry(self.address).or_default();
        if place.len() < MOST_KEPT {
            place.push(Kept {
                sender: self.sender,
                since: Instant::now(),
            });
        }
    }
}

impl Upstreams {
    /// None yet; the connections' tasks go on this tracker.
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        Upstreams {
            kept: Mutex::new(HashMap::new()),
            tasks,
        }
    }

    /// A connection to a target.
    pub(crate) async fn take(
        self: &Arc<Self>,
        target: &Target,
        wanted: Wanted,
    ) -> Result<Lease, ConnectError> {
        if wanted == Wanted::Any
            && let Some(sender) = self.kept(&target.address)
        {
            return Ok(self.lease(target, sender, true));
        }
        let socket = timeout(CONNECT, connect(&target.address))
            .await
            .map_err(|_| ConnectError::Silent)?
            .map_err(ConnectError::Unreachable)?;
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .max_buf_size(BUFFER)
            .max_headers(HEADER_LINES)
            .handshake::<_, RequestBody>(TokioIo::new(socket))
            .await
            .map_err(ConnectError::Handshake)?;
        self.tasks.spawn(async move {
            // Ends when the peer closes or the last sender is dropped.
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "An upstream connection ended early");
            }
        });
        Ok(self.lease(target, sender, false))
    }

    fn lease(
        self: &Arc<Self>,
        target: &Target,
        sender: SendRequest<RequestBody>,
        reused: bool,
    ) -> Lease {
        Lease {
            sender,
            reused,
            address: Arc::clone(&target.address),
            upstreams: Arc::clone(self),
        }
    }

    fn kept(&self, address: &Arc<Address>) -> Option<SendRequest<RequestBody>> {
        let mut kept = self.kept.lock().expect("no panic under this lock");
        let place = kept.get_mut(address)?;
        place.retain(|one| !one.sender.is_closed());
        // The newest first: it is the least likely to be closing. One whose upload still runs is not ready yet.
        let at = place.iter().rposition(|one| one.sender.is_ready())?;
        Some(place.swap_remove(at).sender)
    }

    /// Closes what nobody used for long.
    pub(crate) fn sweep(&self) {
        let mut kept = self.kept.lock().expect("no panic under this lock");
        kept.retain(|_, place| {
            place.retain(|one| !one.sender.is_closed() && one.since.elapsed() < KEEP);
            !place.is_empty()
        });
    }

    /// Closes all that is kept.
    pub(crate) fn close(&self) {
        self.kept.lock().expect("no panic under this lock").clear();
    }
}

async fn connect(address: &Address) -> io::Result<Socket> {
    match address {
        Address::Tcp(host, port) => TcpStream::connect((&**host, *port)).await.map(Socket::tcp),
        Address::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
    }
}
