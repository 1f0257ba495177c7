//! One command at a backend: sent, and its answer passed on as it comes, in the task that owns both connections.
//!
//! Errors are held back, so that the session may say them in its own words.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::Gateway;
use super::answer::{Step, Walk};
use super::packet::{HEADER, SqlError};
use super::reach::{Link, stop_statement};
use super::sessions::{Order, Session};
use super::wire::Wire;

/// Rows are gathered up to so many bytes before they are passed on: servers write 16 KiB at a time, and each write of ours costs
/// more than its bytes. The buffer has room for as much again.
const GATHER: usize = 32 * 1024;
/// Nothing that came waits longer for more.
const MOMENT: Duration = Duration::from_millis(1);
/// An answer is long from so many bytes on. Of a long one a small piece is not followed at once by the next: being woken costs
/// more than what one write of the server brings.
const LONG: u64 = 256 * 1024;
/// So long may a statement go on that was told to end.
const ENDING: Duration = Duration::from_secs(10);

/// How a command ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The whole answer was passed on.
    Answered,
    /// The backend says no; the client has not been told.
    Refused(SqlError),
    /// The backend is gone, or does not keep to the protocol.
    BackendGone(&'static str),
    /// The client is gone.
    ClientGone,
    /// The session must end, or the statement did not end when it was told to.
    Ordered(Order),
}

/// Why a statement is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It was told to.
    Order(Order),
    /// Its result is too large.
    TooLarge(u64),
}

/// A command under way.
pub(crate) struct Exchange<'a> {
    pub(crate) gateway: &'a Arc<Gateway>,
    pub(crate) session: &'a Session,
    pub(crate) client: &'a mut Wire,
    pub(crate) link: &'a mut Link,
    /// The most bytes of the answer.
    pub(crate) most: Option<u64>,
    /// Why it was stopped, if it was.
    pub(crate) stopped: Option<Why>,
    ending: Option<Pin<Box<Sleep>>>,
    bytes: u64,
    /// Bytes in the backend's inbox that the client may have.
    gathered: usize,
    /// When they must go; set anew where `moment_runs` says no.
    moment: Option<Pin<Box<Sleep>>>,
    moment_runs: bool,
}

enum Event {
    More,
    Moment,
    BackendGone,
    ClientGone,
    Order(Order),
    OutOfPatience,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(
        gateway: &'a Arc<Gateway>,
        session: &'a Session,
        client: &'a mut Wire,
        link: &'a mut Link,
        most: Option<u64>,
    ) -> Self {
        Self {
            gateway,
            session,
            client,
            link,
            most,
            stopped: None,
            ending: None,
            bytes: 0,
            gathered: 0,
            moment: None,
            moment_runs: false,
        }
    }

    /// Sends the command, and passes its answer on to the end that `walk` finds.
    pub(crate) async fn run(&mut self, request: &[u8], walk: &mut Walk) -> End {
        if let Err(end) = self.send(request).await {
            return end;
        }
        loop {
            if let Some(end) = self.gather(walk) {
                if let Err(end) = self.pass_on().await {
                    return end;
                }
                if matches!(end, End::Refused(_)) {
                    // An error is the last that comes.
                    self.link.backend.wire.inbox.clear();
                }
                return end;
            }
            let event = if self.gathered < GATHER {
                self.next_event().await
            } else {
                Event::Moment
            };
            if matches!(event, Event::More) {
                continue;
            }
            if let Err(end) = self.pass_on().await {
                return end;
            }
            match event {
                Event::More | Event::Moment => {}
                Event::BackendGone => return End::BackendGone("the connection to it broke"),
                Event::ClientGone => return End::ClientGone,
                Event::Order(order) => {
                    if let Some(end) = self.obey(Why::Order(order)) {
                        return end;
                    }
                }
                Event::OutOfPatience => return self.out_of_patience(),
            }
        }
    }

    /// Walks through what has come; returns how the command ended, if it did.
    fn gather(&mut self, walk: &mut Walk) -> Option<End> {
        let bytes = &mut self.link.backend.wire.inbox.bytes_mut()[self.gathered..];
        if bytes.is_empty() {
            return None;
        }
        let step = walk.step(bytes);
        self.session.rows.store(walk.rows, Ordering::Relaxed);
        let (count, end) = match step {
            Step::More(count) => (count, None),
            Step::End(count) => (count, Some(End::Answered)),
            Step::Error(before, length) => {
                let error = SqlError::read(&bytes[before + HEADER..before + length]);
                let error = error.unwrap_or_else(|| {
                    SqlError::new(1105, b"HY000", "an error that makes no sense")
                });
                (before, Some(End::Refused(error)))
            }
            Step::Broken(why) => (0, Some(End::BackendGone(why))),
        };
        self.gathered += count;
        end
    }

    async fn send(&mut self, request: &[u8]) -> Result<(), End> {
        let mut at = 0;
        while at < request.len() {
            let written = poll_fn(|cx| {
                if let Poll::Ready(written) = self.link.backend.wire.poll_write(cx, &request[at..])
                {
                    return Poll::Ready(Ok(written));
                }
                self.session.poll_order(cx).map(Err)
            })
            .await;
            match written {
                Ok(Ok(count)) => at += count,
                Ok(Err(_)) => return Err(End::BackendGone("the connection to it broke")),
                Err(order) => return Err(End::Ordered(order)),
            }
        }
        poll_fn(|cx| {
            if let Poll::Ready(flushed) = self.link.backend.wire.poll_flush(cx) {
                let gone = |_| End::BackendGone("the connection to it broke");
                return Poll::Ready(flushed.map_err(gone));
            }
            self.session
                .poll_order(cx)
                .map(|order| Err(End::Ordered(order)))
        })
        .await
    }

    async fn next_event(&mut self) -> Event {
        poll_fn(|cx| {
            let has_time = self.gathered > 0 && self.poll_moment(cx).is_pending();
            if !has_time || self.bytes < LONG {
                match self.link.backend.wire.poll_more(cx) {
                    Poll::Ready(Ok(true)) => return Poll::Ready(Event::More),
                    Poll::Ready(_) => return Poll::Ready(Event::BackendGone),
                    Poll::Pending => {}
                }
            }
            if let Some(event) = self.poll_told(cx) {
                return Poll::Ready(event);
            }
            if self.gathered > 0 && !has_time {
                return Poll::Ready(Event::Moment);
            }
            if self.client.poll_gone(cx).is_ready() {
                return Poll::Ready(Event::ClientGone);
            }
            Poll::Pending
        })
        .await
    }

    fn poll_moment(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let moment = self.moment.get_or_insert_with(|| Box::pin(sleep(MOMENT)));
        if !mem::replace(&mut self.moment_runs, true) {
            moment.as_mut().reset(Instant::now() + MOMENT);
        }
        moment.as_mut().poll(cx)
    }

    fn poll_told(&mut self, cx: &mut Context<'_>) -> Option<Event> {
        if let Poll::Ready(order) = self.session.poll_order(cx)
            && (self.stopped.is_none() || order.ends())
        {
            return Some(Event::Order(order));
        }
        if let Some(ending) = &mut self.ending
            && Future::poll(ending.as_mut(), cx).is_ready()
        {
            return Some(Event::OutOfPatience);
        }
        None
    }

    /// Begins to stop the statement; an end of the whole session is at once.
    fn obey(&mut self, why: Why) -> Option<End> {
        if let Why::Order(order) = why
            && order.ends()
        {
            return Some(End::Ordered(order));
        }
        if self.stopped.is_none() {
            self.stopped = Some(why);
            self.ending = Some(Box::pin(sleep(ENDING)));
            stop_statement(self.gateway, self.link);
        }
        None
    }

    fn out_of_patience(&self) -> End {
        match self.stopped {
            Some(Why::Order(order)) => End::Ordered(order),
            _ => End::Ordered(Order::StopAsked),
        }
    }

    /// Passes on what was gathered.
    async fn pass_on(&mut self) -> Result<(), End> {
        let count = mem::take(&mut self.gathered);
        self.moment_runs = false;
        self.bytes += count as u64;
        self.session.bytes.store(self.bytes, Ordering::Relaxed);
        if let Some(most) = self.most
            && self.bytes > most
        {
            drop(self.obey(Why::TooLarge(most)));
        }
        if count == 0 {
            return Ok(());
        }
        let bytes = &self.link.backend.wire.inbox.bytes()[..count];
        // Whole frames: where this stops in the middle, the client gets nothing more.
        let packed = self.client.pack(bytes).map_err(|_| End::ClientGone)?;
        let length = packed.as_ref().map_or(count, Vec::len);
        let mut at = 0;
        while at < length {
            let event = poll_fn(|cx| {
                let bytes = match &packed {
                    Some(packed) => &packed[at..],
                    None => &self.link.backend.wire.inbox.bytes()[at..count],
                };
                let written = self.client.poll_write(cx, bytes);
                self.or_told(cx, written)
            })
            .await;
            match event {
                Ok(written) => at += written.map_err(|_| End::ClientGone)?,
                Err(event) => self.heed(event)?,
            }
        }
        self.link.backend.wire.inbox.consume(count);
        if let Some(packed) = packed {
            crate::http::keep_head(packed);
        }
        loop {
            let event = poll_fn(|cx| {
                let flushed = self.client.poll_flush(cx);
                self.or_told(cx, flushed)
            })
            .await;
            match event {
                Ok(flushed) => return flushed.map_err(|_| End::ClientGone),
                Err(event) => self.heed(event)?,
            }
        }
    }

    /// What was polled, else what the session is told meanwhile.
    fn or_told<T>(&mut self, cx: &mut Context<'_>, polled: Poll<T>) -> Poll<Result<T, Event>> {
        if let Poll::Ready(done) = polled {
            return Poll::Ready(Ok(done));
        }
        match self.poll_told(cx) {
            Some(event) => Poll::Ready(Err(event)),
            None => Poll::Pending,
        }
    }

    /// What is told while the client takes its time.
    fn heed(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Order(order) => match self.obey(Why::Order(order)) {
                // In the middle of a packet nothing more can be told.
                Some(End::Ordered(_)) => Err(End::ClientGone),
                Some(end) => Err(end),
                None => Ok(()),
            },
            Event::OutOfPatience => Err(End::ClientGone),
            _ => Ok(()),
        }
    }
}
