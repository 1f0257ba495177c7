//! How all mounts are, written down whenever that changes; and the news that the kernel's list of mounts changed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::ground::Ground;
use super::status::{MountStatus, Status, boot, holds, millis, now};
use crate::config::{Folder, Settings};

/// Mounts come and go with every container: the table is looked at no more often.
const TABLE_PAUSE: Duration = Duration::from_millis(250);

/// What is known of all mounts.
#[derive(Debug)]
pub(super) struct Board {
    // Held for a copy or a change of one entry.
    status: Mutex<Status>,
    changed: Notify,
    every: Duration,
}

impl Board {
    pub(super) fn new(settings: &Settings) -> Self {
        let every = settings.node.check_every;
        let status = Status {
            pid: std::process::id(),
            boot: boot(),
            written: 0,
            holds: holds(millis(every)),
            mounts: Vec::new(),
            shared_anew: None,
        };
        Self {
            status: Mutex::new(status),
            changed: Notify::new(),
            every,
        }
    }

    /// Notes how a mount is.
    pub(super) fn put(&self, mount: &MountStatus) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match status
            .mounts
            .iter_mut()
            .find(|known| known.name == mount.name)
        {
            Some(known) if known == mount => return,
            Some(known) => known.clone_from(mount),
            None => {
                status.mounts.push(mount.clone());
                status
                    .mounts
                    .sort_by(|one, other| one.name.cmp(&other.name));
            }
        }
        drop(status);
        self.changed.notify_one();
    }

    /// Notes that the directory of mounts had to be shared anew, at this moment.
    pub(super) fn shared_anew(&self) {
        warn!(
            "Somebody made the directory of mounts private, or unmounted it; it is shared again. Servers that run see no mount come or go until they are restarted"
        );
        self.keep_shared_anew(Some(now()));
    }

    /// Notes when that was last, as a node before this one knew it.
    pub(super) fn keep_shared_anew(&self, since: Option<u64>) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.shared_anew = since;
        drop(status);
        self.changed.notify_one();
    }

    /// Writes the status whenever it changes and at every look, and sees to folders and links, until `stop`.
    pub(super) async fn write_until(
        &self,
        ground: &Ground,
        folders: &[Folder],
        stop: CancellationToken,
    ) {
        let mut told = Vec::new();
        loop {
            let problems = ground.keep(folders);
            for (mount, problem) in problems.iter().filter(|problem| !told.contains(*problem)) {
                warn!(mount, problem, "A folder of mounts is not as it should be");
            }
            told = problems;
            let mut status = self
                .status
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            status.written = now();
            if let Err(cause) = status.write(ground.directory()) {
                warn!(error = %cause, "The status of mounts cannot be written");
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep(self.every) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Tells when the kernel's list of mounts changed, not too often.
pub(super) fn follow_table(tasks: &TaskTracker, stop: &CancellationToken) -> watch::Receiver<u64> {
    let (tell, changed) = watch::channel(0);
    let stop = stop.clone();
    tasks.spawn(async move {
        let Ok(table) = std::fs::File::open("/proc/self/mountinfo").and_then(register) else {
            // Mounts are looked at all the same, only later.
            return;
        };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                ready = table.ready(Interest::PRIORITY) => match ready {
                    Ok(mut ready) => ready.clear_ready(),
                    Err(_) => return,
                },
            }
            tell.send_modify(|count| *count += 1);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(TABLE_PAUSE) => {}
            }
        }
    });
    changed
}

#[expect(
    deprecated,
    reason = "its successor is unsafe to call; an owned file that nobody else closes is what it asks for"
)]
fn register(table: std::fs::File) -> std::io::Result<AsyncFd<std::fs::File>> {
    AsyncFd::with_interest(table, Interest::PRIORITY)
}
