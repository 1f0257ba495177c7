//! One process and the files by which it is found again.
//!
//! In the launch's directory: `port` (chosen when it is made), `claim` (a directory: exactly one start wins), `pid` (written by the
//! process itself before anything else: boot, number, time of start), `log`, `exit` (the code).
//! A small shell leads the session: it writes `pid`, runs the server and writes `exit`, whether a hub is there or not.

use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holt_spec::bundle::Bundle;
use rustix::process::{Pid, Signal};

use super::refused;
use crate::spawner::{LaunchId, Seen, SpawnerError};

/// How long the shell may take to write its number.
const BEGIN: Duration = Duration::from_secs(10);
/// How long a killed process may take to be gone.
const KILLED: Duration = Duration::from_secs(10);
/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(100);
/// What is read of a log at most.
const LOG_TAIL: u64 = 256 << 10;

/// A launch and its directory.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    id: LaunchId,
    pub(super) folder: PathBuf,
}

/// A process, told apart from a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leader {
    pid: Pid,
    started: u64,
}

impl Launch {
    pub(super) fn new(id: LaunchId, folder: PathBuf) -> Self {
        Self { id, folder }
    }

    pub(super) fn id(&self) -> &LaunchId {
        &self.id
    }

    /// Makes the directory and chooses the port, unless that is done.
    pub(super) fn create(&self) -> Result<(), SpawnerError> {
        let failed = |error: std::io::Error| {
            refused(
                "make a process",
                format!("{}: {error}", self.folder.display()),
            )
        };
        if self.port().is_some() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        let new = self.folder.join("port.new");
        std::fs::write(&new, free_port()?.to_string()).map_err(failed)?;
        std::fs::rename(&new, self.folder.join("port")).map_err(failed)
    }

    /// Starts it unless it runs, and says where it answers.
    pub(super) async fn start(
        &self,
        home: &Path,
        venv: &Path,
        bundle: &Bundle,
    ) -> Result<SocketAddr, SpawnerError> {
        let Some(port) = self.port() else {
            return Err(SpawnerError::Bind {
                reason: "it was never made".into(),
            });
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if self.seen() == Seen::Created {
            self.spawn(home, venv, port, bundle)?;
        }
        let beginning = async {
            while self.leader().is_none() && !self.folder.join("exit").exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let has_begun = tokio::time::timeout(BEGIN, beginning).await.is_ok();
        match self.seen() {
            Seen::Running { .. } if has_begun => Ok(address),
            Seen::Exited { code, .. } => Err(SpawnerError::Bind {
                reason: format!(
                    "exit code {code}; last lines: {}",
                    self.last_lines(5)?.trim()
                ),
            }),
            other => Err(SpawnerError::Bind {
                reason: format!("it did not begin ({other:?})"),
            }),
        }
    }

    /// How it is.
    pub(super) fn seen(&self) -> Seen {
        let Some(port) = self.port() else {
            return Seen::Absent;
        };
        if let Some(code) = self.read("exit").and_then(|text| text.trim().parse().ok()) {
            return Seen::Exited {
                code,
                out_of_memory: false,
            };
        }
        if self.leader().is_some_and(|leader| leader.is_alive()) {
            return Seen::Running {
                address: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            };
        }
        if self.folder.join("pid").exists() {
            // The code may have been written between the two looks.
            let code = self.read("exit").and_then(|text| text.trim().parse().ok());
            return Seen::Exited {
                code: code.unwrap_or(137),
                out_of_memory: false,
            };
        }
        match std::fs::metadata(self.folder.join("claim")) {
            Err(_) => Seen::Created,
            Ok(claim) => {
                let age = claim
                    .modified()
                    .ok()
                    .and_then(|moment| moment.elapsed().ok());
                match age.is_some_and(|age| age < BEGIN) {
                    true => Seen::Running { address: None },
                    false => Seen::Exited {
                        code: -1,
                        out_of_memory: false,
                    },
                }
            }
        }
    }

    /// Returns when the process has ended. Looked at, since it may be nobody's child any more; there are few.
    pub(super) async fn ended(&self) {
        let Some(leader) = self.leader() else {
            return;
        };
        while leader.is_alive() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Asks it to end; after the grace, ends it.
    pub(super) async fn stop(&self, grace: Duration) -> Result<(), SpawnerError> {
        let Some(leader) = self.leader().filter(Leader::is_alive) else {
            return Ok(());
        };
        if !grace.is_zero() {
            leader.signal(Signal::TERM);
            if tokio::time::timeout(grace, self.ended()).await.is_ok() {
                return Ok(());
            }
        }
        leader.signal(Signal::KILL);
        match tokio::time::timeout(KILLED, self.ended()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(SpawnerError::Timeout {
                what: "kill a process",
                seconds: KILLED.as_secs(),
            }),
        }
    }

    /// Removes its files.
    pub(super) fn remove(&self) -> Result<(), SpawnerError> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(refused("remove a process", error.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// The end of its log.
    pub(super) fn last_lines(&self, lines: usize) -> Result<String, SpawnerError> {
        let read = || {
            let mut file = std::fs::File::open(self.folder.join("log"))?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        let bytes = match read() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(refused("read a log", error.to_string())),
        };
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<&str> = text.lines().collect();
        let mut tail = all[all.len().saturating_sub(lines)..].join("\n");
        if !tail.is_empty() {
            tail.push('\n');
        }
        Ok(tail)
    }

    /// The server's highest use of memory, as the kernel keeps it: that of the leader's child.
    pub(super) fn memory_peak(&self) -> Option<u64> {
        let leader = self.leader()?.pid.as_raw_nonzero();
        let children =
            std::fs::read_to_string(format!("/proc/{leader}/task/{leader}/children")).ok()?;
        let child = children.split_whitespace().next()?;
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kilobytes * 1024)
    }

    fn port(&self) -> Option<u16> {
        self.read("port")?.trim().parse().ok()
    }

    /// The process named in `pid`, if it was of this boot.
    fn leader(&self) -> Option<Leader> {
        let text = self.read("pid")?;
        let (boot, stat) = text.trim().split_once(' ')?;
        let now = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        if boot != now.trim() {
            return None;
        }
        let pid = stat.split(' ').next()?.parse().ok()?;
        Some(Leader {
            pid: Pid::from_raw(pid)?,
            started: parse_stat(stat)?.1,
        })
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.join(name)).ok()
    }
}

impl Leader {
    /// It is there, is the same one, and has not ended unnoticed.
    fn is_alive(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero()));
        let found = stat.ok().and_then(|stat| parse_stat(&stat));
        found
            .is_some_and(|(state, started)| started == self.started && state != 'Z' && state != 'X')
    }

    /// To the whole group. Gone already is as good.
    fn signal(&self, signal: Signal) {
        if self.is_alive() {
            let _gone = rustix::process::kill_process_group(self.pid, signal);
        }
    }
}

/// State and time of start from a line of `/proc/<pid>/stat`; the name in brackets may hold anything.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    // Field 22 of the line; the state is field 3.
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

/// Whether it may be a file's name.
pub(super) fn is_safe(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// A port nobody holds now.
pub(super) fn free_port() -> Result<u16, SpawnerError> {
    let found = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let port = found.and_then(|listener| Ok(listener.local_addr()?.port()));
    port.map_err(|error| refused("find a port", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse_the_state() {
        let stat = "12 (a) b) S 1 12 12 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1";
        assert_eq!(parse_stat(stat), Some(('S', 777)));
    }

    #[test]
    fn a_pid_of_an_earlier_boot_is_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let launch = Launch::new(LaunchId("l".into()), folder.path().to_owned());
        std::fs::write(folder.path().join("port"), "1").unwrap();
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        std::fs::write(folder.path().join("pid"), format!("another-boot {stat}")).unwrap();
        assert_eq!(
            launch.seen(),
            Seen::Exited {
                code: 137,
                out_of_memory: false
            }
        );
    }
}
