//! Removes what is over: deleted users without a server left, their homes after a while, and credentials whose time has passed.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Passes, pause};
use crate::access;
use crate::store::StoreError;

/// Nobody waits for it, so seldom; but short times are kept to a quarter of them.
const EVERY: Duration = Duration::from_secs(60);
const OFTENEST: Duration = Duration::from_secs(1);

/// Runs until `stop`.
pub(super) async fn run(passes: Passes, stop: CancellationToken) {
    let idle = passes.session_idle.unwrap_or(Duration::MAX);
    let every = (passes.home_grace.min(idle) / 4).clamp(OFTENEST, EVERY);
    while pause(every, &stop).await {
        if let Err(error) = expire(&passes).await {
            warn!(error = %crate::error_chain(&error), "What is over could not be removed; tried again later");
        }
    }
}

async fn expire(passes: &Passes) -> Result<(), StoreError> {
    for id in passes.store.purge_users().await? {
        info!(user.id = id, "User {id} is gone");
    }
    remove_old_homes(passes).await?;
    let ended = passes.store.purge_expired(passes.session_idle).await?;
    access::forget(passes.revoke.as_ref(), ended).await;
    Ok(())
}

/// Removes the homes of users who are gone for longer than the grace period.
async fn remove_old_homes(passes: &Passes) -> Result<(), StoreError> {
    for home in passes.store.old_homes(passes.home_grace).await? {
        // An engine that is away, or a home that was moved, keeps only this one from going.
        match passes.spawner.remove_home(&home).await {
            Ok(()) => {
                passes.store.forget_home(&home).await?;
                info!(
                    home,
                    "The home {home} of a deleted user is removed: its time was over"
                );
            }
            Err(error) => {
                warn!(home, error = %crate::error_chain(&error), "The home of a deleted user could not be removed; tried again later");
            }
        }
    }
    Ok(())
}
