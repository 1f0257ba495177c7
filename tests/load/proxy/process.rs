//! Processes that are measured, and those that measure: on which processors they run, what time and what memory they take.
//!
//! **Invariant:** this reads `/proc` and starts programs; it does not know what they are for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long a process may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(3);

/// A process, with its log; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program on these processors.
    pub(crate) fn start(command: &mut Command, cpus: &[usize], log: &Path) -> Result<Self> {
        let file = std::fs::File::create(log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let child = on_cpus(cpus, || command.spawn())?
            .with_context(|| format!("{} cannot be run", command.get_program().display()))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// This process and all that came from it.
    pub(crate) fn tree(&self) -> Vec<u32> {
        let mut found = vec![self.child.id()];
        let mut at = 0;
        while let Some(pid) = found.get(at).copied() {
            for task in tasks(pid) {
                let children = format!("/proc/{pid}/task/{task}/children");
                let children = std::fs::read_to_string(children).unwrap_or_default();
                found.extend(
                    children
                        .split_whitespace()
                        .filter_map(|it| it.parse::<u32>().ok()),
                );
            }
            at += 1;
        }
        found
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&self) {
        let status = format!("/proc/{}/status", self.child.id());
        let is_there = || {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            text.lines()
                .any(|line| line.starts_with("State:") && !line.contains('Z'))
        };
        while is_there() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What it wrote.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
            && matches!(self.child.try_wait(), Ok(None))
        {
            let _ = kill_process(pid, Signal::TERM);
        }
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does something that starts a process; it inherits these processors.
pub(crate) fn on_cpus<T>(cpus: &[usize], start: impl FnOnce() -> T) -> Result<T> {
    let before = sched_getaffinity(None)?;
    let mut wanted = CpuSet::new();
    for cpu in cpus {
        wanted.set(*cpu);
    }
    sched_setaffinity(None, &wanted).context("the processors cannot be chosen")?;
    let started = start();
    sched_setaffinity(None, &before)?;
    Ok(started)
}

/// Allows as many open files as this user may have; children inherit it.
pub(crate) fn raise_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("the number of open files cannot be raised")
}

/// Processor time of threads, in nanoseconds.
#[derive(Debug)]
pub(crate) struct CpuTime(BTreeMap<u32, u64>);

impl CpuTime {
    /// Of all threads of these processes until now.
    pub(crate) fn of(pids: &[u32]) -> Result<Self> {
        let mut times = BTreeMap::new();
        for pid in pids {
            for task in tasks(*pid) {
                // A thread may end between the two looks.
                let Ok(text) =
                    std::fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat"))
                else {
                    continue;
                };
                let time = text.split_whitespace().next().unwrap_or_default();
                times.insert(task, time.parse().context("schedstat")?);
            }
        }
        anyhow::ensure!(!times.is_empty(), "the measured process is gone");
        Ok(Self(times))
    }

    /// Nanoseconds since then.
    pub(crate) fn since(&self, before: &Self) -> u64 {
        self.0
            .iter()
            .map(|(task, time)| time.saturating_sub(before.0.get(task).copied().unwrap_or(0)))
            .sum()
    }
}

/// Bytes of memory that are these processes' alone, and their part of what they share.
pub(crate) fn memory(pids: &[u32]) -> Result<u64> {
    sum(pids, "smaps_rollup", "Pss:")
}

/// The most resident bytes since `forget_peak`.
pub(crate) fn peak(pids: &[u32]) -> Result<u64> {
    sum(pids, "status", "VmHWM:")
}

/// Lets the peak begin with what is resident now.
pub(crate) fn forget_peak(pids: &[u32]) -> Result<()> {
    for pid in pids {
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("clear_refs")?;
    }
    Ok(())
}

fn sum(pids: &[u32], file: &str, name: &str) -> Result<u64> {
    let mut kibibytes = 0;
    for pid in pids {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{file}"))
            .context("the measured process is gone")?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_whitespace().next())
            .with_context(|| format!("no {name} in {file}"))?;
        kibibytes += value.parse::<u64>()?;
    }
    Ok(kibibytes * 1024)
}

fn tasks(pid: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}
