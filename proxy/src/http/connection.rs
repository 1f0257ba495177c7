//! One client connection: its requests one after the other, and its end.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;

use super::buffers::Inbox;
use super::exchange::ClientEnd;
use super::failure::{Failure, Kind};
use super::head::{self, Scan};
use super::patience::{Patience, after};
use super::relay::Relay;
use super::request;
use super::respond::{self, Reader};
use super::socket::Socket;
use super::{Client, Edge};
use crate::metrics::Present;
use crate::table::steady_ms;

/// So long may a client take to notice that its connection is over.
const LINGER: Duration = Duration::from_secs(2);

/// A client connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) edge: Arc<Edge>,
    pub(crate) client: Client,
    pub(crate) socket: Socket,
    pub(crate) inbox: Inbox,
    pub(crate) patience: Patience,
}

/// What a request leaves behind.
pub(crate) enum After {
    /// The next request may come.
    Again,
    /// The connection is over; what the client still sends belongs to nobody.
    Close,
    /// The client is gone, or must be: nothing more is said.
    Cut,
    /// The connection is a websocket now.
    Relay(Box<Relay>),
}

/// Whether a connection goes on after an answer, as the answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Yes,
    No,
}

impl From<bool> for Keep {
    fn from(keep: bool) -> Self {
        if keep { Keep::Yes } else { Keep::No }
    }
}

/// What comes next on a connection.
enum Next {
    Head(usize),
    End,
    Bad(Failure),
}

/// Serves a connection until it ends, the client is too slow, or everything stops.
pub(crate) async fn serve(edge: Arc<Edge>, socket: Socket, client: Client) {
    let relay = {
        let mut drain = pin!(edge.drain.cancelled());
        let mut stop = pin!(edge.stop.cancelled());
        let mut serving = pin!(serve_requests(Arc::clone(&edge), socket, client));
        let mut registered = false;
        poll_fn(|cx| {
            if !registered {
                registered = true;
                // They wake this task; whether they fired is looked up where it matters, which is cheaper than asking them.
                let _ = drain.as_mut().poll(cx);
                let _ = stop.as_mut().poll(cx);
            }
            if edge.is_stopped() {
                return Poll::Ready(None);
            }
            serving.as_mut().poll(cx)
        })
        .await
    };
    if let Some(relay) = relay {
        // A task of its own: it is a fraction of this one's size.
        edge.clients.spawn(*relay);
    }
}

async fn serve_requests(edge: Arc<Edge>, socket: Socket, client: Client) -> Option<Box<Relay>> {
    let _present = Present::connection();
    let mut connection = Connection {
        edge,
        client,
        socket,
        inbox: Inbox::default(),
        patience: Patience::default(),
    };
    let mut first = true;
    loop {
        let after = match connection.next(first).await {
            Next::End => return None,
            Next::Head(length) => request::handle(&mut connection, length).await,
            Next::Bad(failure) => {
                let reader = Reader::default();
                let (_, answer) =
                    respond::failure(&failure, &reader, &connection.edge.settings).await;
                tracing::debug!(%failure, "A connection brought no request");
                connection.answer(&answer, Keep::No).await
            }
        };
        match after {
            After::Again => first = false,
            After::Close => {
                connection.linger().await;
                return None;
            }
            After::Cut => return None,
            After::Relay(relay) => return Some(relay),
        }
    }
}

impl Connection {
    /// Waits for the next head.
    async fn next(&mut self, first: bool) -> Next {
        let mut scan = Scan::default();
        let mut since = steady_ms();
        // A head that has begun to come is due soon.
        let mut resting = !first && self.inbox.is_empty();
        poll_fn(|cx| self.poll_next(cx, &mut scan, &mut since, &mut resting)).await
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        scan: &mut Scan,
        since: &mut u64,
        resting: &mut bool,
    ) -> Poll<Next> {
        loop {
            match scan.end(self.inbox.bytes(), head::Kind::Request) {
                Ok(Some(length)) => return Poll::Ready(Next::Head(length)),
                Ok(None) if self.inbox.is_full() => {
                    return Poll::Ready(Next::Bad(Failure::new(Kind::HeadTooLarge)));
                }
                Ok(None) => {}
                Err(bad) => return Poll::Ready(Next::Bad(bad.into())),
            }
            if self.inbox.is_empty() && self.edge.is_draining() {
                return Poll::Ready(Next::End);
            }
            match self.inbox.poll_fill(&mut self.socket, cx) {
                Poll::Ready(Ok(read)) if read > 0 => {
                    if std::mem::take(resting) {
                        *since = steady_ms();
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Next::End),
                Poll::Pending => break,
            }
        }
        let settings = &self.edge.settings;
        let mut patience = if *resting {
            settings.idle
        } else {
            settings.head
        };
        if let Some(silence) = settings.client_silence {
            patience = patience.min(silence);
        }
        let deadline = after(*since, patience);
        ready!(self.patience.poll_until(cx, steady_ms(), deadline));
        Poll::Ready(if self.inbox.is_empty() {
            Next::End
        } else {
            Next::Bad(Failure::new(Kind::Slow))
        })
    }

    /// The parts that an exchange needs.
    pub(crate) fn end(&mut self) -> ClientEnd<'_> {
        ClientEnd {
            socket: &mut self.socket,
            inbox: &mut self.inbox,
            patience: &mut self.patience,
        }
    }

    /// Gives an answer of our own, and tells what becomes of the connection.
    pub(crate) async fn answer(&mut self, answer: &[u8], keep: Keep) -> After {
        match (self.write(answer).await, keep) {
            (Ok(()), Keep::Yes) => After::Again,
            (Ok(()), Keep::No) => After::Close,
            (Err(_), _) => After::Cut,
        }
    }

    /// Says something to the client, as long as it listens.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let deadline = after(steady_ms(), self.edge.settings.stall);
        let mut written = 0;
        poll_fn(|cx| {
            while written < bytes.len() {
                match Pin::new(&mut self.socket).poll_write(cx, &bytes[written..]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => written += count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        ready!(self.patience.poll_until(cx, steady_ms(), deadline));
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                }
            }
            Pin::new(&mut self.socket).poll_flush(cx)
        })
        .await
    }

    /// Reads more of what the client sends; zero is its end. Ends with an error after the stall's time.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        let deadline = after(steady_ms(), self.edge.settings.stall);
        poll_fn(|cx| {
            if let Poll::Ready(read) = self.inbox.poll_fill(&mut self.socket, cx) {
                return Poll::Ready(read);
            }
            ready!(self.patience.poll_until(cx, steady_ms(), deadline));
            Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
        })
        .await
    }

    /// Ends when the client went away. What it sends meanwhile is kept, as far as there is room.
    pub(crate) async fn gone(&mut self) {
        poll_fn(|cx| self.inbox.poll_gone(&mut self.socket, cx)).await;
    }

    /// Ends our side and lets the client read what was said: closing over bytes that were not read would reset the connection
    /// and could take the answer with it.
    async fn linger(&mut self) {
        let deadline = after(steady_ms(), LINGER);
        let mut ended = false;
        poll_fn(|cx| {
            if !ended && self.socket.poll_end_writing(cx).is_pending() {
                // Enciphered, the end has to be said, and somebody must take it.
                return self.patience.poll_until(cx, steady_ms(), deadline);
            }
            ended = true;
            loop {
                self.inbox.clear();
                match self.inbox.poll_fill(&mut self.socket, cx) {
                    Poll::Ready(Ok(read)) if read > 0 && steady_ms() < deadline => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.patience.poll_until(cx, steady_ms(), deadline),
                }
            }
        })
        .await;
    }
}
