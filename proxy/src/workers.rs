//! STUB, for this branch only: worker threads, each with a runtime and listeners of its own.
use std::sync::Arc;
use crate::http::{Edge, Listener};
/// A listener and how what comes by it is served.
#[derive(Debug)]
pub(crate) enum Door { Tcp(std::net::TcpListener), Unix(std::os::unix::net::UnixListener) }
pub(crate) struct Workers;
impl Workers {
    /// Starts threads that serve these doors (shared out among them) until `edge.drain`; by TLS where `tls` is given.
    pub(crate) fn start(_edge: &Arc<Edge>, _count: usize, _doors: Vec<Door>, _tls: Option<tokio_rustls::TlsAcceptor>) -> std::io::Result<Workers> { Ok(Workers) }
    /// Waits until all their connections ended or `edge.stop` fired, and the threads are gone.
    pub(crate) async fn ended(self) {}
}
