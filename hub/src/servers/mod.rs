//! The life of a server: from the wish to have it running until nothing of it is left.
//!
//! A wish is a row (`wanted`); whoever holds the row's lease takes one step after another until what is there is what is wanted
//! (`worker`, `start`, `stop`; which step is next is decided by `state`).
//! [`Servers`] is the door for pages and the API: it writes wishes, tells how servers are, and wakes the worker.
//!
//! **Invariant:** nothing here knows HTTP's server side, and memory only wakes sooner what a row already says.

mod answer;
mod fault;
mod settings;
mod start;
pub mod state;
mod stop;
mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub use self::settings::{MountUsers, ServerSettings};
use crate::broker::Broker;
use crate::replicas::Replicas;
use crate::routes::Routes;
use crate::spawner::{Image, LaunchId, LaunchPlan, Progress, ProgressSink, Spawner, SpawnerError};
pub use crate::store::launches::ServerRow;
pub use crate::store::rows::{ProgressEvent, QueuePlace, ServerState, ServerView, StartOutcome};
use crate::store::{Store, StoreError};

/// An image that was there a moment ago is there.
const IMAGE_STAYS: Duration = Duration::from_secs(5);

/// Why a wish is refused.
#[derive(Debug, thiserror::Error)]
pub enum ServersError {
    /// No such server, or its owner is being deleted.
    #[error("there is no such server")]
    NotFound,
    /// The user has as many named servers as allowed.
    #[error("you already have {limit} named servers, the most one user may have: delete one first")]
    TooManyNamed {
        /// The limit.
        limit: u32,
    },
    /// Named servers are switched off.
    #[error("named servers are switched off on this hub")]
    NamedOff,
    /// The spawner serves one user only, and somebody else has it.
    #[error(
        "this hub runs notebooks as local processes, for one user only: a second user would share the hub's files. Install Docker for more users"
    )]
    SecondUser,
    /// Not a server name.
    #[error(transparent)]
    Name(#[from] holt_spec::names::NameError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Gives a launch the credentials it speaks to the hub with.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Makes the launch's API token and OAuth client, in place of those an earlier call made, and returns the environment
    /// `jupyterhub-singleuser` needs.
    ///
    /// # Errors
    /// When the database does not answer.
    async fn issue(
        &self,
        server: &ServerRow,
        plan: &LaunchPlan,
    ) -> Result<BTreeMap<String, String>, StoreError>;
}

/// What servers are made with.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Where launches exist.
    pub spawner: Arc<dyn Spawner>,
    /// The way to the proxy.
    pub routes: Routes,
    /// The way to the replica gateway, where there is one.
    pub replicas: Option<Replicas>,
    /// The way to wikis on people's behalf, where there is one.
    pub broker: Option<Broker>,
    /// What launches identify themselves with.
    pub credentials: Arc<dyn Credentials>,
    /// Limits and times.
    pub settings: ServerSettings,
    /// This process among the hubs: `<hub>#<process>`.
    pub owner: String,
}

/// The door to the life of servers. Cheap to clone.
#[derive(Clone)]
pub struct Servers {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    work: Notify,
    changes: watch::Sender<u64>,
    /// What the image builder last said. A plain lock: held for a copy only.
    image: Mutex<Option<Progress>>,
    /// Why the image could not be had when it was last asked for. A plain lock: held for a copy only.
    image_problem: Mutex<Option<String>>,
    /// The image as it was found last, and when. A plain lock: held for a copy only.
    found: Mutex<Option<(Instant, Image)>>,
    /// The engine did not answer when it was last asked.
    engine_away: AtomicBool,
    /// Why nothing new is started. A plain lock: held for a copy only.
    held: Mutex<Option<String>>,
}

impl Servers {
    /// The door; nothing works on servers until [`Servers::run`] does.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            inner: Arc::new(Inner {
                parts,
                work: Notify::new(),
                changes: watch::Sender::new(0),
                image: Mutex::new(None),
                image_problem: Mutex::new(None),
                found: Mutex::new(None),
                engine_away: AtomicBool::new(false),
                held: Mutex::new(None),
            }),
        }
    }

    /// Limits and times.
    #[must_use]
    pub fn settings(&self) -> &ServerSettings {
        &self.inner.parts.settings
    }

    /// Wishes a server to run, making its row when needed. Asked twice, it is started once.
    ///
    /// # Errors
    /// The [`ServersError`] that applies; nothing is changed then.
    pub async fn start(
        &self,
        user_id: i64,
        name: &str,
        options: Option<String>,
    ) -> Result<StartOutcome, ServersError> {
        holt_spec::names::check_server_name(name)?;
        let store = &self.inner.parts.store;
        if self.inner.parts.spawner.max_users() == Some(1)
            && store.other_server_owner(user_id).await?.is_some()
        {
            return Err(ServersError::SecondUser);
        }
        let server_id = match store.server_view(user_id, name).await? {
            Some(view) => view.id,
            None => {
                self.may_have_another(user_id, name).await?;
                store.ensure_server(user_id, name).await?
            }
        };
        let outcome = store
            .want_running(server_id, options.as_deref())
            .await?
            .ok_or(ServersError::NotFound)?;
        self.wake();
        Ok(outcome)
    }

    async fn may_have_another(&self, user_id: i64, name: &str) -> Result<(), ServersError> {
        if name.is_empty() {
            return Ok(());
        }
        let limit = self.settings().named_servers_per_user;
        if limit == 0 {
            return Err(ServersError::NamedOff);
        }
        if self.inner.parts.store.count_named_servers(user_id).await? >= limit {
            return Err(ServersError::TooManyNamed { limit });
        }
        Ok(())
    }

    /// Wishes that nothing of a server runs. One that waits or is on its way is called off.
    ///
    /// # Errors
    /// [`ServersError::NotFound`].
    pub async fn stop(&self, user_id: i64, name: &str) -> Result<ServerState, ServersError> {
        let view = self
            .view(user_id, name)
            .await?
            .ok_or(ServersError::NotFound)?;
        let outcome = self.inner.parts.store.want_stopped(view.id).await?;
        self.wake();
        Ok(match outcome.ok_or(ServersError::NotFound)? {
            crate::store::servers::StopOutcome::Stopped => ServerState::Stopped,
            crate::store::servers::StopOutcome::Stopping => ServerState::Stopping,
        })
    }

    /// Wishes a server to be forgotten, after it is stopped. Homes stay.
    ///
    /// # Errors
    /// [`ServersError::NotFound`].
    pub async fn delete(&self, user_id: i64, name: &str) -> Result<(), ServersError> {
        let view = self
            .view(user_id, name)
            .await?
            .ok_or(ServersError::NotFound)?;
        self.inner
            .parts
            .store
            .want_deleted(view.id)
            .await?
            .ok_or(ServersError::NotFound)?;
        self.wake();
        Ok(())
    }

    /// How a server is; `None` when it was never asked for.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn view(&self, user_id: i64, name: &str) -> Result<Option<ServerView>, ServersError> {
        Ok(self.inner.parts.store.server_view(user_id, name).await?)
    }

    /// The servers of one user, by name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list(&self, user_id: i64) -> Result<Vec<ServerView>, ServersError> {
        Ok(self.inner.parts.store.server_views(Some(user_id)).await?)
    }

    /// All servers, by user and name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_all(&self) -> Result<Vec<ServerView>, ServersError> {
        Ok(self.inner.parts.store.server_views(None).await?)
    }

    /// A waiting server's place in the queue.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn place(&self, server_id: i64) -> Result<Option<QueuePlace>, ServersError> {
        Ok(self
            .inner
            .parts
            .store
            .queue_place(server_id, self.settings().concurrent_starts)
            .await?)
    }

    /// Lines of progress of the present or last start that came after the line `after`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn progress(
        &self,
        server_id: i64,
        after: i64,
    ) -> Result<Vec<ProgressEvent>, ServersError> {
        Ok(self.inner.parts.store.progress(server_id, after).await?)
    }

    /// Returns when this process changed some server, or after `deadline`: another hub's changes are found by looking again.
    pub async fn changed(&self, deadline: Duration) {
        let mut changes = self.inner.changes.subscribe();
        let _ = tokio::time::timeout(deadline, changes.changed()).await;
    }

    /// Waits until a server is neither queued nor starting, at most for `deadline`, and tells how it is then.
    ///
    /// # Errors
    /// [`ServersError::NotFound`].
    pub async fn wait_ready(
        &self,
        server_id: i64,
        deadline: Duration,
    ) -> Result<ServerState, ServersError> {
        let until = Instant::now() + deadline;
        let mut changes = self.inner.changes.subscribe();
        loop {
            let view = self
                .inner
                .parts
                .store
                .server_view_by_id(server_id)
                .await?
                .ok_or(ServersError::NotFound)?;
            if !matches!(view.state, ServerState::Queued | ServerState::Starting)
                || Instant::now() >= until
            {
                return Ok(view.state);
            }
            let look_again = (Instant::now() + Duration::from_millis(250)).min(until);
            let _ = tokio::time::timeout_at(look_again, changes.changed()).await;
        }
    }

    /// Moves a server's last use forward, never back.
    ///
    /// # Errors
    /// [`ServersError::NotFound`].
    pub async fn note_activity(
        &self,
        user_id: i64,
        server: &str,
        at_ms: i64,
    ) -> Result<(), ServersError> {
        if self
            .inner
            .parts
            .store
            .note_server_activity(user_id, server, at_ms)
            .await?
        {
            Ok(())
        } else {
            Err(ServersError::NotFound)
        }
    }

    /// What the image builder last said, while it works.
    #[must_use]
    pub fn image_progress(&self) -> Option<Progress> {
        self.inner
            .image
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Holds new starts back, with the reason people read while they wait, or lets them go on.
    pub fn hold_starts(&self, reason: Option<String>) {
        *self
            .inner
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = reason;
        self.wake();
    }

    /// Says whether the engine answers. While it does not, nothing new is started.
    pub fn engine_answers(&self, answers: bool) {
        let away = !answers;
        if self.inner.engine_away.swap(away, Ordering::SeqCst) != away {
            self.wake();
        }
    }

    /// Why nothing new is started just now.
    #[must_use]
    pub fn held(&self) -> Option<String> {
        let held = self
            .inner
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        held.or_else(|| {
            let away = self.inner.engine_away.load(Ordering::SeqCst);
            away.then(|| {
                "The container engine does not answer; starts go on when it does".to_owned()
            })
        })
    }

    /// Why the image could not be had when it was last asked for.
    #[must_use]
    pub fn image_problem(&self) -> Option<String> {
        self.inner
            .image_problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Says that a row changed: wakes the worker and whoever waits.
    pub fn wake(&self) {
        self.inner.work.notify_one();
        self.inner.changes.send_modify(|count| *count += 1);
    }

    /// Takes the image builder's progress.
    fn image_sink(&self) -> ProgressSink {
        let servers = self.clone();
        Arc::new(move |progress| {
            *servers
                .inner
                .image
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(progress);
            servers.inner.changes.send_modify(|count| *count += 1);
        })
    }

    /// Makes the image ready before anybody asks for it. Called again, it does nothing that was done: a start asks three times
    /// within a second, and the engine is asked once.
    ///
    /// # Errors
    /// As the spawner says.
    pub async fn prepare_image(&self) -> Result<Image, SpawnerError> {
        let found = self
            .inner
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((at, image)) = found
            && at.elapsed() < IMAGE_STAYS
        {
            return Ok(image);
        }
        let image = self.inner.parts.spawner.image(self.image_sink()).await?;
        *self
            .inner
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), image.clone()));
        *self
            .inner
            .image
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        self.inner.changes.send_modify(|count| *count += 1);
        Ok(image)
    }
}

/// A new launch's id: 48 bits of time, 80 bits of chance, in lower-case letters and digits, sortable by time.
#[must_use]
pub fn new_launch_id() -> LaunchId {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let millis = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    let chance = u128::from(rand::random::<u64>()) | (u128::from(rand::random::<u16>()) << 64);
    let number = (millis << 80) | chance;
    let id = (0..26u32)
        .rev()
        .map(|place| char::from(DIGITS[usize::try_from((number >> (place * 5)) & 31).unwrap_or(0)]))
        .collect();
    LaunchId(id)
}

#[cfg(test)]
mod tests;
