//! One mount's life: looked at, taken away when it is ill, made again after growing pauses.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::board::Board;
use super::ground::Ground;
use super::hand::{Access, Job, Make, reads_of};
use super::hands::{Hands, Outcome};
use super::status::{Condition, MountStatus, millis, now};
use super::submounts::difference;
use crate::config::{MountSettings, NodeSettings};
use crate::mountinfo::Table;

/// The first pause before a mount is tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long taking one away may take. The kernel does it at once.
const TAKING_AWAY: Duration = Duration::from_secs(5);

/// Why a look is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It is time: the mount is asked.
    Due,
    /// The table changed: is the mount there, and what is below its source?
    Table,
}

/// One mount.
#[derive(Debug)]
pub(super) struct Watch {
    make: Make,
    node: NodeSettings,
    board: Arc<Board>,
    hands: Hands,
    status: MountStatus,
    /// For a bind mount: its source without links.
    source: Option<PathBuf>,
    /// Whether what is mounted at the place was made by this node or one with the same settings.
    is_ours: bool,
    pause: Duration,
    next_try: Instant,
}

impl Watch {
    pub(super) fn new(
        name: &str,
        settings: &MountSettings,
        node: &NodeSettings,
        ground: &Ground,
        place: PathBuf,
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
            staging: ground.staging(name),
            place,
            own: ground.path().to_owned(),
        };
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
            },
            source: (settings.kind == "bind").then(|| PathBuf::from(&settings.source)),
            make,
            node: node.clone(),
            board,
            hands: Hands::default(),
            is_ours: false,
            pause: FIRST_PAUSE,
            next_try: Instant::now(),
        }
    }

    /// Watches until `stop`. `earlier` is what a node before this one knew.
    pub(super) async fn run(
        mut self,
        earlier: Option<MountStatus>,
        mut table: watch::Receiver<u64>,
        stop: CancellationToken,
    ) {
        if let Some(earlier) = earlier.filter(|known| known.made_from == self.status.made_from) {
            self.is_ours = true;
            self.status.since = match earlier.condition {
                Condition::Up => earlier.since,
                _ => self.status.since,
            };
            self.status.heals = earlier.heals;
            self.status.failures = earlier.failures;
        }
        self.board.put(&self.status);
        let mut look = Look::Due;
        let mut due = Instant::now();
        loop {
            tokio::select! {
                () = self.look(look) => {}
                () = stop.cancelled() => return,
            }
            self.status.stuck = self.hands.stuck();
            self.board.put(&self.status);
            if look == Look::Due {
                due = match self.status.condition {
                    Condition::Down => self.next_try,
                    _ => Instant::now() + self.node.check_every,
                };
            }
            look = tokio::select! {
                () = tokio::time::sleep_until(due.into()) => Look::Due,
                Ok(()) = table.changed() => Look::Table,
                () = stop.cancelled() => return,
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
        let is_there = table.at(&self.make.place).is_some();
        match (is_there, look) {
            (false, Look::Table) if self.status.condition == Condition::Up => {
                self.ill("somebody unmounted it".to_owned());
                self.mount().await;
            }
            (false, Look::Due) => self.mount().await,
            (false, Look::Table) => {}
            (true, _) if !self.is_ours => {
                self.take_away().await;
                self.mount().await;
            }
            (true, Look::Due) => self.ask().await,
            (true, Look::Table) if self.status.condition == Condition::Up => {
                self.follow_source(&table).await;
            }
            (true, Look::Table) => {}
        }
    }

    async fn ask(&mut self) {
        let began = Instant::now();
        let job = Job::Ask {
            path: self.make.place.clone(),
        };
        let problem = match self.hands.send(&job, self.node.answer_within).await {
            Outcome::Done { .. } => {
                self.status.answer_micros = u64::try_from(began.elapsed().as_micros()).ok();
                self.well();
                if let Ok(table) = Table::read() {
                    self.follow_source(&table).await;
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
        self.ill(problem);
        self.take_away().await;
        self.mount().await;
    }

    async fn take_away(&mut self) {
        let job = Job::Drop {
            place: self.make.place.clone(),
            reads: reads_of(&self.make.kind),
        };
        // Nobody waits in this one, so it is sent even when others hang.
        match Hands::default().send(&job, TAKING_AWAY).await {
            Outcome::Done { .. } => {}
            other => {
                warn!(mount = self.status.name, outcome = ?other, "A mount could not be taken away")
            }
        }
    }

    async fn mount(&mut self) {
        let job = Job::Make(self.make.clone());
        let (condition, problem) = match self.hands.send(&job, self.node.mount_within).await {
            Outcome::Done { source } => {
                self.is_ours = true;
                self.source = source;
                self.well();
                return;
            }
            Outcome::Failed { reason } => (Condition::Down, reason),
            Outcome::Refused { reason } => (Condition::Refused, reason),
            Outcome::Late => {
                let late = format!(
                    "it could not be mounted within {}",
                    words(self.node.mount_within)
                );
                (Condition::Down, late)
            }
            Outcome::Full => (Condition::Down, "it holds all who asked it".to_owned()),
        };
        self.status.failures += 1;
        self.set(condition);
        if self.status.problem.as_ref() != Some(&problem) {
            warn!(mount = self.status.name, problem, "A mount is not there");
        }
        self.status.problem = Some(problem);
        let pause = match condition {
            Condition::Refused => self.node.check_every,
            _ => self.pause.mul_f64(0.9 + 0.2 * rand::random::<f64>()),
        };
        self.pause = (self.pause * 2).min(self.node.retry_most.max(FIRST_PAUSE));
        self.next_try = Instant::now() + pause;
        self.status.next_try = Some(now() + millis(pause));
    }

    /// Copies what is mounted below a bind mount's source, and takes away what is so no longer.
    async fn follow_source(&mut self, table: &Table) {
        let Some(source) = &self.source else { return };
        let difference = difference(table, source, &self.make.place);
        let gone = difference.gone.iter().map(|path| Job::Drop {
            place: self.make.place.join(path),
            reads: reads_of("bind"),
        });
        let new = difference.new.iter().map(|path| Job::Attach {
            source: source.join(path),
            staging: self.make.staging.clone(),
            place: self.make.place.join(path),
            access: self.make.access,
        });
        let jobs: Vec<_> = gone.chain(new).collect();
        for job in jobs {
            let outcome = self.hands.send(&job, self.node.mount_within).await;
            match &outcome {
                Outcome::Done { .. } => {
                    info!(mount = self.status.name, job = ?job, "A mount follows what is mounted below its source");
                }
                Outcome::Failed { reason } | Outcome::Refused { reason } => {
                    warn!(
                        mount = self.status.name,
                        reason, "A mount below a source could not be followed"
                    );
                }
                Outcome::Late | Outcome::Full => {
                    warn!(mount = self.status.name, outcome = ?outcome, "A mount below a source could not be followed");
                    return;
                }
            }
        }
    }

    fn well(&mut self) {
        if self.status.condition != Condition::Up {
            info!(mount = self.status.name, "A mount is there and answers");
        }
        self.set(Condition::Up);
        self.status.next_try = None;
        self.pause = FIRST_PAUSE;
    }

    fn ill(&mut self, problem: String) {
        warn!(
            mount = self.status.name,
            problem, "A mount is ill; it is taken away and mounted again"
        );
        self.status.heals += 1;
        self.status.answer_micros = None;
        self.status.problem = Some(problem);
        self.set(Condition::Down);
        self.status.stuck = self.hands.stuck();
        // Whoever looks now reads what is being done.
        self.board.put(&self.status);
    }

    fn set(&mut self, condition: Condition) {
        if self.status.condition != condition {
            self.status.condition = condition;
            self.status.since = now();
        }
    }
}

/// `5 s`, `500 ms`.
fn words(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}
