//! One request and its answer, over two sockets, in one task.
//!
//! Both directions are driven together: an answer may come while the request's body still goes, and then wins. While nothing goes
//! up, the client is watched: a request whose client went away is given up.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::answer::{Answer, Asked, write_answer};
use super::buffers::{Inbox, take_head};
use super::failure::{Failure, Kind};
use super::framing::Framing;
use super::head::{self, BadHead, Scan, read_response, space};
use super::passage::{Broken, Passage};
use super::patience::{Patience, after};
use super::settings::Settings;
use super::socket::Socket;
use super::upstream::Upstream;
use crate::table::{LastUse, steady_ms};

/// The end of an answer that took so long is a use of its route, as its beginning was.
const LONG_MS: u64 = 1000;
/// Interim answers that may come before the answer.
const INTERIM: u32 = 16;

/// A client's end of a connection, as an exchange needs it.
#[derive(Debug)]
pub(crate) struct ClientEnd<'a> {
    pub(crate) socket: &'a mut Socket,
    pub(crate) inbox: &'a mut Inbox,
    pub(crate) patience: &'a mut Patience,
}

/// How an exchange ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The answer was carried to its end; `sent_whole` when the request was too.
    Whole { answer: Answer, sent_whole: bool },
    /// The upstream agreed to a websocket: this head tells the client.
    Switched { head: Vec<u8> },
    /// Nothing was said to the client yet.
    Failed {
        failure: Failure,
        /// What can be sent again, when it cannot be told from the first time.
        unsent: Option<Unsent>,
    },
    /// The answer was cut off, or the client went away.
    Cut { status: u16 },
}

/// A request that the upstream has not acted on.
#[derive(Debug)]
pub(crate) struct Unsent {
    /// Its head, and what of its body is there.
    pub(crate) message: Vec<u8>,
    /// What is still to come from the client.
    pub(crate) body: Framing,
}

/// A request on its way, and what comes back.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    settings: &'a Settings,
    client: ClientEnd<'a>,
    upstream: &'a mut Upstream,
    asked: Asked<'a>,
    // When the route was last used, where that is counted.
    last_use: Option<&'a LastUse>,
    body: Framing,
    up: Passage,
    sending: Sending,
    down: Down,
    interim: u32,
    // When the answer's beginning was counted as use of the route.
    counted: u64,
    // When something last moved, by the steady clock: in the request, in the answer, at the client's socket.
    up_moved: u64,
    down_moved: u64,
    client_moved: u64,
}

#[derive(Debug)]
enum Sending {
    Goes,
    Whole,
    /// The upstream takes no more; it may have answered.
    Refused(std::io::Error),
}

#[derive(Debug)]
enum Down {
    Head(Scan),
    Interim(Passage),
    Answer(Passage, Answer),
}

impl<'a> Exchange<'a> {
    /// A request with its head for the upstream; its body comes from the client, in the same framing.
    pub(crate) fn new(
        settings: &'a Settings,
        client: ClientEnd<'a>,
        upstream: &'a mut Upstream,
        asked: Asked<'a>,
        last_use: Option<&'a LastUse>,
        head: Vec<u8>,
        body: Framing,
    ) -> Self {
        let now = steady_ms();
        if body != Framing::None
            && !client.inbox.is_empty()
            && let Some(last_use) = last_use
        {
            // The beginning of a body that came with its head.
            last_use.touch();
        }
        Exchange {
            settings,
            client,
            upstream,
            asked,
            last_use,
            body,
            up: Passage::new(head, body, body),
            sending: Sending::Goes,
            down: Down::Head(Scan::default()),
            interim: 0,
            counted: 0,
            up_moved: now,
            down_moved: now,
            client_moved: now,
        }
    }

    /// Carries both to their end. Dropped half-way, neither connection may be used again.
    pub(crate) async fn run(mut self) -> Outcome {
        let outcome = poll_fn(|cx| self.poll(cx)).await;
        match outcome {
            Ended::Whole(answer) => Outcome::Whole {
                answer,
                sent_whole: matches!(self.sending, Sending::Whole),
            },
            Ended::Switched(head) => Outcome::Switched { head },
            Ended::Cut => Outcome::Cut {
                status: match &self.down {
                    Down::Answer(_, answer) => answer.status,
                    Down::Head(_) | Down::Interim(_) => 0,
                },
            },
            Ended::Failed(kind) => Outcome::Failed {
                failure: Failure::new(kind),
                unsent: None,
            },
            Ended::Lost(error) => self.lost(error),
        }
    }

    /// The upstream's connection ended before any answer.
    fn lost(self, error: Option<std::io::Error>) -> Outcome {
        let untouched = self.upstream.inbox.is_empty() && self.interim == 0;
        let repeatable = self.up.written == 0
            || (self.upstream.reused && self.asked.method.is_safe() && self.body == Framing::None);
        // What was read of a body beyond the first look is gone.
        let unsent = if untouched && repeatable && self.up.read == 0 {
            self.up.again(self.body)
        } else {
            None
        };
        let unsent = unsent.map(|(message, body)| Unsent { message, body });
        let failure = Failure::new(Kind::Broken);
        Outcome::Failed {
            failure: match error {
                Some(error) => failure.because(error),
                None => failure,
            },
            unsent,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let now = steady_ms();
        if let Some(ended) = self.poll_up(cx, now) {
            return Poll::Ready(ended);
        }
        if let Some(ended) = self.poll_down(cx, now) {
            return Poll::Ready(ended);
        }
        self.poll_patience(cx, now)
    }

    /// The request's way, and a watch on the client once that is done.
    fn poll_up(&mut self, cx: &mut Context<'_>, now: u64) -> Option<Ended> {
        if matches!(self.sending, Sending::Goes) {
            let before = (self.up.written, self.up.read);
            let polled = self.up.poll(
                cx,
                self.client.socket,
                self.client.inbox,
                &mut self.upstream.socket,
                &self.settings.trailers,
            );
            if (self.up.written, self.up.read) != before {
                self.up_moved = now;
                if self.up.read > before.1 {
                    self.client_moved = now;
                    self.touch();
                }
            }
            match polled {
                Poll::Pending => return None,
                Poll::Ready(Ok(())) => self.sending = Sending::Whole,
                Poll::Ready(Err(Broken::Sink(error))) if self.up.written == 0 => {
                    return Some(Ended::Lost(Some(error)));
                }
                // It may have answered before it stopped reading.
                Poll::Ready(Err(Broken::Sink(error))) => self.sending = Sending::Refused(error),
                Poll::Ready(Err(Broken::Chunk(_))) => {
                    return Some(self.failed(Kind::Malformed("the body's chunks are broken")));
                }
                Poll::Ready(Err(Broken::Source(_))) => return Some(self.failed(Kind::BodyLost)),
            }
        }
        // What follows a body that was not sent whole belongs to nobody.
        let client = &mut self.client;
        let gone = matches!(self.sending, Sending::Whole)
            && client.inbox.poll_gone(client.socket, cx).is_ready();
        gone.then_some(Ended::Cut)
    }

    fn failed(&self, kind: Kind) -> Ended {
        match &self.down {
            Down::Head(_) => Ended::Failed(kind),
            Down::Interim(_) | Down::Answer(..) => Ended::Cut,
        }
    }

    fn poll_down(&mut self, cx: &mut Context<'_>, now: u64) -> Option<Ended> {
        loop {
            match &mut self.down {
                Down::Head(scan) => match scan
                    .end(self.upstream.inbox.bytes(), head::Kind::Response)
                {
                    Ok(Some(length)) => {
                        if let Some(ended) = self.head_came(length, now) {
                            return Some(ended);
                        }
                    }
                    Ok(None) if self.upstream.inbox.is_full() => {
                        return Some(Ended::Failed(Kind::BadAnswer));
                    }
                    Ok(None) => {
                        match self.upstream.inbox.poll_fill(&mut self.upstream.socket, cx) {
                            Poll::Pending => return None,
                            Poll::Ready(Ok(read)) if read > 0 => self.down_moved = now,
                            Poll::Ready(ended) => return Some(self.upstream_ended(ended.err())),
                        }
                    }
                    Err(bad) => return Some(bad_head(bad)),
                },
                Down::Interim(passage) => {
                    let polled = passage.poll(
                        cx,
                        &mut self.upstream.socket,
                        &mut self.upstream.inbox,
                        self.client.socket,
                        &[],
                    );
                    match polled {
                        Poll::Pending => return None,
                        Poll::Ready(Ok(())) => self.down = Down::Head(Scan::default()),
                        Poll::Ready(Err(_)) => return Some(Ended::Cut),
                    }
                }
                Down::Answer(passage, answer) => {
                    let before = (passage.written, passage.read);
                    let polled = passage.poll(
                        cx,
                        &mut self.upstream.socket,
                        &mut self.upstream.inbox,
                        self.client.socket,
                        &self.settings.trailers,
                    );
                    if (passage.written, passage.read) != before {
                        self.down_moved = now;
                        self.client_moved = now;
                    }
                    return match polled {
                        Poll::Pending => None,
                        Poll::Ready(Ok(())) => {
                            let answer = *answer;
                            if answer.status < 300 && now.saturating_sub(self.counted) >= LONG_MS {
                                self.touch();
                            }
                            Some(Ended::Whole(answer))
                        }
                        Poll::Ready(Err(_)) => Some(Ended::Cut),
                    };
                }
            }
        }
    }

    fn upstream_ended(&mut self, error: Option<std::io::Error>) -> Ended {
        // What refused the request came first, and says more.
        match std::mem::replace(&mut self.sending, Sending::Whole) {
            Sending::Refused(first) => Ended::Lost(Some(first)),
            Sending::Goes | Sending::Whole => Ended::Lost(error),
        }
    }

    /// A head is whole: an interim answer, the agreement to a websocket, or the answer.
    fn head_came(&mut self, length: usize, now: u64) -> Option<Ended> {
        let mut written = take_head();
        let answer = {
            let bytes = &self.upstream.inbox.bytes()[..length];
            let mut space = space();
            let mut asked = self.asked;
            // An answer that comes before the request's end is followed by what is left of it.
            asked.keep &= matches!(self.sending, Sending::Whole);
            match read_response(bytes, &mut space) {
                Ok(head) => write_answer(&mut written, &head, asked, self.settings),
                Err(bad) => return Some(bad_head(bad)),
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => return Some(Ended::Failed(failure.kind)),
        };
        self.upstream.inbox.consume(length);
        match answer.status {
            101 => return Some(Ended::Switched(written)),
            100..=199 => {
                self.interim += 1;
                if self.interim > INTERIM {
                    return Some(Ended::Failed(Kind::BadAnswer));
                }
                let spoken = if self.asked.old { Vec::new() } else { written };
                self.down = Down::Interim(Passage::new(spoken, Framing::None, Framing::None));
            }
            _ => {
                if answer.status < 300 {
                    // Whoever has read the answer must find it counted, so not only at its end.
                    self.touch();
                    self.counted = now;
                }
                self.down = Down::Answer(Passage::new(written, answer.comes, answer.goes), answer);
            }
        }
        None
    }

    fn touch(&self) {
        if let Some(last_use) = self.last_use {
            last_use.touch();
        }
    }

    /// Whether somebody was silent for too long; else the task is woken when it would be.
    fn poll_patience(&mut self, cx: &mut Context<'_>, now: u64) -> Poll<Ended> {
        let sending = matches!(self.sending, Sending::Goes);
        let taking = match &self.down {
            Down::Answer(passage, _) | Down::Interim(passage) => passage.is_blocked(),
            Down::Head(_) => false,
        };
        let stalled = match (sending, taking) {
            (true, _) => after(self.up_moved.max(self.down_moved), self.settings.stall),
            (false, true) => after(self.down_moved, self.settings.stall),
            // The upstream took no more and may never answer; or the client sent so much ahead that it cannot be watched any more.
            (false, false)
                if self.client.inbox.is_full() || matches!(self.sending, Sending::Refused(_)) =>
            {
                after(self.up_moved.max(self.down_moved), self.settings.stall)
            }
            (false, false) => u64::MAX,
        };
        let silent = match self.settings.answer_silence {
            Some(patience) if !taking => after(self.down_moved.max(self.up_moved), patience),
            _ => u64::MAX,
        };
        let idle = self
            .settings
            .client_silence
            .map_or(u64::MAX, |patience| after(self.client_moved, patience));
        let deadline = stalled.min(silent).min(idle);
        if deadline == u64::MAX
            || self
                .client
                .patience
                .poll_until(cx, now, deadline)
                .is_pending()
        {
            return Poll::Pending;
        }
        Poll::Ready(if now >= idle {
            Ended::Cut
        } else if now >= silent || (sending && self.up.is_blocked()) {
            self.failed(Kind::Silent)
        } else if !sending && !taking {
            match self.sending {
                Sending::Refused(_) => self.failed(Kind::Broken),
                Sending::Goes | Sending::Whole => Ended::Cut,
            }
        } else {
            self.failed(Kind::Slow)
        })
    }
}

/// How the poll ended.
enum Ended {
    Whole(Answer),
    Switched(Vec<u8>),
    Failed(Kind),
    Lost(Option<std::io::Error>),
    Cut,
}

fn bad_head(bad: BadHead) -> Ended {
    tracing::debug!(%bad, "An upstream's answer could not be understood");
    Ended::Failed(Kind::BadAnswer)
}
