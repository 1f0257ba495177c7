//! Keeps `seen` what the engine has: by its events at once, and by listing for what events did not tell.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use metrics::gauge;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Passes;
use crate::metrics::ENGINE_UP;
use crate::spawner::{Event, LaunchId, Seen};
use crate::store::StoreError;

/// How often everything is listed though events flow.
const LIST: Duration = Duration::from_secs(15);

pub(super) async fn run(passes: Passes, stop: CancellationToken) {
    let mut events = passes.spawner.events();
    let mut listed = tokio::time::interval(LIST);
    listed.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let result = tokio::select! {
            () = stop.cancelled() => return,
            _ = listed.tick() => list(&passes).await,
            event = events.next() => match event {
                Some(Event::Connected) => list(&passes).await,
                Some(Event::Disconnected) => forget(&passes).await,
                Some(Event::Changed(launch) | Event::OutOfMemory(launch)) => look(&passes, &launch).await,
                None => {
                    events = passes.spawner.events();
                    Ok(())
                }
            },
        };
        if let Err(error) = result {
            warn!(error = %crate::error_chain(&error), "What the engine has could not be written down");
        }
    }
}

/// Looks at one launch.
async fn look(passes: &Passes, launch: &LaunchId) -> Result<(), StoreError> {
    let seen = passes.spawner.inspect(launch).await.ok();
    keep(passes, launch, seen.as_ref()).await
}

/// Looks at all launches. One the engine does not list is absent; an engine that does not answer says nothing.
async fn list(passes: &Passes) -> Result<(), StoreError> {
    // Rows first: a launch made after they were read is not taken for absent.
    let open = passes.store.open_launches().await?;
    let listed = passes.spawner.list().await;
    gauge!(ENGINE_UP).set(if listed.is_ok() { 1.0 } else { 0.0 });
    passes.servers.engine_answers(listed.is_ok());
    let found: HashMap<LaunchId, Seen> = match listed {
        Ok(found) => found
            .into_iter()
            .map(|found| (found.launch, found.seen))
            .collect(),
        Err(error) => {
            debug!(error = %crate::error_chain(&error), "The engine does not answer: nothing is known");
            return forget(passes).await;
        }
    };
    for (launch, _, _) in open {
        keep(
            passes,
            &launch,
            Some(found.get(&launch).unwrap_or(&Seen::Absent)),
        )
        .await?;
    }
    Ok(())
}

/// Nothing is known of any launch.
async fn forget(passes: &Passes) -> Result<(), StoreError> {
    for (launch, _, _) in passes.store.open_launches().await? {
        keep(passes, &launch, None).await?;
    }
    Ok(())
}

async fn keep(passes: &Passes, launch: &LaunchId, seen: Option<&Seen>) -> Result<(), StoreError> {
    if passes.store.keep_seen(launch, seen).await? {
        passes.servers.wake();
    }
    Ok(())
}
