//! The beginning of a file, held by this process alone, and the note of which version it is.
//!
//! **Invariant:** from the first byte to its name it is one open file with a lock on it. Who opened it before it got its name finds,
//! with the lock in hand, that the name leads elsewhere, and writes nothing. Nothing here follows a symbolic link or waits for a pipe:
//! others may have put one there.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use md5::{Digest, Md5};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha1::Sha1;

use super::layout::Sum;
use super::{DumpsError, Progress, disk};

/// The longest note that is read.
const NOTE_BYTES: u64 = 64 << 10;
/// Between two looks how far a checksum is.
const LOOK: Duration = Duration::from_millis(250);
/// How often a name may lead elsewhere after the lock before somebody must be playing with us.
const LOOKS: u32 = 16;

/// Which version a part is of, as the mirror named it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    pub(super) size: u64,
    pub(super) sum: String,
}

impl Version {
    /// What a question for the rest names it by.
    pub(super) fn validator(&self) -> Option<&str> {
        self.etag.as_deref().or(self.last_modified.as_deref())
    }
}

/// The beginning of a file.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    note: PathBuf,
    file: File,
}

impl Part {
    /// The one beside `target`, made where there is none, for this process alone.
    ///
    /// # Errors
    /// [`DumpsError::Disk`]: another process has it, or it is no file of ours.
    pub(super) fn take(target: &Path) -> Result<Self, DumpsError> {
        let (path, note) = names(target);
        let file = open_locked(&path).map_err(disk(&path))?;
        let held = file.metadata().map_err(disk(&path))?;
        // Whoever owns it could write to it later, under its name; another name of it would be written too. To whom the folder belongs
        // can do as they like anyway, and some file systems know one owner only.
        let folder = path.parent().map(std::fs::metadata).transpose();
        let folder = folder.map_err(disk(&path))?.map(|folder| folder.uid());
        let is_ours =
            held.uid() == rustix::process::geteuid().as_raw() || folder == Some(held.uid());
        if !is_ours || held.nlink() != 1 {
            let cause = std::io::Error::other(
                "belongs to somebody else or has another name too; delete it and run the same again",
            );
            return Err(disk(&path)(cause));
        }
        Ok(Self { path, note, file })
    }

    /// How much is there.
    pub(super) fn length(&self) -> u64 {
        self.file.metadata().map_or(0, |found| found.len())
    }

    /// Of which version it is; none where nothing tells.
    pub(super) fn version(&self) -> Result<Option<Version>, DumpsError> {
        let file = match open_plain(&self.note, OFlags::RDONLY) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(disk(&self.note)(cause)),
        };
        let mut text = Vec::new();
        file.take(NOTE_BYTES)
            .read_to_end(&mut text)
            .map_err(disk(&self.note))?;
        Ok(serde_json::from_slice(&text).ok())
    }

    /// Empties it and notes of which version it will be, in this order: a note never stands beside bytes of another version.
    pub(super) fn begin(&mut self, version: &Version) -> Result<(), DumpsError> {
        self.empty()?;
        let text = serde_json::to_vec(version).unwrap_or_default();
        open_plain(&self.note, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)
            .and_then(|mut note| note.write_all(&text))
            .map_err(disk(&self.note))
    }

    /// The next byte that is written is this one; what was behind it is dropped.
    pub(super) fn go_to(&mut self, from: u64) -> Result<(), DumpsError> {
        let mut file = &self.file;
        file.set_len(from).map_err(disk(&self.path))?;
        file.seek(SeekFrom::Start(from)).map_err(disk(&self.path))?;
        Ok(())
    }

    /// Writes what comes next.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), DumpsError> {
        self.file.write_all(bytes).map_err(disk(&self.path))
    }

    /// Throws away what is there.
    pub(super) fn empty(&mut self) -> Result<(), DumpsError> {
        self.go_to(0)?;
        remove(&self.note)
    }

    /// What its content comes to.
    pub(super) async fn sum(
        &self,
        kind: &Sum,
        progress: &dyn Progress,
    ) -> Result<String, DumpsError> {
        let file = self.file.try_clone().map_err(disk(&self.path))?;
        let summed = sum_of(file, kind, progress).await;
        summed.map_err(disk(&self.path))
    }

    /// Gives it its name, readable for all, once it is on the disk.
    pub(super) fn finish(self, target: &Path) -> Result<(), DumpsError> {
        self.file.sync_all().map_err(disk(&self.path))?;
        open_up(&self.path, 0o644).map_err(disk(&self.path))?;
        std::fs::rename(&self.path, target).map_err(disk(target))?;
        if let Some(folder) = target.parent() {
            match File::open(folder).and_then(|folder| folder.sync_all()) {
                // Some file systems cannot, and keep names in order by themselves.
                Err(cause) if cause.kind() != ErrorKind::InvalidInput => {
                    return Err(disk(folder)(cause));
                }
                _ => {}
            }
        }
        remove(&self.note)
    }

    /// Leaves nothing where there is nothing worth keeping.
    pub(super) fn leave(self) {
        if self.length() == 0 {
            // Empty ones do no harm.
            let _ = std::fs::remove_file(&self.path);
            let _ = std::fs::remove_file(&self.note);
        }
    }
}

/// Lets others read it. Where the file system knows no such thing, it stays as it is.
pub(super) fn open_up(path: &Path, mode: u32) -> std::io::Result<()> {
    if std::fs::metadata(path)?.permissions().mode() & mode & 0o555 == mode & 0o555 {
        return Ok(());
    }
    match std::fs::set_permissions(path, PermissionsExt::from_mode(mode)) {
        Err(cause) if cause.kind() != ErrorKind::PermissionDenied => Err(cause),
        _ => Ok(()),
    }
}

/// What a run that was killed left of a file that is there: nobody needs it any more.
pub(super) fn clear(target: &Path) -> Result<(), DumpsError> {
    let (path, note) = names(target);
    remove(&path)?;
    remove(&note)
}

/// The room on the disk that a part takes, as far as it can become a file of `size`.
pub(super) fn room_of(target: &Path, size: u64) -> u64 {
    // Blocks, not the length: it may have holes.
    std::fs::symlink_metadata(names(target).0)
        .map_or(0, |found| found.blocks().saturating_mul(512).min(size))
}

/// Whether the file at its own name has this size and checksum.
pub(super) async fn is_right(
    target: &Path,
    size: u64,
    sum: &Sum,
    progress: &dyn Progress,
) -> Result<bool, DumpsError> {
    let found = std::fs::symlink_metadata(target);
    if found.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
        let cause = std::io::Error::other("is a folder, where a file shall be; move it away");
        return Err(disk(target)(cause));
    }
    if !found.is_ok_and(|found| found.is_file() && found.len() == size) {
        return Ok(false);
    }
    let file = open_plain(target, OFlags::RDONLY).map_err(disk(target))?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    progress.begin(&name, size);
    let summed = sum_of(file, sum, progress).await;
    progress.end();
    Ok(summed.map_err(disk(target))? == sum.text())
}

fn names(target: &Path) -> (PathBuf, PathBuf) {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    (
        target.with_file_name(format!(".{name}.part")),
        target.with_file_name(format!(".{name}.part.json")),
    )
}

fn remove(path: &Path) -> Result<(), DumpsError> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(disk(path)(cause)),
        _ => Ok(()),
    }
}

/// Opens a plain file, and nothing that only looks like one.
pub(super) fn open_plain(path: &Path, how: OFlags) -> std::io::Result<File> {
    let refused = |what: &str| {
        std::io::Error::other(format!(
            "is {what}, which might lead elsewhere; delete it and run the same again"
        ))
    };
    // A pipe would be waited for.
    let how = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, how, Mode::from_raw_mode(0o644)) {
        Ok(file) => File::from(file),
        Err(Errno::LOOP) => return Err(refused("a symbolic link")),
        Err(Errno::NXIO) => return Err(refused("a pipe or a socket")),
        Err(errno) => return Err(errno.into()),
    };
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(refused("no plain file")),
    }
}

/// Opens a file, made where there is none, with a lock on what the name leads to.
fn open_locked(path: &Path) -> std::io::Result<File> {
    for _ in 0..LOOKS {
        let file = open_plain(path, OFlags::RDWR | OFlags::CREATE)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_at(&file, path) => return Ok(file),
            // It got its name, or was deleted, before we had the lock.
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(std::io::Error::other(
                    "another process writes it; wait until that has ended",
                ));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(std::io::Error::other(
        "is replaced by somebody again and again; give another place with --to",
    ))
}

/// Whether the path still leads to that file.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let there = std::fs::symlink_metadata(path);
    file.metadata().is_ok_and(|held| {
        there.is_ok_and(|there| (held.dev(), held.ino()) == (there.dev(), there.ino()))
    })
}

/// The checksum of a file, which is read from its beginning while the bar moves.
async fn sum_of(file: File, kind: &Sum, progress: &dyn Progress) -> std::io::Result<String> {
    let is_sha1 = matches!(kind, Sum::Sha1(_));
    progress.say("Checking");
    let read = Arc::new(AtomicU64::new(0));
    let reading = Arc::clone(&read);
    let mut summing = tokio::task::spawn_blocking(move || match is_sha1 {
        true => digest::<Sha1>(&file, &reading),
        false => digest::<Md5>(&file, &reading),
    });
    loop {
        tokio::select! {
            summed = &mut summing => {
                return summed.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            }
            () = tokio::time::sleep(LOOK) => progress.at(read.load(Ordering::Relaxed)),
        }
    }
}

fn digest<D: Digest>(file: &File, read: &AtomicU64) -> std::io::Result<String> {
    let mut sum = D::new();
    let mut buffer = vec![0; 1 << 18];
    let mut place = 0;
    loop {
        match file.read_at(&mut buffer, place)? {
            0 => return Ok(hex::encode(sum.finalize())),
            count => {
                sum.update(&buffer[..count]);
                place += count as u64;
                read.store(place, Ordering::Relaxed);
            }
        }
    }
}
