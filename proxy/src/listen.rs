//! The listeners: the public ones, given by a supervisor or opened here, and the internal one that the table asks for.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holt_spec::control::{Internal, InternalStatus};
use ipnet::IpNet;
use socket2::{Domain, Protocol, Type};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::http::{Edge, Listener, Socket, serve};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Between two tries to open the internal listener.
const AGAIN: Duration = Duration::from_secs(1);
/// After a failed accept (no file descriptors left).
const BREATH: Duration = Duration::from_millis(50);

/// Why there is no public listener.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// A descriptor that was passed is no listener.
    #[error("descriptor {index} of LISTEN_FDS is not a listening TCP socket")]
    Passed {
        /// Counted from zero.
        index: usize,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// An address that cannot be had.
    #[error("cannot listen on {address}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// The public listeners: those passed by systemd's protocol, else one for each worker on each address.
pub(crate) fn public(
    addresses: &[SocketAddr],
    workers: usize,
) -> Result<Vec<TcpListener>, ListenError> {
    let mut passed = listenfd::ListenFd::from_env();
    if passed.len() > 0 {
        // Taking one also makes it close-on-exec.
        return (0..passed.len())
            .map(|index| {
                let wrong = |cause| ListenError::Passed { index, cause };
                let listener = passed
                    .take_tcp_listener(index)
                    .map_err(wrong)?
                    .ok_or_else(|| wrong(io::ErrorKind::NotFound.into()))?;
                listener.set_nonblocking(true).map_err(wrong)?;
                TcpListener::from_std(listener).map_err(wrong)
            })
            .collect();
    }
    let mut listeners = Vec::new();
    for &address in addresses {
        let wrong = |cause| ListenError::Bind { address, cause };
        // Shared ports would let a second proxy take half of the connections in silence: so ask for it alone first.
        let alone = open(address, Share::Alone).map_err(wrong)?;
        let address = alone.local_addr().map_err(wrong)?;
        if workers <= 1 {
            listeners.push(alone);
            continue;
        }
        drop(alone);
        for _ in 0..workers {
            listeners.push(open(address, Share::WithWorkers).map_err(wrong)?);
        }
    }
    Ok(listeners)
}

/// Who else may listen on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Alone,
    WithWorkers,
    /// Alone, and before the address is there: a bridge may come later.
    AloneAhead,
}

fn open(address: SocketAddr, share: Share) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    match share {
        Share::Alone => {}
        Share::WithWorkers => socket.set_reuse_port(true)?,
        Share::AloneAhead if address.is_ipv4() => socket.set_freebind_v4(true)?,
        Share::AloneAhead => socket.set_freebind_v6(true)?,
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts public connections until no new ones are wanted.
pub(crate) async fn accept_public(edge: Arc<Edge>, listener: TcpListener) {
    accept(&edge, &listener, Listener::Public, None, &edge.drain).await;
}

async fn accept(
    edge: &Arc<Edge>,
    listener: &TcpListener,
    kind: Listener,
    allow: Option<&[IpNet]>,
    end: &CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let address = peer.ip().to_canonical();
                if allow.is_some_and(|nets| !nets.iter().any(|net| net.contains(&address))) {
                    tracing::warn!(%peer, "A stranger was refused at the internal listener");
                    continue;
                }
                edge.clients
                    .spawn(serve(Arc::clone(edge), Socket::tcp(stream), peer, kind));
            }
            Err(error) => {
                tracing::warn!(%error, "A connection could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Keeps the internal listener where the table wants it, and says how it is.
pub(crate) async fn keep_internal(edge: Arc<Edge>, status: Arc<Mutex<Option<InternalStatus>>>) {
    let mut changed = edge.routes.watch();
    loop {
        let wanted = edge.routes.now().internal().cloned();
        let say = |error: Option<String>| {
            *status.lock().expect("no panic under this lock") =
                wanted.as_ref().map(|wanted| InternalStatus {
                    listen: wanted.listen,
                    error,
                });
        };
        let until = async {
            // Another table with the same listener changes nothing.
            while edge.routes.now().internal() == wanted.as_ref() {
                if changed.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        let serving = async {
            match &wanted {
                None => {
                    say(None);
                    std::future::pending().await
                }
                Some(wanted) => serve_internal(&edge, wanted, &say).await,
            }
        };
        tokio::select! {
            () = serving => {}
            () = until => {}
            () = edge.drain.cancelled() => return,
        }
    }
}

async fn serve_internal(edge: &Arc<Edge>, wanted: &Internal, say: &impl Fn(Option<String>)) {
    let address = wanted.listen;
    match open(address, Share::AloneAhead) {
        Ok(listener) => {
            say(None);
            tracing::info!(%address, "The internal listener is open");
            accept(
                edge,
                &listener,
                Listener::Internal,
                Some(&wanted.allow),
                &edge.drain,
            )
            .await;
        }
        Err(error) => {
            say(Some(error.to_string()));
            tracing::warn!(%address, %error, "The internal listener cannot be opened and is tried again");
            tokio::time::sleep(AGAIN).await;
        }
    }
}
