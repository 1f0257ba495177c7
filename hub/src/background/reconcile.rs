//! Says that this hub answers, forgets hubs that do not, ends launches no row knows, and forgets old ones.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Passes, pause};
use crate::spawner::LaunchId;

/// How often this hub says that it answers.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A hub silent for so long is no hub.
const SILENT_MS: i64 = 30_000;
/// A launch no row knows is ended when it was found so for so long: a database put back from a copy must not cost a notebook at once.
const GRACE: Duration = Duration::from_secs(60);
/// How often old launches are forgotten.
const SWEEP: Duration = Duration::from_secs(600);

pub(super) async fn run(passes: Passes, stop: CancellationToken) {
    let mut strangers: HashMap<LaunchId, Instant> = HashMap::new();
    let mut swept: Option<Instant> = None;
    loop {
        if let Err(error) = passes
            .store
            .register_hub(&passes.hub.0, &passes.hub.1)
            .await
        {
            warn!(error = %crate::error_chain(&error), "This hub could not say that it answers");
        }
        if let Err(error) = passes.store.forget_silent_hubs(SILENT_MS).await {
            warn!(error = %crate::error_chain(&error), "Silent hubs could not be forgotten");
        }
        end_strangers(&passes, &mut strangers).await;
        if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            match passes.store.forget_old_launches().await {
                Ok(()) => swept = Some(Instant::now()),
                Err(error) => {
                    warn!(error = %crate::error_chain(&error), "Old launches could not be forgotten")
                }
            }
        }
        if !pause(HEARTBEAT, &stop).await {
            return;
        }
    }
}

/// Ends what the engine has and no open row knows.
async fn end_strangers(passes: &Passes, strangers: &mut HashMap<LaunchId, Instant>) {
    // The engine first: a launch made after it was asked is in the rows by then.
    let Ok(found) = passes.spawner.list().await else {
        return;
    };
    let Ok(open) = passes.store.open_launches().await else {
        return;
    };
    let known: HashSet<LaunchId> = open.into_iter().map(|(launch, _, _)| launch).collect();
    let found: HashSet<LaunchId> = found.into_iter().map(|found| found.launch).collect();
    strangers.retain(|launch, _| found.contains(launch) && !known.contains(launch));
    for launch in found.difference(&known) {
        let since = *strangers.entry(launch.clone()).or_insert_with(Instant::now);
        if since.elapsed() < GRACE {
            continue;
        }
        info!(launch.id = %launch, "Launch {launch} belongs to no server: ending it");
        let ended = match passes.spawner.stop(launch).await {
            Ok(()) => passes.spawner.remove(launch).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            warn!(launch.id = %launch, error = %crate::error_chain(&error), "A launch of no server could not be ended");
        }
    }
}
