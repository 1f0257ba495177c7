//! A file system that serves a directory and dies in the way it is told to: a stand-in for a file server and its client.
//!
//! `mount -t fuse3 'dying-fs#CONTROL' POINT` starts it as `dying-fs CONTROL POINT -o OPTIONS`. It goes into the background once it is
//! mounted. It serves `CONTROL/tree`, and looks at `CONTROL/mode` before each answer:
//!
//! | mode | what it does |
//! |---|---|
//! | `well` | answers |
//! | `hang` | does not answer until the mode is another one: who asks cannot be ended |
//! | `error` | answers with EIO |
//! | `stale` | answers with ESTALE |
//! | `gone` | ends: who asks gets ENOTCONN |
//!
//! One question is answered after the other, and nothing is remembered by the kernel.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen,
    ReplyStatfs, Request, SessionACL,
};

/// The kernel asks again each time.
const FORGOTTEN: Duration = Duration::ZERO;
/// Between two looks at the mode while nothing is answered.
const LOOK: Duration = Duration::from_millis(20);
/// Whoever is asked for so long in vain has been given up by everybody, which it has no way to notice.
const GIVEN_UP: Duration = Duration::from_secs(120);
/// Says that this process is the one in the background.
const IN_BACKGROUND: &str = "DYING_FS_IN_BACKGROUND";

struct Dying {
    control: PathBuf,
    /// Paths below the tree by inode number, less one.
    paths: Mutex<Vec<PathBuf>>,
}

impl Dying {
    /// Comes back when the mode lets an answer be given, with the error that it has to be.
    fn obey(&self) -> Result<(), Errno> {
        let began = Instant::now();
        loop {
            let Ok(mode) = std::fs::read_to_string(self.control.join("mode")) else {
                // Who told us what to do has gone, and its directory with it.
                exit(0);
            };
            match mode.trim() {
                "hang" if began.elapsed() > GIVEN_UP => exit(0),
                "hang" => std::thread::sleep(LOOK),
                "error" => return Err(Errno::EIO),
                "stale" => return Err(Errno::from_i32(rustix::io::Errno::STALE.raw_os_error())),
                "gone" => exit(0),
                _ => return Ok(()),
            }
        }
    }

    fn path(&self, ino: INodeNo) -> Result<PathBuf, Errno> {
        let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(u64::from(ino)).map_err(|_| Errno::ENOENT)?;
        let path = paths.get(place.wrapping_sub(1)).ok_or(Errno::ENOENT)?;
        Ok(self.control.join("tree").join(path))
    }

    fn number(&self, path: PathBuf) -> INodeNo {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let known = paths.iter().position(|known| *known == path);
        let place = known.unwrap_or_else(|| {
            paths.push(path);
            paths.len() - 1
        });
        INodeNo(place as u64 + 1)
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        self.obey()?;
        let whole = self.path(parent)?.join(name);
        let inner = whole.strip_prefix(self.control.join("tree"));
        let inner = inner.map_err(|_| Errno::ENOENT)?.to_owned();
        let found = std::fs::symlink_metadata(&whole).map_err(|_| Errno::ENOENT)?;
        Ok(attributes(self.number(inner), &found))
    }

    fn entries(&self, ino: INodeNo) -> Result<Vec<(INodeNo, FileType, OsString)>, Errno> {
        self.obey()?;
        let mut entries = vec![
            (ino, FileType::Directory, ".".into()),
            (ino, FileType::Directory, "..".into()),
        ];
        let listed = std::fs::read_dir(self.path(ino)?).map_err(|_| Errno::ENOTDIR)?;
        for entry in listed.flatten() {
            let attributes = self.child(ino, &entry.file_name())?;
            entries.push((attributes.ino, attributes.kind, entry.file_name()));
        }
        Ok(entries)
    }

    fn content(&self, ino: INodeNo, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        self.obey()?;
        let file = std::fs::File::open(self.path(ino)?).map_err(|_| Errno::ENOENT)?;
        let mut bytes = vec![0; size as usize];
        let length = file.read_at(&mut bytes, offset).map_err(|_| Errno::EIO)?;
        bytes.truncate(length);
        Ok(bytes)
    }
}

fn attributes(ino: INodeNo, found: &std::fs::Metadata) -> FileAttr {
    let kind = match found.file_type() {
        kind if kind.is_dir() => FileType::Directory,
        kind if kind.is_symlink() => FileType::Symlink,
        _ => FileType::RegularFile,
    };
    FileAttr {
        ino,
        size: found.len(),
        blocks: found.blocks(),
        atime: UNIX_EPOCH,
        mtime: found.modified().unwrap_or(UNIX_EPOCH),
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm: u16::try_from(found.permissions().mode() & 0o7777).unwrap_or(0o444),
        nlink: 1,
        uid: found.uid(),
        gid: found.gid(),
        rdev: 0,
        flags: 0,
        blksize: 4096,
    }
}

impl Filesystem for Dying {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.child(parent, name) {
            Ok(found) => reply.entry(&FORGOTTEN, &found, Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self
            .obey()
            .and_then(|()| std::fs::symlink_metadata(self.path(ino)?).map_err(|_| Errno::ENOENT));
        match found {
            Ok(found) => reply.attr(&FORGOTTEN, &attributes(ino, &found)),
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let leads = self
            .obey()
            .and_then(|()| std::fs::read_link(self.path(ino)?).map_err(|_| Errno::EINVAL));
        match leads {
            Ok(leads) => reply.data(leads.as_os_str().as_bytes()),
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.obey() {
            // No page of it is kept: each read comes to us.
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.content(ino, offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        match self.entries(ino) {
            Ok(entries) => {
                let offset = usize::try_from(offset).unwrap_or(usize::MAX);
                for (place, (ino, kind, name)) in entries.iter().enumerate().skip(offset) {
                    if reply.add(*ino, place as u64 + 1, *kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match self.obey() {
            Ok(()) => reply.statfs(1 << 20, 1 << 19, 1 << 19, 1000, 500, 4096, 255, 4096),
            Err(errno) => reply.error(errno),
        }
    }
}

fn main() -> Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [control, point, options @ ..] = arguments.as_slice() else {
        bail!("dying-fs CONTROL POINT [-o OPTIONS]");
    };
    let (control, point) = (PathBuf::from(control), PathBuf::from(point));
    if std::env::var_os(IN_BACKGROUND).is_none() {
        return go_into_background(&arguments, &point);
    }
    let is_read_only = options
        .iter()
        .any(|option| option.to_string_lossy().split(',').any(|word| word == "ro"));
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("dying-fs".to_owned()),
        MountOption::NoSuid,
        MountOption::NoDev,
        if is_read_only {
            MountOption::RO
        } else {
            MountOption::RW
        },
    ];
    config.acl = SessionACL::All;
    let dying = Dying {
        control: control.canonicalize().context("the control directory")?,
        paths: Mutex::new(vec![PathBuf::new()]),
    };
    fuser::mount(dying, &point, &config)?;
    Ok(())
}

/// Starts this program once more in a group of its own, and waits until it has mounted.
fn go_into_background(arguments: &[OsString], point: &Path) -> Result<()> {
    let before = mounts_at(point);
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .env(IN_BACKGROUND, "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let began = Instant::now();
    while mounts_at(point) == before {
        if let Some(status) = child.try_wait()? {
            bail!("nothing was mounted: {status}");
        }
        if began.elapsed() > Duration::from_secs(10) {
            bail!("nothing was mounted in time");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn mounts_at(point: &Path) -> usize {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let point = point.to_string_lossy();
    table
        .lines()
        .filter(|line| line.split(' ').nth(4) == Some(&point))
        .count()
}
