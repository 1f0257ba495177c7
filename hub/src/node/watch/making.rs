//! Making a mount, and leaving nothing half made.

use std::time::Instant;

use tracing::warn;

use super::Watch;
use crate::mountinfo::Table;
use crate::node::ground::Sharing;
use crate::node::hands::Outcome;
use crate::node::job::{Job, Reads, reads_of};
use crate::node::mark::Mark;
use crate::node::status::{Condition, millis, now};
use crate::node::words;

impl Watch {
    /// Takes away what a node that was killed had half made.
    pub(super) async fn clear_staging(&mut self) {
        let [whole, parts] = [&self.make.staging, &self.staging_of_parts].map(Clone::clone);
        let table = Table::read().unwrap_or_default();
        let mut left: Vec<_> = [&whole, &parts]
            .into_iter()
            .flat_map(|place| table.within(place))
            .map(|mount| mount.point.clone())
            .collect();
        left.dedup();
        // Innermost first.
        for place in left.into_iter().rev() {
            let reads = match place == whole {
                true => reads_of(&self.make.kind),
                false => Reads::Wait,
            };
            self.take_away(place, reads).await;
        }
    }

    /// Mounts it at once, unless that was done a moment ago: somebody may undo it again and again.
    pub(super) async fn again(&mut self) {
        let not_before = self.made.map(|made| made + self.node.check_every);
        match not_before {
            Some(not_before) if not_before > Instant::now() => {
                self.next_try = not_before;
                let pause = not_before.saturating_duration_since(Instant::now());
                self.status.next_try = Some(now() + millis(pause));
            }
            _ => self.mount().await,
        }
    }

    /// Whether [`Watch::again`] would mount it at once.
    pub(super) fn may_make_again(&self) -> bool {
        self.made
            .is_none_or(|made| made.elapsed() >= self.node.check_every)
    }

    pub(super) async fn mount(&mut self) {
        self.status.mark = None;
        let (condition, problem) = match self.make_and_put().await {
            Outcome::Done { .. } => {
                self.made = Some(Instant::now());
                if self.make.kind == "image" {
                    self.knows_its_image();
                }
                self.well();
                self.tell();
                self.parts.begin_anew();
                self.follow_source();
                self.weigher.weigh().await;
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
        let pause = self.backoff.pause(rand::random());
        let pause = match condition {
            Condition::Refused => self.node.check_every,
            _ => pause,
        };
        self.next_try = Instant::now() + pause;
        self.status.next_try = Some(now() + millis(pause));
    }

    /// Makes it where nobody sees it, and moves it to its place.
    async fn make_and_put(&mut self) -> Outcome {
        // Somebody may have unmounted all of it.
        match self.ground.share() {
            Ok(Sharing::Kept) => {}
            Ok(Sharing::Anew) => self.board.shared_anew(),
            Err(error) => {
                return Outcome::Failed {
                    reason: crate::error_chain(&error),
                };
            }
        }
        let limit = self.node.mount_within;
        let origin = match self.hands.send(&Job::Make(self.make.clone()), limit).await {
            Outcome::Done { origin } => origin,
            other => {
                self.leave_nothing_half_made().await;
                return other;
            }
        };
        // Its number stays the same. What is not alone there is not known to be what was made: whoever was sent by a node that was
        // killed may have come late.
        let table = Table::read().unwrap_or_default();
        let made = table
            .alone_at(&self.make.staging)
            .filter(|mount| self.make.access.is_kept_by(mount));
        let Some(made) = made else {
            self.leave_nothing_half_made().await;
            return Outcome::Failed {
                reason: "something else was mounted meanwhile where it is made".to_owned(),
            };
        };
        let mark = Mark::of(made).with(origin);
        let job = Job::Place {
            staging: self.make.staging.clone(),
            place: self.make.place.clone(),
            id: made.id,
        };
        let put = self.hands.send(&job, limit).await;
        match put {
            Outcome::Done { .. } => self.status.mark = Some(mark),
            _ => self.leave_nothing_half_made().await,
        }
        put
    }

    /// One that was ended has left there what it made, which would hold the file system, and whoever it had wait.
    async fn leave_nothing_half_made(&mut self) {
        if Table::read().is_ok_and(|table| table.at(&self.make.staging).is_some()) {
            let reads = reads_of(&self.make.kind);
            self.take_away(self.make.staging.clone(), reads).await;
        }
    }
}
