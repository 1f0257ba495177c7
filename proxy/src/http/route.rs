//! Where a request goes: to a server, or to the hubs. Whoever may wait for a server that is on its way waits here.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::timeout;

use super::Edge;
use super::failure::{Failure, Kind};
use crate::metrics::Present;
use crate::table::{Leaf, Target};

/// The way of a request.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// To a server, by a route that has a target.
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

    /// The route, when it is a server's.
    pub(crate) fn leaf(&self) -> Option<&Arc<Leaf>> {
        match self {
            Way::Server(leaf, _) => Some(leaf),
            Way::Hub(_) => None,
        }
    }
}

/// What the table says at this moment.
#[derive(Debug)]
pub(crate) enum Found {
    /// The way.
    Way(Way),
    /// The server is on its way.
    Pending,
}

/// Looks a path up.
///
/// # Errors
/// When there is neither a route nor a default one, or the path could be read as another route's.
pub(crate) fn look(edge: &Edge, host: Option<&str>, path: &str) -> Result<Found, Failure> {
    let snapshot = edge.live.now();
    let found = snapshot
        .find(host.map(str::as_bytes), path.as_bytes())
        .map_err(|_| {
            Failure::new(Kind::Malformed(
                "the path has an escaped slash where a route could begin",
            ))
        })?;
    match found {
        Some(leaf) => Ok(match &leaf.target {
            Some(target) => Found::Way(Way::Server(Arc::clone(leaf), Arc::clone(target))),
            None => Found::Pending,
        }),
        None if snapshot.hubs.is_empty() && edge.settings.stand_in => {
            Err(Failure::new(Kind::NoRoute))
        }
        None => Ok(Found::Way(Way::Hub(Arc::clone(&snapshot.hubs)))),
    }
}

/// Waits until a pending route leads somewhere, or is gone, or the patience ends.
pub(crate) async fn wait(edge: &Edge, host: Option<&str>, path: &str) -> Result<(), Failure> {
    let _place = edge
        .waiting
        .try_acquire()
        .map_err(|_| Failure::new(Kind::TooManyWaiting))?;
    let _waiting = Present::waiting();
    // Subscribed before the next look, so that no change falls in between.
    let mut changed = edge.live.watch();
    let wait = async {
        loop {
            if !matches!(look(edge, host, path), Ok(Found::Pending)) {
                return;
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

/// A place among what a route carries at a time; held as long as the request or websocket lasts.
#[derive(Debug, Default)]
pub(crate) struct Place(Option<Arc<Leaf>>);

impl Place {
    /// Takes one, where that is limited.
    pub(crate) fn take(way: &Way, most: Option<u32>) -> Result<Self, Failure> {
        let (Some(leaf), Some(most)) = (way.leaf(), most) else {
            return Ok(Place(None));
        };
        if leaf.load.fetch_add(1, Ordering::Relaxed) >= most {
            leaf.load.fetch_sub(1, Ordering::Relaxed);
            return Err(Failure::new(Kind::Crowded));
        }
        Ok(Place(Some(Arc::clone(leaf))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(leaf) = &self.0 {
            leaf.load.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
