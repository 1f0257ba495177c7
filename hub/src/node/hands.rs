//! Work in processes of its own, bounded in time and in number.
//!
//! A process that waits for a dead file system cannot always be ended. It is left behind and counted; when there are too many, nobody
//! else is sent until one has come back.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::job::{Errand, Job, Reads, Reply};
use super::mark::Origin;
use crate::mountinfo::Table;

/// Most processes of one mount that are left behind.
pub(super) const MOST_STUCK: usize = 3;
/// How long an ended process may take to go before it counts as stuck.
const DYING: Duration = Duration::from_millis(300);

/// Between two looks whether something was taken away.
const GONE: Duration = Duration::from_millis(50);

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was done.
    Done { origin: Option<Origin> },
    /// It was not.
    Failed { reason: String },
    /// It cannot be before somebody does something.
    Refused { reason: String },
    /// It was not within its time.
    Late,
    /// Nobody was sent: too many hang.
    Full,
}

/// The processes of one mount.
#[derive(Debug, Default)]
pub(super) struct Hands {
    stuck: Vec<Child>,
}

impl Hands {
    /// How many hang.
    pub(super) fn stuck(&mut self) -> usize {
        self.stuck
            .retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_)) | Err(_)));
        self.stuck.len()
    }

    /// Sends somebody to do the job, at most for `limit`.
    pub(super) async fn send(&mut self, job: &Job, limit: Duration) -> Outcome {
        self.send_until(job, limit, std::future::pending()).await
    }

    /// Sends somebody to take away what is mounted at the place, at most for `limit`. It is done once the kernel's list has nothing
    /// there, even when who was sent goes on: the file system says goodbye to a server that does not answer.
    pub(super) async fn take_away(
        &mut self,
        place: &Path,
        reads: Reads,
        limit: Duration,
    ) -> Outcome {
        let job = Job::Drop {
            place: place.to_owned(),
            reads,
        };
        self.take(&job, place, limit).await
    }

    /// The same for what is within the mount of ours at `top`.
    pub(super) async fn take_part_away(
        &mut self,
        top: &Path,
        place: &Path,
        limit: Duration,
    ) -> Outcome {
        let job = Job::DropPart {
            top: top.to_owned(),
            place: place.to_owned(),
        };
        self.take(&job, place, limit).await
    }

    async fn take(&mut self, job: &Job, place: &Path, limit: Duration) -> Outcome {
        let is_gone = async {
            while Table::read().is_ok_and(|table| table.at(place).is_some()) {
                tokio::time::sleep(GONE).await;
            }
            // Who was sent for nothing, and all who are quick, say so themselves.
            tokio::time::sleep(DYING).await;
        };
        self.send_until(job, limit, is_gone).await
    }

    /// As [`Hands::take_away`], for the one mount of this number that is over the place.
    pub(super) async fn uncover(&mut self, place: &Path, id: u32, limit: Duration) -> Outcome {
        let job = Job::Uncover {
            place: place.to_owned(),
            id,
        };
        let is_seen = |table: Table| table.at(place).is_some_and(|mount| mount.id == id);
        let is_gone = async {
            while Table::read().is_ok_and(is_seen) {
                tokio::time::sleep(GONE).await;
            }
            tokio::time::sleep(DYING).await;
        };
        self.send_until(&job, limit, is_gone).await
    }

    async fn send_until(
        &mut self,
        job: &Job,
        limit: Duration,
        is_done: impl Future<Output = ()>,
    ) -> Outcome {
        if self.stuck() >= MOST_STUCK {
            return Outcome::Full;
        }
        let made = Command::new("/proc/self/exe")
            .arg0("holt")
            .arg("node-hand")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // The node ends, or nobody waits any more: the end of its input has it end its whole group. A signal from here would end it
            // alone, and what it started would go on.
            .process_group(0)
            .spawn();
        let mut child = match made {
            Ok(child) => child,
            Err(cause) => {
                return Outcome::Failed {
                    reason: format!("no process can be made: {cause}"),
                };
            }
        };
        let outcome = tokio::select! {
            biased;
            answer = talk(&mut child, job) => match answer {
                Ok(Reply::Done { origin }) => Outcome::Done { origin },
                Ok(Reply::Failed { reason }) => Outcome::Failed { reason },
                Ok(Reply::Refused { reason }) => Outcome::Refused { reason },
                Err(cause) => Outcome::Failed {
                    reason: format!("the process for it failed: {cause}"),
                },
            },
            () = is_done => Outcome::Done { origin: None },
            () = tokio::time::sleep(limit) => Outcome::Late,
        };
        self.end(child, outcome == Outcome::Late).await;
        outcome
    }

    async fn end(&mut self, mut child: Child, is_late: bool) {
        // What it started goes with it, but only when it was cut off: a file system's own process lives on.
        if is_late && let Some(pid) = pid_of(&child) {
            // It may have ended just now.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        if tokio::time::timeout(DYING, child.wait()).await.is_err() {
            if let Some(pid) = pid_of(&child) {
                let _ = kill_process_group(pid, Signal::KILL);
            }
            self.stuck.push(child);
        }
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

async fn talk(child: &mut Child, job: &Job) -> std::io::Result<Reply> {
    let errand = Errand {
        node: std::process::id(),
        job: job.clone(),
    };
    let mut text = serde_json::to_vec(&errand)?;
    text.push(b'\n');
    // Open until the answer is there: its end ends the process.
    let mut stdin = child.stdin.take();
    if let Some(stdin) = &mut stdin {
        stdin.write_all(&text).await?;
    }
    let mut reply = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(64 << 10).read_to_end(&mut reply).await?;
    }
    drop(stdin);
    Ok(serde_json::from_slice(&reply)?)
}
