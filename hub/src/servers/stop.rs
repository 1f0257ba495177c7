//! The story of an end, one function a step: take away the route and the tokens, end the container, remove it, forget.

use std::time::Duration;

use tracing::info;

use super::state::Phase;
use super::worker::{StepError, Taken};
use super::{Servers, fault};
use crate::metrics::{DEATHS, STARTS};
use crate::spawner::Seen;
use crate::store::launches::{LaunchRow, Lease, StopReason};

/// Takes away the route, the tokens and the OAuth client, and lets the proxy forget them, before the container is ended: nobody is
/// carried to a server that is going, and nothing it knew is worth anything afterwards.
pub(super) async fn retire(
    servers: &Servers,
    lease: &Lease,
    launch: &LaunchRow,
    why: StopReason,
) -> Result<Taken, StepError> {
    let parts = &servers.inner.parts;
    let Some(retired) = parts
        .store
        .begin_stopping(lease, &launch.id, launch.phase, &why)
        .await?
    else {
        return Ok(Taken::StoodDown);
    };
    fault::point("retire:acted");
    servers.wake();
    parts
        .routes
        .settled(retired.generation, Duration::from_secs(2))
        .await;
    parts.routes.revoke(Vec::new(), retired.tokens).await;
    Ok(Taken::Done)
}

/// The start failed, in words a person can use.
pub(super) async fn fail(
    servers: &Servers,
    lease: &Lease,
    launch: &LaunchRow,
    words: String,
) -> Result<Taken, StepError> {
    if launch.phase != Phase::Ready {
        metrics::counter!(STARTS, "outcome" => "failed").increment(1);
    }
    info!(launch.id = %launch.id, reason = words, "Launch {} failed", launch.id);
    retire(servers, lease, launch, StopReason::Failure(words)).await
}

/// A server that was ready has ended by itself: says why and clears up.
pub(super) async fn mourn(
    servers: &Servers,
    lease: &Lease,
    launch: &LaunchRow,
) -> Result<Taken, StepError> {
    // What the row says may be old; the engine is asked once more before anything is taken away.
    let seen = servers.inner.parts.spawner.inspect(&launch.id).await?;
    if let Seen::Running { .. } = seen {
        servers
            .inner
            .parts
            .store
            .keep_seen(&launch.id, Some(&seen))
            .await?;
        return Ok(Taken::Done);
    }
    let reason = match seen {
        Seen::Exited {
            out_of_memory: true,
            ..
        } => "memory",
        Seen::Exited { .. } | Seen::Absent | Seen::Created | Seen::Running { .. } => "exit",
    };
    metrics::counter!(DEATHS, "reason" => reason).increment(1);
    let words = words_for_end(servers, launch, &seen, "by itself").await;
    fail(servers, lease, launch, words).await
}

/// Why a launch ended, in words, with what it last printed.
pub(super) async fn words_for_end(
    servers: &Servers,
    launch: &LaunchRow,
    seen: &Seen,
    when: &str,
) -> String {
    let spawner = &servers.inner.parts.spawner;
    let usage = spawner.usage(&launch.id).await;
    let mut words = match seen {
        Seen::Exited {
            out_of_memory: true,
            ..
        } => {
            let limit = usage.memory_limit.or(launch.plan.memory_bytes).map_or_else(
                || "The server ran out of memory.".to_owned(),
                |limit| {
                    format!(
                        "The server ran out of memory: its limit is {}.",
                        mebibytes(limit)
                    )
                },
            );
            match usage.memory_peak {
                Some(peak) => format!("{limit} The highest use seen was {}.", mebibytes(peak)),
                None => limit,
            }
        }
        Seen::Exited { code: 0, .. } => format!("The server ended {when} (exit code 0)."),
        Seen::Exited { code, .. } => format!("The server ended {when} with exit code {code}."),
        Seen::Absent => format!("The server's container was removed {when}, not by this hub."),
        Seen::Created | Seen::Running { .. } => {
            format!("The server's container did not run {when}.")
        }
    };
    if let Ok(lines) = spawner.logs(&launch.id, 5).await
        && !lines.trim().is_empty()
    {
        words.push_str(" It last printed: ");
        words.push_str(lines.trim());
    }
    words
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// Closes what the launch has open at the replica gateway, then ends the container: its address may be another's at once.
pub(super) async fn stop(
    servers: &Servers,
    lease: &Lease,
    launch: &LaunchRow,
) -> Result<Taken, StepError> {
    let parts = &servers.inner.parts;
    if let Some(replicas) = &parts.replicas {
        replicas.wake();
        replicas.revoke(&launch.id.0).await;
    }
    parts.spawner.stop(&launch.id).await?;
    fault::point("stop:acted");
    let moved = parts
        .store
        .advance(lease, &launch.id, Phase::Stopping, Phase::Removing)
        .await?;
    Ok(if moved { Taken::Done } else { Taken::StoodDown })
}

/// Removes the container; then nothing of the launch is left.
pub(super) async fn remove(
    servers: &Servers,
    lease: &Lease,
    launch: &LaunchRow,
) -> Result<Taken, StepError> {
    let parts = &servers.inner.parts;
    parts.spawner.remove(&launch.id).await?;
    fault::point("remove:acted");
    if !parts.store.finish(lease, &launch.id).await? {
        return Ok(Taken::StoodDown);
    }
    info!(server.id = lease.server_id, launch.id = %launch.id, "Launch {} is gone", launch.id);
    Ok(Taken::Done)
}

/// Forgets a server of which nothing is left.
pub(super) async fn forget(servers: &Servers, lease: &Lease) -> Result<Taken, StepError> {
    let forgotten = servers.inner.parts.store.forget_server(lease).await?;
    Ok(if forgotten {
        Taken::Done
    } else {
        Taken::StoodDown
    })
}
