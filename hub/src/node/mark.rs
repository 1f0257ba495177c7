//! What a mount of ours is known by, and whether it is the one that is seen at its place: pure.
//!
//! Numbers of mounts and of devices are used again once they are free, so a mount is known by all that the kernel's list tells of it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::job::whole;
use crate::mountinfo::{Mounted, Table};

/// The flags that a mount of ours is given, and nobody is to change.
const FLAGS: [&str; 4] = ["ro", "nosuid", "nodev", "noexec"];

/// What a mount is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The kernel's number of it.
    pub(super) id: u32,
    /// Hash of what is mounted: device, directory, type and source.
    pub(super) what: String,
    /// Its flags, of those that matter.
    flags: Vec<String>,
    /// For a bind mount: what its source was.
    #[serde(default)]
    pub(super) origin: Option<Origin>,
}

/// What the source of a bind mount is.
///
/// Known by what the kernel's list tells, not by numbers of files, which some file systems give out anew each time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// Its path, without links.
    #[serde(with = "whole")]
    pub(super) path: PathBuf,
    /// Hash of the directory that it is: device, path on the file system, type and source of that.
    pub(super) what: String,
}

/// What is at the place of a mount.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing.
    Nothing,
    /// The mount that was made.
    Ours,
    /// Another, or ours but not as it was made: why, as a sentence without its end.
    Other(String),
}

impl Origin {
    /// That of a directory with this path, without links, which is in this mount.
    pub(super) fn of(path: PathBuf, mount: &Mounted) -> Self {
        let inner = path.strip_prefix(&mount.point).unwrap_or(Path::new(""));
        // Without the slash at the end that an empty path would add.
        let root: PathBuf = mount.root.join(inner).components().collect();
        let mut what = Sha256::new();
        for part in [
            mount.device.as_bytes(),
            root.as_os_str().as_bytes(),
            mount.kind.as_bytes(),
            mount.source.as_bytes(),
        ] {
            what.update(part);
            what.update(b"\n");
        }
        let what = hex::encode(&what.finalize()[..8]);
        Self { path, what }
    }

    /// What is wrong when another directory is at its path now, as a part of a sentence.
    pub(super) fn is_covered(&self, table: &Table) -> Option<String> {
        let met = table.met(&self.path)?;
        let is_same = Self::of(self.path.clone(), met).what == self.what;
        let path = self.path.display();
        (!is_same).then(|| {
            format!(
                "its source {path} is another directory now, of {} ({})",
                met.source, met.kind
            )
        })
    }
}

impl Mark {
    /// That of a mount.
    pub(super) fn of(mount: &Mounted) -> Self {
        let root = mount.root.to_string_lossy();
        let what = [&*mount.device, &*root, &mount.kind, &mount.source].join("\n");
        Self {
            id: mount.id,
            what: hex::encode(&Sha256::digest(what)[..8]),
            flags: FLAGS
                .into_iter()
                .filter(|flag| mount.has(flag))
                .map(str::to_owned)
                .collect(),
            origin: None,
        }
    }

    /// The same, with what the source of a bind mount is.
    pub(super) fn with(self, origin: Option<Origin>) -> Self {
        Self { origin, ..self }
    }

    fn is_same_mount(&self, other: &Self) -> bool {
        (self.id, &self.what) == (other.id, &other.what)
    }
}

/// What is at `place`, where the mount with this mark should be.
pub(super) fn seen(table: &Table, place: &Path, mark: Option<&Mark>) -> Seen {
    let Some(mount) = table.at(place) else {
        return Seen::Nothing;
    };
    let Some(mark) = mark else {
        return Seen::Other("somebody else mounted something at its place".to_owned());
    };
    let found = Mark::of(mount);
    if found.id == mark.id && found.what != mark.what && mark.origin.is_some() {
        return Seen::Other("its source was renamed or deleted".to_owned());
    }
    if !found.is_same_mount(mark) {
        return Seen::Other("something else is mounted over its place".to_owned());
    }
    if found.flags != mark.flags {
        return Seen::Other(format!(
            "its flags were changed from {:?} to {:?}",
            mark.flags.join(","),
            found.flags.join(",")
        ));
    }
    let folder = place.parent().unwrap_or(place);
    if table.of(folder).map(|under| under.id) != Some(mount.parent) {
        return Seen::Other("something else is mounted over its folder".to_owned());
    }
    Seen::Ours
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "1 0 254:0 / / rw - ext4 x rw\n\
                        5 1 254:0 /d /m rw shared:2 - ext4 x rw\n\
                        9 5 0:50 / /m/f/d ro,nosuid,nodev,noexec,relatime - nfs4 a:/d rw\n";

    fn look(table: &str) -> Seen {
        let place = Path::new("/m/f/d");
        let made = Table::parse(OURS.as_bytes());
        let mark = Mark::of(made.at(place).expect("it is there"));
        seen(&Table::parse(table.as_bytes()), place, Some(&mark))
    }

    fn is_other(table: &str, words: &str) {
        match look(table) {
            Seen::Other(reason) => assert!(reason.contains(words), "{reason}"),
            seen => panic!("{seen:?}"),
        }
    }

    #[test]
    fn what_comes_over_a_source_or_goes_from_there_is_seen() {
        let plain = "1 0 254:0 / / rw - ext4 x rw\n";
        let over = format!("{plain}2 1 0:50 / /srv/dumps rw - tmpfs a rw\n");
        let above = format!("{plain}2 1 0:50 / /srv rw - tmpfs a rw\n");
        let on_itself = format!("{plain}2 1 254:0 /srv/dumps /srv/dumps rw - ext4 x rw\n");
        // One file system, as the kernel lists two exports of one server.
        let export = |name: &str| format!("{plain}2 1 0:50 / /srv rw - nfs4 s:/{name} rw\n");
        let is_covered = |made: &str, now: &str| {
            let [made, now] = [made, now].map(|text| Table::parse(text.as_bytes()));
            let path = Path::new("/srv/dumps");
            let origin = Origin::of(path.to_owned(), made.met(path).unwrap());
            origin.is_covered(&now).is_some()
        };
        for (made, now, expected) in [
            (plain, plain, false),
            (plain, &over, true),
            (&over, plain, true),
            (plain, &above, true),
            (&over, &above, true),
            (plain, &on_itself, false),
            (&export("a"), &export("a"), false),
            (&export("a"), &export("b"), true),
        ] {
            assert_eq!(is_covered(made, now), expected, "{made}\n{now}");
        }
    }

    #[test]
    fn only_the_mount_that_was_made_is_ours() {
        assert_eq!(look(OURS), Seen::Ours);
        assert_eq!(look("1 0 254:0 / / rw - ext4 x rw\n"), Seen::Nothing);
        // Over it; in its stead with its number and its device used again.
        let over = format!("{OURS}10 9 0:51 / /m/f/d ro - tmpfs none rw\n");
        is_other(&over, "over its place");
        is_other(&OURS.replace("a:/d", "b:/d"), "over its place");
        is_other(&OURS.replace("9 5 0:50", "8 5 0:50"), "over its place");
        for flag in ["ro,", "nosuid,", "nodev,", "noexec,"] {
            is_other(&OURS.replace(flag, ""), "flags were changed");
        }
        let folder = format!("{OURS}10 5 0:51 / /m/f rw - tmpfs none rw\n");
        is_other(&folder, "over its folder");
        let place = Path::new("/m/f/d");
        let by_others = seen(&Table::parse(OURS.as_bytes()), place, None);
        assert!(matches!(by_others, Seen::Other(_)));
    }
}
