//! What a mount of ours is known by, and whether it is the one that is seen at its place: pure.
//!
//! Numbers of mounts and of devices are used again once they are free, so a mount is known by all that the kernel's list tells of it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::mountinfo::{Mounted, Table};

/// The flags that a mount of ours is given, and nobody is to change.
const FLAGS: [&str; 4] = ["ro", "nosuid", "nodev", "noexec"];

/// What a mount is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The kernel's number of it.
    id: u32,
    /// Hash of what is mounted: device, directory, type and source.
    what: String,
    /// Its flags, of those that matter.
    flags: Vec<String>,
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
        }
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
