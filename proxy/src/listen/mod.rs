//! The listeners: the public ones, given by a supervisor or opened here, and the internal one that the table asks for.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::net::UnixListener;
use std::path::Path;

use socket2::{Domain, Protocol, Type};

pub(crate) use self::accept::{Door, accept_public};
pub(crate) use self::internal::keep_internal;

mod accept;
mod internal;
pub(crate) mod proxy_protocol;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

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
        address: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// The public listeners: those passed by systemd's protocol, else one for each worker on each address.
pub(crate) fn public(addresses: &[SocketAddr], workers: usize) -> Result<Vec<Door>, ListenError> {
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
                Ok(Door::Tcp(listener))
            })
            .collect();
    }
    let opened = open_tcp(addresses, workers)?;
    Ok(opened.into_iter().map(Door::Tcp).collect())
}

/// Listening sockets, one for each worker on each address. `[::]` takes IPv4 as well, where the machine has both.
pub(crate) fn open_tcp(
    addresses: &[SocketAddr],
    workers: usize,
) -> Result<Vec<std::net::TcpListener>, ListenError> {
    let mut listeners = Vec::new();
    for &address in addresses {
        let wrong = |cause| ListenError::Bind {
            address: address.to_string(),
            cause,
        };
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

/// A listening Unix socket. A file that another process left is in the way, as a living one's is.
pub(crate) fn open_unix(path: &Path) -> Result<UnixListener, ListenError> {
    let open = || -> io::Result<UnixListener> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|cause| ListenError::Bind {
        address: path.display().to_string(),
        cause,
    })
}

/// A listening socket that nobody shares.
pub(crate) fn open_alone(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    open(address, Share::Alone)
}

/// The same, before the address is there: a bridge may come later.
pub(crate) fn open_ahead(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    open(address, Share::AloneAhead)
}

/// Who else may listen on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Alone,
    WithWorkers,
    /// Alone, and before the address is there: a bridge may come later.
    AloneAhead,
}

fn open(address: SocketAddr, share: Share) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    match share {
        Share::Alone => {}
        Share::WithWorkers => socket.set_reuse_port(true)?,
        Share::AloneAhead if address.is_ipv4() => socket.set_freebind_v4(true)?,
        Share::AloneAhead => socket.set_freebind_v6(true)?,
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
