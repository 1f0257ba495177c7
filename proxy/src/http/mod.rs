//! The HTTP edge: one connection in, answers out.
//!
//! **Invariant:** no type of an HTTP library crosses this door; a stricter and faster codec can take hyper's place behind it.
//! `request.rs` tells the story of a request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::table::Routes;

pub(crate) use self::connection::serve;
pub(crate) use self::socket::Socket;

mod body;
mod clock;
mod connection;
mod failure;
mod forward;
mod headers;
mod normalize;
mod record;
mod relay;
mod request;
mod respond;
mod route;
mod socket;
mod upgrade;
mod upstream;
mod websockets;

/// Which listener a connection came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    /// Browsers and their like.
    Public,
    /// Notebook servers, which may ask the hub's API and nothing else.
    Internal,
}

impl Listener {
    /// Its name in headers, logs and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Listener::Public => "public",
            Listener::Internal => "internal",
        }
    }
}

/// How patient the edge is, and whom it believes.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// So long may a request wait for a server that is on its way.
    pub(crate) pending_wait: Duration,
    /// So long is a server's request held while no hub answers.
    pub(crate) hold: Duration,
    /// Requests that may wait at one time.
    pub(crate) most_waiting: usize,
    /// Peers whose forwarded headers are believed.
    pub(crate) trusted: Vec<IpNet>,
}

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) routes: Arc<Routes>,
    pub(crate) settings: Settings,
    pub(crate) websockets: websockets::Websockets,
    /// All tasks.
    pub(crate) tasks: TaskTracker,
    /// The tasks that a client is at the other end of.
    pub(crate) clients: TaskTracker,
    /// Fires when no new request is wanted.
    pub(crate) drain: CancellationToken,
    /// Fires when everything must end.
    pub(crate) stop: CancellationToken,
    upstreams: Arc<upstream::Upstreams>,
    waiting: Semaphore,
}

impl Edge {
    /// An edge without connections.
    pub(crate) fn new(routes: Arc<Routes>, settings: Settings, tasks: TaskTracker) -> Self {
        Edge {
            routes,
            websockets: websockets::Websockets::default(),
            upstreams: Arc::new(upstream::Upstreams::new(tasks.clone())),
            waiting: Semaphore::new(settings.most_waiting),
            settings,
            tasks,
            clients: TaskTracker::new(),
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Closes upstream connections that nobody used for long.
    pub(crate) fn sweep(&self) {
        self.upstreams.sweep();
    }

    /// Closes all upstream connections that wait for a next request.
    pub(crate) fn close_upstreams(&self) {
        self.upstreams.close();
    }

    /// Ends when no client is connected any more.
    pub(crate) async fn emptied(&self) {
        self.clients.close();
        self.clients.wait().await;
    }

    fn trusts(&self, peer: SocketAddr) -> bool {
        let address = peer.ip().to_canonical();
        self.settings
            .trusted
            .iter()
            .any(|net| net.contains(&address))
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
struct Client {
    peer: SocketAddr,
    listener: Listener,
    trusted: bool,
}
