//! How long a client connection may be silent.
//!
//! hyper's own limit for a head also runs while a kept connection is idle, and would close it long before the 75 s that
//! load balancers expect. So the clock tells the two apart: a head must be whole 15 s after its first byte, an idle connection
//! may rest longer, and while a request is being answered nothing is counted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::socket::Socket;

/// From a head's first byte, and from the connection's opening, to the head's end.
const HEAD: Duration = Duration::from_secs(15);
/// Between an answer and the next request.
const IDLE: Duration = Duration::from_secs(90);
/// How often the clock is looked at: so much later than due may a connection be closed.
const LOOK: Duration = Duration::from_secs(5);

/// No head is due: a request is being answered.
const BUSY: u64 = u64::MAX;

/// The clock of one connection.
#[derive(Debug)]
pub(crate) struct Clock {
    born: Instant,
    // Milliseconds since `born` by which the next head must be whole, or `BUSY`.
    due: AtomicU64,
    // Whether bytes that arrive now are a head's first: 1 while idle.
    idle: AtomicU64,
}

impl Clock {
    /// The clock of a connection that just opened.
    pub(crate) fn start() -> Arc<Self> {
        Arc::new(Clock {
            born: Instant::now(),
            due: AtomicU64::new(ms(HEAD)),
            idle: AtomicU64::new(0),
        })
    }

    /// A head is whole; the answer's end is told by dropping what this gives.
    pub(crate) fn request(self: &Arc<Self>) -> Answering {
        self.idle.store(0, Ordering::Relaxed);
        self.due.store(BUSY, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    fn bytes(&self) {
        if self.idle.swap(0, Ordering::Relaxed) == 1 {
            self.due.store(self.elapsed() + ms(HEAD), Ordering::Relaxed);
        }
    }

    fn elapsed(&self) -> u64 {
        ms(self.born.elapsed())
    }

    /// Ends when the client was too slow.
    pub(crate) async fn expired(&self) {
        loop {
            let due = self.due.load(Ordering::Relaxed);
            let now = self.elapsed();
            if due <= now {
                return;
            }
            tokio::time::sleep(Duration::from_millis(due - now).min(LOOK)).await;
        }
    }
}

/// A request is being answered as long as this lives.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Clock>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0
            .due
            .store(self.0.elapsed() + ms(IDLE), Ordering::Relaxed);
        self.0.idle.store(1, Ordering::Relaxed);
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(BUSY - 1)
}

/// A client's socket, watched.
#[derive(Debug)]
pub(crate) struct Watched {
    /// The socket.
    pub(crate) socket: Socket,
    /// Its clock.
    pub(crate) clock: Arc<Clock>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.clock.bytes();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
