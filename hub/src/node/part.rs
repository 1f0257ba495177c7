//! What is mounted below a source, within a mount of ours: copied, asked and taken away, whatever others do to names there meanwhile.
//!
//! **Invariant:** nothing here is mounted or unmounted by a path below a source. A way is walked without links and held (`held`), and what
//! is changed must be within a mount of ours.

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

use super::hand::{Trouble, ask, ask_directory, failed, shut, table, take_away};
use super::held::Held;
use super::job::{Part, Reads};

impl Part {
    /// Copies it with flags of our own to its place. Whatever goes wrong, nothing stays in the staging directory; a process that is ended
    /// here leaves it there, for who sent it to take away.
    pub(super) fn attach(&self) -> Result<(), Trouble> {
        let source = Held::exactly(&self.source)?;
        // Held, it is the same one until the end, and the list tells whether it is a whole mount.
        if source.mount(&table()?)?.point != self.source {
            return Err(Trouble::Failed(
                "it was unmounted on this machine meanwhile".to_owned(),
            ));
        }
        take_away(&self.staging, Reads::Wait)?;
        let attached = self.stage(&source).and_then(|()| self.put());
        if attached.is_err() {
            drop(take_away(&self.staging, Reads::Wait));
        }
        // Empty, or not: whoever comes next copes with either.
        let _ = std::fs::remove_dir(&self.staging);
        let _ = std::fs::remove_file(&self.staging);
        attached
    }

    fn stage(&self, source: &Held) -> Result<(), Trouble> {
        let cannot = |errno| {
            failed(
                &format!("{} cannot be mounted", self.source.display()),
                errno,
            )
        };
        self.make_directory()?;
        match rustix::mount::mount_bind(source.name(), &self.staging) {
            // A file is mounted on a file.
            Err(Errno::NOTDIR) => {
                self.make_file()?;
                rustix::mount::mount_bind(source.name(), &self.staging).map_err(cannot)?;
            }
            bound => bound.map_err(cannot)?,
        }
        shut(&self.staging, self.access)?;
        ask(&self.staging)
    }

    fn make_directory(&self) -> Result<(), Trouble> {
        let _ = std::fs::remove_file(&self.staging);
        match DirBuilder::new().mode(0o700).create(&self.staging) {
            Err(cause) if cause.kind() != ErrorKind::AlreadyExists => Err(self.unusable(&cause)),
            _ => Ok(()),
        }
    }

    fn make_file(&self) -> Result<(), Trouble> {
        std::fs::remove_dir(&self.staging).map_err(|cause| self.unusable(&cause))?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.staging)
            .map(|_| ())
            .map_err(|cause| self.unusable(&cause))
    }

    fn unusable(&self, cause: &std::io::Error) -> Trouble {
        Trouble::Failed(format!("{}: {cause}", self.staging.display()))
    }

    fn put(&self) -> Result<(), Trouble> {
        let place = Held::exactly(&self.place)?;
        must_be_in(&place, &self.top)?;
        if table()?.at(&self.top).map(|top| top.id) != Some(self.top_id) {
            return Err(Trouble::Failed(
                "the mount it belongs in was made anew meanwhile".to_owned(),
            ));
        }
        if place.mount(&table()?)?.point == self.place {
            return Err(Trouble::Failed(
                "something is mounted there already".to_owned(),
            ));
        }
        rustix::mount::mount_move(&self.staging, place.name())
            .map_err(|errno| failed("it cannot be moved to its place", errno))
    }
}

/// Takes away what is mounted at `place`, within the mount of ours at `top`. Nothing there is as good.
///
/// What is to go may be dead, and opening it would hang; so the directory it is in is held, and the last name is left to the kernel.
/// That is safe: the directory is in a mount of ours, so whatever the name is by then, only what is mounted on that mount can be hit, and
/// a link is not followed. Whoever moves it away has it where the kernel's list then shows it, and the next look finds it there.
pub(super) fn drop_part(top: &Path, place: &Path) -> Result<(), Trouble> {
    let (Some(folder), Some(name)) = (place.parent(), place.file_name()) else {
        return Err(Trouble::Failed(format!("{}: no name", place.display())));
    };
    let folder = match Held::exactly(folder) {
        Err(_) if table()?.at(place).is_none() => return Ok(()),
        held => held?,
    };
    must_be_in(&folder, top)?;
    take_away(&folder.name().join(name), Reads::Wait)
}

/// What is held must be in the mount of ours at `top`, or in one that is within it.
fn must_be_in(held: &Held, top: &Path) -> Result<(), Trouble> {
    let table = table()?;
    let mount = held.mount(&table)?;
    if mount.point.starts_with(top) {
        return Ok(());
    }
    Err(Trouble::Failed(format!(
        "{} is in no mount of ours any more",
        top.display()
    )))
}

/// Both questions go to the server, as in [`ask`]. A file is not opened, which may do something; what it is like is asked.
pub(super) fn ask_part(place: &Path) -> Result<(), Trouble> {
    match Held::directory_exactly(place)? {
        Some(directory) => ask_directory(directory.descriptor()),
        None => {
            let file = Held::exactly(place)?;
            let flags = AtFlags::STATX_FORCE_SYNC | AtFlags::EMPTY_PATH;
            rustix::fs::statx(file.descriptor(), "", flags, StatxFlags::BASIC_STATS)
                .map(|_| ())
                .map_err(|errno| failed("it answers with an error", errno))
        }
    }
}
