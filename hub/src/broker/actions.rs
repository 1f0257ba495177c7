//! What was sent, written down: rows that come a little later, so that no request waits for them.
//!
//! A hub that is killed loses the last half second of them.
//!
//! What is refused is also told in the log, a line of a launch every so often, so that a flood of it stays a trickle there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::{Position, Url};

use super::now_ms;
use super::refusal::{Bad, BrokerError, Outcome};
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

/// Between two lines in the log about one launch.
const QUIET: Duration = Duration::from_secs(10);
/// Launches that the log tells of in that time; of more it says nothing.
const TOLD: usize = 256;
/// The longest host that is kept.
const HOST: usize = 100;

/// Where actions go.
#[derive(Debug, Clone)]
pub(super) struct Actions {
    to: mpsc::Sender<WikiAction>,
    /// When the log told of a launch last. A plain lock: held for a look only.
    told: Arc<Mutex<HashMap<String, Instant>>>,
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
        (
            Self {
                to,
                told: Arc::default(),
            },
            from,
        )
    }

    /// Counts a request of nobody, or of a launch that may send nothing.
    pub(super) fn turned_away(&self, error: &BrokerError) {
        metrics::counter!(BROKER_REQUESTS, "outcome" => error.outcome().word()).increment(1);
        if self.may_tell("") {
            info!(
                reason = reason(error),
                "A request to a wiki was turned away; more of them may follow unsaid"
            );
        }
    }

    /// Whether the log may tell something of this launch now.
    pub(super) fn may_tell(&self, launch: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if told.get(launch).is_some_and(|last| now - *last < QUIET) {
            return false;
        }
        if told.len() >= TOLD {
            told.retain(|_, last| now - *last < QUIET);
        }
        // One that asks without a launch always finds its place.
        let has_place = told.len() < TOLD || launch.is_empty();
        if has_place {
            told.insert(launch.to_owned(), now);
        }
        has_place
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
                at: i64::try_from(now_ms()).unwrap_or(i64::MAX),
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

    /// Where it shall go, as far as that can be read, before it is known whether it may.
    pub(super) fn asks_for(&mut self, url: &str) {
        self.is_for(&plain_host(url), "");
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
        let reason = reason(error);
        if let (BrokerError::Bad(_), Some(action)) = (error, &self.action)
            && self.actions.may_tell(&action.launch)
        {
            info!(
                launch.id = action.launch,
                user.id = action.user_id,
                site = action.site,
                method = action.method,
                reason,
                "A request to a wiki was refused; more of this launch may follow unsaid"
            );
        }
        self.end(error.outcome(), 0, reason);
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

/// Why there is no answer, in one word of a few: what is wrong with a request by what is wrong.
fn reason(error: &BrokerError) -> &'static str {
    match error {
        BrokerError::Bad(Bad::Address(_)) => "refused-address",
        BrokerError::Bad(Bad::Method) => "refused-method",
        BrokerError::Bad(Bad::Parameter(_)) => "refused-parameter",
        BrokerError::Bad(Bad::Module) => "refused-action",
        BrokerError::Bad(Bad::Header) => "refused-header",
        BrokerError::Bad(Bad::TooLarge) => "refused-size",
        BrokerError::Bad(Bad::Body | Bad::ContentType | Bad::Parts(_)) => "refused-body",
        BrokerError::Bad(Bad::Slow) => "refused-slow",
        other => other.word(),
    }
}

/// The host and port of an address, where there is one in plain letters; nothing else of it.
fn plain_host(url: &str) -> String {
    let Ok(url) = Url::parse(url) else {
        return String::new();
    };
    let authority = &url[Position::BeforeHost..Position::AfterPort];
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    if authority.len() <= HOST && authority.bytes().all(is_plain) {
        authority.to_owned()
    } else {
        String::new()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_a_plain_host_is_kept() {
        let long = format!("https://{}.example/", "x".repeat(200));
        for (url, host) in [
            (
                "https://u:secret@Evil.example:8443/x?token=y#z",
                "evil.example:8443",
            ),
            ("https://[::1]/w/api.php", "[::1]"),
            ("file:///etc/passwd", ""),
            ("mailto:x", ""),
            ("nothing", ""),
            (&long, ""),
            ("x://<b>'\u{1b}/", ""),
        ] {
            assert_eq!(plain_host(url), host, "{url}");
        }
    }

    #[test]
    fn the_log_tells_of_a_launch_now_and_then_and_never_of_too_many() {
        let (actions, _written) = Actions::new();
        assert!(actions.may_tell("one") && !actions.may_tell("one"));
        let told = (0..10_000).filter(|number| actions.may_tell(&number.to_string()));
        assert_eq!(told.count(), TOLD - 1);
        assert!(actions.may_tell("") && !actions.may_tell(""));
    }
}
