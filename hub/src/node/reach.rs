//! The node's own directory by its handle, and what is in it.
//!
//! **Invariant:** the way is looked up in the kernel's list first, and from the handle on nothing that is mounted is crossed. So a dead
//! file system over the directory, over something in it, or on the way to it holds nobody who comes through here.

use std::ffi::CString;
use std::fs::{File, Permissions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::mountinfo::{Mounted, Table};

/// Nothing mounted is crossed, and no link is followed.
const INSIDE: ResolveFlags = ResolveFlags::NO_XDEV
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::BENEATH);

/// A directory.
#[derive(Debug)]
pub(super) struct Directory {
    handle: File,
}

/// Where the directory is, without links, if nothing is in the way to it. Its last part is no link.
///
/// # Errors
/// Something is mounted over it or over the way to it.
pub(super) fn find(path: &Path, data_dir: &Path) -> Result<PathBuf> {
    let home = std::path::absolute(data_dir)?;
    let home = home.canonicalize().unwrap_or(home);
    let path = std::path::absolute(path)?;
    let table = Table::read()?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::other("it is no directory of its own"));
    };
    let found = table
        .without_links(parent, &home)
        .map(|parent| parent.join(name))
        .map_err(covered)?;
    match table.cover(&found, &home) {
        Some(mount) => Err(covered(mount)),
        None => Ok(found),
    }
}

/// That a mount is in the way, with what to do.
pub(super) fn covered(mount: &Mounted) -> Error {
    let point = mount.point.display();
    Error::other(format!(
        "something else (type {}) is mounted over {point}, and may hold whoever looks at it: take it away with `umount --lazy {point}`",
        mount.kind
    ))
}

impl Directory {
    /// Makes it if need be, and sees that it is ours. The path is of [`find`].
    pub(super) fn make(path: &Path) -> Result<Self> {
        let made = std::fs::DirBuilder::new().mode(0o755).create(path);
        let directory = Self::open(path).map_err(no_directory)?;
        match made {
            Ok(()) => directory
                .handle
                .set_permissions(Permissions::from_mode(0o755))?,
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => directory.must_be_ours()?,
            Err(cause) => return Err(cause),
        }
        Ok(directory)
    }

    /// One that is there. The path is of [`find`].
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self {
            handle: handle.into(),
        })
    }

    /// Whether nobody deleted it.
    pub(super) fn is_still_there(&self) -> bool {
        self.handle.metadata().is_ok_and(|found| found.nlink() > 0)
    }

    /// The directory of that name in it, which is made if need be, and must be ours.
    pub(super) fn folder(&self, name: &str, mode: u32) -> Result<Self> {
        let made = self.make_missing(name, mode);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let handle = self.open_in(name, flags, 0).map_err(no_directory)?;
        let directory = Self { handle };
        match made {
            Ok(()) => directory
                .handle
                .set_permissions(Permissions::from_mode(mode))?,
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => directory.must_be_ours()?,
            Err(cause) => return Err(cause),
        }
        Ok(directory)
    }

    /// Makes a directory of that name, where nothing stands. What is there is not looked at.
    pub(super) fn point(&self, name: &str, mode: u32) -> Result<()> {
        match self.make_missing(name, mode) {
            // Whatever this process's mask is, others must be able to look in.
            Ok(()) => self
                .open_in(name, OFlags::RDONLY | OFlags::DIRECTORY, 0)?
                .set_permissions(Permissions::from_mode(mode)),
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(cause) => Err(cause),
        }
    }

    fn make_missing(&self, name: &str, mode: u32) -> Result<()> {
        Ok(rustix::fs::mkdirat(
            &self.handle,
            name,
            Mode::from_raw_mode(mode),
        )?)
    }

    /// Opens what has that name in it; with a mode other than 0, `flags` say that it is made.
    pub(super) fn open_in(&self, name: &str, flags: OFlags, mode: u32) -> Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode);
        match rustix::fs::openat2(&self.handle, name, flags, mode, INSIDE) {
            Ok(handle) => Ok(handle.into()),
            Err(Errno::XDEV) => Err(Error::other("something is mounted over it")),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes the file away. None there is as good.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes an empty directory away, or an empty file: whatever else stands there stays.
    pub(super) fn remove_empty(&self, name: &str) -> Result<()> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTDIR) => {
                let found = self.open_in(name, OFlags::PATH, 0)?.metadata()?;
                match found.is_file() && found.len() == 0 {
                    true => self.remove(name),
                    false => Ok(()),
                }
            }
            Err(errno) => Err(errno.into()),
            Ok(()) => Ok(()),
        }
    }

    /// Gives what has one name another, in the place of what has that.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<()> {
        Ok(rustix::fs::renameat(&self.handle, from, &self.handle, to)?)
    }

    /// A symbolic link that leads there; one that leads elsewhere is replaced, anything else is not.
    pub(super) fn link(&self, name: &str, to: &str) -> Result<()> {
        const NEW: &str = ".new-link";
        match self.leads(name) {
            Ok(Some(leads)) if leads.to_bytes() == to.as_bytes() => return Ok(()),
            Ok(_) => {}
            Err(_) => {
                return Err(Error::other(
                    "something that is no link stands there; move it away",
                ));
            }
        }
        self.remove(NEW)?;
        rustix::fs::symlinkat(to, &self.handle, NEW)?;
        self.rename(NEW, name)
    }

    /// Where the link leads, if anything stands there.
    fn leads(&self, name: &str) -> rustix::io::Result<Option<CString>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.handle, name, flags, Mode::empty(), INSIDE) {
            Ok(link) => rustix::fs::readlinkat(&link, "", Vec::new()).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The names in it.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Whether there is nothing but empty folders, so deep: the engine makes those of servers that started before any node was here.
    pub(super) fn holds_only_folders(&self, depth: usize) -> Result<bool> {
        for name in self.names()? {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let handle = match self.open_in(&name, flags, 0) {
                Ok(handle) if depth > 0 => handle,
                _ => return Ok(false),
            };
            if !(Self { handle }).holds_only_folders(depth - 1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whoever owns it could put anything into it that this process then follows with more rights.
    fn must_be_ours(&self) -> Result<()> {
        let owner = self.handle.metadata()?.uid();
        if owner == rustix::process::geteuid().as_raw() {
            return Ok(());
        }
        Err(Error::other(format!(
            "it belongs to user {owner}, not to the one who mounts; give it away or set node.directory"
        )))
    }
}

fn no_directory(cause: Error) -> Error {
    match Errno::from_io_error(&cause) {
        Some(Errno::NOTDIR | Errno::LOOP) => {
            Error::other("something that is no directory stands there; move it away")
        }
        _ => cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_links_and_files_are_made_and_nothing_else_is_replaced() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let path = find(&directory.path().join("mounts"), directory.path())?;
        let mounts = Directory::make(&path)?;
        let folder = mounts.folder("mnt+nfs", 0o755)?;
        folder.point("dumps", 0o755)?;
        folder.point("dumps", 0o755)?;
        assert!(mounts.holds_only_folders(2)?);
        for to in ["/srv/dumps", "/srv/other"] {
            folder.link("public", to)?;
            assert_eq!(
                std::fs::read_link(path.join("mnt+nfs/public"))?,
                Path::new(to)
            );
        }
        assert!(!mounts.holds_only_folders(2)?);
        std::fs::write(path.join("mnt+nfs/plan"), "mine")?;
        for no_link in ["dumps", "plan"] {
            assert!(folder.link(no_link, "/srv").is_err());
        }
        std::fs::write(path.join("file"), "mine")?;
        let words = mounts
            .folder("file", 0o755)
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(words.contains("no directory stands there"), "{words}");
        mounts.remove_empty("file")?;
        assert!(path.join("file").exists());
        folder.remove_empty("dumps")?;
        assert!(!path.join("mnt+nfs/dumps").exists());
        assert!(find(Path::new("/"), directory.path()).is_err());
        Ok(())
    }
}
