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

use super::hand::{Trouble, failed, table};
use super::mark::Origin;
use super::way::{Lost, Way};
use crate::mountinfo::{Mounted, Table};

/// A descriptor of a file or directory.
#[derive(Debug)]
pub(super) struct Held {
    descriptor: OwnedFd,
}

impl Held {
    /// The directory that a path of the settings leads to, and what on the whole way others than root may change. Links of root's are
    /// followed; whoever else could put one there would have any directory of the machine shown.
    ///
    /// # Errors
    /// A link is on the way that others may change; or as the system says.
    pub(super) fn follow(path: &Path) -> Result<(Self, Option<PathBuf>), Trouble> {
        let way = Way::walk(path).map_err(|lost| lost.of_source(path))?;
        if !way.is_directory() {
            return Err(Lost::NoDirectory(path.to_owned()).of_source(path));
        }
        let others = way.others().map(Path::to_owned);
        if let (Some(above), true) = (&others, way.is_led()) {
            return Err(Trouble::Refused(format!(
                "a link is on the way to {}, and others than root may change {}: they could have any directory of the machine shown. Give the directory itself as the source",
                path.display(),
                above.display()
            )));
        }
        let descriptor = way.into_end();
        Ok((Self { descriptor }, others))
    }

    /// What it is, for a source.
    pub(super) fn origin(&self) -> Result<Origin, Trouble> {
        Ok(Origin::of(self.path()?, self.mount(&table()?)?))
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

impl Lost {
    /// What there is to do about a source that is not found.
    fn of_source(self, path: &Path) -> Trouble {
        match self {
            Self::Missing(missing) if missing == path => Trouble::Failed(format!(
                "{} does not exist: make that directory, mount what it is on, or give another source",
                path.display()
            )),
            Self::Missing(missing) => Trouble::Failed(format!(
                "{} leads nowhere, as {} does not exist: make that, mount what it is on, or give another source",
                path.display(),
                missing.display()
            )),
            Self::NoDirectory(file) => Trouble::Failed(format!(
                "{} is no directory: kind = \"bind\" shows directories alone; give the one it is in, or set kind = \"image\" for a file with a file system in it",
                file.display()
            )),
            Self::TooManyLinks(_) => {
                Trouble::Refused(format!("{self}: give the directory itself as the source"))
            }
            Self::Failed { at, cause } => failed(&at.display().to_string(), cause),
        }
    }
}
