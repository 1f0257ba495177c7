//! Seals auth states anew that an older key sealed, so that the older key can be taken away. What no key opens is left: its owner signs
//! in again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Passes, pause};
use crate::login::sign_in::auth_state_owner;
use crate::store::StoreError;

/// Nobody waits for it.
const EVERY: Duration = Duration::from_secs(60);
/// Rows taken at once.
const SOME: u32 = 200;

/// Runs until `stop`.
pub(super) async fn run(passes: Passes, stop: CancellationToken) {
    loop {
        match reseal(&passes).await {
            Ok(0) => {}
            Ok(count) => info!(
                count,
                "{count} auth states were sealed under the newest key"
            ),
            Err(error) => {
                warn!(error = %crate::error_chain(&error), "Auth states could not be sealed anew; tried again later");
            }
        }
        if !pause(EVERY, &stop).await {
            return;
        }
    }
}

/// Goes through all that the newest key did not seal; returns how many it has sealed now.
pub(super) async fn reseal(passes: &Passes) -> Result<usize, StoreError> {
    let seal = &passes.sign_in.seal;
    let mut last = (String::new(), String::new(), String::new());
    let mut sealed = 0;
    loop {
        let after = (last.0.as_str(), last.1.as_str(), last.2.as_str());
        let rows = passes
            .store
            .auth_states_not_under(seal.newest(), after, SOME)
            .await?;
        let Some(end) = rows.last() else {
            return Ok(sealed);
        };
        last = (end.issuer.clone(), end.sub.clone(), end.consumer.clone());
        for row in &rows {
            let owner = auth_state_owner(&row.issuer, &row.sub, &row.consumer);
            if let Some(text) = seal.open(&owner, &row.sealed) {
                passes
                    .store
                    .reseal_auth_state(row, &seal.seal(&owner, &text))
                    .await?;
                sealed += 1;
            }
        }
    }
}
