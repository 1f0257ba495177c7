//! Passes that narrow the gap between what is wanted and what is there.
//!
//! A pass takes no input, may run on every hub at once, and may be killed anywhere: it compares and acts on what it finds.

mod cull;
mod expire;
mod isolation;
mod lock_check;
mod observe;
mod reconcile;
mod renew;
mod reseal;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Revoke;
use crate::login::sign_in::SignIn;
use crate::routes::Routes;
use crate::servers::Servers;
use crate::spawner::Spawner;
use crate::store::Store;

pub use self::isolation::IsolationState;
pub use self::lock_check::LockCheck;

/// What the passes work with.
#[derive(Clone)]
pub struct Passes {
    /// The database.
    pub store: Store,
    /// Where launches exist.
    pub spawner: Arc<dyn Spawner>,
    /// The way to the proxy.
    pub routes: Routes,
    /// The door to servers.
    pub servers: Servers,
    /// This hub's stable name and the address it answers at.
    pub hub: (String, String),
    /// What trying the forbidden ways last showed.
    pub isolation: IsolationState,
    /// Ways to sign in.
    pub sign_in: Arc<SignIn>,
    /// Tells the proxy what it must no longer let through.
    pub revoke: Arc<dyn Revoke>,
    /// A session that nobody used for so long is over.
    pub session_idle: Option<Duration>,
    /// How long the home of a deleted user is kept.
    pub home_grace: Duration,
    /// How accounts are checked.
    pub lock_check: LockCheck,
    /// How often credentials at providers are tried.
    pub renew: Option<Duration>,
}

impl Passes {
    /// Starts every pass; each ends on `stop`.
    pub fn start(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        tasks.spawn(observe::run(self.clone(), stop.child_token()));
        tasks.spawn(reconcile::run(self.clone(), stop.child_token()));
        tasks.spawn(cull::run(self.clone(), stop.child_token()));
        tasks.spawn(expire::run(self.clone(), stop.child_token()));
        tasks.spawn(isolation::run(self.clone(), stop.child_token()));
        tasks.spawn(lock_check::run(self.clone(), stop.child_token()));
        tasks.spawn(renew::run(self.clone(), stop.child_token()));
        tasks.spawn(reseal::run(self.clone(), stop.child_token()));
    }
}

/// Waits for `pause`; `false` when it is time to end.
async fn pause(pause: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(pause) => true,
    }
}
