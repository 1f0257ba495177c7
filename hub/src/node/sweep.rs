//! Keeps the node's directory free of what others mount in it, and shared with servers.
//!
//! A task of its own: what has to be taken away may be dead, and nobody else waits for that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::board::Board;
use super::ground::{Foreign, Ground, Sharing};
use super::hands::{Hands, Outcome};
use super::job::Reads;
use crate::config::Folder;
use crate::mountinfo::Table;

/// How long one may take to be taken away.
const CLEARING: Duration = Duration::from_secs(5);

/// Who does it.
#[derive(Debug)]
pub(super) struct Sweeper {
    ground: Arc<Ground>,
    folders: Vec<Folder>,
    board: Arc<Board>,
    takers: Hands,
    /// Why the directory is not shared, as it was told last.
    told: Option<String>,
}

impl Sweeper {
    pub(super) fn new(ground: &Arc<Ground>, folders: &[Folder], board: &Arc<Board>) -> Self {
        Self {
            ground: Arc::clone(ground),
            folders: folders.to_vec(),
            board: Arc::clone(board),
            takers: Hands::default(),
            told: None,
        }
    }

    /// Looks whenever the kernel's list changed, and every so often, until `stop`.
    pub(super) async fn run(
        mut self,
        mut table: watch::Receiver<u64>,
        every: Duration,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = self.look() => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                Ok(()) = table.changed() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn look(&mut self) {
        clear(&self.ground, &self.folders, &mut self.takers).await;
        match self.ground.share() {
            Ok(Sharing::Kept) => self.told = None,
            Ok(Sharing::Anew) => {
                self.told = None;
                self.board.shared_anew();
            }
            Err(error) => {
                let reason = crate::error_chain(&error);
                if self.told.as_ref() != Some(&reason) {
                    warn!(reason, "The directory of mounts is not shared with servers");
                }
                self.told = Some(reason);
            }
        }
    }
}

/// Takes away what others mounted in the directory, and what earlier settings had. Those that hang are few: then the rest is left.
pub(super) async fn clear(ground: &Ground, folders: &[Folder], takers: &mut Hands) {
    let mut before = Vec::new();
    // What was covered is seen only once its cover is gone.
    loop {
        let Ok(table) = Table::read() else { return };
        let foreign = ground.foreign(&table, folders);
        if foreign.is_empty() || foreign == before {
            return;
        }
        for foreign in &foreign {
            take(foreign, takers).await;
        }
        before = foreign;
    }
}

/// Takes away what an earlier node left in its staging directory.
pub(super) async fn clear_staging(ground: &Ground, takers: &mut Hands) {
    let Ok(table) = Table::read() else { return };
    for place in ground.left_in_staging(&table) {
        take(&Foreign::In(place), takers).await;
    }
}

async fn take(foreign: &Foreign, takers: &mut Hands) {
    let (place, outcome) = match foreign {
        Foreign::In(place) => (place, takers.take_away(place, Reads::Wait, CLEARING).await),
        Foreign::Over { point, id } => (point, takers.uncover(point, *id, CLEARING).await),
    };
    match outcome {
        Outcome::Done { .. } => {
            info!(place = %place.display(), "What was mounted in the directory of mounts, and is not wanted there, was taken away")
        }
        other => {
            warn!(place = %place.display(), outcome = ?other, "What is mounted in the directory of mounts, and is not wanted there, could not be taken away")
        }
    }
}
