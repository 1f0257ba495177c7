//! What `holt node` tells of its mounts: a file in its directory, read by the hub.
//!
//! The file is written whole at every look, so its age says whether anybody looks.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::mark::Mark;
use super::reach::{self, Directory};
use crate::config::Settings;

/// The file's name in the node's directory.
const FILE: &str = "status.json";
/// Its name until it is whole.
const NEW: &str = "status.json.new";
/// No lawful file is larger.
const LARGEST: u64 = 1 << 20;
/// A file that is so many looks old is nobody's any more.
const LOOKS: u64 = 3;

/// Where the status is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusPlace {
    directory: PathBuf,
    data_dir: PathBuf,
}

impl StatusPlace {
    /// Where a node of these settings writes it.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            directory: directory(settings),
            data_dir: settings.data_dir.path().to_owned(),
        }
    }

    #[cfg(test)]
    fn at(directory: &std::path::Path) -> Self {
        Self {
            directory: directory.to_owned(),
            data_dir: directory.to_owned(),
        }
    }
}

/// All mounts, as the node saw them last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The node's process.
    pub pid: u32,
    /// Which start of the machine.
    pub boot: String,
    /// When this was written, in milliseconds since 1970.
    pub written: u64,
    /// How long it holds, in milliseconds.
    pub holds: u64,
    /// Each mount of the settings, by name.
    pub mounts: Vec<MountStatus>,
    /// When the directory had to be shared with servers anew, in milliseconds since 1970: those that were started before see no mount
    /// come or go.
    #[serde(default)]
    pub shared_anew: Option<u64>,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountStatus {
    /// Its name in the settings.
    pub name: String,
    /// Where servers see it.
    pub target: String,
    /// How it is.
    pub condition: Condition,
    /// Since when it is so, in milliseconds since 1970.
    pub since: u64,
    /// What was wrong last, as a part of a sentence; it stays after the mount is well again.
    pub problem: Option<String>,
    /// When it is tried again, in milliseconds since 1970.
    pub next_try: Option<u64>,
    /// How long its last answer took, in microseconds.
    pub answer_micros: Option<u64>,
    /// How often it was taken away because it was ill.
    pub heals: u64,
    /// Tries to mount that did not succeed.
    pub failures: u64,
    /// Processes of ours that hang in it and cannot be ended.
    pub stuck: usize,
    /// Hash of its settings: what was mounted from others is not taken over.
    pub made_from: String,
    /// What was made is known by this: what others mounted is not taken over either.
    #[serde(default)]
    pub mark: Option<Mark>,
    /// The file with a file system in it that was mounted last, also before the machine was started anew: none is made in its stead.
    #[serde(default)]
    pub image: Option<String>,
    /// What is mounted below the source of a bind mount, and is left out because it is ill.
    #[serde(default)]
    pub missing: Vec<Missing>,
    /// What is worth knowing while it is there, each as a part of a sentence.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Something that is mounted below the source of a bind mount and is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Its path below the source.
    pub path: String,
    /// What is wrong, as a part of a sentence.
    pub problem: String,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
}

/// How a mount is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Being mounted for the first time.
    Mounting,
    /// There, and it answers.
    Up,
    /// Not there; tried again at [`MountStatus::next_try`].
    Down,
    /// Not mounted because something else is in its place: somebody must do something.
    Refused,
}

impl Status {
    /// The last one that a node of these settings wrote; none when nobody ever wrote one or it cannot be read. Waits for nobody: whatever
    /// stands there in its stead, such as a pipe, is as good as none, and so is one below something that is mounted over the way to it.
    #[must_use]
    pub fn read(place: &StatusPlace) -> Option<Self> {
        let path = reach::find(&place.directory, &place.data_dir).ok()?;
        Self::read_in(&Directory::open(&path).ok()?)
    }

    /// The one in this directory.
    pub(super) fn read_in(directory: &Directory) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = directory.open_in(FILE, flags, 0).ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Takes it away: there is no node, and nothing is mounted. None there is as good.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn remove(directory: &Directory) -> std::io::Result<()> {
        directory.remove(FILE)
    }

    /// Writes it whole; readers see the old one or the new one.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn write(&self, directory: &Directory) -> std::io::Result<()> {
        let text = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        // Left by a node that was killed. Made anew rather than opened: it may be anything.
        directory.remove(NEW)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mut file = directory.open_in(NEW, flags, 0o644)?;
        // Whatever this process's mask is: the hub may be somebody else.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.write_all(&text)?;
        directory.rename(NEW, FILE)
    }

    /// Whether it was written since the machine started: what was mounted before is gone.
    pub(super) fn is_of_this_boot(&self) -> bool {
        self.boot == boot()
    }

    /// Whether whoever wrote it still looks.
    #[must_use]
    pub fn is_fresh(&self, now: u64) -> bool {
        self.is_of_this_boot() && now < self.written.saturating_add(self.holds)
    }
}

/// How long a status holds that is written every `millis`, at the slowest.
pub(super) fn holds(millis: u64) -> u64 {
    millis.saturating_mul(LOOKS).saturating_add(5_000)
}

/// A length of time in milliseconds.
pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or_default()
}

/// Which start of the machine this is.
pub(super) fn boot() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// Where a node of these settings has its mounts.
#[must_use]
pub fn directory(settings: &Settings) -> PathBuf {
    settings
        .node
        .directory
        .clone()
        .unwrap_or_else(|| settings.data_dir.path().join("mounts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_written_and_grows_old() {
        let directory = tempfile::tempdir().unwrap();
        let place = StatusPlace::at(directory.path());
        let handle = Directory::open(directory.path()).unwrap();
        assert_eq!(Status::read(&place), None);
        let status = Status {
            pid: 7,
            boot: boot(),
            written: 1_000,
            holds: holds(10),
            mounts: Vec::new(),
            shared_anew: None,
        };
        status.write(&handle).unwrap();
        status.write(&handle).unwrap();
        let read = Status::read(&place).unwrap();
        assert_eq!(read, status);
        assert!(read.is_fresh(1_001));
        assert!(!read.is_fresh(7_000));
        let other = Status {
            boot: "another".into(),
            ..read
        };
        assert!(!other.is_fresh(1_001));
        Status::remove(&handle).unwrap();
        Status::remove(&handle).unwrap();
        assert_eq!(Status::read(&place), None);
    }

    #[test]
    fn a_pipe_an_endless_file_and_a_link_in_its_stead_hold_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let place = StatusPlace::at(directory.path());
        let path = directory.path().join(FILE);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert_eq!(Status::read(&place), None);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(Status::read(&place), None);
        std::fs::remove_file(&path).unwrap();
        std::fs::File::create_new(&path)
            .and_then(|file| file.set_len(1 << 40))
            .unwrap();
        assert_eq!(Status::read(&place), None);
    }
}
