//! The data directory: which one, what lies where in it, and that it can be used.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::problem::{Place, Problem};

/// The longest path of a Unix socket, without its closing zero.
const SOCKET_PATH: usize = 107;

/// Why the data directory cannot be used. Each is one clear line.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made or written.
    #[error("the data directory {path} cannot be written: {fix}")]
    Unwritable {
        /// The directory.
        path: PathBuf,
        /// What to do.
        fix: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Sockets in it would have too long a path.
    #[error(
        "the path of the data directory {path} is too long for sockets: at most {most} bytes. Give a shorter one with --data-dir, for example a symbolic link"
    )]
    TooLong {
        /// The directory.
        path: PathBuf,
        /// The most it may have.
        most: usize,
    },
}

/// The data directory and what lies where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    path: PathBuf,
}

impl DataDir {
    /// The flag, else `HOLT_DATA_DIR`, else `holt` in the XDG data directory.
    pub(super) fn choose(
        flag: Option<&Path>,
        environment: &[(OsString, OsString)],
    ) -> Result<Self, Problem> {
        let variable = |name: &str| {
            environment
                .iter()
                .find(|(key, value)| key == name && !value.is_empty())
                .map(|(_, value)| PathBuf::from(value))
        };
        let path = flag
            .map(Path::to_owned)
            .or_else(|| variable("HOLT_DATA_DIR"))
            .or_else(|| {
                variable("XDG_DATA_HOME")
                    .filter(|path| path.is_absolute())
                    .map(|path| path.join("holt"))
            })
            .or_else(|| variable("HOME").map(|path| path.join(".local/share/holt")))
            .ok_or_else(|| Problem {
                place: Place::Default,
                key: None,
                reason: "there is no home directory to keep data in".to_owned(),
                fix: "Give a directory with --data-dir or HOLT_DATA_DIR".to_owned(),
            })?;
        let path = std::path::absolute(&path).unwrap_or(path);
        Ok(Self { path })
    }

    /// A data directory at `path`, for tests and tools.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.path.join("holt.db")
    }

    /// Sockets, locks and what is known of running processes.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.path.join("run")
    }

    /// Homes, one directory for each user's number.
    #[must_use]
    pub fn homes(&self) -> PathBuf {
        self.path.join("homes")
    }

    /// Logs of the roles, when nobody else keeps them.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// What the proxy keeps.
    #[must_use]
    pub fn proxy_state(&self) -> PathBuf {
        self.path.join("proxy")
    }

    /// The hub's own socket.
    #[must_use]
    pub fn hub_socket(&self) -> PathBuf {
        self.run().join("hub.sock")
    }

    /// The proxy's control socket.
    #[must_use]
    pub fn proxy_socket(&self) -> PathBuf {
        self.run().join("proxy.sock")
    }

    /// The replica gateway's control socket.
    #[must_use]
    pub fn replicas_socket(&self) -> PathBuf {
        self.run().join("replicas.sock")
    }

    /// What the replica gateway keeps.
    #[must_use]
    pub fn replicas_state(&self) -> PathBuf {
        self.path.join("replicas")
    }

    /// Makes what is missing, closed to others, and tries to write.
    ///
    /// # Errors
    /// [`DataDirError`] with what to do.
    pub fn prepare(&self) -> Result<(), DataDirError> {
        // Room for the socket of a second hub, named with a process number.
        let most = SOCKET_PATH - "/run/hub-4194304.sock".len();
        if self.path.as_os_str().len() > most {
            return Err(DataDirError::TooLong {
                path: self.path.clone(),
                most,
            });
        }
        let unwritable = |cause: std::io::Error| DataDirError::Unwritable {
            path: self.path.clone(),
            fix: fix_for(&cause),
            cause,
        };
        let private = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        private(&self.path).map_err(unwritable)?;
        for path in [self.run(), self.homes(), self.log(), self.proxy_state()] {
            private(&path).map_err(unwritable)?;
        }
        let mode = std::fs::metadata(&self.path)
            .map_err(unwritable)?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            std::fs::set_permissions(&self.path, PermissionsExt::from_mode(0o700))
                .map_err(unwritable)?;
        }
        self.try_writing().map_err(unwritable)
    }

    /// A full disk shows only when something is written and synced.
    fn try_writing(&self) -> std::io::Result<()> {
        let path = self.run().join(format!("probe.{}", std::process::id()));
        let outcome = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(&[0; 4096]).and_then(|()| file.sync_all()));
        let removed = std::fs::remove_file(&path);
        outcome.and(match removed {
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        })
    }
}

fn fix_for(cause: &std::io::Error) -> String {
    match cause.kind() {
        ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only. Mount it writable, or give another with --data-dir"
                .into()
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "the disk is full. Free some space, or give another place with --data-dir".into()
        }
        ErrorKind::PermissionDenied => {
            "permission denied. Give it to the user who runs Holt, or give another with --data-dir"
                .into()
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "a file stands in its place. Move it away, or give another with --data-dir".into()
        }
        _ => format!("{cause}. Mend that, or give another with --data-dir"),
    }
}
