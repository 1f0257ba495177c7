//! One `holt up` on a data directory, and no second.

use std::io;

use crate::config::DataDir;
use crate::lock::{self, Lock};

/// Held as long as it lives.
#[derive(Debug)]
pub struct UpLock {
    _lock: Lock,
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
        let lock = match Lock::take(&data_dir.run().join("up.lock")) {
            Ok(lock) => lock,
            Err(lock::LockError::Held(words)) => {
                return Err(LockError::Held {
                    pid: lock::pid(&words),
                    directory,
                });
            }
            Err(lock::LockError::Unusable(cause)) => return Err(unusable(cause)),
        };
        lock.say(b"").map_err(unusable)?;
        Ok(Self { _lock: lock })
    }
}
