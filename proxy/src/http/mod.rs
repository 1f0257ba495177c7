//! The HTTP edge: one connection in, answers out.
//!
//! **Invariant:** no type of an HTTP library crosses this door; the codec behind it is our own, strict one.
//! `request.rs` tells the story of a request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::table::{Live, Revoked};

pub(crate) use self::buffers::{Inbox, keep_head, take_head};
pub(crate) use self::connection::serve;
pub(crate) use self::respond::too_many_connections;
pub(crate) use self::seats::Seats;
pub(crate) use self::settings::{Forwarded, Page, Pages, STAND_IN_LOG, Settings};
pub(crate) use self::socket::{PlainSocket, Socket};
pub(crate) use self::upstream::{ConnectError, connect};

mod answer;
mod buffers;
mod connection;
mod exchange;
mod failure;
mod fields;
mod forward;
mod frames;
mod framing;
mod head;
mod headers;
mod normalize;
mod passage;
mod patience;
mod record;
mod relay;
mod request;
mod respond;
mod route;
mod seats;
mod settings;
mod socket;
mod upgrade;
mod upstream;
mod websockets;

/// What reads and writes bytes of strangers, without the connections around it: for fuzzers, and for nobody else.
pub(crate) mod parsers {
    pub(crate) use super::answer::{Answer, Asked, write_answer};
    pub(crate) use super::buffers::Inbox;
    pub(crate) use super::frames::Frames;
    pub(crate) use super::framing::{Chunks, Framing, Piece};
    pub(crate) use super::head::{
        BadHead, Kind as HeadKind, Method, RequestHead, ResponseHead, Scan, read_request,
        read_response, space,
    };
    pub(crate) use super::headers::{Changes, write_request};
    pub(crate) use super::normalize::{Visit, is_hub_api, normalize};
    pub(crate) use super::passage::{Broken, Passage};
}

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

/// KiB that servers' held requests may take together.
const HELD_KIB: usize = 256 * 1024;

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Edge {
    /// The routes.
    pub(crate) live: Arc<Live>,
    /// What is no longer let through.
    pub(crate) revoked: Arc<Revoked>,
    pub(crate) settings: Settings,
    pub(crate) websockets: Arc<websockets::Websockets>,
    /// All tasks that no client is at the other end of.
    pub(crate) tasks: TaskTracker,
    /// The tasks that a client is at the other end of.
    pub(crate) clients: TaskTracker,
    /// Fires when no new request is wanted.
    pub(crate) drain: CancellationToken,
    /// Fires when everything must end.
    pub(crate) stop: CancellationToken,
    // What the tokens say, to be asked for at each request.
    draining: AtomicBool,
    stopped: AtomicBool,
    upstreams: upstream::Shared,
    // Requests that wait for a server that is on its way.
    waiting: Semaphore,
    // Servers' requests that wait for a hub.
    held: Semaphore,
    // KiB of servers' requests that are in memory.
    held_kib: Semaphore,
}

impl Edge {
    /// An edge without connections.
    pub(crate) fn new(
        live: Arc<Live>,
        revoked: Arc<Revoked>,
        settings: Settings,
        tasks: TaskTracker,
    ) -> Self {
        Edge {
            live,
            revoked,
            websockets: Arc::default(),
            upstreams: upstream::Shared::default(),
            waiting: Semaphore::new(settings.most_waiting),
            held: Semaphore::new(settings.most_waiting),
            held_kib: Semaphore::new(HELD_KIB),
            settings,
            tasks,
            clients: TaskTracker::new(),
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
            draining: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        }
    }

    /// From now on no new request is wanted: connections end with the request they carry.
    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.drain.cancel();
    }

    /// From now on nothing goes on.
    pub(crate) async fn end_all(&self) {
        self.begin_drain();
        self.stopped.store(true, Ordering::SeqCst);
        self.stop.cancel();
        self.websockets.close_all().await;
    }

    /// Ends when no client is connected any more.
    pub(crate) async fn emptied(&self) {
        self.clients.close();
        self.clients.wait().await;
    }

    /// Closes upstream connections that the calling worker did not use for long; `alone` when there is no other worker.
    pub(crate) fn sweep(&self, alone: bool) {
        upstream::sweep(&self.upstreams, alone);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Whether what a peer says of others is believed.
    pub(crate) fn trusts(&self, peer: SocketAddr) -> bool {
        let address = peer.ip().to_canonical();
        self.settings
            .trusted
            .iter()
            .any(|net| net.contains(&address))
    }
}

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    listener: Listener,
    trusted: bool,
    // The peer's address as it is told on.
    shown: Box<str>,
    // Its connection's place among those of its address.
    seat: Option<seats::Seat>,
}

impl Client {
    /// A client at this address.
    pub(crate) fn new(peer: SocketAddr, listener: Listener, trusted: bool) -> Self {
        Client {
            listener,
            trusted,
            shown: peer.ip().to_canonical().to_string().into(),
            seat: None,
        }
    }

    /// With its connection's place among those of its address.
    pub(crate) fn on(mut self, seat: Option<seats::Seat>) -> Self {
        self.seat = seat;
        self
    }
}
