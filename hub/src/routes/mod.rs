//! Tells the proxy: keeps its table what the rows say, hands it revocations, and asks it for activity.
//!
//! The generation of the table is raised in the transaction that changes a route; here it is only carried.
//! Two hubs may push at once: the proxy refuses what is older than what it has.
//!
//! **Invariant:** nothing here decides a route.

mod control;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holt_spec::control::{Activity, Changes, Internal, Revocations, Route, Status, Table};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::control::Control;
pub use self::control::ControlError;
use crate::secret;
use crate::store::{Store, StoreError};

/// How often the generation is looked at when nothing wakes: another hub may have raised it.
const LOOK: Duration = Duration::from_millis(250);
/// How often a proxy that has the newest table is asked whether it still has it.
const VERIFY: Duration = Duration::from_secs(5);
/// Revocations told at once.
const SOME: u32 = 500;
/// How long a proxy refuses what was revoked; by then the servers have asked the hub again.
const KEEP_REVOKED_SECONDS: u64 = 3600;

/// The way to the proxy. Cheap to clone.
#[derive(Clone)]
pub struct Routes {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    control: Control,
    wake: Notify,
    /// The generation the proxy last said it has in force.
    settled: watch::Sender<i64>,
}

impl Routes {
    /// A way to the proxy whose control API listens on the socket `control`.
    #[must_use]
    pub fn new(store: Store, control: PathBuf) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                control: Control::new(control),
                wake: Notify::new(),
                settled: watch::Sender::new(0),
            }),
        }
    }

    /// Says that a route changed.
    pub fn wake(&self) {
        self.inner.wake.notify_one();
    }

    /// Waits until the proxy has the table of `generation` or a newer one, at most for `deadline`; tells whether it has.
    pub async fn settled(&self, generation: i64, deadline: Duration) -> bool {
        self.wake();
        let mut settled = self.inner.settled.subscribe();
        tokio::time::timeout(deadline, settled.wait_for(|have| *have >= generation))
            .await
            .is_ok_and(|found| found.is_ok())
    }

    /// Lets the proxy refuse what carries these (hexadecimal SHA-256) and close what is open with them, at once.
    /// A proxy that is away learns it from the rows, when it is back.
    pub async fn revoke(&self, sessions: Vec<String>, tokens: Vec<String>) {
        if sessions.is_empty() && tokens.is_empty() {
            return;
        }
        let revocations = Revocations {
            sessions,
            tokens,
            keep_seconds: KEEP_REVOKED_SECONDS,
        };
        if let Err(error) = self.inner.control.revoke(&revocations).await {
            warn!(error = %error, "The proxy could not be told of a revocation; trying again");
        }
    }

    /// When each route was last used.
    ///
    /// # Errors
    /// When the proxy does not answer.
    pub async fn activity(&self) -> Result<Activity, ControlError> {
        self.inner.control.activity().await
    }

    /// How the proxy is.
    ///
    /// # Errors
    /// When the proxy does not answer.
    pub async fn status(&self) -> Result<Status, ControlError> {
        self.inner.control.status().await
    }

    /// Keeps the proxy's table what the rows say, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut pushed: Option<Table> = None;
        let mut away = false;
        let mut verified = tokio::time::Instant::now();
        loop {
            if verified.elapsed() >= VERIFY {
                verified = tokio::time::Instant::now();
                if let (Some(table), Ok(status)) = (&pushed, self.status().await)
                    && status.generation < table.generation
                {
                    warn!(
                        "The proxy has an older table than it was given: giving it the whole table"
                    );
                    pushed = None;
                }
            }
            if let Err(error) = self.revoke_left().await
                && !away
            {
                warn!(error = %crate::error_chain(&error), "The proxy could not be told of what ended; trying again");
            }
            match self.push(pushed.as_ref()).await {
                Ok(Some(table)) => {
                    if std::mem::take(&mut away) {
                        info!("The proxy answers again");
                    }
                    debug!(
                        generation = table.generation,
                        routes = table.routes.len(),
                        "The proxy has the table"
                    );
                    self.inner
                        .settled
                        .send_replace(i64::try_from(table.generation).unwrap_or(i64::MAX));
                    pushed = Some(table);
                }
                Ok(None) => {}
                Err(error) => {
                    if !std::mem::replace(&mut away, true) {
                        warn!(error = %crate::error_chain(&error), "The proxy could not be told of the routes; trying again");
                    }
                    pushed = None;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner.wake.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Tells the proxy of what ended while it was away, or in the moment before a hub was killed. Telling it twice is as telling it once.
    async fn revoke_left(&self) -> Result<(), PushError> {
        let left = self.inner.store.revocations_left(SOME).await?;
        if left.is_empty() {
            return Ok(());
        }
        let told: Vec<i64> = left.iter().map(|one| one.id).collect();
        let (sessions, tokens): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|one| one.kind == "session");
        let revocations = Revocations {
            sessions: sessions
                .into_iter()
                .map(|one| secret::hash(&one.value))
                .collect(),
            tokens: tokens.into_iter().map(|one| one.value).collect(),
            keep_seconds: KEEP_REVOKED_SECONDS,
        };
        self.inner.control.revoke(&revocations).await?;
        self.inner.store.forget_revocations(&told).await?;
        Ok(())
    }

    /// Gives the proxy what it does not have; `None` when it has everything.
    async fn push(&self, pushed: Option<&Table>) -> Result<Option<Table>, PushError> {
        if let Some(pushed) = pushed {
            let generation = self.inner.store.route_generation().await?;
            if u64::try_from(generation).is_ok_and(|generation| generation == pushed.generation) {
                return Ok(None);
            }
        }
        let table = self.table().await?;
        if let Some(pushed) = pushed
            && pushed.hubs == table.hubs
            && pushed.internal == table.internal
        {
            match self.inner.control.change(&changes(pushed, &table)).await {
                Ok(()) => return Ok(Some(table)),
                // The proxy has another generation than the one given last: it gets the whole.
                Err(ControlError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match self.inner.control.put(&table).await {
            Ok(()) => Ok(Some(table)),
            // Another hub was faster with a newer one, which the rows have too.
            Err(ControlError::Refused { generation }) if generation > table.generation => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn table(&self) -> Result<Table, StoreError> {
        let rows = self.inner.store.routes().await?;
        Ok(Table {
            generation: u64::try_from(rows.generation)
                .map_err(|_| StoreError::Corrupt("counters.routes"))?,
            hubs: rows.hubs,
            internal: rows.meeting.map(|meeting| Internal {
                listen: meeting.listen,
                allow: meeting.allow,
            }),
            routes: rows
                .routes
                .into_iter()
                .map(|(prefix, target)| {
                    (
                        prefix,
                        target.map_or(Route::Pending, |url| Route::Target { url }),
                    )
                })
                .collect(),
        })
    }
}

/// Why the proxy was not told.
#[derive(Debug, thiserror::Error)]
enum PushError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// The step from one table to another.
fn changes(old: &Table, new: &Table) -> Changes {
    let set: BTreeMap<String, Route> = new
        .routes
        .iter()
        .filter(|(prefix, route)| old.routes.get(*prefix) != Some(route))
        .map(|(prefix, route)| (prefix.clone(), route.clone()))
        .collect();
    let removed = old
        .routes
        .keys()
        .filter(|prefix| !new.routes.contains_key(*prefix))
        .cloned()
        .collect();
    Changes {
        base: old.generation,
        generation: new.generation,
        set,
        removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(generation: u64, routes: &[(&str, Option<&str>)]) -> Table {
        Table {
            generation,
            routes: routes
                .iter()
                .map(|(prefix, url)| {
                    let route = url.map_or(Route::Pending, |url| Route::Target {
                        url: url.to_owned(),
                    });
                    ((*prefix).to_owned(), route)
                })
                .collect(),
            ..Table::default()
        }
    }

    #[test]
    fn only_what_differs_is_told() {
        let old = table(
            1,
            &[
                ("/user/a/", Some("http://x:1")),
                ("/user/b/", None),
                ("/user/c/", None),
            ],
        );
        let new = table(
            3,
            &[
                ("/user/a/", Some("http://x:1")),
                ("/user/b/", Some("http://x:2")),
                ("/user/d/", None),
            ],
        );
        let changes = changes(&old, &new);
        assert_eq!((changes.base, changes.generation), (1, 3));
        assert_eq!(
            changes.set.keys().collect::<Vec<_>>(),
            ["/user/b/", "/user/d/"]
        );
        assert_eq!(changes.removed, ["/user/c/"]);
    }
}
