//! STUB, for this branch only.
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Why there is no public listener.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// An address that cannot be had.
    #[error("cannot listen on {address}")]
    Bind {
        address: String,
        #[source]
        cause: io::Error,
    },
}
/// Listening TCP sockets, one for each worker on each address (nonblocking). `[::]` is dual-stack.
pub(crate) fn open_tcp(
    addresses: &[SocketAddr],
    _workers: usize,
) -> Result<Vec<std::net::TcpListener>, ListenError> {
    addresses
        .iter()
        .map(|address| {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
        .collect::<io::Result<_>>()
        .map_err(|cause| ListenError::Bind {
            address: format!("{addresses:?}"),
            cause,
        })
}
/// A listening Unix socket (nonblocking). A file left by a dead process is EADDRINUSE.
pub(crate) fn open_unix(path: &Path) -> Result<UnixListener, ListenError> {
    let open = || {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|cause| ListenError::Bind {
        address: path.display().to_string(),
        cause,
    })
}
