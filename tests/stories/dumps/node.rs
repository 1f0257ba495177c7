//! A `holt node` of a story's own, and the kernel's list as its stories see it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context as _, Result, ensure};
use holt_tests::hub::{Hub, Wish};
use holt_tests::wait::eventually;

use super::SOON;

/// A node that looks every second, with a file for what it says. Ended, and its mounts taken away, when it is dropped.
pub(super) struct Node {
    pub(super) hub: Hub,
    child: Option<Child>,
}

impl Node {
    pub(super) fn start(mounts: &str) -> Result<Self> {
        Self::with(
            "check_every = \"1s\"\nanswer_within = \"500ms\"\nmount_within = \"3s\"\nretry_most = \"1s\"",
            mounts,
        )
    }

    /// One with these lines of `[node]`.
    pub(super) fn with(node: &str, mounts: &str) -> Result<Self> {
        let hub = Hub::new(
            Wish::default()
                .config(&format!("[node]\n{node}"))
                .config(mounts),
        )?;
        std::fs::create_dir_all(hub.data_dir())?;
        let mut node = Self { hub, child: None };
        node.run()?;
        Ok(node)
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
        self.hub.data_dir().join("mounts")
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
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
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

/// The flags of a mount that nobody writes and nothing is run from.
pub(super) const SHUT: &str = "ro,nosuid,nodev,noexec";
