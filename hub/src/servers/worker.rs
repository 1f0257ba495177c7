//! Works on servers: takes leases, asks `state` for the next step, takes it, and looks again.
//!
//! Whoever is killed here leaves a row that says which step may have been begun; the next holder of the lease takes it again.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use super::state::{Step, next_step};
use super::{Servers, fault, new_launch_id, start, stop};
use crate::error_chain as chain;
use crate::spawner::{LaunchPlan, SpawnerError};
use crate::store::StoreError;
use crate::store::launches::{LaunchRow, Lease, ServerRow, StopReason};
use crate::store::queue::{QueueLimits, Turn};

/// How long a lease lasts. A dead hub's work is taken over after this long.
const LEASE: Duration = Duration::from_secs(6);
const LEASE_MS: i64 = 6_000;
/// How often rows are looked at when nothing wakes the worker.
const LOOK: Duration = Duration::from_millis(500);

/// What a step came to.
pub(super) enum Taken {
    /// Look for the next step.
    Done,
    /// Somebody else has the row now.
    StoodDown,
    /// The same step is to be taken again after a while.
    Later,
}

/// Why a step did not come to anything.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Spawner(#[from] SpawnerError),
}

impl Servers {
    /// Works on servers until `stop`; what is under way then is left as it is, for the next holder of its lease.
    pub async fn run(self, tasks: TaskTracker, stop: CancellationToken) {
        loop {
            if let Err(error) = self.look(&tasks, &stop).await {
                error!(error = %chain(&error), "The database failed while looking for servers to work on");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner.work.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn look(&self, tasks: &TaskTracker, stop: &CancellationToken) -> Result<(), StoreError> {
        let parts = &self.inner.parts;
        for server_id in parts.store.servers_to_work_on().await? {
            if let Some(lease) = parts.store.lease(server_id, &parts.owner, LEASE_MS).await? {
                tasks.spawn(self.clone().work_on(lease, stop.clone()));
            }
        }
        if self.held().is_some() {
            return Ok(());
        }
        let limits = QueueLimits {
            concurrent_starts: parts.settings.concurrent_starts,
            active_servers: parts.settings.active_servers,
        };
        while let Some((lease, launch)) = parts
            .store
            .claim_next(&parts.owner, LEASE_MS, limits, |turn| self.plan(turn))
            .await?
        {
            info!(server.id = lease.server_id, launch.id = %launch, "Launch {launch} is claimed");
            parts.routes.wake();
            tasks.spawn(self.clone().work_on(lease, stop.clone()));
        }
        Ok(())
    }

    fn plan(&self, turn: &Turn) -> LaunchPlan {
        let settings = &self.inner.parts.settings;
        LaunchPlan {
            launch: new_launch_id(),
            server_id: turn.server_id,
            home: turn.home.clone(),
            port: settings.port,
            memory_bytes: settings.memory_bytes,
            cpus: settings.cpus,
            pids: settings.pids,
            mounts: settings.mounts.of_user(turn.user_id, &turn.user),
        }
    }

    /// Takes steps under the lease until there is nothing to do, the lease is lost, or the hub ends.
    async fn work_on(self, lease: Lease, stop: CancellationToken) {
        let lost = CancellationToken::new();
        tokio::select! {
            () = self.keep_lease(&lease) => warn!(server.id = lease.server_id, "The lease of a server was lost: standing down"),
            () = stop.cancelled() => {}
            result = self.take_steps(&lease) => match result {
                Ok(()) => {}
                Err(error) => {
                    // The lease is kept until it runs out: that is the pause before the next try.
                    warn!(server.id = lease.server_id, error = %chain(&error), "A step of a server did not succeed");
                    lost.cancel();
                }
            },
        }
        if !lost.is_cancelled()
            && let Err(error) = self.inner.parts.store.release_lease(&lease).await
        {
            warn!(error = %chain(&error), "A lease could not be given back; it will run out");
        }
        self.wake();
    }

    /// Returns when the lease is lost.
    async fn keep_lease(&self, lease: &Lease) {
        let mut tick = tokio::time::interval(LEASE / 3);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewed = Instant::now();
        loop {
            tick.tick().await;
            match self.inner.parts.store.renew_lease(lease, LEASE_MS).await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => return,
                Err(_) if renewed.elapsed() < LEASE => {}
                Err(_) => return,
            }
        }
    }

    async fn take_steps(&self, lease: &Lease) -> Result<(), StepError> {
        loop {
            let Some(server) = self.inner.parts.store.server_row(lease.server_id).await? else {
                return Ok(());
            };
            let launch = server.launch.as_ref();
            let step = next_step(
                server.wanted,
                launch.map(|launch| (launch.phase, launch.seen.as_ref())),
            );
            debug!(server.id = server.id, ?step, "Next step");
            fault::point(step.begun());
            let taken = self.take(lease, &server, step).await?;
            self.wake();
            match taken {
                Taken::Done if step == Step::Forget => return Ok(()),
                Taken::Done => {}
                Taken::StoodDown => return Ok(()),
                Taken::Later => tokio::time::sleep(LOOK).await,
            }
            if step == Step::Rest {
                return Ok(());
            }
        }
    }

    async fn take(
        &self,
        lease: &Lease,
        server: &ServerRow,
        step: Step,
    ) -> Result<Taken, StepError> {
        let Some(launch) = &server.launch else {
            return match step {
                Step::Forget => stop::forget(self, lease).await,
                _ => Ok(Taken::Done),
            };
        };
        match step {
            Step::Rest | Step::Forget => Ok(Taken::Done),
            Step::Prepare => start::prepare(self, lease, server, launch).await,
            Step::Create => start::create(self, lease, server, launch).await,
            Step::Bind => start::bind(self, lease, server, launch).await,
            Step::Await => start::await_answer(self, lease, server, launch).await,
            Step::Retire => stop::retire(self, lease, launch, StopReason::Wish).await,
            Step::Mourn => stop::mourn(self, lease, launch).await,
            Step::Stop => stop::stop(self, lease, launch).await,
            Step::Remove => stop::remove(self, lease, launch).await,
        }
    }

    /// Returns when the server is no longer wanted to run.
    pub(super) async fn unwanted(&self, server_id: i64) {
        let mut changes = self.inner.changes.subscribe();
        loop {
            if let Ok(row) = self.inner.parts.store.server_row(server_id).await
                && row.is_none_or(|row| row.wanted != super::state::Wanted::Running)
            {
                return;
            }
            let _ = tokio::time::timeout(LOOK, changes.changed()).await;
        }
    }

    /// Milliseconds left of `limit` in the launch's phase.
    pub(super) fn left(launch: &LaunchRow, limit: Duration) -> Duration {
        limit.saturating_sub(Duration::from_millis(launch.phase_ms.unsigned_abs()))
    }
}
