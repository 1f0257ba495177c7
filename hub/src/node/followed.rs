//! One mount below a source: copied, asked, taken away, and tried again after growing pauses.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::backoff::Backoff;
use super::hands::{Hands, Outcome};
use super::job::{Job, Part, Reads};
use super::round::Round;
use super::status::{Missing, now};

/// One mount below a source.
#[derive(Debug)]
pub(super) struct Followed {
    /// The mount's name.
    mount: String,
    /// Its path below the source.
    pub(super) path: PathBuf,
    /// Most time for anything that is done with it.
    limit: Duration,
    hands: Hands,
    /// Who takes away: sent even when those who ask hang.
    takers: Hands,
    backoff: Backoff,
    pub(super) next_try: Instant,
    pub(super) missing: Option<Missing>,
}

impl Followed {
    /// One that is due, of this mount, with this path below the source. All that is done with it takes at most `limit`.
    pub(super) fn new(mount: &str, path: &Path, limit: Duration, most: Duration) -> Self {
        Self {
            mount: mount.to_owned(),
            path: path.to_owned(),
            limit,
            hands: Hands::default(),
            takers: Hands::default(),
            backoff: Backoff::new(most),
            next_try: Instant::now(),
            missing: None,
        }
    }

    /// How many processes hang in it.
    pub(super) fn stuck(&mut self) -> usize {
        self.hands.stuck() + self.takers.stuck()
    }

    /// Copies it, if it is due and the round goes on. Returns its path once it is there.
    pub(super) async fn attach(&mut self, part: Part, round: &Round<'_>) -> Option<PathBuf> {
        if Instant::now() < self.next_try || !round.may_begin() {
            return None;
        }
        let staging = part.staging.clone();
        let outcome = self.hands.send(&Job::Attach(part), self.limit).await;
        if outcome == Outcome::Late {
            // Who was ended has left it there, where it would hold the file system.
            let takers = &mut self.takers;
            let taken = takers.take_away(&staging, Reads::Wait, self.limit).await;
            self.warn_unless_done(taken);
        }
        match problem(outcome, self.limit) {
            None => {
                // The pauses begin anew once it answered in its place.
                self.missing = None;
                info!(
                    mount = self.mount,
                    path = %self.path.display(),
                    "What is mounted below the source is there too"
                );
                Some(self.path.clone())
            }
            // Nothing is wrong with it when the mount that it belongs in has gone.
            Some(_) if !round.is_current() => None,
            Some(problem) => {
                self.miss(problem);
                None
            }
        }
    }

    /// Asks it, if the round goes on. Returns its path and what is wrong.
    pub(super) async fn ask(
        &mut self,
        place: PathBuf,
        round: &Round<'_>,
    ) -> Option<(PathBuf, String)> {
        if !round.is_current() {
            return None;
        }
        let outcome = self.hands.send(&Job::AskPart { place }, self.limit).await;
        let problem = problem(outcome, self.limit);
        if problem.is_none() {
            self.backoff.reset();
            // Also one that came to its place when nobody waited any more.
            self.missing = None;
        }
        Some((self.path.clone(), problem?))
    }

    /// What hangs may also be taken away: that waits for nobody, unless it is below another that hangs.
    pub(super) async fn take_away(&mut self, top: &Path, why: &str) {
        let place = top.join(&self.path);
        let taken = self.takers.take_part_away(top, &place, self.limit).await;
        if self.warn_unless_done(taken) {
            info!(
                mount = self.mount,
                path = %self.path.display(),
                "What is mounted below a source was taken away: {why}"
            );
        }
    }

    fn warn_unless_done(&self, outcome: Outcome) -> bool {
        let Some(problem) = problem(outcome, self.limit) else {
            return true;
        };
        warn!(
            mount = self.mount,
            path = %self.path.display(),
            problem,
            "What is mounted below a source could not be taken away"
        );
        false
    }

    /// Notes that it is not there, and tells it once for each reason. Returns whether it was told.
    pub(super) fn miss(&mut self, problem: String) -> bool {
        self.next_try = Instant::now() + self.backoff.pause(rand::random());
        let known = self.missing.as_ref();
        if known.is_some_and(|known| known.problem == problem) {
            return false;
        }
        warn!(
            mount = self.mount,
            path = %self.path.display(),
            problem,
            "What is mounted below a source is left out, and tried again"
        );
        let since = known.map_or_else(now, |known| known.since);
        self.missing = Some(Missing {
            path: self.path.to_string_lossy().into_owned(),
            problem,
            since,
        });
        true
    }
}

fn problem(outcome: Outcome, limit: Duration) -> Option<String> {
    match outcome {
        Outcome::Done { .. } => None,
        Outcome::Failed { reason } | Outcome::Refused { reason } => Some(reason),
        Outcome::Late => Some(format!("it did not answer within {}", super::words(limit))),
        Outcome::Full => Some("it holds all who asked it".to_owned()),
    }
}
