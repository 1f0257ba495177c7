//! The node's own directory: a mount point shared with containers, the folders in it, and their links.
//!
//! **Invariant:** nothing here touches a mount of the settings, so nothing here can hang; and nothing is removed that is not empty.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};

use super::NodeError;
use crate::config::{Entry, Folder};
use crate::mountinfo::Table;

/// Where mounts are made before they are moved to their places. Containers never see it.
const STAGING: &str = ".staging";
/// Held by the node, and the mark of a directory that is a node's: its process, and its data directory.
const LOCK: &str = "node.lock";
/// No lawful mark is larger.
const LARGEST_MARK: u64 = 8 << 10;

/// A folder, and the mount points in it.
const FOLDERS_DEEP: usize = 2;

/// The directory, held by this process.
#[derive(Debug)]
pub(super) struct Ground {
    path: PathBuf,
    _lock: File,
    // Held while it is looked whether the directory is a mount point and made one: several mounts may find that it is none.
    sharing: Mutex<()>,
}

impl Ground {
    /// Takes the directory for a node of this data directory, making it if need be.
    ///
    /// # Errors
    /// Another node has it, it is not ours, it holds other things, others could put another in its place, or there is no right to mount.
    pub(super) fn take(path: &Path, data_dir: &Path) -> Result<Self, NodeError> {
        // Told before anything is made: what an ordinary user made here would be in root's way.
        if !rustix::process::geteuid().is_root() {
            return Err(NodeError::Rights);
        }
        let unusable = |cause| NodeError::Directory {
            path: path.to_owned(),
            cause,
        };
        make(path, 0o755).map_err(|cause| match cause.kind() {
            ErrorKind::NotFound => unusable(std::io::Error::other(
                "the directory it is in does not exist: start the hub first, or name another with node.directory",
            )),
            _ => unusable(cause),
        })?;
        let path = path.canonicalize().map_err(unusable)?;
        is_nobody_elses(&path).map_err(unusable)?;
        let lock = lock(&path, data_dir)?;
        Ok(Self {
            path,
            _lock: lock,
            sharing: Mutex::new(()),
        })
    }

    /// The directory, without links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it a mount point whose mounts reach containers. Done already: nothing changes, so that containers keep theirs.
    ///
    /// # Errors
    /// [`NodeError::Rights`] where this process may not mount.
    pub(super) fn share(&self) -> Result<(), NodeError> {
        let _sharing = self.sharing.lock().unwrap_or_else(PoisonError::into_inner);
        self.mount_on_itself(&self.path, MountPropagationFlags::SHARED)?;
        let staging = self.path.join(STAGING);
        make(&staging, 0o700).map_err(|cause| self.unusable(cause))?;
        self.mount_on_itself(&staging, MountPropagationFlags::PRIVATE)
    }

    /// Takes it all back: what is mounted, then the mount points.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn unshare(&self) -> Result<(), NodeError> {
        for point in [self.path.join(STAGING), self.path.clone()] {
            let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
            match rustix::mount::unmount(&point, flags) {
                Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
                Err(errno) => return Err(self.refusal(errno)),
            }
        }
        Ok(())
    }

    fn mount_on_itself(&self, path: &Path, kind: MountPropagationFlags) -> Result<(), NodeError> {
        let found = Table::read().map_err(|cause| self.unusable(cause))?;
        let is_wanted_shared = kind == MountPropagationFlags::SHARED;
        match found.at(path) {
            Some(mount) if mount.is_shared == is_wanted_shared => return Ok(()),
            Some(_) => {}
            None => {
                rustix::mount::mount_bind(path, path).map_err(|errno| self.refusal(errno))?;
            }
        }
        rustix::mount::mount_change(path, kind).map_err(|errno| self.refusal(errno))
    }

    /// Where a mount is made.
    pub(super) fn staging(&self, mount: &str) -> PathBuf {
        self.path.join(STAGING).join(mount)
    }

    /// Where what is mounted below a mount's source is made.
    pub(super) fn staging_of_parts(&self, mount: &str) -> PathBuf {
        self.path.join(STAGING).join(format!("{mount}+parts"))
    }

    /// Where a mount is kept.
    pub(super) fn place(&self, folder: &Folder, entry: &str) -> PathBuf {
        self.path.join(&folder.name).join(entry)
    }

    /// Sees to folders, mount points and links. Returns what is in the way, each as a sentence with the mount it belongs to.
    pub(super) fn keep(&self, folders: &[Folder]) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        for folder in folders {
            let parent = self.path.join(&folder.name);
            for (name, entry) in &folder.entries {
                let place = parent.join(name);
                let kept = make(&parent, 0o755).and_then(|()| match entry {
                    Entry::Mount(mount) => {
                        // Not looked at: something that is dead may be mounted there just now. The place is looked at before each
                        // mounting, by a process of its own, and says what is wrong with it.
                        make_unseen(&self.staging(mount), 0o700)?;
                        make_unseen(&self.staging_of_parts(mount), 0o700)?;
                        make_unseen(&place, 0o755)
                    }
                    Entry::Link { to, .. } => link(&place, to),
                });
                if let Err(cause) = kept {
                    problems.push((
                        entry.mount().to_owned(),
                        format!("{}: {cause}", place.display()),
                    ));
                }
            }
        }
        problems
    }

    /// Mounts of earlier settings: in a folder of ours, but no longer wanted there.
    pub(super) fn unwanted(&self, folders: &[Folder]) -> std::io::Result<Vec<PathBuf>> {
        let wanted = |point: &Path| {
            folders.iter().any(|folder| {
                folder.entries.iter().any(|(name, entry)| {
                    matches!(entry, Entry::Mount(_)) && self.place(folder, name) == *point
                })
            })
        };
        let table = Table::read()?;
        let depth = self.path.components().count() + 2;
        let staging = self.path.join(STAGING);
        let points = table
            .below(&self.path)
            .into_iter()
            .map(|mount| &mount.point);
        Ok(points
            .filter(|point| {
                point.components().count() == depth
                    && !point.starts_with(&staging)
                    && !wanted(point)
            })
            .cloned()
            .collect())
    }

    fn unusable(&self, cause: std::io::Error) -> NodeError {
        NodeError::Directory {
            path: self.path.clone(),
            cause,
        }
    }

    fn refusal(&self, errno: Errno) -> NodeError {
        match errno {
            Errno::PERM | Errno::ACCESS => NodeError::Rights,
            errno => self.unusable(errno.into()),
        }
    }
}

/// Makes a directory that is ours, or sees that it is there.
pub(super) fn make(path: &Path, mode: u32) -> std::io::Result<()> {
    match make_missing(path, mode) {
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let found = std::fs::symlink_metadata(path)?;
    if !found.is_dir() {
        return Err(std::io::Error::other(
            "something that is no directory stands there; move it away",
        ));
    }
    // Whoever owns it could put anything into it that this process then follows with more rights.
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(std::io::Error::other(format!(
            "it belongs to user {}, not to the one who mounts; give it away or set node.directory",
            found.uid()
        )));
    }
    Ok(())
}

/// Makes a directory, or leaves what is there, without looking at it.
fn make_unseen(path: &Path, mode: u32) -> std::io::Result<()> {
    match make_missing(path, mode) {
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn make_missing(path: &Path, mode: u32) -> std::io::Result<()> {
    DirBuilder::new().mode(mode).create(path)?;
    // Whatever this process's mask is, others must be able to look in. By a handle: a link that came meanwhile is not followed.
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let made = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    made.set_permissions(PermissionsExt::from_mode(mode))
}

/// What on the way to a path others than root could change, or put something else into, if there is any. A link at its end counts too.
pub(super) fn others_may_change(path: &Path) -> Option<PathBuf> {
    let is_others = |above: &Path, is_end: bool| {
        let Ok(found) = std::fs::symlink_metadata(above) else {
            // It is not there yet, or cannot be seen: whoever makes it is decided by what is above.
            return false;
        };
        if is_end || found.is_symlink() {
            return found.is_symlink() && found.uid() != 0;
        }
        let is_sticky = found.mode() & 0o1000 != 0;
        found.uid() != 0 || (found.mode() & 0o022 != 0 && !is_sticky)
    };
    path.ancestors()
        .enumerate()
        .find(|(depth, above)| is_others(above, *depth == 0))
        .map(|(_, above)| above.to_owned())
}

/// The same, also for where links on the way lead, which has a way of its own.
pub(super) fn others_may_lead(path: &Path) -> Option<PathBuf> {
    let led = || others_may_change(&path.parent()?.canonicalize().ok()?.join("in"));
    others_may_change(path).or_else(led)
}

/// Whether the directory is a node's, or may become one: what is in it would be covered, and what is mounted there be taken away. And
/// whether its way is root's alone: whoever may rename a part of it could put another directory in its place while root works there.
fn is_nobody_elses(path: &Path) -> std::io::Result<()> {
    if let Some(above) = others_may_lead(path) {
        return Err(std::io::Error::other(format!(
            "others than root may change {}; set node.directory to a place below directories of root's, such as /run/holt/mounts",
            above.display()
        )));
    }
    let is_marked = std::fs::symlink_metadata(path.join(LOCK))
        .is_ok_and(|mark| mark.is_file() && mark.uid() == rustix::process::geteuid().as_raw());
    if is_marked {
        return Ok(());
    }
    let table = Table::read()?;
    let is_mounted = table.at(path).is_some() || !table.below(path).is_empty();
    if is_mounted || !holds_only_folders(path, FOLDERS_DEEP)? {
        return Err(std::io::Error::other(
            "it holds other things, or something is mounted there; name an empty directory of its own with node.directory",
        ));
    }
    Ok(())
}

/// A symbolic link that leads there; one that leads elsewhere is replaced, anything else is not.
fn link(place: &Path, to: &str) -> std::io::Result<()> {
    match std::fs::read_link(place) {
        Ok(leads) if leads == Path::new(to) => return Ok(()),
        Ok(_) => {}
        Err(cause) if cause.kind() == ErrorKind::NotFound => {}
        Err(_) => {
            return Err(std::io::Error::other(
                "something that is no link stands there; move it away",
            ));
        }
    }
    let new = place.with_file_name(".new-link");
    match std::fs::remove_file(&new) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    std::os::unix::fs::symlink(to, &new)?;
    std::fs::rename(new, place)
}

/// Whether there is nothing but empty folders: the engine makes those of servers that started before any node was here.
fn holds_only_folders(path: &Path, depth: usize) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let is_folder = entry.file_type()?.is_dir();
        if !is_folder || depth == 0 || !holds_only_folders(&entry.path(), depth - 1)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Directories other than `current` that nodes of this data directory still have mounts below: `node.directory` was another then.
pub(super) fn earlier(data_dir: &Path, current: &Path) -> std::io::Result<Vec<PathBuf>> {
    let data_dir = data_dir.canonicalize()?;
    let current = current.canonicalize().ok();
    let table = Table::read()?;
    let mut found: Vec<_> = table
        .within(Path::new("/"))
        .into_iter()
        .filter(|mount| mount.point.file_name() == Some(STAGING.as_ref()))
        .filter_map(|mount| mount.point.parent())
        .filter(|directory| current.as_deref() != Some(*directory))
        .filter(|directory| {
            mark_of(directory).is_some_and(|(_, owner)| owner.as_deref() == Some(&*data_dir))
        })
        .map(Path::to_owned)
        .collect();
    found.dedup();
    Ok(found)
}

/// The process and the data directory of the node that has or had the directory; none where it is no node's.
pub(super) fn mark_of(directory: &Path) -> Option<(Option<i32>, Option<PathBuf>)> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(directory.join(LOCK))
        .ok()?;
    let found = file.metadata().ok()?;
    if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
        return None;
    }
    let mut text = Vec::new();
    file.take(LARGEST_MARK).read_to_end(&mut text).ok()?;
    let mut lines = text.splitn(2, |byte| *byte == b'\n');
    let pid = lines.next().map(String::from_utf8_lossy);
    let data_dir = lines.next().and_then(|rest| rest.strip_suffix(b"\n"));
    Some((
        pid.and_then(|pid| pid.trim().parse().ok()),
        data_dir.map(|path| OsStr::from_bytes(path).into()),
    ))
}

fn lock(directory: &Path, data_dir: &Path) -> Result<File, NodeError> {
    let path = directory.join(LOCK);
    let unusable = |cause| NodeError::Directory {
        path: path.clone(),
        cause,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&path)
        .map_err(unusable)?;
    // Whoever may read it may hold it.
    file.set_permissions(PermissionsExt::from_mode(0o600))
        .map_err(unusable)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let pid = mark_of(directory).and_then(|(pid, _)| pid);
            return Err(NodeError::Held {
                path: directory.to_owned(),
                pid,
            });
        }
        Err(errno) => return Err(unusable(errno.into())),
    }
    let data_dir = data_dir.canonicalize().unwrap_or(data_dir.to_owned());
    let mut mark = format!("{}\n", std::process::id()).into_bytes();
    mark.extend(data_dir.as_os_str().as_bytes());
    mark.push(b'\n');
    file.set_len(0)
        .and_then(|()| file.write_all(&mark))
        .map_err(unusable)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_others_may_change_is_seen() -> std::io::Result<()> {
        let directory = tempfile::tempdir()?;
        let open = directory.path().join("open");
        std::fs::create_dir_all(open.join("source"))?;
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777))?;
        assert!(others_may_change(&open.join("source")).is_some());
        assert_eq!(others_may_change(Path::new("/usr/bin")), None);
        Ok(())
    }
}
