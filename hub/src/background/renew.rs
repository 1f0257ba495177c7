//! Tries whether what people were given at their providers still holds, while they have a session by it, and has it renewed where it ran out.
//!
//! Who took it back there is signed out here, and signs in again; servers go on. What a provider does not say changes nothing. Rows are
//! claimed before anybody is asked, so two hubs do not spend one token; and what is kept is put back only if nobody signed in meanwhile.

use std::time::Duration;

use futures_util::StreamExt as _;
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
    while pause(every / PARTS, &stop).await {
        for registered in &passes.sign_in.providers {
            if let Err(error) = renew(&passes, registered, every).await {
                warn!(error = %error_chain(&error), "Credentials could not be tried; tried again later");
            }
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
    let mut outcomes = futures_util::stream::iter(
        due.into_iter()
            .map(|row| renew_one(passes, registered, row)),
    )
    .buffer_unordered(passes.lock_check.concurrency);
    let (mut renewed, mut dropped) = (0, 0);
    while let Some(outcome) = outcomes.next().await {
        match outcome? {
            Outcome::Left => {}
            Outcome::Renewed => renewed += 1,
            Outcome::Dropped => dropped += 1,
            // The rest keeps its claim and comes again after the interval.
            Outcome::Busy => break,
        }
    }
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

async fn renew_one(
    passes: &Passes,
    registered: &Registered,
    row: AuthStateRow,
) -> Result<Outcome, StoreError> {
    let seal = &passes.sign_in.seal;
    let owner = auth_state_owner(&row.issuer, &row.sub);
    // Sealed by a key that is gone: its owner gets another when they sign in again, and is not thrown out for it.
    let Some(kept) = seal
        .open(&owner, &row.sealed)
        .and_then(|text| serde_json::from_str(&text).ok())
    else {
        return Ok(Outcome::Left);
    };
    match registered.provider.renew(&kept).await {
        Ok(None) => Ok(Outcome::Left),
        Ok(Some(renewed)) => {
            let sealed = seal.seal(&owner, &renewed.to_string());
            passes.store.reseal_auth_state(&row, &sealed).await?;
            Ok(Outcome::Renewed)
        }
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
