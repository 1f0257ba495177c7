//! Whether a file with a file system in it is as large as it should be, and can be: looked at now and then, by hands of its own.

use std::time::{Duration, Instant};

use tracing::warn;

use super::hands::{Hands, Outcome};
use super::job::Job;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(300);

/// Who looks, for one mount.
#[derive(Debug)]
pub(super) struct Weigher {
    /// The mount's name.
    mount: String,
    /// None where there is no such file.
    job: Option<Job>,
    limit: Duration,
    hands: Hands,
    last: Option<Instant>,
    note: Option<String>,
}

impl Weigher {
    pub(super) fn new(mount: &str, job: Option<Job>, limit: Duration) -> Self {
        Self {
            mount: mount.to_owned(),
            job,
            limit,
            hands: Hands::default(),
            last: None,
            note: None,
        }
    }

    /// What is wrong with its size, as a part of a sentence.
    pub(super) fn note(&self) -> Option<String> {
        self.note.clone()
    }

    /// How many processes hang in it.
    pub(super) fn stuck(&mut self) -> usize {
        self.hands.stuck()
    }

    /// Looks, unless that was done a while ago.
    pub(super) async fn weigh_if_due(&mut self) {
        if self.last.is_none_or(|last| last.elapsed() > PAUSE) {
            self.weigh().await;
        }
    }

    /// Looks, and tells once what is wrong.
    pub(super) async fn weigh(&mut self) {
        let Some(job) = &self.job else { return };
        self.last = Some(Instant::now());
        let note = match self.hands.send(job, self.limit).await {
            Outcome::Failed { reason } => Some(reason),
            // One that does not answer is told of elsewhere.
            _ => None,
        };
        if let Some(note) = note.as_ref().filter(|_| self.note != note) {
            warn!(
                mount = self.mount,
                note, "A mount is there, but its size is not as it is set"
            );
        }
        self.note = note;
    }
}
