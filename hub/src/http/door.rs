//! What pages and API need of servers, as a trait, so that they can be tested without an engine.

use std::time::Duration;

use async_trait::async_trait;

use crate::servers::{
    ProgressEvent, QueuePlace, ServerState, ServerView, Servers, ServersError, StartOutcome,
};
use crate::spawner::Progress;

/// The servers, as pages and API see them.
#[async_trait]
pub trait ServerDoor: Send + Sync {
    /// Wishes a server to run; makes its row if needed.
    async fn start(
        &self,
        user_id: i64,
        name: &str,
        options: Option<String>,
    ) -> Result<StartOutcome, ServersError>;
    /// Wishes a server to stop.
    async fn stop(&self, user_id: i64, name: &str) -> Result<ServerState, ServersError>;
    /// Stops a named server and forgets it.
    async fn delete(&self, user_id: i64, name: &str) -> Result<(), ServersError>;
    /// How a server is; `None` when it never was.
    async fn view(&self, user_id: i64, name: &str) -> Result<Option<ServerView>, ServersError>;
    /// A user's servers.
    async fn list(&self, user_id: i64) -> Result<Vec<ServerView>, ServersError>;
    /// Everybody's servers.
    async fn list_all(&self) -> Result<Vec<ServerView>, ServersError>;
    /// A server's place in the queue.
    async fn place(&self, server_id: i64) -> Result<Option<QueuePlace>, ServersError>;
    /// Progress of the present or last start, after that event.
    async fn progress(
        &self,
        server_id: i64,
        after: i64,
    ) -> Result<Vec<ProgressEvent>, ServersError>;
    /// Returns when something probably changed, or after the deadline.
    async fn changed(&self, deadline: Duration);
    /// Waits for the end of a start.
    async fn wait_ready(
        &self,
        server_id: i64,
        deadline: Duration,
    ) -> Result<ServerState, ServersError>;
    /// Moves a server's last activity forward.
    async fn note_activity(
        &self,
        user_id: i64,
        server: &str,
        at_ms: i64,
    ) -> Result<(), ServersError>;
    /// How far the image is, while it is being built.
    fn image_progress(&self) -> Option<Progress>;
    /// Why nothing is started at this moment.
    fn held(&self) -> Option<String>;
    /// Why the image could not be had when it was last asked for.
    fn image_problem(&self) -> Option<String> {
        None
    }
}

#[async_trait]
impl ServerDoor for Servers {
    async fn start(
        &self,
        user_id: i64,
        name: &str,
        options: Option<String>,
    ) -> Result<StartOutcome, ServersError> {
        Self::start(self, user_id, name, options).await
    }

    async fn stop(&self, user_id: i64, name: &str) -> Result<ServerState, ServersError> {
        Self::stop(self, user_id, name).await
    }

    async fn delete(&self, user_id: i64, name: &str) -> Result<(), ServersError> {
        Self::delete(self, user_id, name).await
    }

    async fn view(&self, user_id: i64, name: &str) -> Result<Option<ServerView>, ServersError> {
        Self::view(self, user_id, name).await
    }

    async fn list(&self, user_id: i64) -> Result<Vec<ServerView>, ServersError> {
        Self::list(self, user_id).await
    }

    async fn list_all(&self) -> Result<Vec<ServerView>, ServersError> {
        Self::list_all(self).await
    }

    async fn place(&self, server_id: i64) -> Result<Option<QueuePlace>, ServersError> {
        Self::place(self, server_id).await
    }

    async fn progress(
        &self,
        server_id: i64,
        after: i64,
    ) -> Result<Vec<ProgressEvent>, ServersError> {
        Self::progress(self, server_id, after).await
    }

    async fn changed(&self, deadline: Duration) {
        Self::changed(self, deadline).await;
    }

    async fn wait_ready(
        &self,
        server_id: i64,
        deadline: Duration,
    ) -> Result<ServerState, ServersError> {
        Self::wait_ready(self, server_id, deadline).await
    }

    async fn note_activity(
        &self,
        user_id: i64,
        server: &str,
        at_ms: i64,
    ) -> Result<(), ServersError> {
        Self::note_activity(self, user_id, server, at_ms).await
    }

    fn image_progress(&self) -> Option<Progress> {
        Self::image_progress(self)
    }

    fn image_problem(&self) -> Option<String> {
        Self::image_problem(self)
    }

    fn held(&self) -> Option<String> {
        Self::held(self)
    }
}
