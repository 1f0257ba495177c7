//! Takes connections, one after the other, and sees to what must come before the first request: who is there, and TLS.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::proxy_protocol;
use crate::http::{
    Client, Edge, Listener, PlainSocket, Seats, Socket, serve, too_many_connections,
};

/// A TLS handshake must be done in so long.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections that one server may hold to the hub's API.
const PER_SERVER: u32 = 64;
/// After a failed accept (no file descriptors left).
const BREATH: Duration = Duration::from_millis(50);

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Door {
    /// Of the network.
    Tcp(std::net::TcpListener),
    /// A file.
    Unix(UnixListener),
}

impl Door {
    /// The same socket once more, for another worker.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Door::Tcp(listener) => listener.try_clone().map(Door::Tcp),
            Door::Unix(listener) => listener.try_clone().map(Door::Unix),
        }
    }

    /// Where it is, when it is of the network.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Door::Tcp(listener) => listener.local_addr().ok(),
            Door::Unix(_) => None,
        }
    }
}

/// How connections of a door are taken.
#[derive(Clone)]
struct Manner {
    edge: Arc<Edge>,
    seats: Arc<Seats>,
    tls: Option<TlsAcceptor>,
    listener: Listener,
}

/// Accepts public connections until no new ones are wanted.
pub(crate) async fn accept_public(
    edge: Arc<Edge>,
    door: Door,
    tls: Option<TlsAcceptor>,
    seats: Arc<Seats>,
) {
    let manner = Manner {
        edge,
        seats,
        tls,
        listener: Listener::Public,
    };
    let done = match door {
        Door::Tcp(listener) => match TcpListener::from_std(listener) {
            Ok(listener) => {
                accept_tcp(&manner, &listener, None).await;
                Ok(())
            }
            Err(error) => Err(error),
        },
        Door::Unix(listener) => match tokio::net::UnixListener::from_std(listener) {
            Ok(listener) => {
                accept_unix(&manner, &listener).await;
                Ok(())
            }
            Err(error) => Err(error),
        },
    };
    if let Err(error) = done {
        tracing::error!(%error, "A listener could not be used");
    }
}

/// Accepts connections of servers, from these networks alone.
pub(super) async fn accept_internal(edge: &Arc<Edge>, listener: &TcpListener, allow: &[IpNet]) {
    let manner = Manner {
        edge: Arc::clone(edge),
        seats: Arc::default(),
        tls: None,
        listener: Listener::Internal,
    };
    accept_tcp(&manner, listener, Some(allow)).await;
}

async fn accept_tcp(manner: &Manner, listener: &TcpListener, allow: Option<&[IpNet]>) {
    let edge = &manner.edge;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = edge.drain.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let address = peer.ip().to_canonical();
                if allow.is_some_and(|nets| !nets.iter().any(|net| net.contains(&address))) {
                    tracing::warn!(%peer, "A stranger was refused at the internal listener");
                    continue;
                }
                edge.clients
                    .spawn(welcome(manner.clone(), PlainSocket::tcp(stream), peer));
            }
            Err(error) => breathe(&error).await,
        }
    }
}

async fn accept_unix(manner: &Manner, listener: &tokio::net::UnixListener) {
    let edge = &manner.edge;
    // Whoever comes by a file has no address; what comes of this machine is shown as such.
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = edge.drain.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                edge.clients
                    .spawn(welcome(manner.clone(), PlainSocket::Unix(stream), peer));
            }
            Err(error) => breathe(&error).await,
        }
    }
}

async fn breathe(error: &io::Error) {
    tracing::warn!(%error, "A connection could not be accepted");
    tokio::time::sleep(BREATH).await;
}

/// What comes before the first request.
async fn welcome(manner: Manner, mut socket: PlainSocket, mut peer: SocketAddr) {
    let edge = manner.edge;
    let local = matches!(socket, PlainSocket::Unix(_));
    let public = manner.listener == Listener::Public;
    let mut trusted = edge.trusts(peer);
    if public && edge.settings.proxy_protocol && trusted {
        match timeout(edge.settings.head, proxy_protocol::read(&mut socket)).await {
            Ok(Ok(Some(source))) => {
                peer = source;
                trusted = edge.trusts(peer);
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => return tracing::warn!(%error, %peer, "A trusted peer was refused"),
            Err(_) => return tracing::warn!(%peer, "A trusted peer sent no PROXY header"),
        }
    }
    let most = match manner.listener {
        // A container has a handful of connections to the hub's API.
        Listener::Internal => Some(PER_SERVER),
        // Whoever comes by a file has no address.
        Listener::Public if local || trusted => None,
        Listener::Public => edge.settings.per_address,
    };
    let seat = match most {
        None => None,
        Some(most) => match manner.seats.take(peer.ip(), most) {
            Some(seat) => Some(seat),
            None => {
                tracing::debug!(%peer, "An address has too many connections");
                if manner.tls.is_none() {
                    let _ = timeout(BREATH, socket.write_all(too_many_connections())).await;
                }
                return;
            }
        },
    };
    let socket = match &manner.tls {
        None => Socket::from(socket),
        Some(acceptor) => match timeout(HANDSHAKE, acceptor.accept(socket)).await {
            Ok(Ok(stream)) => Socket::Tls(Box::new(stream.into())),
            Ok(Err(error)) => return tracing::debug!(%error, %peer, "A TLS handshake failed"),
            Err(_) => return tracing::debug!(%peer, "A TLS handshake was too slow"),
        },
    };
    let client = Client::new(peer, manner.listener, trusted).on(seat);
    serve(edge, socket, client).await;
}
