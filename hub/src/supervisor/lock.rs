//! One `holt up` on a data directory, and no second.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;

use crate::config::DataDir;

/// Held as long as it lives. The children do not inherit it: the file closes when they are made.
#[derive(Debug)]
pub struct UpLock {
    _file: File,
}

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("another `holt up`{} already uses the data directory {directory}. Stop it first, or give another with --data-dir", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Held {
        /// Whose it is, when it said so.
        pid: Option<i32>,
        /// The data directory.
        directory: String,
    },
    /// The file cannot be used.
    #[error("the lock of the data directory {directory} cannot be taken")]
    Unusable {
        /// The data directory.
        directory: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl UpLock {
    /// Takes the lock and writes our process number into it.
    ///
    /// # Errors
    /// [`LockError::Held`] with the number of who has it.
    pub fn take(data_dir: &DataDir) -> Result<Self, LockError> {
        let directory = data_dir.path().display().to_string();
        let unusable = |cause| LockError::Unusable {
            directory: directory.clone(),
            cause,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(data_dir.run().join("up.lock"))
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = file.read_to_string(&mut text);
                return Err(LockError::Held {
                    pid: read.ok().and_then(|_| text.trim().parse().ok()),
                    directory,
                });
            }
            Err(TryLockError::Error(cause)) => return Err(unusable(cause)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(unusable)?;
        Ok(Self { _file: file })
    }
}
