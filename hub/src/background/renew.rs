//! Tries whether what people were given at their providers still holds, while they have a session by it, and has it renewed where it ran out.
//!
//! Who took it back there is signed out here, and signs in again; servers go on. What a provider does not say changes nothing. Rows are
//! claimed before anybody is asked, so two hubs do not spend one token; and what is kept is put back only if nobody signed in meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Passes, pause};
use crate::access;
use crate::error_chain;
use crate::login::provider::LoginError;
use crate::login::sign_in::{Registered, auth_state_owner};
use crate::store::StoreError;
use crate::store::auth_states::AuthStateRow;

/// How the interval is parted: in each part so many are tried as are due.
const PARTS: u32 = 10;
/// How long the turn to renew one may be held: longer than a provider is waited for.
pub(crate) const RENEWAL: Duration = Duration::from_secs(90);
/// Tried in one part.
const MOST: u32 = 500;

/// What became of one auth state.
enum Outcome {
    /// It holds, or nothing is known.
    Left,
    Renewed,
    /// Its owner signs in again.
    Dropped,
    /// The provider wants to be left alone.
    Busy,
}

/// Runs until `stop`.
pub(super) async fn run(passes: Passes, stop: CancellationToken) {
    let Some(every) = passes.renew else { return };
    // Each on its own: one that answers slowly, or not at all, holds up no other.
    join_all(
        passes
            .sign_in
            .providers
            .iter()
            .map(|registered| watch_over(&passes, registered, every, &stop)),
    )
    .await;
}

async fn watch_over(
    passes: &Passes,
    registered: &Registered,
    every: Duration,
    stop: &CancellationToken,
) {
    while pause(every / PARTS, stop).await {
        if let Err(error) = renew(passes, registered, every).await {
            warn!(error = %error_chain(&error), "Credentials could not be tried; tried again later");
        }
    }
}

async fn renew(
    passes: &Passes,
    registered: &Registered,
    every: Duration,
) -> Result<(), StoreError> {
    let due = passes
        .store
        .claim_renewals(&registered.name, every, MOST)
        .await?;
    let (renewed, dropped) = go_through(due, passes.lock_check.concurrency, |row| {
        renew_one(passes, registered, row)
    })
    .await?;
    if renewed + dropped > 0 {
        info!(
            provider = registered.name,
            renewed,
            dropped,
            "Credentials at {}: {renewed} renewed; {dropped} were taken back, and their owners are signed out",
            registered.name
        );
    }
    Ok(())
}

/// Tries each, some at once; counts those renewed and those dropped. Once one finds the provider busy no other is begun: the rest keeps
/// its claim and comes again after the interval. What is under way is waited for, since a token may be spent and its successor on the
/// way.
async fn go_through<Trying>(
    due: Vec<AuthStateRow>,
    at_once: usize,
    one: impl Fn(AuthStateRow) -> Trying,
) -> Result<(usize, usize), StoreError>
where
    Trying: Future<Output = Result<Outcome, StoreError>>,
{
    let is_over = AtomicBool::new(false);
    let mut outcomes = futures_util::stream::iter(due.into_iter().map(|row| async {
        if is_over.load(Ordering::Relaxed) {
            return Ok(Outcome::Left);
        }
        let outcome = one(row).await;
        if matches!(outcome, Ok(Outcome::Busy) | Err(_)) {
            is_over.store(true, Ordering::Relaxed);
        }
        outcome
    }))
    .buffer_unordered(at_once);
    let (mut renewed, mut dropped, mut failed) = (0, 0, None);
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok(Outcome::Left | Outcome::Busy) => {}
            Ok(Outcome::Renewed) => renewed += 1,
            Ok(Outcome::Dropped) => dropped += 1,
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok((renewed, dropped)), Err)
}

async fn renew_one(
    passes: &Passes,
    registered: &Registered,
    row: AuthStateRow,
) -> Result<Outcome, StoreError> {
    let seal = &passes.sign_in.seal;
    let owner = auth_state_owner(&row.issuer, &row.sub, &row.consumer);
    // Sealed by a key that is gone: its owner gets another when they sign in again, and is not thrown out for it.
    let Some(kept) = seal
        .open(&owner, &row.sealed)
        .and_then(|text| serde_json::from_str(&text).ok())
    else {
        return Ok(Outcome::Left);
    };
    // A request on its owner's behalf may be having it renewed.
    let Some(turn) = passes.store.begin_renewal(&row, RENEWAL).await? else {
        return Ok(Outcome::Left);
    };
    let outcome = registered.provider.renew(&kept).await;
    let renewed = match &outcome {
        Ok(Some(renewed)) => Some(seal.seal(&owner, &renewed.to_string())),
        _ => None,
    };
    passes
        .store
        .end_renewal(&row, turn, renewed.as_ref())
        .await?;
    match outcome {
        Ok(None) => Ok(Outcome::Left),
        Ok(Some(_)) => Ok(Outcome::Renewed),
        Err(LoginError::Over) => {
            let ended = passes.store.drop_auth_state(&row, &registered.name).await?;
            let Some(ended) = ended else {
                return Ok(Outcome::Left);
            };
            access::forget(passes.revoke.as_ref(), ended).await;
            Ok(Outcome::Dropped)
        }
        Err(LoginError::Away {
            retry_after: Some(_),
            ..
        }) => Ok(Outcome::Busy),
        Err(error) => {
            warn!(provider = registered.name, error = %error_chain(&error), "A credential could not be tried");
            Ok(Outcome::Left)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::secret::seal::Sealed;

    #[tokio::test]
    async fn a_busy_provider_cuts_off_nobody_whose_token_is_being_renewed() -> Result<(), StoreError>
    {
        let due = ["busy", "slow", "late"].map(|sub| AuthStateRow {
            issuer: String::new(),
            sub: sub.to_owned(),
            consumer: String::new(),
            sealed: Sealed {
                key_id: String::new(),
                text: String::new(),
            },
        });
        let begun = Mutex::new(Vec::new());
        let counts = go_through(due.into(), 2, |row| {
            begun
                .lock()
                .expect("no test panics while it holds it")
                .push(row.sub.clone());
            async move {
                // Longer under way than the busy one.
                let turns = if row.sub == "busy" { 2 } else { 10 };
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                if row.sub == "busy" {
                    return Ok(Outcome::Busy);
                }
                Ok(Outcome::Renewed)
            }
        })
        .await?;
        assert_eq!(counts, (1, 0));
        let begun = begun
            .into_inner()
            .expect("no test panics while it holds it");
        assert_eq!(begun, ["busy", "slow"]);
        Ok(())
    }
}
