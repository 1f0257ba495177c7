//! What was sent, written down: rows that come a little later, so that no request waits for them.
//!
//! A hub that is killed loses the last half second of them.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::refusal::{BrokerError, Outcome};
use crate::error_chain;
use crate::metrics::{BROKER_LOST_ACTIONS, BROKER_REQUEST_SECONDS, BROKER_REQUESTS};
use crate::store::Store;
use crate::store::broker::{BrokerCaller, WikiAction};

/// Rows that wait to be written.
const WAITING: usize = 8192;
/// Rows in one transaction.
const AT_ONCE: usize = 500;
/// Between two transactions.
const PAUSE: Duration = Duration::from_millis(400);

/// Where actions go.
#[derive(Debug, Clone)]
pub(super) struct Actions {
    to: mpsc::Sender<WikiAction>,
}

/// A request that is under way. Dropped before it is told how it ended, nobody waited for the end: what became of it is unknown.
pub(super) struct Entry {
    actions: Actions,
    action: Option<WikiAction>,
    begun: Instant,
}

impl Actions {
    pub(super) fn new() -> (Self, mpsc::Receiver<WikiAction>) {
        let (to, from) = mpsc::channel(WAITING);
        (Self { to }, from)
    }

    /// Begins to count a request; nothing was sent yet.
    pub(super) fn begin(&self, caller: &BrokerCaller, method: &str) -> Entry {
        Entry {
            actions: self.clone(),
            begun: Instant::now(),
            action: Some(WikiAction {
                user_id: caller.user_id,
                launch: caller.launch.clone(),
                server: caller.server.clone(),
                site: String::new(),
                method: plain_method(method),
                module: String::new(),
                at: now_ms(),
                took: 0,
                outcome: Outcome::NotSent.word().to_owned(),
                status: 0,
                code: String::new(),
            }),
        }
    }
}

impl Entry {
    /// Where it goes and what it asks for.
    pub(super) fn is_for(&mut self, site: &str, module: &str) {
        if let Some(action) = &mut self.action {
            site.clone_into(&mut action.site);
            module.clone_into(&mut action.module);
        }
    }

    /// It is sent from now on.
    pub(super) fn leaves(&mut self) {
        if let Some(action) = &mut self.action {
            Outcome::Unknown.word().clone_into(&mut action.outcome);
        }
    }

    /// The wiki answered.
    pub(super) fn answered(mut self, status: u16, code: &str) {
        self.end(Outcome::Answered, status, code);
    }

    /// There is no answer. What came too fast is counted and not written down, so that a flood pushes nobody's rows away.
    pub(super) fn failed(mut self, error: &BrokerError) {
        if let BrokerError::TooMany(_) = error {
            self.action = None;
            metrics::counter!(BROKER_REQUESTS, "outcome" => error.outcome().word()).increment(1);
            return;
        }
        self.end(error.outcome(), 0, error.word());
    }

    fn end(&mut self, outcome: Outcome, status: u16, code: &str) {
        let Some(mut action) = self.action.take() else {
            return;
        };
        let took = self.begun.elapsed();
        metrics::counter!(BROKER_REQUESTS, "outcome" => outcome.word()).increment(1);
        metrics::histogram!(BROKER_REQUEST_SECONDS).record(took.as_secs_f64());
        outcome.word().clone_into(&mut action.outcome);
        action.status = status.into();
        action.took = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
        action.code = code
            .chars()
            .filter(|letter| letter.is_ascii_graphic())
            .take(60)
            .collect();
        if self.actions.to.try_send(action).is_err() {
            metrics::counter!(BROKER_LOST_ACTIONS).increment(1);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let unknown = self
            .action
            .as_ref()
            .is_some_and(|action| action.outcome == Outcome::Unknown.word());
        let outcome = if unknown {
            Outcome::Unknown
        } else {
            Outcome::NotSent
        };
        self.end(outcome, 0, "hung-up");
    }
}

/// Writes rows until `stop`, and then those that are left.
pub(super) async fn write_down(
    store: Store,
    mut from: mpsc::Receiver<WikiAction>,
    stop: CancellationToken,
) {
    let mut some = Vec::new();
    loop {
        let is_over = tokio::select! {
            count = from.recv_many(&mut some, AT_ONCE) => count == 0,
            () = stop.cancelled() => true,
        };
        while some.len() < AT_ONCE {
            match from.try_recv() {
                Ok(action) => some.push(action),
                Err(_) => break,
            }
        }
        if !some.is_empty()
            && let Err(error) = store.add_wiki_actions(&some).await
        {
            metrics::counter!(BROKER_LOST_ACTIONS).increment(some.len() as u64);
            warn!(error = %error_chain(&error), "What was sent to wikis could not be written down");
        }
        some.clear();
        if is_over && from.is_empty() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
}

fn plain_method(method: &str) -> String {
    let plain =
        (1..=8).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if plain {
        method.to_owned()
    } else {
        "other".to_owned()
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
