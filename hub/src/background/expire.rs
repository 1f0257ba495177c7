//! Removes what is over: deleted users without a server left, and credentials whose time has passed.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Passes, pause};
use crate::store::StoreError;

/// Nobody waits for it.
const EVERY: Duration = Duration::from_secs(60);

/// Runs until `stop`.
pub(super) async fn run(passes: Passes, stop: CancellationToken) {
    while pause(EVERY, &stop).await {
        if let Err(error) = expire(&passes).await {
            warn!(error = %crate::error_chain(&error), "What is over could not be removed; tried again later");
        }
    }
}

async fn expire(passes: &Passes) -> Result<(), StoreError> {
    for id in passes.store.purge_users().await? {
        info!(user.id = id, "User {id} is gone");
    }
    passes.store.purge_expired().await
}
