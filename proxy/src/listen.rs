//! STUB, for this branch only.
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::os::unix::net::UnixListener;

/// Why there is no public listener.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// An address that cannot be had.
    #[error("cannot listen on {address}")]
    Bind { address: String, #[source] cause: io::Error },
}
/// Listening TCP sockets, one for each worker on each address (nonblocking). `[::]` is dual-stack.
pub(crate) fn open_tcp(_addresses: &[SocketAddr], _workers: usize) -> Result<Vec<std::net::TcpListener>, ListenError> { todo!() }
/// A listening Unix socket (nonblocking). A file left by a dead process is EADDRINUSE.
pub(crate) fn open_unix(_path: &Path) -> Result<UnixListener, ListenError> { todo!() }
