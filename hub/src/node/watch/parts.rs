//! What is mounted below a source is followed beside the mount itself: however many of those hang, whoever looks at the mount does not wait.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::mountinfo::Table;
use crate::node::follow::Follower;
use crate::node::round::{Round, Wanted};
use crate::node::status::Missing;

/// How those below a source are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Those that are not there, and why.
    pub(super) missing: Vec<Missing>,
    /// How many are not followed, because there are too many.
    pub(super) left_out: usize,
    /// How many processes hang in them.
    pub(super) stuck: usize,
}

/// What the watch of a mount has of it. Nothing here waits.
#[derive(Debug)]
pub(super) struct Parts {
    wanted: watch::Sender<Wanted>,
    report: watch::Receiver<Report>,
}

/// Who follows.
#[derive(Debug)]
pub(super) struct Following {
    follower: Follower,
    top: PathBuf,
    /// Most time in which copies are begun in one round.
    within: Duration,
    every: Duration,
    wanted: watch::Receiver<Wanted>,
    report: watch::Sender<Report>,
}

impl Parts {
    /// Both sides. `top` is the mount of ours; copies are begun for at most `within` in one round.
    pub(super) fn new(
        follower: Follower,
        top: PathBuf,
        within: Duration,
        every: Duration,
    ) -> (Self, Following) {
        let (wanted, orders) = watch::channel(Wanted::default());
        let (told, report) = watch::channel(Report::default());
        let following = Following {
            follower,
            top,
            within,
            every,
            wanted: orders,
            report: told,
        };
        (Self { wanted, report }, following)
    }

    /// How they are, as of the last round.
    pub(super) fn report(&self) -> Report {
        self.report.borrow().clone()
    }

    /// Waits for news of them.
    pub(super) async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        self.report.changed().await
    }

    /// The mount was made anew: all are due.
    pub(super) fn begin_anew(&self) {
        self.wanted.send_modify(|wanted| wanted.made += 1);
    }

    /// The mount is not there: nothing more is begun.
    pub(super) fn stop(&self) {
        self.wanted.send_modify(|wanted| wanted.of = None);
    }

    /// Has the kernel's list looked at, and what changed followed.
    pub(super) fn look(&self, of: Option<(PathBuf, u32)>) {
        self.wanted.send_modify(|wanted| {
            wanted.of = of;
            wanted.looks += 1;
        });
    }

    /// The same, and all that are there asked before. While that goes on, it is not asked twice.
    pub(super) fn ask(&self, of: Option<(PathBuf, u32)>) {
        self.wanted.send_modify(|wanted| {
            wanted.of = of;
            wanted.asks += 1;
        });
    }
}

impl Following {
    /// Follows what is wanted until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut last = Wanted::default();
        loop {
            tokio::select! {
                Ok(()) = self.wanted.changed() => {}
                // Who hung may have come back.
                () = tokio::time::sleep(self.every) => {}
                () = stop.cancelled() => return,
            }
            let wanted = self.wanted.borrow_and_update().clone();
            if wanted != last {
                tokio::select! {
                    () = self.round(&wanted, &last) => {}
                    () = stop.cancelled() => return,
                }
                last = wanted;
            }
            self.tell();
        }
    }

    async fn round(&mut self, wanted: &Wanted, last: &Wanted) {
        if wanted.made != last.made {
            self.follower.begin_anew();
        }
        let Some((source, id)) = &wanted.of else {
            return;
        };
        let round = Round {
            source,
            top: &self.top,
            id: *id,
            until: Instant::now() + self.within,
            begun: wanted,
            wanted: &self.wanted,
        };
        // Another one than it was begun for is followed once it is wanted.
        let table = || {
            let table = Table::read().ok()?;
            let is_it = table.at(round.top).is_some_and(|top| top.id == round.id);
            (is_it && round.is_current()).then_some(table)
        };
        if wanted.asks != last.asks
            && let Some(table) = table()
        {
            self.follower.ask(&table, &round).await;
        }
        if let Some(table) = table() {
            let until = Instant::now() + self.within;
            let round = Round { until, ..round };
            self.follower.follow(&table, &round).await;
        }
    }

    fn tell(&mut self) {
        let report = Report {
            missing: self.follower.missing(),
            left_out: self.follower.left_out(),
            stuck: self.follower.stuck(),
        };
        self.report.send_if_modified(|known| {
            let is_new = *known != report;
            *known = report;
            is_new
        });
    }
}
