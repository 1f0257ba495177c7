//! The node's own directory: a mount point shared with containers, the folders in it, and their links.
//!
//! **Invariant:** nothing here touches a mount of the settings, nor what somebody else mounted over something here, so nothing here can
//! hang; and nothing is removed that is not empty.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use tracing::debug;

use super::NodeError;
use super::claim::{self, Claim};
use super::hands::{Hands, Outcome};
use super::job::Reads;
use super::reach::{self, Directory, covered};
use super::way::Way;
use crate::config::{Entry, Folder};
use crate::lock::Lock;
use crate::mountinfo::{Mounted, Table};

/// Where mounts are made before they are moved to their places. Containers never see it.
pub(super) const STAGING: &str = ".staging";
/// How the folder of somebody who tries begins; his process's number follows.
pub(super) const PROBE: &str = ".probe-";
/// Ends the name of where what is mounted below a mount's source is made.
const PARTS: &str = "+parts";

/// A folder, and the mount points in it.
const FOLDERS_DEEP: usize = 2;

/// The directory, held by this process.
#[derive(Debug)]
pub(super) struct Ground {
    path: PathBuf,
    directory: Directory,
    lock: Lock,
    // Held while it is looked whether the directory is a mount point and made one: several mounts may find that it is none.
    sharing: Mutex<()>,
    // Held while it is looked up. Opened once: what is mounted over it or on the way to it later holds nobody.
    staging: Mutex<Option<Arc<Directory>>>,
}

/// How the directory was shared with containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// It was already.
    Kept,
    /// It was not: servers that were given folders of it before see nothing that changes.
    Anew,
}

/// What is mounted in the directory and is not the node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Foreign {
    /// Over a mount point that has to stay: the mount of this number alone goes.
    Over { point: PathBuf, id: u32 },
    /// In it: all that is there goes.
    In(PathBuf),
}

impl Ground {
    /// Takes the directory for a node of this data directory, making it if need be.
    ///
    /// # Errors
    /// Another node has it, it is not ours, it holds other things, something is mounted over it, others could put another in its place,
    /// or there is no right to mount.
    pub(super) fn take(path: &Path, data_dir: &Path, claim: Claim) -> Result<Self, NodeError> {
        // Told before anything is made: what an ordinary user made here would be in root's way.
        if !rustix::process::geteuid().is_root() {
            return Err(NodeError::Rights);
        }
        let unusable = |cause| NodeError::Directory {
            path: path.to_owned(),
            cause,
        };
        let data_dir = data_dir.canonicalize().unwrap_or(data_dir.to_owned());
        let way = std::path::absolute(path).map_err(unusable)?;
        let path = reach::find(path, &data_dir).map_err(unusable)?;
        let directory = Directory::make(&path).map_err(|cause| match cause.kind() {
            ErrorKind::NotFound => unusable(std::io::Error::other(
                "the directory it is in does not exist: start the hub first, or name another with node.directory",
            )),
            _ => unusable(cause),
        })?;
        is_nobody_elses(&way, &path, &directory).map_err(unusable)?;
        let lock = claim::take(&directory, &path, &data_dir, claim)?;
        Ok(Self {
            path,
            directory,
            lock,
            sharing: Mutex::new(()),
            staging: Mutex::new(None),
        })
    }

    /// The directory, without links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory, for what is written into it.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Makes it a mount point whose mounts reach containers. Done already: nothing changes, so that containers keep theirs.
    ///
    /// # Errors
    /// [`NodeError::Rights`] where this process may not mount; something is mounted over it.
    pub(super) fn share(&self) -> Result<Sharing, NodeError> {
        let _sharing = self.sharing.lock().unwrap_or_else(PoisonError::into_inner);
        let sharing = self.mount_on_itself(&self.path, MountPropagationFlags::SHARED)?;
        let staging = self.path.join(STAGING);
        self.directory
            .point(STAGING, 0o700)
            .map_err(|cause| self.unusable(cause))?;
        self.mount_on_itself(&staging, MountPropagationFlags::PRIVATE)?;
        Ok(sharing)
    }

    fn mount_on_itself(
        &self,
        path: &Path,
        kind: MountPropagationFlags,
    ) -> Result<Sharing, NodeError> {
        let found = Table::read().map_err(|cause| self.unusable(cause))?;
        let is_wanted_shared = kind == MountPropagationFlags::SHARED;
        match found.at(path) {
            Some(mount) if found.is_cover(mount) => return Err(self.unusable(covered(mount))),
            Some(mount) if mount.is_shared == is_wanted_shared => return Ok(Sharing::Kept),
            Some(_) => {}
            None => {
                rustix::mount::mount_bind(path, path).map_err(|errno| self.refusal(errno))?;
            }
        }
        rustix::mount::mount_change(path, kind).map_err(|errno| self.refusal(errno))?;
        Ok(Sharing::Anew)
    }

    /// Takes it all back: what is left in the staging directory, then the mount points. Then the directory is free for any other node.
    ///
    /// # Errors
    /// As the system says; something is mounted in it still.
    pub(super) async fn unshare(&self, limit: Duration) -> Result<(), NodeError> {
        let failed = |reason: String| self.unusable(std::io::Error::other(reason));
        // What is in the staging directory may be dead, and hold whoever takes it away.
        let staging = self.path.join(STAGING);
        match Hands::default()
            .take_away(&staging, Reads::Wait, limit)
            .await
        {
            Outcome::Done { .. } => {}
            other => return Err(failed(format!("{}: {other:?}", staging.display()))),
        }
        let table = Table::read().map_err(|cause| self.unusable(cause))?;
        if let Some(left) = table.below(&self.path).first() {
            return Err(failed(format!(
                "{} is still mounted: take it away with `umount --lazy {0}`",
                left.point.display()
            )));
        }
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        match table.at(&self.path) {
            Some(mount) if table.is_cover(mount) => return Err(self.unusable(covered(mount))),
            Some(_) => match rustix::mount::unmount(&self.path, flags) {
                Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
                Err(errno) => return Err(self.refusal(errno)),
            },
            None => {}
        }
        claim::give_up(&self.lock).map_err(|cause| self.unusable(cause))
    }

    /// What covers the whole directory, if anything does.
    pub(super) fn cover<'t>(&self, table: &'t Table) -> Option<&'t Mounted> {
        table.at(&self.path).filter(|mount| table.is_cover(mount))
    }

    /// Whether something is mounted over the folder that a place is in, or over the whole directory.
    pub(super) fn is_covered(&self, table: &Table, place: &Path) -> bool {
        let folder = place.parent().filter(|folder| *folder != self.path);
        self.cover(table).is_some() || folder.is_some_and(|folder| table.at(folder).is_some())
    }

    /// Where a mount is made.
    pub(super) fn staging(&self, mount: &str) -> PathBuf {
        self.path.join(STAGING).join(mount)
    }

    /// Where what is mounted below a mount's source is made.
    pub(super) fn staging_of_parts(&self, mount: &str) -> PathBuf {
        self.path.join(STAGING).join(format!("{mount}{PARTS}"))
    }

    /// Where a mount is kept.
    pub(super) fn place(&self, folder: &Folder, entry: &str) -> PathBuf {
        self.path.join(&folder.name).join(entry)
    }

    /// Sees to folders, mount points and links. Returns what is in the way, each as a sentence with the mount it belongs to.
    pub(super) fn keep(&self, folders: &[Folder]) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let staging = self.staging_directory();
        for folder in folders {
            let parent = self.directory.folder(&folder.name, 0o755);
            for (name, entry) in &folder.entries {
                let kept = match (&parent, entry) {
                    (Err(cause), _) => Err(cause.to_string()),
                    (Ok(parent), Entry::Link { to, .. }) => parent.link(name, to).map_err(words),
                    (Ok(parent), Entry::Mount(mount)) => match &staging {
                        Err(cause) => Err(cause.to_string()),
                        Ok(staging) => staging
                            .point(mount, 0o700)
                            .and_then(|()| staging.point(&format!("{mount}{PARTS}"), 0o700))
                            // The place itself is looked at before each mounting, which says what is wrong with it.
                            .and_then(|()| parent.point(name, 0o755))
                            .map_err(words),
                    },
                };
                if let Err(cause) = kept {
                    let place = self.place(folder, name);
                    problems.push((
                        entry.mount().to_owned(),
                        format!("{}: {cause}", place.display()),
                    ));
                }
            }
        }
        problems
    }

    /// The staging directory is mounted on itself, so no way from the directory leads there. Looked up once, and again when it was
    /// deleted.
    fn staging_directory(&self) -> std::io::Result<Arc<Directory>> {
        let mut known = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(staging) = known.as_ref().filter(|staging| staging.is_still_there()) {
            return Ok(Arc::clone(staging));
        }
        let path = self.path.join(STAGING);
        let table = Table::read()?;
        match self
            .cover(&table)
            .or_else(|| table.at(&path).filter(|mount| table.is_cover(mount)))
        {
            Some(mount) => Err(covered(mount)),
            None => Ok(Arc::clone(known.insert(Arc::new(Directory::open(&path)?)))),
        }
    }

    /// Removes from the staging directory what is empty and no mount of the settings needs: an earlier node was killed, or had others.
    pub(super) fn tidy_staging(&self, folders: &[Folder]) -> std::io::Result<()> {
        let staging = self.staging_directory()?;
        let is_wanted = |name: &str| {
            let mount = name.strip_suffix(PARTS).unwrap_or(name);
            let entries = folders.iter().flat_map(|folder| folder.entries.values());
            let mut mounts = entries.filter(|entry| matches!(entry, Entry::Mount(_)));
            mounts.any(|entry| entry.mount() == mount)
        };
        for name in staging.names()? {
            // One that is not empty, or in which something hangs, stays.
            if !is_wanted(&name)
                && let Err(cause) = staging.remove_empty(&name)
            {
                debug!(name, error = %cause, "It stays in the staging directory");
            }
        }
        Ok(())
    }

    /// What is mounted in the staging directory when a node begins: an earlier one was killed at its work, or it hung.
    pub(super) fn left_in_staging(&self, table: &Table) -> Vec<PathBuf> {
        let staging = self.path.join(STAGING);
        let left = table.below(&staging).into_iter().filter(|mount| {
            // What is within another goes with it.
            let inner = mount.point.strip_prefix(&staging);
            inner.is_ok_and(|inner| inner.components().count() == 1)
        });
        left.map(|mount| mount.point.clone()).collect()
    }

    /// What is mounted in the directory and has no business there, the outermost of it: from others, or of earlier settings. What is
    /// within the staging directory, and within the folder of somebody who tries, is left alone.
    pub(super) fn foreign(&self, table: &Table, folders: &[Folder]) -> Vec<Foreign> {
        let over = |point: &Path| {
            let cover = table.at(point).filter(|mount| table.is_cover(mount))?;
            Some(Foreign::Over {
                point: point.to_owned(),
                id: cover.id,
            })
        };
        // The rest is not seen, and what is done below it would wait.
        if let Some(cover) = over(&self.path) {
            return vec![cover];
        }
        let staging = self.path.join(STAGING);
        let mut found: Vec<_> = over(&staging).into_iter().collect();
        let mut points: Vec<&Path> = Vec::new();
        for mount in table.below(&self.path) {
            let point = mount.point.as_path();
            let is_known = point.starts_with(&staging)
                || self.is_tried(point)
                || points.iter().any(|outer| point.starts_with(outer))
                || self.is_wanted(point, folders);
            if !is_known {
                points.push(point);
                found.push(Foreign::In(point.to_owned()));
            }
        }
        found
    }

    /// Whether it is at or below the place of a mount.
    fn is_wanted(&self, point: &Path, folders: &[Folder]) -> bool {
        folders.iter().any(|folder| {
            folder.entries.iter().any(|(name, entry)| {
                matches!(entry, Entry::Mount(_)) && point.starts_with(self.place(folder, name))
            })
        })
    }

    /// Whether somebody who tries, and is still there, mounted it.
    fn is_tried(&self, point: &Path) -> bool {
        let inner = point.strip_prefix(&self.path).ok();
        let folder = inner.and_then(|inner| inner.iter().next()?.to_str());
        let pid = folder.and_then(|folder| folder.strip_prefix(PROBE)?.parse::<u32>().ok());
        pid.is_some_and(|pid| Path::new("/proc").join(pid.to_string()).exists())
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

fn words(cause: std::io::Error) -> String {
    cause.to_string()
}

/// Whether the directory is a node's, or may become one: what is in it would be covered, and what is mounted there be taken away. And
/// whether its way is root's alone: whoever may rename a part of it could put another directory in its place while root works there.
fn is_nobody_elses(way: &Path, path: &Path, directory: &Directory) -> std::io::Result<()> {
    // Nothing that may hang is on the way, as was looked before.
    let walked = Way::walk(way).map_err(std::io::Error::other)?;
    if let Some(above) = walked.others() {
        return Err(std::io::Error::other(format!(
            "others than root may change {}; set node.directory to a place below directories of root's, such as /run/holt/mounts",
            above.display()
        )));
    }
    if claim::mark_of(directory).is_some() {
        return Ok(());
    }
    let is_mounted = !Table::read()?.within(path).is_empty();
    if is_mounted || !directory.holds_only_folders(FOLDERS_DEEP)? {
        return Err(std::io::Error::other(
            "it holds other things, or something is mounted there; name an empty directory of its own with node.directory",
        ));
    }
    Ok(())
}
