//! One mount's life: looked at, taken away when it is ill, made again after growing pauses.

mod making;
mod parts;
mod source;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::parts::{Following, Parts};
use super::backoff::Backoff;
use super::board::Board;
use super::follow::Follower;
use super::ground::Ground;
use super::hands::{Hands, Outcome};
use super::job::{Access, Job, Make, Own, Reads, reads_of};
use super::mark::{Seen, seen};
use super::status::{Condition, MountStatus, now};
use super::weigh::Weigher;
use super::words;
use crate::config::{MountSettings, NodeSettings};
use crate::mountinfo::Table;

/// How long taking one away may take. The kernel does it at once.
const TAKING_AWAY: Duration = Duration::from_secs(5);

/// Why a look is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It is time: the mount is asked.
    Due,
    /// The table changed: is the mount there as it was made, and what is below its source?
    Table,
}

/// One mount.
#[derive(Debug)]
pub(super) struct Watch {
    make: Make,
    node: NodeSettings,
    ground: Arc<Ground>,
    board: Arc<Board>,
    hands: Hands,
    /// Who takes away: sent even when those who ask hang.
    takers: Hands,
    status: MountStatus,
    /// Who look where a source leads.
    finders: Hands,
    /// What was told last of a source that nobody finds.
    unfound: Option<String>,
    staging_of_parts: PathBuf,
    parts: Parts,
    /// Who follows them, until it runs.
    following: Option<Following>,
    backoff: Backoff,
    made: Option<Instant>,
    weigher: Weigher,
    next_try: Instant,
}

impl Watch {
    pub(super) fn new(
        name: &str,
        settings: &MountSettings,
        node: &NodeSettings,
        ground: &Arc<Ground>,
        place: PathBuf,
        data_dir: &Path,
        board: Arc<Board>,
    ) -> Self {
        let owner = settings.owner.as_ref().and_then(|owner| {
            let (user, group) = owner.split_once(':')?;
            Some((user.parse().ok()?, group.parse().ok()?))
        });
        let make = Make {
            kind: settings.kind.clone(),
            source: settings.source.clone(),
            options: settings.options.clone(),
            access: Access {
                write: !settings.read_only,
                exec: settings.exec,
            },
            owner,
            quota: settings.quota.map(|size| size.0),
            is_known: false,
            staging: ground.staging(name),
            place,
            own: [ground.path(), data_dir]
                .map(|path| Own(path.to_owned()))
                .to_vec(),
        };
        let follower = Follower::new(
            name,
            ground.staging_of_parts(name),
            make.access,
            node.answer_within,
            node.retry_most,
        );
        let (parts, following) = Parts::new(
            follower,
            make.place.clone(),
            node.mount_within,
            node.check_every,
        );
        let weigher = Weigher::new(name, make.weighing(), node.answer_within);
        let text = serde_json::to_vec(&make).expect("plain values have a JSON form");
        Self {
            status: MountStatus {
                name: name.to_owned(),
                target: settings.target.clone(),
                condition: Condition::Mounting,
                since: now(),
                problem: None,
                next_try: None,
                answer_micros: None,
                heals: 0,
                failures: 0,
                stuck: 0,
                made_from: hex::encode(&Sha256::digest(text)[..8]),
                mark: None,
                image: None,
                missing: Vec::new(),
                notes: Vec::new(),
            },
            finders: Hands::default(),
            unfound: None,
            parts,
            following: Some(following),
            staging_of_parts: ground.staging_of_parts(name),
            make,
            node: node.clone(),
            ground: Arc::clone(ground),
            board,
            hands: Hands::default(),
            takers: Hands::default(),
            backoff: Backoff::new(node.retry_most),
            made: None,
            weigher,
            next_try: Instant::now(),
        }
    }

    /// Its image was there: should it be gone, the disk that it is on is.
    pub(super) fn knows_its_image(&mut self) {
        self.make.is_known = true;
        self.status.image = Some(self.make.source.clone());
    }

    /// Watches until `stop`, and follows what is mounted below its source beside that. `earlier` is what a node before this one knew.
    pub(super) async fn run(
        mut self,
        earlier: Option<MountStatus>,
        table: watch::Receiver<u64>,
        stop: CancellationToken,
    ) {
        let following = self.following.take();
        let follow = async {
            if let Some(following) = following {
                following.run(stop.clone()).await;
            }
        };
        tokio::join!(self.look_on(earlier, table, stop.clone()), follow);
    }

    async fn look_on(
        &mut self,
        earlier: Option<MountStatus>,
        mut table: watch::Receiver<u64>,
        stop: CancellationToken,
    ) {
        if let Some(earlier) = earlier.filter(|known| known.made_from == self.status.made_from) {
            self.status.mark = earlier.mark;
            self.status.since = match earlier.condition {
                Condition::Up => earlier.since,
                _ => self.status.since,
            };
            self.status.heals = earlier.heals;
            self.status.failures = earlier.failures;
        }
        self.board.put(&self.status);
        tokio::select! {
            () = self.clear_staging() => {}
            () = stop.cancelled() => return,
        }
        let mut look = Look::Due;
        let mut due = Instant::now();
        loop {
            tokio::select! {
                () = self.look(look) => {}
                () = stop.cancelled() => return,
            }
            self.tell();
            if self.status.condition == Condition::Down {
                due = self.next_try;
            } else if look == Look::Due {
                due = Instant::now() + self.node.check_every;
            }
            look = loop {
                tokio::select! {
                    () = tokio::time::sleep_until(due.into()) => break Look::Due,
                    Ok(()) = table.changed() => break Look::Table,
                    Ok(()) = self.parts.changed() => self.tell(),
                    () = stop.cancelled() => return,
                }
            };
        }
    }

    async fn look(&mut self, look: Look) {
        let table = match Table::read() {
            Ok(table) => table,
            Err(cause) => {
                warn!(mount = self.status.name, error = %cause, "The kernel's list of mounts cannot be read");
                return;
            }
        };
        // What covers it is taken away at once (`sweep`); if that takes long, the next look that is due notices.
        if look == Look::Table && self.ground.is_covered(&table, &self.make.place) {
            return;
        }
        let is_up = self.status.condition == Condition::Up;
        match (
            seen(&table, &self.make.place, self.status.mark.as_ref()),
            look,
        ) {
            (Seen::Nothing, _) if is_up => {
                self.ill("somebody unmounted it".to_owned());
                self.again().await;
            }
            (Seen::Nothing, Look::Due) => self.mount().await,
            (Seen::Ours, Look::Due) => self.ask().await,
            (Seen::Ours, Look::Table) if is_up => match self.is_covered(&table) {
                Some(problem) if self.may_make_again() => self.replace(problem).await,
                // Taken away now it would stay away until then: what it was made from is served until the next look.
                Some(_) => {}
                None => self.follow_source(),
            },
            (Seen::Other(reason), _) if is_up => {
                self.ill(reason);
                self.uncover(&table).await;
                self.again().await;
            }
            // Of other settings, or of others: none of it was ever ours.
            (Seen::Other(_), Look::Due) => {
                self.uncover(&table).await;
                self.mount().await;
            }
            (_, Look::Table) => {}
        }
    }

    async fn ask(&mut self) {
        let began = Instant::now();
        let job = Job::Ask {
            place: self.make.place.clone(),
        };
        let problem = match self.hands.send(&job, self.node.answer_within).await {
            Outcome::Done { .. } => {
                self.status.answer_micros = u64::try_from(began.elapsed().as_micros()).ok();
                self.well();
                self.backoff.reset();
                match self.has_moved().await {
                    Some(problem) => self.replace(problem).await,
                    None => {
                        self.ask_parts();
                        self.weigher.weigh_if_due().await;
                    }
                }
                return;
            }
            Outcome::Failed { reason } | Outcome::Refused { reason } => reason,
            Outcome::Late => format!(
                "it did not answer within {}",
                words(self.node.answer_within)
            ),
            Outcome::Full => "it holds all who asked it".to_owned(),
        };
        self.replace(problem).await;
    }

    /// Takes it away, whoever uses it, and makes it anew.
    async fn replace(&mut self, problem: String) {
        self.ill(problem);
        let reads = reads_of(&self.make.kind);
        self.take_away(self.make.place.clone(), reads).await;
        self.again().await;
    }

    /// Takes away what is over the place and over its folder, and what is at the place. Readers of those go on: they may be others'.
    async fn uncover(&mut self, table: &Table) {
        // Over the whole directory: that goes first, and who looks below it would wait.
        if self.ground.cover(table).is_some() {
            return;
        }
        if let Some(folder) = self.make.place.parent()
            && table.at(folder).is_some()
        {
            self.take_away(folder.to_owned(), Reads::Wait).await;
        }
        self.take_away(self.make.place.clone(), Reads::Wait).await;
    }

    async fn take_away(&mut self, place: PathBuf, reads: Reads) {
        match self.takers.take_away(&place, reads, TAKING_AWAY).await {
            Outcome::Done { .. } => {}
            other => {
                warn!(mount = self.status.name, outcome = ?other, "A mount could not be taken away")
            }
        }
    }

    fn well(&mut self) {
        if self.status.condition != Condition::Up {
            info!(mount = self.status.name, "A mount is there and answers");
        }
        self.set(Condition::Up);
        self.status.next_try = None;
    }

    fn ill(&mut self, problem: String) {
        warn!(
            mount = self.status.name,
            problem, "A mount is ill; it is taken away and mounted again"
        );
        self.status.heals += 1;
        self.status.answer_micros = None;
        self.status.problem = Some(problem);
        self.parts.stop();
        self.set(Condition::Down);
        // Whoever looks now reads what is being done.
        self.tell();
    }

    fn tell(&mut self) {
        let parts = self.parts.report();
        self.status.stuck = self.hands.stuck()
            + self.takers.stuck()
            + self.finders.stuck()
            + parts.stuck
            + self.weigher.stuck();
        self.status.missing = match self.status.condition {
            Condition::Up => parts.missing,
            _ => Vec::new(),
        };
        let parts = parts.left_out;
        let parts = (parts > 0).then(|| format!("{parts} of the mounts below its source are left out: there are more than are followed"));
        self.status.notes = match self.status.condition {
            Condition::Up => self.weigher.note().into_iter().chain(parts).collect(),
            _ => Vec::new(),
        };
        self.board.put(&self.status);
    }

    fn set(&mut self, condition: Condition) {
        if self.status.condition != condition {
            self.status.condition = condition;
            self.status.since = now();
        }
    }
}
