//! Asks providers whether accounts that have a server or a session still stand well, and puts out those that do not.
//!
//! Accounts are claimed a few at a time, those longest not asked first, so that the questions are spread over the interval and two hubs
//! do not ask twice. What is not known changes nothing: an outage ends nobody's server. And a pass that would end more than a few
//! servers at once is no pass of accounts, but a provider, or a setting, gone wrong: it halts until its answers look right again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Passes, pause};
use crate::access;
use crate::error_chain;
use crate::login::provider::{LoginError, Standing};
use crate::login::sign_in::{Registered, wanted_names};
use crate::metrics::{LOCK_CHECK_HALTED, LOCK_CHECKS};
use crate::store::StoreError;
use crate::store::identities::Identity;

/// How the interval is parted: in each part so many accounts are asked as are due.
const PARTS: u32 = 10;
/// Accounts asked in one part.
const MOST: u32 = 500;
/// Servers that one pass may always end.
const FEW: i64 = 3;
/// Of a hundred running servers, so many may be ended by one pass.
const PERCENT: i64 = 5;

/// How the check is done.
#[derive(Debug, Clone, Copy)]
pub struct LockCheck {
    /// How often each account is asked about.
    pub interval: Duration,
    /// How many questions are under way at once.
    pub concurrency: usize,
}

/// What a provider's answers came to.
#[derive(Debug, Default)]
struct Found {
    good: Vec<(Identity, String)>,
    bad: Vec<(Identity, Standing)>,
    unknown: usize,
    /// Why one of them is unknown, for the log.
    reason: Option<LoginError>,
    retry_after: Option<Duration>,
}

/// Whether what a provider said of accounts was believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    Held,
    Halted,
}

/// What is remembered of one provider. What one of them asks for, or gets wrong, is nothing to the others.
#[derive(Debug, Default)]
struct Watch {
    /// Until when it wants to be left alone.
    quiet_until: Option<Instant>,
    /// When its answers were last not believed.
    halted: Option<Instant>,
    /// Users of whom it spoke ill and was not believed, with when: in every later part they count, so that a provider gone wrong does
    /// not end a few servers in each interval.
    withheld: HashMap<i64, Instant>,
}

impl Watch {
    fn is_quiet(&self, now: Instant) -> bool {
        self.quiet_until.is_some_and(|until| now < until)
    }

    /// Whether all accounts were asked about since answers were not believed. The parts before say nothing of that one.
    fn is_over(&self, interval: Duration, now: Instant) -> bool {
        self.halted
            .is_some_and(|since| now.duration_since(since) > interval + 2 * interval / PARTS)
    }

    /// Those withheld besides `users`; who was not asked about for two intervals has neither server nor session any more.
    fn others(&mut self, users: &[i64], interval: Duration, now: Instant) -> Vec<i64> {
        self.withheld
            .retain(|_, since| now.duration_since(*since) <= 2 * interval);
        let others = self.withheld.keys().filter(|user| !users.contains(user));
        others.copied().collect()
    }

    /// Takes the alarm back once a whole pass was believed.
    fn settle(&mut self, passes: &Passes, registered: &Registered) {
        if self.is_over(passes.lock_check.interval, Instant::now()) {
            self.halted = None;
        }
        let is_halted = if self.halted.is_some() { 1.0 } else { 0.0 };
        metrics::gauge!(LOCK_CHECK_HALTED, "provider" => registered.name.clone()).set(is_halted);
    }
}

/// Runs until `stop`.
pub(super) async fn run(passes: Passes, stop: CancellationToken) {
    let all = passes.sign_in.providers.iter();
    let checked = all.filter(|registered| registered.provider.tells_standing());
    // Each on its own: one that answers slowly, or not at all, holds up no other.
    join_all(checked.map(|registered| watch_over(&passes, registered, &stop))).await;
}

async fn watch_over(passes: &Passes, registered: &Registered, stop: &CancellationToken) {
    let mut watch = Watch::default();
    while pause(passes.lock_check.interval / PARTS, stop).await {
        watch.settle(passes, registered);
        if watch.is_quiet(Instant::now()) {
            continue;
        }
        match check(passes, registered, &mut watch, stop).await {
            Ok(Some(wait)) => watch.quiet_until = Instant::now().checked_add(wait),
            Ok(None) => {}
            Err(error) => {
                warn!(error = %error_chain(&error), "Accounts could not be checked; tried again later");
            }
        }
    }
}

/// Asks about the accounts of one provider that are due. Returns how long the provider wants to be left alone.
async fn check(
    passes: &Passes,
    registered: &Registered,
    watch: &mut Watch,
    stop: &CancellationToken,
) -> Result<Option<Duration>, StoreError> {
    let every = i64::try_from(passes.lock_check.interval.as_millis()).unwrap_or(i64::MAX / 2);
    let due = passes
        .store
        .claim_checks(&registered.name, every, MOST)
        .await?;
    if due.is_empty() {
        return Ok(None);
    }
    let found = tokio::select! {
        found = ask(passes, registered, due) => found,
        () = stop.cancelled() => return Ok(None),
    };
    for (identity, name) in &found.good {
        watch.withheld.remove(&identity.user_id);
        let wanted = wanted_names(name, &registered.name);
        passes
            .store
            .note_good_standing(identity, name, &wanted)
            .await?;
    }
    if found.unknown > 0 {
        warn!(
            provider = registered.name,
            unknown = found.unknown,
            error = found.reason.as_ref().map(|reason| error_chain(reason)),
            "{} accounts could not be asked about; what was last known of them holds",
            found.unknown
        );
    }
    if put_out(passes, registered, watch, found.bad).await? == Belief::Halted {
        watch.halted = Some(Instant::now());
    }
    watch.settle(passes, registered);
    Ok(found.retry_after)
}

async fn ask(passes: &Passes, registered: &Registered, due: Vec<Identity>) -> Found {
    let mut answers = futures_util::stream::iter(due.into_iter().map(|identity| async move {
        let answer = registered.provider.standing(&identity.sub).await;
        (identity, answer)
    }))
    .buffer_unordered(passes.lock_check.concurrency);
    let mut found = Found::default();
    while let Some((identity, answer)) = answers.next().await {
        let outcome = match &answer {
            Ok(Some(Standing::Good { .. })) => "good",
            Ok(Some(Standing::Locked)) => "locked",
            Ok(Some(Standing::Missing)) => "missing",
            Ok(None) | Err(_) => "unknown",
        };
        metrics::counter!(LOCK_CHECKS, "outcome" => outcome).increment(1);
        match answer {
            Ok(Some(Standing::Good { name })) => found.good.push((identity, name)),
            Ok(Some(standing)) => found.bad.push((identity, standing)),
            Ok(None) => {}
            Err(
                error @ LoginError::Away {
                    retry_after: Some(wait),
                    ..
                },
            ) => {
                found.unknown += 1;
                found.reason = Some(error);
                found.retry_after = found.retry_after.max(Some(wait));
                // It wants to be left alone: the rest keeps its claim and comes again after the interval.
                break;
            }
            Err(error) => {
                found.unknown += 1;
                found.reason = Some(error);
            }
        }
    }
    found
}

/// Puts out accounts that do not stand well, unless they are too many to be believed.
async fn put_out(
    passes: &Passes,
    registered: &Registered,
    watch: &mut Watch,
    bad: Vec<(Identity, Standing)>,
) -> Result<Belief, StoreError> {
    let users: Vec<i64> = bad.iter().map(|(identity, _)| identity.user_id).collect();
    let mut now = 0;
    for user in &users {
        now += passes.store.servers_up_of(*user).await?;
    }
    let (interval, asked) = (passes.lock_check.interval, Instant::now());
    let mut withheld = 0;
    for user in watch.others(&users, interval, asked) {
        withheld += passes.store.servers_up_of(user).await?;
    }
    // A pass goes through all accounts once in an interval, in parts: what earlier parts ended counts.
    let within = i64::try_from(passes.lock_check.interval.as_millis()).unwrap_or(i64::MAX / 2);
    let before = passes
        .store
        .servers_put_out(&registered.name, within)
        .await?;
    let running = before + passes.store.checked_servers(&registered.name).await?;
    let is_halted = !is_believable(before + withheld, now, running);
    if is_halted {
        let noted = users.into_iter().map(|user| (user, asked));
        watch.withheld.extend(noted);
        error!(
            provider = registered.name,
            would_end = before + withheld + now,
            running,
            "The provider says that accounts with {} of {running} running servers are locked: that is not believed, and nothing is ended. Look at the provider and at [provider.{}]",
            before + withheld + now,
            registered.name
        );
        return Ok(Belief::Halted);
    }
    for user in &users {
        watch.withheld.remove(user);
    }
    for (identity, standing) in bad {
        let word = if standing == Standing::Locked {
            "locked"
        } else {
            "missing"
        };
        let ended = passes.store.put_out(&identity, word).await?;
        access::forget(passes.revoke.as_ref(), ended).await;
        passes.servers.wake();
        info!(
            user.id = identity.user_id,
            provider = registered.name,
            standing = word,
            "The account of user {} is {word}: signed out, and its servers are stopped",
            identity.user_id
        );
    }
    Ok(Belief::Held)
}

/// Whether a pass may end `now` servers after it ended, or did not dare to end, `before`, of `running` that there were.
fn is_believable(before: i64, now: i64, running: i64) -> bool {
    now == 0 || before + now <= FEW.max(running * PERCENT / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_stays_until_every_account_was_asked_about_again() {
        let interval = Duration::from_secs(100);
        let now = Instant::now();
        let watch = Watch {
            halted: Some(now),
            quiet_until: Some(now + interval),
            ..Watch::default()
        };
        assert!(!watch.is_over(interval, now + interval));
        assert!(watch.is_over(interval, now + 2 * interval));
        assert!(!Watch::default().is_over(interval, now));
        assert!(watch.is_quiet(now) && !watch.is_quiet(now + interval));
        assert!(!Watch::default().is_quiet(now));
    }

    #[test]
    fn who_was_not_put_out_counts_until_the_provider_speaks_of_them_no_more() {
        let interval = Duration::from_secs(100);
        let now = Instant::now();
        let mut watch = Watch::default();
        watch
            .withheld
            .extend([(1, now), (2, now), (3, now + interval)]);
        let mut others = watch.others(&[2, 9], interval, now + interval);
        others.sort_unstable();
        assert_eq!(others, [1, 3]);
        assert_eq!(watch.others(&[], interval, now + 3 * interval), [3]);
        assert_eq!(watch.withheld.len(), 1);
    }

    #[test]
    fn three_or_five_in_a_hundred_are_believed_and_more_are_not() {
        for (before, now, running, expected) in [
            (0, 3, 3, true),
            (0, 4, 4, false),
            (0, 4, 79, false),
            (0, 4, 80, true),
            (0, 5, 100, true),
            (0, 6, 100, false),
            // In parts it is the same pass.
            (2, 1, 10, true),
            (3, 1, 10, false),
            // Who has no server is signed out whatever happened before.
            (50, 0, 100, true),
        ] {
            assert_eq!(
                is_believable(before, now, running),
                expected,
                "{before} {now} {running}"
            );
        }
    }
}
