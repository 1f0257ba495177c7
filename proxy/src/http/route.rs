//! Where a request goes: to a server, or to the hubs. Whoever may wait for a server that is on its way waits here.

use std::sync::Arc;

use tokio::time::timeout;

use super::Edge;
use super::failure::{Failure, Kind};
use super::normalize::Visit;
use crate::metrics::Present;
use crate::table::{Leaf, Target};

/// The way of a request.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// To a server.
    Server(Arc<Leaf>, Arc<Target>),
    /// To the first hub that connects.
    Hub(Arc<[Arc<Target>]>),
}

impl Way {
    /// Its name in metrics and logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Way::Server(..) => "server",
            Way::Hub(_) => "hub",
        }
    }
}

/// What the table says at this moment.
enum Now {
    Way(Way),
    Pending,
}

fn look(edge: &Edge, path: &str) -> Now {
    let snapshot = edge.routes.now();
    match snapshot.find(path) {
        None => Now::Way(Way::Hub(Arc::clone(&snapshot.hubs))),
        Some(leaf) => match &leaf.target {
            Some(target) => Now::Way(Way::Server(Arc::clone(leaf), Arc::clone(target))),
            None => Now::Pending,
        },
    }
}

/// Finds the way of a request.
///
/// To a server that is on its way, a person's navigation goes to the hub at once, which shows the start page; anything else waits
/// until the route leads somewhere, or is gone, or the patience ends.
pub(crate) async fn find(edge: &Edge, path: &str, visit: &Visit) -> Result<Way, Failure> {
    if let Now::Way(way) = look(edge, path) {
        return Ok(way);
    }
    if visit.navigation {
        return Ok(Way::Hub(Arc::clone(&edge.routes.now().hubs)));
    }
    let _place = edge
        .waiting
        .try_acquire()
        .map_err(|_| Failure::new(Kind::TooManyWaiting))?;
    let _waiting = Present::waiting();
    // Subscribed before the next look, so that no change falls in between.
    let mut changed = edge.routes.watch();
    let wait = async {
        loop {
            if let Now::Way(way) = look(edge, path) {
                return way;
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    timeout(edge.settings.pending_wait, wait)
        .await
        .map_err(|_| Failure::new(Kind::StillStarting))
}
