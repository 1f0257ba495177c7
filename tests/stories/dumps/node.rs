//! A `holt node` of a story's own, what is mounted, and commands that have to end.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use holt_tests::hub::{Hub, Wish};
use holt_tests::wait::eventually;
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal, kill_process};

use super::SOON;

/// How a node looks, in most stories.
const QUICK: &str =
    "check_every = \"1s\"\nanswer_within = \"500ms\"\nmount_within = \"3s\"\nretry_most = \"1s\"";

/// The flags of a mount that nobody writes and nothing is run from.
pub(super) const SHUT: &str = "ro,nosuid,nodev,noexec";

/// A node that looks every second, with a file for what it says. Ended, and its mounts taken away, when it is dropped.
pub(super) struct Node {
    pub(super) hub: Hub,
    directory: PathBuf,
    child: Option<Child>,
}

impl Node {
    pub(super) fn start(mounts: &str) -> Result<Self> {
        Self::with(QUICK, mounts)
    }

    /// One with these lines of `[node]`.
    pub(super) fn with(lines: &str, mounts: &str) -> Result<Self> {
        let mut node = Self::made(None, lines, mounts)?;
        node.run()?;
        Ok(node)
    }

    /// One that has its mounts in this directory.
    pub(super) fn start_in(directory: Option<&Path>, mounts: &str) -> Result<Self> {
        let mut node = Self::new(directory, mounts)?;
        node.run()?;
        Ok(node)
    }

    /// One that does not run yet.
    pub(super) fn new(directory: Option<&Path>, mounts: &str) -> Result<Self> {
        Self::made(directory, QUICK, mounts)
    }

    fn made(directory: Option<&Path>, lines: &str, mounts: &str) -> Result<Self> {
        let mut lines = format!("[node]\n{lines}\n");
        if let Some(directory) = directory {
            lines.push_str(&format!("directory = \"{}\"\n", directory.display()));
        }
        let hub = Hub::new(Wish::default().config(&lines).config(mounts))?;
        std::fs::create_dir_all(hub.data_dir())?;
        let own = hub.data_dir().join("mounts");
        Ok(Self {
            directory: directory.map_or(own, Path::to_owned),
            hub,
            child: None,
        })
    }

    pub(super) fn run(&mut self) -> Result<()> {
        let said = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.hub.scratch("node.err"))?;
        let child = self.hub.command(&["node"])?.stderr(said).spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// Ends it at once; what is mounted stays.
    pub(super) fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks it to end, and waits for that; what is mounted stays.
    pub(super) async fn end(&mut self) -> Result<()> {
        let mut child = self.child.take().context("it does not run")?;
        let pid = Pid::from_raw(i32::try_from(child.id())?).context("its number")?;
        kill_process(pid, Signal::TERM)?;
        let ended = eventually("the node ends", SOON, || {
            let ended = child.try_wait();
            async move {
                match ended {
                    Ok(Some(_)) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            }
        })
        .await;
        self.child = ended.is_err().then_some(child);
        ended
    }

    pub(super) fn said(&self) -> String {
        std::fs::read_to_string(self.hub.scratch("node.err")).unwrap_or_default()
    }

    pub(super) async fn says(&self, words: &str) -> Result<()> {
        eventually(&format!("the node says {words:?}"), SOON, || async {
            let said = self.said();
            if said.contains(words) {
                Ok(())
            } else {
                Err(said)
            }
        })
        .await
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.directory.clone()
    }

    /// What it wrote down of itself and its mounts, as it is once that is so.
    pub(super) async fn tells(&self, words: &str) -> Result<String> {
        let file = self.directory.join("status.json");
        eventually(&format!("the status has {words:?}"), SOON, || async {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if text.contains(words) {
                Ok(text)
            } else {
                Err(format!("{text} {}", self.said()))
            }
        })
        .await
    }

    pub(super) fn dumps(&self) -> PathBuf {
        self.directory().join("mnt+nfs/dumps")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.kill();
        if let Ok(mut command) = self.hub.command(&["node", "--unmount"]) {
            let _ = command.output();
        }
    }
}

/// Unmounts a place of a story when it ends.
pub(super) struct Mounted(pub(super) PathBuf);

impl Mounted {
    pub(super) fn at(place: &Path, kind: &str, source: &str) -> Result<Self> {
        let output = Command::new("mount")
            .args(["-t", kind, source])
            .arg(place)
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(Self(place.to_owned()))
    }

    /// The same file system in another place, which is not looked into: it may be dead.
    pub(super) fn again_at(&self, place: &Path) -> Result<Self> {
        rustix::mount::mount_bind(&self.0, place)?;
        Ok(Self(place.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The program would look at it, and it may be dead.
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        let _ = rustix::mount::unmount(&self.0, flags);
    }
}

/// The lines of the kernel's list for exactly this place.
pub(super) fn lines(place: &Path) -> Result<Vec<String>> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let place = place.canonicalize()?;
    let is_there = |line: &&str| line.split(' ').nth(4) == place.to_str();
    Ok(table.lines().filter(is_there).map(str::to_owned).collect())
}

/// Waits until exactly one mount is at the place, with these options.
pub(super) async fn is_mounted(place: &Path, options: &str) -> Result<String> {
    eventually(
        &format!("{} is mounted once, {options}", place.display()),
        SOON,
        || async {
            match lines(place)
                .map_err(|error| format!("{error:#}"))?
                .as_slice()
            {
                [line] if line.contains(&format!(" {options}")) => Ok(line.clone()),
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await
}

pub(super) async fn reads(file: &Path, expected: &str) -> Result<()> {
    eventually(
        &format!("{} reads {expected:?}", file.display()),
        SOON,
        || {
            let read = std::fs::read_to_string(file);
            async move {
                match read {
                    Ok(text) if text == expected => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            }
        },
    )
    .await
}

/// Runs `holt` with these arguments, which has to end in time; its exit code, and what it said.
pub(super) async fn ends(hub: &Hub, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let said = hub.scratch("ends.out");
    let file = std::fs::File::create(&said)?;
    let mut child = hub
        .command(arguments)?
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()?;
    let ended = eventually(
        &format!("holt {arguments:?} ends"),
        Duration::from_secs(40),
        || {
            let ended = child.try_wait();
            async move {
                match ended {
                    Ok(Some(status)) => Ok(status),
                    other => Err(format!("{other:?}")),
                }
            }
        },
    )
    .await;
    let said = std::fs::read_to_string(&said)?;
    if ended.is_err() {
        let _ = child.kill();
    }
    Ok((ended.context(said.clone())?.code(), said))
}
