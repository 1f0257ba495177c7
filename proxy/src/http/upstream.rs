//! Connections to servers and hubs: made with a deadline, kept for the next request.
//!
//! Each worker keeps its own, so that taking one costs neither a lock nor a system call. One that rested for a moment is put where
//! every worker finds it: a single user's few connections are shared, a busy server's stay where they are warm.
//!
//! **Invariant:** only a connection whose messages were both carried to their end, with nothing left over, is given back.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::buffers::Inbox;
use super::socket::{PlainSocket, Socket};
use crate::table::{Address, Scheme, Target, steady_ms};

/// A connection must be there in so long.
const CONNECT: Duration = Duration::from_secs(5);
/// An unused connection is kept for so long.
const KEEP_MS: u64 = 30_000;
/// After so long unused it is offered to other workers.
const WARM_MS: u64 = 1_000;
/// Unused connections that a worker keeps to one place.
const MOST_KEPT: usize = 1024;
/// Unused connections that wait for any worker, to one place.
const MOST_SHARED: usize = 32;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The system said no.
    #[error("it cannot be reached")]
    Unreachable(#[source] io::Error),
    /// The target is no address.
    #[error("the route's target is no address")]
    Nowhere,
    /// No answer in time.
    #[error("no answer to the connection in 5 s")]
    Silent,
    /// The TLS handshake.
    #[error("no TLS connection came about")]
    Tls(#[source] io::Error),
}

impl ConnectError {
    /// Whether asking again at once is useless: the target's fault, not a shortage of ours.
    fn is_the_targets(&self) -> bool {
        use io::ErrorKind as E;
        match self {
            ConnectError::Unreachable(error) => matches!(
                error.kind(),
                E::ConnectionRefused
                    | E::ConnectionReset
                    | E::HostUnreachable
                    | E::NetworkUnreachable
                    | E::NotFound
                    | E::TimedOut
            ),
            ConnectError::Silent => true,
            ConnectError::Nowhere | ConnectError::Tls(_) => false,
        }
    }
}

/// Which connection will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// One that was used before, or a new one.
    Any,
    /// A new one.
    Fresh,
}

/// A connection to an upstream, for one request at a time.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// The connection.
    pub(crate) socket: Socket,
    /// What was read from it.
    pub(crate) inbox: Inbox,
    /// Whether it carried a request before, and so may be closing at the other end.
    pub(crate) reused: bool,
    place: u64,
}

/// One that nobody uses.
#[derive(Debug)]
struct Idle {
    socket: Socket,
    since: u64,
}

/// Targets' numbers are random already.
#[derive(Debug, Default)]
struct Number(u64);

impl Hasher for Number {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Places<T> = HashMap<u64, Vec<T>, BuildHasherDefault<Number>>;

thread_local! {
    static KEPT: RefCell<Places<Idle>> = RefCell::default();
}

/// Connections that any worker may take.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    // Held for a few vector moves, never across an await.
    places: Mutex<Places<Resting>>,
}

/// A connection away from any runtime.
#[derive(Debug)]
struct Resting {
    socket: Still,
    since: u64,
}

#[derive(Debug)]
enum Still {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Upstream {
    /// A connection to a target.
    ///
    /// # Errors
    /// Why there is none; the target remembers it for a moment.
    pub(crate) async fn take(
        target: &Target,
        wanted: Wanted,
        shared: &Shared,
        tls: Option<&TlsConnector>,
    ) -> Result<Self, ConnectError> {
        if wanted == Wanted::Any
            && let Some(socket) = kept(target.id).or_else(|| shared.take(target.id))
        {
            return Ok(Self::over(socket, true, target.id));
        }
        match connect(target, tls).await {
            Ok(socket) => {
                target.note_reached();
                Ok(Self::over(socket, false, target.id))
            }
            Err(error) => {
                if error.is_the_targets() {
                    target.note_refused();
                }
                Err(error)
            }
        }
    }

    fn over(socket: Socket, reused: bool, place: u64) -> Self {
        Upstream {
            socket,
            inbox: Inbox::default(),
            reused,
            place,
        }
    }

    /// Keeps the connection for another request, unless something is left over in it.
    pub(crate) fn give_back(self) {
        if !self.inbox.is_empty() {
            return;
        }
        let idle = Idle {
            socket: self.socket,
            since: steady_ms(),
        };
        KEPT.with_borrow_mut(|places| {
            let place = places.entry(self.place).or_default();
            if place.len() < MOST_KEPT {
                place.push(idle);
            }
        });
    }
}

/// The newest of this worker's connections that still lives: it is the least likely to be closing.
fn kept(id: u64) -> Option<Socket> {
    KEPT.with_borrow_mut(|places| {
        let place = places.get_mut(&id)?;
        while let Some(mut idle) = place.pop() {
            if is_quiet(&mut idle.socket) {
                return Some(idle.socket);
            }
        }
        None
    })
}

/// Whether nothing came on a connection that nothing is due on: neither its end nor bytes that belong to no request.
fn is_quiet(socket: &mut Socket) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    match socket.poll_readable(&mut cx) {
        Poll::Pending => true,
        Poll::Ready(Err(_)) => false,
        // The mark may be an old one; only a read tells.
        Poll::Ready(Ok(())) => {
            let mut inbox = Inbox::default();
            inbox.poll_fill(socket, &mut cx).is_pending()
        }
    }
}

/// Closes what this worker kept for long, and offers to the others what it did not use for a moment.
pub(crate) fn sweep(shared: &Shared, alone: bool) {
    let now = steady_ms();
    KEPT.with_borrow_mut(|places| {
        places.retain(|id, place| {
            place.retain_mut(|idle| {
                now.saturating_sub(idle.since) < KEEP_MS && is_quiet(&mut idle.socket)
            });
            if !alone {
                // The oldest stand first.
                let rested = place
                    .iter()
                    .take_while(|idle| now.saturating_sub(idle.since) >= WARM_MS)
                    .count();
                for idle in place.drain(..rested) {
                    shared.offer(*id, idle);
                }
            }
            !place.is_empty()
        });
    });
    shared.expire(now);
}

impl Shared {
    fn offer(&self, id: u64, idle: Idle) {
        let still = match idle.socket {
            Socket::Tcp(stream) => stream.into_std().map(Still::Tcp),
            Socket::Unix(stream) => stream.into_std().map(Still::Unix),
            Socket::Tls(_) | Socket::Gone => return,
        };
        let Ok(socket) = still else { return };
        let mut places = self.places.lock().expect("no panic under this lock");
        let place = places.entry(id).or_default();
        if place.len() < MOST_SHARED {
            place.push(Resting {
                socket,
                since: idle.since,
            });
        }
    }

    fn take(&self, id: u64) -> Option<Socket> {
        loop {
            let resting = {
                let mut places = self.places.lock().expect("no panic under this lock");
                places.get_mut(&id)?.pop()?
            };
            let moved = match resting.socket {
                Still::Tcp(stream) => TcpStream::from_std(stream).map(Socket::Tcp),
                Still::Unix(stream) => UnixStream::from_std(stream).map(Socket::Unix),
            };
            if let Ok(socket) = moved
                && is_alive(&socket)
            {
                return Some(socket);
            }
        }
    }

    fn expire(&self, now: u64) {
        let mut places = self.places.lock().expect("no panic under this lock");
        places.retain(|_, place| {
            place.retain(|resting| now.saturating_sub(resting.since) < KEEP_MS);
            !place.is_empty()
        });
    }
}

/// Whether a connection that just came to this runtime is open and quiet; its readiness is not known yet, so it is read.
fn is_alive(socket: &Socket) -> bool {
    use rustix::io::Errno;
    use rustix::net::{RecvFlags, recv};
    let mut byte = [0; 1];
    let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let read = match socket {
        Socket::Tcp(stream) => recv(stream, byte.as_mut_slice(), look),
        Socket::Unix(stream) => recv(stream, byte.as_mut_slice(), look),
        Socket::Tls(_) | Socket::Gone => return false,
    };
    matches!(read, Err(Errno::WOULDBLOCK))
}

/// A new connection to a target, by TLS where its scheme says so.
///
/// # Errors
/// Why there is none.
pub(crate) async fn connect(
    target: &Target,
    tls: Option<&TlsConnector>,
) -> Result<Socket, ConnectError> {
    if target.address == Address::Nowhere {
        return Err(ConnectError::Nowhere);
    }
    let whole = async {
        let plain = connect_plain(&target.address)
            .await
            .map_err(ConnectError::Unreachable)?;
        match target.scheme {
            Scheme::Http => Ok(Socket::from(plain)),
            Scheme::Https => {
                let missing = || io::Error::other("TLS to upstreams is not set up");
                let connector = tls.ok_or_else(|| ConnectError::Tls(missing()))?;
                let name = server_name(&target.address).map_err(ConnectError::Tls)?;
                let stream = connector
                    .connect(name, plain)
                    .await
                    .map_err(ConnectError::Tls)?;
                Ok(Socket::Tls(Box::new(stream.into())))
            }
        }
    };
    timeout(CONNECT, whole)
        .await
        .map_err(|_| ConnectError::Silent)?
}

fn server_name(address: &Address) -> io::Result<rustls::pki_types::ServerName<'static>> {
    let name = match address {
        Address::Ip(address) => return Ok(address.ip().into()),
        Address::Name(name, _) => name.to_string(),
        Address::Unix(_) | Address::Nowhere => "localhost".to_owned(),
    };
    rustls::pki_types::ServerName::try_from(name).map_err(io::Error::other)
}

async fn connect_plain(address: &Address) -> io::Result<PlainSocket> {
    match address {
        Address::Ip(address) => TcpStream::connect(address).await.map(PlainSocket::tcp),
        Address::Name(host, port) => TcpStream::connect((&**host, *port))
            .await
            .map(PlainSocket::tcp),
        Address::Unix(path) => UnixStream::connect(path).await.map(PlainSocket::Unix),
        Address::Nowhere => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}
