//! A file that one process holds at a time, with a few words of who that is. It is let go when that process ends, however it does.
//!
//! Source of what is done: flock(2), which the children that a process makes do not inherit here: the file closes when they are made.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// No lawful words are longer.
const LONGEST: u64 = 8 << 10;

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

/// Why a lock could not be had.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Somebody has it, and says this.
    Held(Vec<u8>),
    /// The file cannot be used.
    Unusable(io::Error),
}

impl Lock {
    /// Takes the lock of the file, which is made if need be, for its owner alone. No link is followed. Does not wait.
    ///
    /// # Errors
    /// [`LockError`].
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
            .map_err(LockError::Unusable)?;
        Self::of(file)
    }

    /// Takes the lock of a file that can be read and written. Does not wait.
    ///
    /// # Errors
    /// [`LockError`].
    pub(crate) fn of(file: File) -> Result<Self, LockError> {
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => {
                // Who has it may be about to say who it is.
                Err(LockError::Held(words(&file).unwrap_or_default()))
            }
            Err(TryLockError::Error(cause)) => Err(LockError::Unusable(cause)),
        }
    }

    /// What whoever had it last said.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn words(&self) -> io::Result<Vec<u8>> {
        words(&self.file)
    }

    /// Says that it is this process's, and what else there is to say, in lines after its number.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn say(&self, more: &[u8]) -> io::Result<()> {
        let mut text = format!("{}\n", std::process::id()).into_bytes();
        text.extend(more);
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&text)
    }
}

/// What is in a file of a lock.
pub(crate) fn words(mut file: &File) -> io::Result<Vec<u8>> {
    let mut words = Vec::new();
    file.rewind()?;
    file.take(LONGEST).read_to_end(&mut words)?;
    Ok(words)
}

/// The process that said so.
pub(crate) fn pid(words: &[u8]) -> Option<i32> {
    let line = words.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_and_the_next_reads_who_until_it_ends() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("lock");
        let Ok(held) = Lock::take(&path) else {
            panic!("nobody has it");
        };
        held.say(b"a longer text than the next one\n")?;
        held.say(b"more\n")?;
        let own = std::process::id();
        match Lock::take(&path) {
            Err(LockError::Held(words)) => {
                assert_eq!(words, format!("{own}\nmore\n").into_bytes());
                assert_eq!(pid(&words), i32::try_from(own).ok());
            }
            other => panic!("{other:?}"),
        }
        drop(held);
        assert!(Lock::take(&path).is_ok());
        // A link leads nowhere.
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link)?;
        assert!(matches!(Lock::take(&link), Err(LockError::Unusable(_))));
        assert_eq!(pid(b""), None);
        Ok(())
    }
}
