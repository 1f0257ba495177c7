//! Where the children's own lines go: to standard error, or to files when that is a terminal.
//!
//! **Invariant:** never through a pipe of ours, which would break at the supervisor's death.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Stdio;

/// A log larger than this is put aside when a child is made anew.
const LARGE: u64 = 10 << 20;

/// Where lines go.
#[derive(Debug, Clone)]
pub enum Output {
    /// Where ours go.
    Inherited,
    /// To `<role>.log` in this directory.
    Files(PathBuf),
}

impl Output {
    /// Files when somebody sits at a terminal; what the outside gave us otherwise.
    #[must_use]
    pub fn choose(log: PathBuf) -> Self {
        if io::stderr().is_terminal() {
            Self::Files(log)
        } else {
            Self::Inherited
        }
    }

    /// The file of a role, where there is one.
    #[must_use]
    pub fn file(&self, role: &str) -> Option<PathBuf> {
        match self {
            Self::Inherited => None,
            Self::Files(directory) => Some(directory.join(format!("{role}.log"))),
        }
    }

    /// Standard output and error for a child. Ours is kept for the sign-in link alone.
    pub(super) fn of(&self, role: &str) -> io::Result<(Stdio, Stdio)> {
        match self.file(role) {
            None => Ok((
                io::stderr().as_fd().try_clone_to_owned()?.into(),
                Stdio::inherit(),
            )),
            Some(path) => {
                if std::fs::metadata(&path).is_ok_and(|file| file.len() > LARGE) {
                    std::fs::rename(&path, path.with_extension("log.1"))?;
                }
                let file = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .mode(0o600)
                    .open(path)?;
                Ok((file.try_clone()?.into(), file.into()))
            }
        }
    }
}
