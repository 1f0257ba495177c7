//! What touches a mount: one piece of work in a process of its own, because a file system that does not answer holds whoever asks it.
//!
//! `holt node-hand` reads an [`Errand`], one line, from standard input, does it, and writes a [`Reply`]. The node ends it when its time is
//! up, and does not wait for one that cannot be ended. It ends by itself, with what it started, when standard input does: the node is gone,
//! and the next one may do other things in the same places.
//! Anything may be cut off in the middle: a mount is made in the staging directory, which nobody sees (`make`), and moved to its place
//! whole, with its flags already set. Set afterwards, they would not reach the copies that containers have of it.

use std::io::{BufRead as _, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Pid, Signal, kill_current_process_group};

use super::held::Held;
use super::job::{Access, Errand, Job, Reads, Reply};
use super::mark::Origin;
use super::part::{ask_part, drop_part};
use crate::mountinfo::Table;

/// Directory entries that an asker reads: enough to make the file system look.
const ENTRIES: usize = 16;
/// Most rounds of taking away what is stacked in one place.
const STACKED: usize = 64;

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
    let errand: Errand = serde_json::from_slice(&text)?;
    must_be_of(errand.node)?;
    std::thread::spawn(end_with_the_node);
    let reply = match errand.job.run() {
        Ok(origin) => Reply::Done { origin },
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

/// The node that wanted it must be the one that started this. No signal at its death is asked for: that would end this process alone, and
/// before it had ended what it started; the end of standard input comes as surely.
fn must_be_of(node: u32) -> std::io::Result<()> {
    let parent = rustix::process::getppid().map(Pid::as_raw_nonzero);
    if parent.and_then(|parent| u32::try_from(parent.get()).ok()) == Some(node) {
        return Ok(());
    }
    Err(std::io::Error::other("the node that wanted it has ended"))
}

impl Job {
    fn run(&self) -> Result<Option<Origin>, Trouble> {
        match self {
            Self::Ask { place } => ask(place).map(|()| None),
            Self::AskPart { place } => ask_part(place).map(|()| None),
            Self::Find { source } => {
                let (held, _) = Held::follow(Path::new(source))?;
                held.origin().map(Some)
            }
            Self::Make(make) => make.run(),
            Self::Place { staging, place, id } => put(staging, place, *id).map(|()| None),
            Self::Attach(part) => part.attach().map(|()| None),
            Self::Drop { place, reads } => take_away(place, *reads).map(|()| None),
            Self::Weigh { image, quota } => match super::image::note(image, *quota) {
                Some(note) => Err(Trouble::Failed(note)),
                None => Ok(None),
            },
            Self::Uncover { place, id } => uncover(place, *id).map(|()| None),
            Self::DropPart { top, place } => drop_part(top, place).map(|()| None),
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

/// The mount that was made, by its number: whoever was sent before and came late may have mounted something too.
fn put(staging: &Path, place: &Path, id: u32) -> Result<(), Trouble> {
    let is_it = |place: &Path| match table()?.alone_at(place) {
        Some(mount) if mount.id == id => Ok(()),
        _ => Err(Trouble::Failed(
            "something else was mounted meanwhile where it is made".to_owned(),
        )),
    };
    let put = must_be_free(place)
        .and_then(|()| is_it(staging))
        .and_then(|()| {
            rustix::mount::mount_move(staging, place)
                .map_err(|errno| failed("it cannot be moved to its place", errno))
        });
    if put.is_err() {
        // What was made works, and readers of its like may be others'.
        drop(take_away(staging, Reads::Wait));
        return put;
    }
    // What came between the look and the move came with it.
    let is_there = is_it(place);
    if is_there.is_err() {
        drop(take_away(place, Reads::Wait));
    }
    is_there
}

/// Both questions go to the server, whatever the machine remembers: how full it is, and what is in a directory that is opened anew.
pub(super) fn ask(path: &Path) -> Result<(), Trouble> {
    let failed = |errno| failed("it answers with an error", errno);
    match open_directory(path) {
        Ok(directory) => ask_directory(&directory),
        // Below a source there may be a file that is mounted. It is not opened, which may do something.
        Err(Errno::NOTDIR) => {
            let flags = AtFlags::STATX_FORCE_SYNC | AtFlags::SYMLINK_NOFOLLOW;
            let found = rustix::fs::statx(CWD, path, flags, StatxFlags::BASIC_STATS);
            found.map(|_| ()).map_err(failed)
        }
        Err(errno) => Err(failed(errno)),
    }
}

pub(super) fn ask_directory(directory: &OwnedFd) -> Result<(), Trouble> {
    let failed = |errno| failed("it answers with an error", errno);
    rustix::fs::fstatvfs(directory).map_err(failed)?;
    let entries = Dir::read_from(directory).map_err(failed)?;
    for entry in entries.take(ENTRIES) {
        entry.map_err(failed)?;
    }
    Ok(())
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
/// The way to the place must be root's alone, as all of the node's own directory is, or the name of something held.
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
