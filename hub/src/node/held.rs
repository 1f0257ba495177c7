//! Directories and files held by descriptors, so that what was looked at is what is worked on.
//!
//! Below a source, people and file servers may change names and put links while root works there. So a way below it is walked once, without
//! any link (`openat2`), what it led to is compared with the kernel's list, and all that follows goes to the descriptor: by its name in
//! `/proc/self/fd`, which leads to exactly what is held.
//!
//! This takes Linux 5.6. Kernels without `mount_setattr` (5.12) are common, so flags are still set in the staging directory, which is
//! root's alone.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::hand::{Trouble, failed};
use super::way::others_may_lead;
use crate::mountinfo::{Mounted, Table};

/// A descriptor of a file or directory.
#[derive(Debug)]
pub(super) struct Held {
    descriptor: OwnedFd,
}

impl Held {
    /// The directory that a path of the settings leads to. Links of root's are followed; whoever else could put one there would have any
    /// directory of the machine shown.
    ///
    /// # Errors
    /// A link is on the way that others may change; or as the system says.
    pub(super) fn follow(path: &Path) -> Result<Self, Trouble> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let failed = |errno| failed(&path.display().to_string(), errno);
        match Self::open_exactly(path, flags) {
            Err(Errno::LOOP | Errno::NOSYS) => {}
            opened => return opened.map_err(failed),
        }
        // A kernel that is too old for the question says nothing of links.
        let has_links = path.canonicalize().is_ok_and(|whole| whole != path);
        if has_links && let Some(above) = others_may_lead(path) {
            return Err(Trouble::Refused(format!(
                "a link is on the way to {}, and others than root may change {}: they could have any directory of the machine shown. Give the directory itself as the source",
                path.display(),
                above.display()
            )));
        }
        rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
            .map(|descriptor| Self { descriptor })
            .map_err(failed)
    }

    /// What is at exactly this path of the kernel's list.
    ///
    /// # Errors
    /// A link is on the way, or it was moved meanwhile; the kernel is too old; or as the system says.
    pub(super) fn exactly(path: &Path) -> Result<Self, Trouble> {
        match Self::open_exactly(path, OFlags::PATH) {
            Ok(held) => held.must_be_at(path),
            Err(errno) => Err(Self::trouble(path, errno)),
        }
    }

    /// As [`Held::exactly`], opened for reading a directory; none when it is none.
    pub(super) fn directory_exactly(path: &Path) -> Result<Option<Self>, Trouble> {
        match Self::open_exactly(path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(held) => held.must_be_at(path).map(Some),
            Err(Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(Self::trouble(path, errno)),
        }
    }

    fn open_exactly(path: &Path, flags: OFlags) -> rustix::io::Result<Self> {
        let top = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::openat(CWD, "/", top, Mode::empty())?;
        let inner = match path.strip_prefix("/").map_err(|_| Errno::INVAL)? {
            inner if inner == Path::new("") => Path::new("."),
            inner => inner,
        };
        let flags = flags | OFlags::CLOEXEC;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let descriptor = rustix::fs::openat2(&top, inner, flags, Mode::empty(), how)?;
        Ok(Self { descriptor })
    }

    fn trouble(path: &Path, errno: Errno) -> Trouble {
        let path = path.display();
        Trouble::Failed(match errno {
            Errno::NOSYS => "this kernel cannot walk a path without links, so nothing below a source is mounted: that takes Linux 5.6".to_owned(),
            Errno::LOOP => format!("a link is on the way to {path}, where a directory was"),
            Errno::NOENT => format!("{path} is no longer there"),
            errno => return failed("it answers with an error", errno),
        })
    }

    fn must_be_at(self, path: &Path) -> Result<Self, Trouble> {
        if self.path()? == path {
            return Ok(self);
        }
        Err(Trouble::Failed(format!(
            "{} was moved meanwhile",
            path.display()
        )))
    }

    /// Where it is, as the kernel says; no file system is asked.
    pub(super) fn path(&self) -> Result<PathBuf, Trouble> {
        std::fs::read_link(self.name()).map_err(|cause| Trouble::Failed(format!("/proc: {cause}")))
    }

    /// A name of it for this process alone, whatever becomes of its path.
    pub(super) fn name(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.descriptor.as_raw_fd()).into()
    }

    /// The mount it is in. No file system is asked, and the number is not used again while it is held.
    pub(super) fn mount<'t>(&self, table: &'t Table) -> Result<&'t Mounted, Trouble> {
        let path = format!("/proc/self/fdinfo/{}", self.descriptor.as_raw_fd());
        let text = std::fs::read_to_string(&path)
            .map_err(|cause| Trouble::Failed(format!("{path}: {cause}")))?;
        let id = text
            .lines()
            .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
        id.and_then(|id| table.numbered(id)).ok_or_else(|| {
            Trouble::Failed("the mount it is in was taken away meanwhile".to_owned())
        })
    }

    /// The descriptor.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }
}
