//! Takes the proxy's activity over into the rows and stops servers that were not used for long.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Passes, pause};
use crate::store::StoreError;

/// How often, when idle servers are stopped at all; a shorter time-out is looked at more often.
const PERIOD: Duration = Duration::from_secs(30);

pub(super) async fn run(passes: Passes, stop: CancellationToken) {
    let idle_timeout = passes.servers.settings().idle_timeout;
    let period = idle_timeout.map_or(PERIOD, |timeout| {
        (timeout / 4).clamp(Duration::from_secs(1), PERIOD)
    });
    while pause(period, &stop).await {
        // Without the proxy's word nobody is called idle.
        let told = take_activity(&passes).await;
        if let (true, Some(timeout)) = (told, idle_timeout)
            && let Err(error) = cull(&passes, timeout).await
        {
            warn!(error = %crate::error_chain(&error), "Idle servers could not be looked for");
        }
    }
}

async fn take_activity(passes: &Passes) -> bool {
    let activity = match passes.routes.activity().await {
        Ok(activity) => activity,
        Err(error) => {
            debug!(error = %crate::error_chain(&error), "The proxy did not tell of activity");
            return false;
        }
    };
    let views = match passes.servers.list_all().await {
        Ok(views) => views,
        Err(error) => {
            warn!(error = %crate::error_chain(&error), "Servers could not be listed");
            return false;
        }
    };
    for view in views {
        let prefix = holt_spec::names::server_prefix(&view.user, &view.name);
        let Some(at) = activity
            .routes
            .get(&prefix)
            .and_then(|at| i64::try_from(*at).ok())
        else {
            continue;
        };
        if view.last_activity.is_some_and(|known| known >= at) {
            continue;
        }
        if let Err(error) = passes
            .servers
            .note_activity(view.user_id, &view.name, at)
            .await
        {
            warn!(error = %crate::error_chain(&error), "Activity could not be written down");
            return false;
        }
    }
    true
}

async fn cull(passes: &Passes, timeout: Duration) -> Result<(), StoreError> {
    let before = passes.store.now().await? - i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
    for (server_id, used) in passes.store.idle_servers(before).await? {
        if passes
            .store
            .want_stopped_if_idle(server_id, used)
            .await?
            .is_some()
        {
            info!(
                server.id = server_id,
                "Server {server_id} is stopped: it was not used for {} s",
                timeout.as_secs()
            );
            passes.servers.wake();
        }
    }
    Ok(())
}
