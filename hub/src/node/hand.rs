//! What touches a mount: one piece of work in a process of its own, because a file system that does not answer holds whoever asks it.
//!
//! `holt node-hand` reads a [`Job`] from standard input, does it, and writes a [`Reply`]. The node ends it when its time is up, and
//! does not wait for one that cannot be ended.
//! Anything may be cut off in the middle: a mount is made in the staging directory, which nobody sees, and moved to its place whole,
//! with its flags already set. Set afterwards, they would not reach the copies that containers have of it.

use std::ffi::OsStr;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, CWD, Dir, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
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
    /// Mount in `staging`, ask, and move to `place`.
    Make(Make),
    /// Put a copy of one mount of this machine to `place`, within a mount of ours.
    Attach {
        source: PathBuf,
        staging: PathBuf,
        place: PathBuf,
        access: Access,
    },
    /// Take away whatever is mounted at `place`, at once, whoever uses it.
    Drop { place: PathBuf, reads: Reads },
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
    /// Nothing below this may be given away: it is the node's own directory.
    pub(super) own: PathBuf,
}

/// What can be done on a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Access {
    pub(super) write: bool,
    pub(super) exec: bool,
}

impl Access {
    /// As options of `mount -o`.
    fn options(self) -> impl Iterator<Item = &'static str> + use<> {
        let write = if self.write { "rw" } else { "ro" };
        let exec = (!self.exec).then_some("noexec");
        [write, "nosuid", "nodev"].into_iter().chain(exec)
    }

    /// Whether the mount has them.
    fn is_kept_by(self, mount: &Mounted) -> bool {
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
enum Trouble {
    Failed(String),
    Refused(String),
}

/// Does the job that standard input has, and prints the reply.
///
/// # Errors
/// Standard input has no job, or nobody reads the reply.
pub fn main() -> std::io::Result<()> {
    let mut text = Vec::new();
    std::io::stdin().take(1 << 20).read_to_end(&mut text)?;
    let job: Job = serde_json::from_slice(&text)?;
    let reply = match job.run() {
        Ok(source) => Reply::Done { source },
        Err(Trouble::Failed(reason)) => Reply::Failed { reason },
        Err(Trouble::Refused(reason)) => Reply::Refused { reason },
    };
    serde_json::to_writer(std::io::stdout(), &reply)?;
    Ok(())
}

impl Job {
    fn run(&self) -> Result<Option<PathBuf>, Trouble> {
        match self {
            Self::Ask { path } => ask(path).map(|()| None),
            Self::Make(make) => make.run(),
            Self::Attach {
                source,
                staging,
                place,
                access,
            } => attach(source, staging, place, *access).map(|()| None),
            Self::Drop { place, reads } => take_away(place, *reads).map(|()| None),
        }
    }
}

impl Make {
    fn run(&self) -> Result<Option<PathBuf>, Trouble> {
        take_away(&self.staging, self.reads())?;
        let made = self.stage();
        if made.is_err() {
            // The reason that counts is the first.
            drop(take_away(&self.staging, self.reads()));
        }
        made
    }

    /// What is mounted for this alone may be ended for all; a directory of the machine may not.
    fn reads(&self) -> Reads {
        reads_of(&self.kind)
    }

    fn stage(&self) -> Result<Option<PathBuf>, Trouble> {
        must_be_free(&self.place)?;
        let source = match self.kind.as_str() {
            "bind" => Some(self.bind()?),
            "image" => {
                self.make_image()?;
                self.mount("ext4", &["loop"])?;
                None
            }
            kind => {
                self.mount(kind, &[])?;
                None
            }
        };
        shut(&self.staging, self.access)?;
        if let Some((user, group)) = self.owner.filter(|_| self.access.write) {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            rustix::fs::chownat(
                rustix::fs::CWD,
                &self.staging,
                Some(user),
                Some(group),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .map_err(|errno| failed("its topmost directory cannot be given to its owner", errno))?;
        }
        ask(&self.staging)?;
        must_be_free(&self.place)?;
        rustix::mount::mount_move(&self.staging, &self.place)
            .map_err(|errno| failed("it cannot be moved to its place", errno))?;
        Ok(source)
    }

    /// A directory of this machine with all that is mounted below it.
    fn bind(&self) -> Result<PathBuf, Trouble> {
        let source = Path::new(&self.source)
            .canonicalize()
            .map_err(|cause| Trouble::Failed(format!("{}: {cause}", self.source)))?;
        if self.own.starts_with(&source) || source.starts_with(&self.own) {
            return Err(Trouble::Refused(format!(
                "{} and the node's own directory {} lie in each other; give another source, or set node.directory",
                source.display(),
                self.own.display()
            )));
        }
        rustix::mount::mount_bind_recursive(&source, &self.staging)
            .map_err(|errno| failed(&format!("{} cannot be mounted", source.display()), errno))?;
        Ok(source)
    }

    /// By the program `mount`, which knows the helpers of each type.
    fn mount(&self, kind: &str, more: &[&str]) -> Result<(), Trouble> {
        let mut options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        options.extend(more);
        options.extend(self.access.options().map(|option| -> &str { option }));
        let mut command = Command::new("mount");
        command
            .args(["-t", kind, "-o", &options.join(","), "--", &self.source])
            .arg(&self.staging);
        run(command)?;
        match table()?.at(&self.staging) {
            Some(_) => Ok(()),
            None => Err(Trouble::Failed(
                "`mount` said all is well, but nothing is mounted".to_owned(),
            )),
        }
    }

    /// Makes the file with a file system of the size in it, if it is not there.
    fn make_image(&self) -> Result<(), Trouble> {
        let path = Path::new(&self.source);
        let failed = |cause: std::io::Error| Trouble::Failed(format!("{}: {cause}", self.source));
        // Only where there surely is none: a disk that fails to tell must not lose what is on it.
        match std::fs::symlink_metadata(path) {
            Ok(_) => return Ok(()),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            Err(cause) => return Err(failed(cause)),
        }
        // Under another name until it is whole.
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let size = self.quota.unwrap_or_default();
        match std::fs::remove_file(&new) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(cause));
            }
            _ => {}
        }
        // Follows no link, and takes nothing that is there.
        std::fs::File::create_new(&new)
            .and_then(|file| file.set_len(size))
            .map_err(failed)?;
        let mut command = Command::new("mkfs.ext4");
        command.args(["-q", "-F", "-m", "0", "--"]).arg(&new);
        run(command)?;
        rustix::fs::renameat_with(CWD, &new, CWD, path, RenameFlags::NOREPLACE)
            .map_err(|errno| failed(errno.into()))
    }
}

/// Sets the flags on everything in the staging directory, and cuts it off from what is mounted at its source later.
fn shut(staging: &Path, access: Access) -> Result<(), Trouble> {
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
    match table()?
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

fn attach(source: &Path, staging: &Path, place: &Path, access: Access) -> Result<(), Trouble> {
    take_away(staging, Reads::Wait)?;
    let attached = rustix::mount::mount_bind(source, staging)
        .map_err(|errno| failed(&format!("{} cannot be mounted", source.display()), errno))
        .and_then(|()| shut(staging, access))
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
fn ask(path: &Path) -> Result<(), Trouble> {
    let failed = |errno| failed("it answers with an error", errno);
    let directory = open_directory(path).map_err(failed)?;
    rustix::fs::fstatvfs(&directory).map_err(failed)?;
    let entries = Dir::read_from(&directory).map_err(failed)?;
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
fn must_be_free(place: &Path) -> Result<(), Trouble> {
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
fn take_away(place: &Path, reads: Reads) -> Result<(), Trouble> {
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

fn table() -> Result<Table, Trouble> {
    Table::read().map_err(|cause| Trouble::Failed(format!("the kernel's list of mounts: {cause}")))
}

/// Runs a program of the system and takes its words when it fails.
fn run(mut command: Command) -> Result<(), Trouble> {
    let program = command.get_program().to_string_lossy().into_owned();
    let path = [
        std::env::var_os("PATH").unwrap_or_default(),
        OsStr::new("/usr/sbin:/sbin:/usr/bin:/bin").to_owned(),
    ];
    let unusable = |cause: std::io::Error| {
        Trouble::Failed(format!("the program {program} cannot be run: {cause}"))
    };
    // A file, not a pipe: a file system's own process may hold it for as long as it lives.
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let said = rustix::fs::memfd_create("said", flags).map_err(|errno| unusable(errno.into()))?;
    let mut said = std::fs::File::from(said);
    let copy = || said.try_clone().map_err(unusable);
    let status = command
        .env("PATH", path.join(OsStr::new(":")))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(copy()?)
        .stderr(copy()?)
        .status()
        .map_err(unusable)?;
    if status.success() {
        return Ok(());
    }
    let mut words = Vec::new();
    said.rewind()
        .and_then(|()| said.take(4096).read_to_end(&mut words))
        .map_err(unusable)?;
    let words = String::from_utf8_lossy(&words);
    let words: Vec<_> = words.split_whitespace().collect();
    let words: String = words.join(" ").chars().take(400).collect();
    Err(Trouble::Failed(match words.as_str() {
        "" => format!("{program} ended with {status}"),
        words => words.to_owned(),
    }))
}

fn failed(what: &str, errno: Errno) -> Trouble {
    Trouble::Failed(match errno {
        Errno::STALE => format!("{what}: its file handle is stale (ESTALE)"),
        Errno::NOTCONN => format!("{what}: its server is gone (ENOTCONN)"),
        Errno::IO => format!("{what}: input or output error (EIO)"),
        Errno::PERM => format!("{what}: not permitted (EPERM)"),
        errno => format!("{what}: {errno}"),
    })
}
