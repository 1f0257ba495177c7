//! Passes that narrow the gap between what is wanted and what is there.
//!
//! A pass takes no input, may run on every hub at once, and may be killed anywhere: it compares and acts on what it finds.

mod cull;
mod expire;
mod isolation;
mod observe;
mod reconcile;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::routes::Routes;
use crate::servers::Servers;
use crate::spawner::Spawner;
use crate::store::Store;

pub use self::isolation::IsolationState;

/// What the passes work with.
#[derive(Clone)]
pub struct Passes {
    /// The database.
    pub store: Store,
    /// Where launches exist.
    pub spawner: std::sync::Arc<dyn Spawner>,
    /// The way to the proxy.
    pub routes: Routes,
    /// The door to servers.
    pub servers: Servers,
    /// This hub's stable name and the address it answers at.
    pub hub: (String, String),
    /// What trying the forbidden ways last showed.
    pub isolation: IsolationState,
}

impl Passes {
    /// Starts every pass; each ends on `stop`.
    pub fn start(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        tasks.spawn(observe::run(self.clone(), stop.child_token()));
        tasks.spawn(reconcile::run(self.clone(), stop.child_token()));
        tasks.spawn(cull::run(self.clone(), stop.child_token()));
        tasks.spawn(expire::run(self.clone(), stop.child_token()));
        tasks.spawn(isolation::run(self.clone(), stop.child_token()));
    }
}

/// Waits for `pause`; `false` when it is time to end.
async fn pause(pause: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(pause) => true,
    }
}
