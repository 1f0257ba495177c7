//! `holt down`: ends a running `up`, what a dead one left, and every notebook server.

use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::Failure;
use super::exit::count;
use super::terminal::Terminal;
use crate::config::Settings;
use crate::hub::stop_all;
use crate::node::{self, Claim, NodeError};
use crate::supervisor;
use crate::supervisor::lock::{LockError, UpLock};

/// How long a running `up` may take: both roles drain.
const UP_GRACE: Duration = Duration::from_secs(45);
/// How long a running hub may take to stop all servers.
const HUB_GRACE: Duration = Duration::from_secs(60);
/// How long it may take without one.
const DONE: Duration = Duration::from_secs(60);

pub(super) async fn run(settings: Settings) -> Result<(), Failure> {
    let terminal = Terminal::new();
    if !settings.data_dir.path().exists() {
        terminal.say(format!(
            "There is no data directory {}, so nothing runs.",
            settings.data_dir.path().display()
        ));
        return Ok(());
    }
    settings.data_dir.prepare()?;
    if is_up(&settings) {
        // A hub that runs also tells the proxy and the people who wait.
        terminal.progress(None, "Stopping the notebook servers");
        stop_all(&settings, true, HUB_GRACE).await?;
        terminal.done();
    }
    let _lock = take_over(&settings, &terminal).await?;
    let left = supervisor::end_left_over(&settings.data_dir).await;
    if left > 0 {
        terminal.say(format!(
            "Ended {} that an earlier `holt up` left.",
            count(left, "process")
        ));
    }
    let stopped = stop_all(&settings, false, DONE).await?;
    // Settings without mounts may be newer than what is mounted.
    take_mounts_away(&settings, &terminal).await;
    match stopped {
        0 => terminal.say("All notebook servers are stopped. Homes and users are kept."),
        left => {
            return Err(Failure::unavailable(format!(
                "{} could not be stopped yet: see `holt doctor`, then run `holt down` again",
                count(left, "notebook server")
            )));
        }
    }
    Ok(())
}

/// A node of its own keeps its mounts; those of `up` go with it.
async fn take_mounts_away(settings: &Settings, terminal: &Terminal) {
    match node::take_all_away(settings, Claim::Own).await {
        Ok(()) | Err(NodeError::Held { .. } | NodeError::Others { .. }) => {}
        Err(NodeError::Rights) => terminal.say(format!(
            "Mounts may be left: before you delete anything, run {}",
            super::node::how_to_unmount(settings)
        )),
        Err(error) => terminal.say(format!(
            "Mounts could not be taken away: {}",
            crate::error_chain(&error)
        )),
    }
}

/// Whether an `up` holds the data directory.
fn is_up(settings: &Settings) -> bool {
    matches!(
        UpLock::take(&settings.data_dir),
        Err(LockError::Held { .. })
    )
}

/// The lock, after whoever has it was asked to end.
async fn take_over(settings: &Settings, terminal: &Terminal) -> Result<UpLock, Failure> {
    let since = Instant::now();
    let mut asked = None;
    loop {
        match UpLock::take(&settings.data_dir) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Held { pid: Some(pid), .. }) if since.elapsed() < UP_GRACE => {
                if asked != Some(pid) {
                    terminal.say(format!("Ending `holt up` (pid {pid}) ..."));
                    end(pid);
                    asked = Some(pid);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The lock was held a moment ago by this process, so the number is its own.
fn end(pid: i32) {
    if let Some(descriptor) =
        Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
    {
        // It may have ended by itself.
        let _ = pidfd_send_signal(descriptor, Signal::TERM);
    }
}
