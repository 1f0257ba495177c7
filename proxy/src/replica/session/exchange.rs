//! One command at a backend, and what its end means for the session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Talk, Then, order_words};
use crate::replica::answer::{Walk, Wanted};
use crate::replica::packet::{self, SqlError};
use crate::replica::reach::{Link, abandon};
use crate::replica::relay::{End, Exchange, Why};
use crate::replica::sections::Place as Home;
use crate::replica::sessions::{Order, Running};
use crate::replica::wire::WireError;

/// What a command is sent on as.
pub(super) struct Request<'a> {
    pub(super) wanted: Wanted,
    pub(super) parts: &'a [&'a [u8]],
    /// What is shown of it; a statement has one.
    pub(super) text: Option<String>,
    pub(super) came: u8,
}

impl Talk {
    /// Sends a command on and passes its answer back. The walk is there when all went well.
    pub(super) async fn exchange(
        &mut self,
        request: Request<'_>,
    ) -> Result<(Then, Option<Walk>), WireError> {
        let Some(mut link) = self.link.take() else {
            let lost = SqlError::new(
                1158,
                b"08S01",
                "The connection to the replica server was lost",
            );
            return Ok((self.refuse(request.came, &lost).await?, None));
        };
        let gateway = Arc::clone(&self.gateway);
        let session = Arc::clone(&self.place.session);
        let grant = &session.granted.grant;
        let limits = &gateway.settings.limits;
        let limit = grant
            .limits
            .statement_seconds
            .map_or(limits.statement_timeout, Duration::from_secs);
        let began = Instant::now();
        if let Some(text) = request.text {
            session.begin(Running {
                id: gateway.sessions.statement(),
                text,
                began,
                limit,
                section: Arc::clone(&link.section.name),
                database: self.memory.database.as_str().into(),
            });
        }
        let mut out = crate::http::take_head();
        let sent = packet::write(&mut out, 0, request.parts);
        let mut walk = Walk::after(request.wanted, link.backend.ends, request.came, sent);
        let most = grant.limits.result_bytes.or(limits.result_bytes);
        let mut exchange = Exchange::new(&gateway, &session, &mut self.client, &mut link, most);
        let end = exchange.run(&out, &mut walk).await;
        let stopped = exchange.stopped;
        crate::http::keep_head(out);
        let (running, _) = session.finish();
        if let Some(running) = running {
            gateway.account(&session, &running, matches!(end, End::Answered));
        }
        let sequence = walk.sequence();
        match end {
            End::Answered => {
                self.memory.answered(walk.status);
                self.link = Some(link);
                Ok((Then::GoOn, Some(walk)))
            }
            End::Refused(error) => {
                let error = match stopped {
                    Some(why) if is_interruption(error.code) => why_words(why, limit),
                    _ => self.own_words(error, &link),
                };
                if !is_fatal(error.code) {
                    self.link = Some(link);
                }
                Ok((self.refuse(sequence, &error).await?, None))
            }
            End::BackendGone(why) => {
                let name = Arc::clone(&link.section.name);
                abandon(&gateway, *link);
                let told = match stopped {
                    Some(why) => why_words(why, limit),
                    None => SqlError::new(
                        1158,
                        b"08S01",
                        format!(
                            "Lost connection to the replica server of {name} during the statement ({why})"
                        ),
                    ),
                };
                if !walk.is_between_packets() {
                    return Ok((Then::Leave, None));
                }
                if self.memory.keeps().is_some() {
                    // What was set in it is lost, so nothing may go on as if it were there.
                    self.farewell(sequence, &told).await;
                    return Ok((Then::Leave, None));
                }
                Ok((self.refuse(sequence, &told).await?, None))
            }
            End::ClientGone => {
                abandon(&gateway, *link);
                Ok((Then::Leave, None))
            }
            End::Ordered(order) => {
                abandon(&gateway, *link);
                if walk.is_between_packets() {
                    let words = match stopped {
                        Some(why) if !order.ends() => why_words(why, limit),
                        _ => order_words(order),
                    };
                    self.farewell(sequence, &words).await;
                }
                Ok((Then::Leave, None))
            }
        }
    }

    /// A backend's error where the reason is how wikis are spread, which the backend cannot know.
    pub(super) fn own_words(&self, error: SqlError, link: &Link) -> SqlError {
        if error.code == 1046
            && !self.memory.database.is_empty()
            && let Home::In(home) = self.gateway.sections.place(&self.memory.database)
            && home.name != link.section.name
        {
            return SqlError::new(
                1105,
                b"HY000",
                format!(
                    "Holt: tables of two sections cannot be joined: the default database {} is in {}, the statement went to {}. Name the database of each table, or ask twice and join in your notebook",
                    self.memory.database, home.name, link.section.name
                ),
            );
        }
        error
    }
}

/// Whether a backend says with it that a statement was stopped.
fn is_interruption(code: u16) -> bool {
    matches!(code, 1317 | 1927 | 1969 | 3024)
}

/// Whether a backend ends the connection with it.
fn is_fatal(code: u16) -> bool {
    matches!(code, 1053 | 1927 | 1158..=1161 | 4031)
}

fn why_words(why: Why, limit: Duration) -> SqlError {
    match why {
        Why::Order(Order::StopSlow) => SqlError::new(
            1969,
            b"70100",
            format!(
                "Query execution was interrupted: it ran for {} s, the limit of one statement. Ask for less at a time, for example by ranges of page_id",
                limit.as_secs()
            ),
        ),
        Why::Order(_) => SqlError::new(
            1317,
            b"70100",
            "Query execution was interrupted: somebody stopped it, you or an operator",
        ),
        Why::TooLarge(most) => SqlError::new(
            1105,
            b"HY000",
            format!(
                "Holt: the result has more than {most} bytes, the limit of one statement. Ask for less at a time"
            ),
        ),
    }
}
