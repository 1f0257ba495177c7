//! A websocket's bytes between two sockets, in one task.
//!
//! An idle one holds two sockets and no buffer. A slow reader slows its writer. An end on one side is passed on; the relay is over
//! when both sides ended, or one broke. The bytes are never changed, and looked at only where control frames must be told from data.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;

use super::Edge;
use super::buffers::Inbox;
use super::frames::Frames;
use super::patience::{Patience, after};
use super::route::Place;
use super::seats::Seat;
use super::socket::Socket;
use super::websockets::Open;
use crate::table::{Leaf, steady_ms};

/// So long may a websocket rest of which one side has ended.
const HALF: Duration = Duration::from_secs(30);

/// One direction.
#[derive(Debug)]
struct Direction {
    // Goes before anything that is read.
    first: Vec<u8>,
    inbox: Inbox,
    frames: Option<Box<Frames>>,
    counts: bool,
    moved: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    PassedOn,
}

/// A websocket that is being relayed. It is a future of its own, kept as small as it can be: thousands rest at a time.
pub(crate) struct Relay {
    edge: Arc<Edge>,
    client: Socket,
    upstream: Socket,
    up: Direction,
    down: Direction,
    leaf: Option<Arc<Leaf>>,
    open: Open,
    registered: bool,
    // Only where silence ends it.
    patience: Option<Box<Patience>>,
    moved: u64,
    _place: Place,
    _seat: Option<Seat>,
}

/// What a relay begins with.
pub(crate) struct Beginning {
    pub(crate) client: Socket,
    pub(crate) from_client: Inbox,
    pub(crate) upstream: Socket,
    pub(crate) from_upstream: Inbox,
    /// The head that tells the client.
    pub(crate) head: Vec<u8>,
    /// The route whose use is counted.
    pub(crate) leaf: Option<Arc<Leaf>>,
    pub(crate) open: Open,
    pub(crate) place: Place,
    pub(crate) seat: Option<Seat>,
}

impl Relay {
    /// Relays from now on.
    pub(crate) fn new(edge: Arc<Edge>, beginning: Beginning) -> Self {
        let settings = &edge.settings;
        let frames = |wanted: bool| wanted.then(Box::<Frames>::default);
        let mut up = Direction {
            first: Vec::new(),
            frames: frames(settings.ignore_control_frames),
            counts: true,
            moved: false,
            inbox: beginning.from_client,
            state: State::Open,
        };
        let down = Direction {
            first: beginning.head,
            frames: frames(settings.count_output),
            counts: settings.count_output,
            moved: false,
            inbox: beginning.from_upstream,
            state: State::Open,
        };
        // What came before the upstream's agreement counts as well.
        if !up.inbox.is_empty()
            && up.is_use()
            && let Some(leaf) = &beginning.leaf
        {
            leaf.last_use.touch();
        }
        Relay {
            client: beginning.client,
            upstream: beginning.upstream,
            up,
            down,
            leaf: beginning.leaf,
            open: beginning.open,
            registered: false,
            patience: None,
            moved: steady_ms(),
            _place: beginning.place,
            _seat: beginning.seat,
            edge,
        }
    }

    fn poll_relay(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        if !self.registered {
            self.registered = true;
            // An end of everything that came before this was registered did not see it either.
            if self.open.poll_closing(cx).is_ready() || self.edge.is_stopped() {
                return Poll::Ready("told to close");
            }
            // A revocation that came before this was registered did not see it; so look once more.
            if self.leaf.is_some() && self.edge.revoked.holds(self.open.credentials()) {
                return Poll::Ready("its session or token is revoked");
            }
        }
        if self.open.is_closing() {
            return Poll::Ready("told to close");
        }
        let mut used = false;
        let up = self
            .up
            .poll(cx, &mut self.client, &mut self.upstream, &mut used);
        let down = self
            .down
            .poll(cx, &mut self.upstream, &mut self.client, &mut used);
        if used && let Some(leaf) = &self.leaf {
            leaf.last_use.touch();
        }
        match (up, down) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready("a side broke"),
            (Poll::Ready(Ok(_)), Poll::Ready(Ok(_))) => Poll::Ready("both sides ended"),
            _ => self.poll_silence(cx),
        }
    }

    /// Whether it was silent for too long: where that is limited, and always when one side has ended, since an end that the other
    /// side does not answer would be held for ever.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        let half = self.up.state != State::Open || self.down.state != State::Open;
        let silence = match (self.edge.settings.client_silence, half) {
            (Some(silence), true) => silence.min(HALF),
            (None, true) => HALF,
            (Some(silence), false) => silence,
            (None, false) => return Poll::Pending,
        };
        let now = steady_ms();
        // Woken for bytes, or by the timer: only bytes move the deadline.
        if std::mem::take(&mut self.up.moved) | std::mem::take(&mut self.down.moved) {
            self.moved = now;
        }
        let deadline = after(self.moved, silence);
        self.patience
            .get_or_insert_with(Box::default)
            .poll_until(cx, now, deadline)
            .map(|()| "it was silent for too long")
    }
}

impl Future for Relay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let why = ready!(self.poll_relay(cx));
        tracing::debug!(why, "A websocket ended");
        Poll::Ready(())
    }
}

impl Direction {
    /// Moves what can be moved; ready when this direction is over. `used` is set when something counted came.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Socket,
        to: &mut Socket,
        used: &mut bool,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.first.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.first))?;
                self.first.drain(..written);
                if self.first.is_empty() {
                    self.first = Vec::new();
                }
                continue;
            }
            if !self.inbox.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, self.inbox.bytes()))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.inbox.consume(written);
                continue;
            }
            match self.state {
                State::Open => {}
                State::Ended => {
                    self.moved = true;
                    // The peer may be gone already; then the other direction tells.
                    let _ = ready!(to.poll_end_writing(cx));
                    self.state = State::PassedOn;
                    return Poll::Ready(Ok(()));
                }
                State::PassedOn => return Poll::Ready(Ok(())),
            }
            if let Socket::Tls(stream) = to {
                let _ = Pin::new(stream).poll_flush(cx)?;
            }
            match ready!(self.inbox.poll_fill(from, cx))? {
                0 => self.state = State::Ended,
                _ => {
                    self.moved = true;
                    *used |= self.is_use();
                }
            }
        }
    }

    /// Whether what just came counts as use of the route.
    fn is_use(&mut self) -> bool {
        match &mut self.frames {
            Some(frames) => frames.saw_data(self.inbox.bytes()) && self.counts,
            None => self.counts,
        }
    }
}
