//! What touches a mount: one piece of work in a process of its own, because a file system that does not answer holds whoever asks it.
//!
//! `holt node-hand` reads a [`Job`], one line, from standard input, does it, and writes a [`Reply`]. The node ends it when its time is up,
//! and does not wait for one that cannot be ended. It ends by itself, with what it started, when standard input does: the node is gone,
//! and the next one may do other things in the same places.
//! Anything may be cut off in the middle: a mount is made in the staging directory, which nobody sees (`make`), and moved to its place
//! whole, with its flags already set. Set afterwards, they would not reach the copies that containers have of it.

use std::fs::OpenOptions;
use std::io::{BufRead as _, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Signal, kill_current_process_group};
use serde::{Deserialize, Serialize};

use crate::mountinfo::{Mounted, Table};

/// Directory entries that an asker reads: enough to make the file system look.
const ENTRIES: usize = 16;
/// Most rounds of taking away what is stacked in one place.
const STACKED: usize = 64;

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Job {
    /// Ask the file system how it is and what is in its topmost directory.
    Ask { path: PathBuf },
    /// Mount in the staging directory, and ask.
    Make(Make),
    /// Move what was made to its place, if that is free.
    Place { staging: PathBuf, place: PathBuf },
    /// Put a copy of one mount of this machine to `place`, within a mount of ours, if it answers.
    Attach {
        source: PathBuf,
        staging: PathBuf,
        place: PathBuf,
        access: Access,
    },
    /// Take away whatever is mounted at `place`, at once, whoever uses it.
    Drop { place: PathBuf, reads: Reads },
    /// Look how large a file with a file system in it is; done when that is as it should be.
    Weigh { image: PathBuf, quota: u64 },
    /// Take away the one mount of this number that is seen at `place`, and nothing below it.
    Uncover { place: PathBuf, id: u32 },
}

/// What happens to reads that wait in a mount that is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reads {
    /// They end with an error, where the file system can do that.
    End,
    /// They go on waiting: the file system is somebody else's too.
    Wait,
}

/// What may happen to reads that wait in a mount of this kind.
pub(super) fn reads_of(kind: &str) -> Reads {
    match kind {
        "bind" => Reads::Wait,
        _ => Reads::End,
    }
}

/// A mount to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Make {
    pub(super) kind: String,
    pub(super) source: String,
    pub(super) options: Vec<String>,
    pub(super) access: Access,
    /// Whom the topmost directory is given to.
    pub(super) owner: Option<(u32, u32)>,
    /// Size of the file system in a file, in bytes.
    pub(super) quota: Option<u64>,
    pub(super) staging: PathBuf,
    pub(super) place: PathBuf,
    /// Nothing in these, nor what they are in, may be given away: Holt's own directories.
    pub(super) own: Vec<PathBuf>,
}

/// What can be done on a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Access {
    pub(super) write: bool,
    pub(super) exec: bool,
}

impl Access {
    /// As options of `mount -o`.
    pub(super) fn options(self) -> impl Iterator<Item = &'static str> + use<> {
        let write = if self.write { "rw" } else { "ro" };
        let exec = (!self.exec).then_some("noexec");
        [write, "nosuid", "nodev"].into_iter().chain(exec)
    }

    /// Whether the mount has them.
    pub(super) fn is_kept_by(self, mount: &Mounted) -> bool {
        self.options()
            .filter(|option| *option != "rw")
            .all(|option| mount.has(option))
    }
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    /// Done. `source`: for a bind mount, its source without links.
    Done { source: Option<PathBuf> },
    /// Not done; the next try may succeed.
    Failed { reason: String },
    /// Something that is not ours to remove is in the way.
    Refused { reason: String },
}

/// Why a job was not done.
pub(super) enum Trouble {
    Failed(String),
    Refused(String),
}

/// Does the job that standard input has, and prints the reply.
///
/// # Errors
/// Standard input has no job, or nobody reads the reply.
pub fn main() -> std::io::Result<()> {
    let mut text = Vec::new();
    std::io::stdin()
        .lock()
        .take(1 << 20)
        .read_until(b'\n', &mut text)?;
    let job: Job = serde_json::from_slice(&text)?;
    std::thread::spawn(end_with_the_node);
    let reply = match job.run() {
        Ok(source) => Reply::Done { source },
        Err(Trouble::Failed(reason)) => Reply::Failed { reason },
        Err(Trouble::Refused(reason)) => Reply::Refused { reason },
    };
    serde_json::to_writer(std::io::stdout(), &reply)?;
    Ok(())
}

/// Waits for the end of standard input, and ends this process and what it started: they are a group of their own.
fn end_with_the_node() {
    let mut rest = [0; 64];
    while matches!(std::io::stdin().read(&mut rest), Ok(1..)) {}
    let _ = kill_current_process_group(Signal::KILL);
}

impl Job {
    fn run(&self) -> Result<Option<PathBuf>, Trouble> {
        match self {
            Self::Ask { path } => ask(path).map(|()| None),
            Self::Make(make) => make.run(),
            Self::Place { staging, place } => put(staging, place).map(|()| None),
            Self::Attach {
                source,
                staging,
                place,
                access,
            } => attach(source, staging, place, *access).map(|()| None),
            Self::Drop { place, reads } => take_away(place, *reads).map(|()| None),
            Self::Weigh { image, quota } => match super::image::note(image, *quota) {
                Some(note) => Err(Trouble::Failed(note)),
                None => Ok(None),
            },
            Self::Uncover { place, id } => uncover(place, *id).map(|()| None),
        }
    }
}

/// Sets the flags on everything in the staging directory, and cuts it off from what is mounted at its source later.
pub(super) fn shut(staging: &Path, access: Access) -> Result<(), Trouble> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(staging, private)
        .map_err(|errno| failed("it cannot be cut off from its source", errno))?;
    for mount in table()?.within(staging) {
        if access.is_kept_by(mount) {
            continue;
        }
        let mut flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
        flags.set(MountFlags::RDONLY, !access.write || mount.has("ro"));
        flags.set(MountFlags::NOEXEC, !access.exec || mount.has("noexec"));
        flags.set(MountFlags::NOATIME, mount.has("noatime"));
        flags.set(MountFlags::NODIRATIME, mount.has("nodiratime"));
        flags.set(MountFlags::RELATIME, mount.has("relatime"));
        rustix::mount::mount_remount(&mount.point, flags, "").map_err(|errno| {
            failed(
                &format!("{}: its flags cannot be set", mount.point.display()),
                errno,
            )
        })?;
    }
    // Asked again: a flag that was not taken would be noticed by nobody.
    let table = table()?;
    if table.at(staging).is_none() {
        return Err(Trouble::Failed(
            "the kernel's list of mounts does not show it, so its flags are not known".to_owned(),
        ));
    }
    match table
        .within(staging)
        .iter()
        .find(|mount| !access.is_kept_by(mount))
    {
        Some(mount) => Err(Trouble::Failed(format!(
            "{} did not take its flags",
            mount.point.display()
        ))),
        None => Ok(()),
    }
}

fn put(staging: &Path, place: &Path) -> Result<(), Trouble> {
    let put = must_be_free(place).and_then(|()| {
        rustix::mount::mount_move(staging, place)
            .map_err(|errno| failed("it cannot be moved to its place", errno))
    });
    if put.is_err() {
        // What was made works, and readers of its like may be others'.
        drop(take_away(staging, Reads::Wait));
    }
    put
}

fn attach(source: &Path, staging: &Path, place: &Path, access: Access) -> Result<(), Trouble> {
    take_away(staging, Reads::Wait)?;
    match rustix::mount::mount_bind(source, staging) {
        Ok(()) => finish_attaching(staging, place, access),
        // A file is mounted on a file.
        Err(Errno::NOTDIR) => {
            let staging = &staging.with_added_extension("file");
            take_away(staging, Reads::Wait)?;
            let flags = OFlags::NOFOLLOW.bits().cast_signed();
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(flags)
                .open(staging)
                .map_err(|cause| Trouble::Failed(format!("{}: {cause}", staging.display())))?;
            rustix::mount::mount_bind(source, staging).map_err(|errno| {
                failed(&format!("{} cannot be mounted", source.display()), errno)
            })?;
            finish_attaching(staging, place, access)
        }
        Err(errno) => Err(failed(
            &format!("{} cannot be mounted", source.display()),
            errno,
        )),
    }
}

fn finish_attaching(staging: &Path, place: &Path, access: Access) -> Result<(), Trouble> {
    let attached = shut(staging, access)
        .and_then(|()| ask(staging))
        .and_then(|()| {
            rustix::mount::mount_move(staging, place)
                .map_err(|errno| failed("it cannot be moved to its place", errno))
        });
    if attached.is_err() {
        drop(take_away(staging, Reads::Wait));
    }
    attached
}

/// Both questions go to the server, whatever the machine remembers: how full it is, and what is in a directory that is opened anew.
pub(super) fn ask(path: &Path) -> Result<(), Trouble> {
    let failed = |errno| failed("it answers with an error", errno);
    let directory = match open_directory(path) {
        // Below a source there may be a file that is mounted.
        Err(Errno::NOTDIR) => return ask_file(path),
        opened => opened.map_err(failed)?,
    };
    rustix::fs::fstatvfs(&directory).map_err(failed)?;
    let entries = Dir::read_from(&directory).map_err(failed)?;
    for entry in entries.take(ENTRIES) {
        entry.map_err(failed)?;
    }
    Ok(())
}

/// A file is not opened, which may do something; what it is like is asked of the server.
fn ask_file(path: &Path) -> Result<(), Trouble> {
    let flags = AtFlags::STATX_FORCE_SYNC | AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::statx(CWD, path, flags, StatxFlags::BASIC_STATS)
        .map(|_| ())
        .map_err(|errno| failed("it answers with an error", errno))
}

fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// The place must be an empty directory with nothing mounted: what is there would be hidden.
pub(super) fn must_be_free(place: &Path) -> Result<(), Trouble> {
    if table()?.at(place).is_some() {
        return Err(Trouble::Failed(
            "something is mounted there already".to_owned(),
        ));
    }
    let refused = |reason: &str| {
        Trouble::Refused(format!(
            "{} {reason}: move that away; nothing is mounted over it",
            place.display()
        ))
    };
    let directory = open_directory(place).map_err(|errno| match errno {
        Errno::NOTDIR | Errno::LOOP => refused("is no directory"),
        errno => failed(&place.display().to_string(), errno),
    })?;
    let is_own = |name: &[u8]| name == b"." || name == b"..";
    for entry in Dir::read_from(&directory).map_err(|errno| failed("its place", errno))? {
        let entry = entry.map_err(|errno| failed("its place", errno))?;
        if !is_own(entry.file_name().to_bytes()) {
            return Err(refused("already holds files"));
        }
    }
    Ok(())
}

/// Takes away whatever is mounted at a place. Nothing there is as good.
pub(super) fn take_away(place: &Path, reads: Reads) -> Result<(), Trouble> {
    let mut flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    if reads == Reads::End {
        flags |= UnmountFlags::FORCE;
    }
    for _ in 0..STACKED {
        match rustix::mount::unmount(place, flags) {
            Ok(()) => {}
            // Nothing is mounted there, or there is no such place.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(failed("it cannot be taken away", errno)),
        }
    }
    Err(Trouble::Failed(
        "there is no end to what is mounted there".to_owned(),
    ))
}

fn uncover(place: &Path, id: u32) -> Result<(), Trouble> {
    // Somebody else may have done it.
    if table()?.at(place).is_none_or(|mount| mount.id != id) {
        return Ok(());
    }
    rustix::mount::unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .map_err(|errno| failed("it cannot be taken away", errno))
}

pub(super) fn table() -> Result<Table, Trouble> {
    Table::read().map_err(|cause| Trouble::Failed(format!("the kernel's list of mounts: {cause}")))
}

pub(super) fn failed(what: &str, errno: Errno) -> Trouble {
    Trouble::Failed(match errno {
        Errno::STALE => format!("{what}: its file handle is stale (ESTALE)"),
        Errno::NOTCONN => format!("{what}: its server is gone (ENOTCONN)"),
        Errno::IO => format!("{what}: input or output error (EIO)"),
        Errno::PERM => format!("{what}: not permitted (EPERM)"),
        errno => format!("{what}: {errno}"),
    })
}
