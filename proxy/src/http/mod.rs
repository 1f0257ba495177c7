//! STUB of the engine, for this branch only: the real room has the same door.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::table::{Live, Revoked, Target};

pub(crate) use self::settings::{Forwarded, Page, Pages, Settings};
mod settings;

/// Which listener a connection came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener { Public, Internal }

/// A connected stream (AsyncRead + AsyncWrite).
pub(crate) type Socket = TcpStream;

/// Connects to a target with the deadline of upstream connections (5 s), by TLS where its scheme says so.
pub(crate) async fn connect(target: &Target, _tls: Option<&tokio_rustls::TlsConnector>) -> std::io::Result<Socket> {
    match &target.address {
        crate::table::Address::Ip(address) => TcpStream::connect(address).await,
        _ => Err(std::io::Error::other("stub")),
    }
}

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) live: Arc<Live>,
    pub(crate) revoked: Arc<Revoked>,
    pub(crate) settings: Settings,
    pub(crate) tasks: TaskTracker,
    pub(crate) drain: CancellationToken,
    pub(crate) stop: CancellationToken,
}
impl Edge {
    pub(crate) fn new(live: Arc<Live>, revoked: Arc<Revoked>, settings: Settings, tasks: TaskTracker) -> Self {
        Edge { live, revoked, settings, tasks, drain: CancellationToken::new(), stop: CancellationToken::new() }
    }
}
