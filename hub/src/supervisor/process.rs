//! A child process, whether we made it or found it: told apart from a later one with the same number, watched, ended.
//!
//! **Invariant:** a process number alone is never trusted. A descriptor of the process is opened first, then its start time compared.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;

/// Which process: its number, and when it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The number.
    pub pid: i32,
    /// Its start, in clock ticks since the machine's.
    pub start: u64,
    /// Which start of the machine.
    pub boot: String,
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    identity: Identity,
    pid: Pid,
    descriptor: AsyncFd<OwnedFd>,
    /// Ours to reap; `None` when it was found.
    child: Option<Child>,
    since: Instant,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It said so itself.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It was not our child, so nobody told us.
    Unknown,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with code {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::Unknown => f.write_str("ended"),
        }
    }
}

impl Process {
    /// Makes a child.
    ///
    /// # Errors
    /// As the system says.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.spawn()?;
        // The child is ours to reap, so its number stays its own until then.
        let pid = Pid::from_child(&child);
        let descriptor = watch(pid)?;
        let identity =
            identify(pid).ok_or_else(|| io::Error::other("/proc does not show the process"))?;
        Ok(Self {
            identity,
            pid,
            descriptor,
            child: Some(child),
            since: Instant::now(),
        })
    }

    /// Takes over a process that still is the one that was written down.
    #[must_use]
    pub fn find(identity: &Identity) -> Option<Self> {
        let process = Self::find_by_number(identity.pid)?;
        (process.identity == *identity).then_some(process)
    }

    /// Takes over whatever process has the number now.
    #[must_use]
    pub fn find_by_number(pid: i32) -> Option<Self> {
        let pid = Pid::from_raw(pid)?;
        let descriptor = watch(pid).ok()?;
        Some(Self {
            identity: identify(pid)?,
            pid,
            descriptor,
            child: None,
            since: Instant::now(),
        })
    }

    /// Which process it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its descriptor.
    #[must_use]
    pub fn descriptor(&self) -> &OwnedFd {
        self.descriptor.get_ref()
    }

    /// How long we know it.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> End {
        // An error here can only mean that the runtime ends; then nobody waits any more.
        if self.descriptor.readable().await.is_err() {
            return End::Unknown;
        }
        let Some(child) = &mut self.child else {
            return End::Unknown;
        };
        match child.try_wait() {
            Ok(Some(status)) => status
                .code()
                .map(End::Code)
                .or_else(|| status.signal().map(End::Signal))
                .unwrap_or(End::Unknown),
            _ => End::Unknown,
        }
    }

    /// Asks it to end; after `grace`, or when `hurry` fires and a second has passed, ends it and its group.
    pub async fn finish(&mut self, grace: Duration, hurry: &CancellationToken) -> End {
        // It may be gone already, which is as good.
        let _ = pidfd_send_signal(self.descriptor.get_ref().as_fd(), Signal::TERM);
        let hurried = async {
            hurry.cancelled().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let out_of_patience = async {
            tokio::select! { () = tokio::time::sleep(grace) => {} () = hurried => {} }
        };
        tokio::select! {
            end = self.ended() => return end,
            () = out_of_patience => {}
        }
        let _ = pidfd_send_signal(self.descriptor.get_ref().as_fd(), Signal::KILL);
        let _ = kill_process_group(self.pid, Signal::KILL);
        self.ended().await
    }
}

/// A descriptor of the process that becomes readable at its end.
#[expect(
    deprecated,
    reason = "its successor is unsafe to call; an owned descriptor that nobody else closes is what it asks for"
)]
fn watch(pid: Pid) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}

fn identify(pid: Pid) -> Option<Identity> {
    let number = pid.as_raw_nonzero().get();
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    let (state, start) = parse_stat(&stat)?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some(Identity {
        pid: number,
        start,
        boot: boot.trim().to_owned(),
    })
}

/// State and start time. The name before them may hold anything, closing brackets included.
fn parse_stat(stat: &str) -> Option<(&str, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) S 1 (x) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1000 1";
        assert_eq!(parse_stat(stat), Some(("S", 4242)));
        assert_eq!(parse_stat("rubbish"), None);
    }

    #[tokio::test]
    async fn a_found_process_is_the_one_written_down_or_none() {
        let mut made = Process::spawn(Command::new("sleep").arg("600")).unwrap();
        let identity = made.identity().clone();
        let mut found = Process::find(&identity).unwrap();
        let other = Identity {
            start: identity.start + 1,
            ..identity.clone()
        };
        assert!(Process::find(&other).is_none());
        let end = made
            .finish(Duration::from_secs(5), &CancellationToken::new())
            .await;
        assert_eq!(end, End::Signal(15));
        assert_eq!(found.ended().await, End::Unknown);
        assert!(Process::find(&identity).is_none());
    }

    #[tokio::test]
    async fn a_deaf_process_is_ended_when_patience_is_over() {
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' TERM; echo; while :; do sleep 600; done"])
            .stdout(std::process::Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut made = Process::spawn(&mut command).unwrap();
        // Its first line says that the signal is ignored from now on.
        let mut out = made.child.as_mut().unwrap().stdout.take().unwrap();
        std::io::Read::read_exact(&mut out, &mut [0]).unwrap();
        let end = made
            .finish(Duration::from_millis(50), &CancellationToken::new())
            .await;
        assert_eq!(end, End::Signal(9));
    }
}
