//! A mount that comes late, for trying whether it reaches containers.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

use super::ground::PROBE;
use super::reach::{self, Directory};
use super::{NodeError, directory};
use crate::config::Settings;

/// A folder in the node's directory with a mount point `late`; gone with it.
#[derive(Debug)]
pub struct Probe {
    folder: PathBuf,
}

impl Probe {
    /// Makes the folder.
    ///
    /// # Errors
    /// This process is not root's, or cannot use the directory.
    pub fn prepare(settings: &Settings) -> Result<Self, NodeError> {
        if !rustix::process::geteuid().is_root() {
            return Err(NodeError::Rights);
        }
        let directory = directory(settings);
        let name = format!("{PROBE}{}", std::process::id());
        let made = reach::find(&directory, settings.data_dir.path()).and_then(|path| {
            let folder = Directory::make(&path)?.folder(&name, 0o755)?;
            folder.folder("late", 0o755)?;
            Ok(path.join(name))
        });
        match made {
            Ok(folder) => Ok(Self { folder }),
            Err(cause) => Err(NodeError::Directory {
                path: directory,
                cause,
            }),
        }
    }

    /// The directory itself, for one who may not mount.
    ///
    /// # Errors
    /// Something is mounted over it.
    pub fn directory(settings: &Settings) -> Result<PathBuf, NodeError> {
        let path = directory(settings);
        reach::find(&path, settings.data_dir.path())
            .map_err(|cause| NodeError::Directory { path, cause })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Mounts a small file system with a file `word` in it; without the right to, does nothing.
    ///
    /// # Errors
    /// As the system says.
    pub fn mount(&self) -> std::io::Result<()> {
        let point = self.folder.join("late");
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        match rustix::mount::mount("holt", &point, "tmpfs", flags, c"size=4k,mode=0755") {
            Ok(()) => std::fs::write(point.join("word"), "late"),
            Err(rustix::io::Errno::PERM) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let point = self.folder.join("late");
        // Not mounted, or gone: as good.
        let _ = rustix::mount::unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        let _ = std::fs::remove_dir(&point);
        let _ = std::fs::remove_dir(&self.folder);
    }
}
