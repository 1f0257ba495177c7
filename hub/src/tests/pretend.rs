//! What stands behind a hub under test: servers that do as they are told, and a proxy that remembers what it was to forget.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use crate::access::Revoke;
use crate::http::ServerDoor;
use crate::servers::{
    ProgressEvent, QueuePlace, ServerState, ServerView, ServersError, StartOutcome,
};
use crate::spawner::Progress;
use crate::store::Store;
use crate::store::users::User;

/// Servers in a list.
pub(super) struct PretendServers {
    store: Store,
    views: Mutex<Vec<ServerView>>,
    events: Mutex<Vec<ProgressEvent>>,
    pub(super) activity: Mutex<Vec<(String, i64)>>,
    place: Mutex<Option<QueuePlace>>,
}

impl PretendServers {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            views: Mutex::default(),
            events: Mutex::default(),
            activity: Mutex::default(),
            place: Mutex::default(),
        }
    }

    fn views(&self) -> std::sync::MutexGuard<'_, Vec<ServerView>> {
        self.views.lock().expect("no test panics while it holds it")
    }

    /// Makes a server be so.
    pub(super) async fn put(&self, user: &User, name: &str, state: ServerState) -> i64 {
        let id = self
            .store
            .ensure_server(user.id, name)
            .await
            .expect("in memory");
        let mut views = self.views();
        views.retain(|view| view.id != id);
        views.push(ServerView {
            id,
            user_id: user.id,
            user: user.name.clone(),
            name: name.to_owned(),
            state,
            started: (state == ServerState::Ready).then_some(1_767_323_045_678),
            last_activity: None,
            failure: None,
            version: None,
            options: None,
        });
        id
    }

    pub(super) fn fail(&self, id: i64, reason: &str) {
        for view in self.views().iter_mut().filter(|view| view.id == id) {
            view.state = ServerState::Stopped;
            view.failure = Some(reason.to_owned());
        }
    }

    pub(super) fn say(&self, kind: &str, percent: i64, message: &str) {
        let mut events = self
            .events
            .lock()
            .expect("no test panics while it holds it");
        let id = i64::try_from(events.len()).expect("few") + 1;
        events.push(ProgressEvent {
            id,
            kind: kind.to_owned(),
            percent,
            message: message.to_owned(),
        });
    }

    pub(super) fn queue(&self, position: u32, estimate_seconds: Option<u32>) {
        *self.place.lock().expect("no test panics while it holds it") = Some(QueuePlace {
            position,
            estimate_seconds,
        });
    }

    pub(super) fn state(&self, user: &User, name: &str) -> Option<ServerState> {
        self.views()
            .iter()
            .find(|view| view.user_id == user.id && view.name == name)
            .map(|view| view.state)
    }
}

#[async_trait]
impl ServerDoor for PretendServers {
    async fn start(
        &self,
        user_id: i64,
        name: &str,
        _options: Option<String>,
    ) -> Result<StartOutcome, ServersError> {
        holt_spec::names::check_server_name(name)?;
        let user = self
            .store
            .user(user_id)
            .await?
            .ok_or(ServersError::NotFound)?;
        let outcome = match self.state(&user, name) {
            Some(ServerState::Ready) => return Ok(StartOutcome::AlreadyReady),
            Some(ServerState::Queued | ServerState::Starting) => {
                return Ok(StartOutcome::AlreadyStarting);
            }
            Some(ServerState::Stopping) => StartOutcome::AfterStop,
            Some(ServerState::Stopped) | None => StartOutcome::Accepted,
        };
        self.put(&user, name, ServerState::Starting).await;
        Ok(outcome)
    }

    async fn stop(&self, user_id: i64, name: &str) -> Result<ServerState, ServersError> {
        let mut views = self.views();
        let view = views
            .iter_mut()
            .find(|view| view.user_id == user_id && view.name == name)
            .ok_or(ServersError::NotFound)?;
        view.state = ServerState::Stopped;
        Ok(ServerState::Stopped)
    }

    async fn delete(&self, user_id: i64, name: &str) -> Result<(), ServersError> {
        self.views()
            .retain(|view| view.user_id != user_id || view.name != name);
        Ok(())
    }

    async fn view(&self, user_id: i64, name: &str) -> Result<Option<ServerView>, ServersError> {
        Ok(self
            .views()
            .iter()
            .find(|view| view.user_id == user_id && view.name == name)
            .cloned())
    }

    async fn list(&self, user_id: i64) -> Result<Vec<ServerView>, ServersError> {
        Ok(self
            .views()
            .iter()
            .filter(|view| view.user_id == user_id)
            .cloned()
            .collect())
    }

    async fn list_all(&self) -> Result<Vec<ServerView>, ServersError> {
        Ok(self.views().clone())
    }

    async fn place(&self, _server_id: i64) -> Result<Option<QueuePlace>, ServersError> {
        Ok(*self.place.lock().expect("no test panics while it holds it"))
    }

    async fn progress(
        &self,
        _server_id: i64,
        after: i64,
    ) -> Result<Vec<ProgressEvent>, ServersError> {
        let events = self
            .events
            .lock()
            .expect("no test panics while it holds it");
        Ok(events
            .iter()
            .filter(|event| event.id > after)
            .cloned()
            .collect())
    }

    async fn changed(&self, _deadline: Duration) {
        tokio::task::yield_now().await;
    }

    async fn wait_ready(
        &self,
        server_id: i64,
        _deadline: Duration,
    ) -> Result<ServerState, ServersError> {
        let views = self.views();
        let view = views
            .iter()
            .find(|view| view.id == server_id)
            .ok_or(ServersError::NotFound)?;
        Ok(view.state)
    }

    async fn note_activity(
        &self,
        _user_id: i64,
        server: &str,
        at_ms: i64,
    ) -> Result<(), ServersError> {
        let mut activity = self
            .activity
            .lock()
            .expect("no test panics while it holds it");
        activity.push((server.to_owned(), at_ms));
        Ok(())
    }

    fn image_progress(&self) -> Option<Progress> {
        None
    }

    fn held(&self) -> Option<String> {
        None
    }
}

/// What the proxy was told to forget: hashes of sessions and of tokens.
#[derive(Default)]
pub(super) struct Forgotten(pub(super) Mutex<Vec<(Vec<String>, Vec<String>)>>);

#[async_trait]
impl Revoke for Forgotten {
    async fn revoke(&self, sessions: Vec<String>, tokens: Vec<String>) {
        self.0
            .lock()
            .expect("no test panics while it holds it")
            .push((sessions, tokens));
    }
}
