//! Whose a directory of mounts is: a file in it that its node holds, with the node's process and its data directory.
//!
//! The file is also the mark of a directory that is a node's. One whose mounts are another data directory's is nobody else's to take:
//! each would take the other's mounts away.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::NodeError;
use super::ground::STAGING;
use super::reach::{self, Directory};
use crate::lock::{self, Lock, LockError};
use crate::mountinfo::Table;

/// The file.
const LOCK: &str = "node.lock";

/// Who may have had a directory before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// A node of this data directory, or one that left nothing mounted.
    Own,
    /// Any node that has ended: for what a data directory that was moved or deleted has left.
    Anyones,
}

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: Option<i32>,
    /// None when all was taken away.
    pub(super) data_dir: Option<PathBuf>,
}

impl Holder {
    fn of(words: &[u8]) -> Self {
        let mut lines = words.splitn(2, |byte| *byte == b'\n').skip(1);
        let data_dir = lines.next().and_then(|rest| rest.strip_suffix(b"\n"));
        let data_dir = data_dir.filter(|path| !path.is_empty());
        Self {
            pid: lock::pid(words),
            data_dir: data_dir.map(|path| OsStr::from_bytes(path).into()),
        }
    }
}

/// The mark of a directory; none where it is no node's.
pub(super) fn mark_of(directory: &Directory) -> Option<Holder> {
    let file = directory
        .open_in(LOCK, OFlags::RDONLY | OFlags::NONBLOCK, 0)
        .ok()?;
    let found = file.metadata().ok()?;
    if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
        return None;
    }
    lock::words(&file).ok().map(|words| Holder::of(&words))
}

/// Takes the directory for a node of `data_dir`, which has no links.
pub(super) fn take(
    directory: &Directory,
    path: &Path,
    data_dir: &Path,
    claim: Claim,
) -> Result<Lock, NodeError> {
    let unusable = |cause| NodeError::Directory {
        path: path.join(LOCK),
        cause,
    };
    let others = |mark: Holder| match mark.data_dir.filter(|other| other != data_dir) {
        Some(other) => NodeError::Others {
            path: path.to_owned(),
            data_dir: other,
            pid: mark.pid,
        },
        None => NodeError::Held {
            path: path.to_owned(),
            pid: mark.pid,
        },
    };
    let file = open(directory).map_err(unusable)?;
    let lock = match Lock::of(file) {
        Ok(lock) => lock,
        Err(LockError::Held(words)) => return Err(others(Holder::of(&words))),
        Err(LockError::Unusable(cause)) => return Err(unusable(cause)),
    };
    let mark = Holder::of(&lock.words().map_err(unusable)?);
    let is_others = mark.data_dir.as_ref().is_some_and(|it| it != data_dir);
    if is_others && claim == Claim::Own {
        let table = Table::read().map_err(unusable)?;
        // Where nothing is mounted, nothing can be taken away from anybody.
        if !table.within(path).is_empty() {
            return Err(others(Holder { pid: None, ..mark }));
        }
    }
    let mut line = data_dir.as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    lock.say(&line).map_err(unusable)?;
    Ok(lock)
}

/// Says that nothing is left there: it is whoever's comes next.
pub(super) fn give_up(lock: &Lock) -> std::io::Result<()> {
    lock.say(b"")
}

fn open(directory: &Directory) -> std::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK;
    let file = directory.open_in(LOCK, flags, 0o600)?;
    // Whoever may read it may hold it.
    file.set_permissions(PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

/// Directories other than `current` that nodes of this data directory still have mounts below: `node.directory` was another then.
/// And those of which that cannot be seen, because something is mounted over them.
pub(super) fn earlier(
    data_dir: &Path,
    current: &Path,
) -> std::io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let home = data_dir.canonicalize()?;
    let current = reach::find(current, data_dir).ok();
    let table = Table::read()?;
    let mut found: Vec<&Path> = table
        .within(Path::new("/"))
        .into_iter()
        .filter(|mount| mount.point.file_name() == Some(STAGING.as_ref()))
        .filter_map(|mount| mount.point.parent())
        .filter(|directory| current.as_deref() != Some(*directory))
        .collect();
    found.dedup();
    let (covered, free): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|directory| table.cover(directory, &home).is_some());
    let is_ours = |directory: &&Path| {
        let mark = Directory::open(directory).ok().and_then(|it| mark_of(&it));
        mark.is_some_and(|mark| mark.data_dir.as_deref() == Some(&*home))
    };
    let ours = free.into_iter().filter(is_ours);
    Ok((
        ours.map(Path::to_owned).collect(),
        covered.into_iter().map(Path::to_owned).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_whatever_is_in_it() {
        let mark = |words: &str| Holder::of(words.as_bytes());
        assert_eq!(mark(""), Holder::default());
        assert_eq!(mark("rubbish"), Holder::default());
        assert_eq!(mark("7\n").data_dir, None);
        let whole = mark("7\n/srv/ho\nlt\n");
        assert_eq!(
            (whole.pid, whole.data_dir),
            (Some(7), Some("/srv/ho\nlt".into()))
        );
    }
}
