//! Which program the children are: this one, even after its file was replaced.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

/// The running program's file, reachable as long as this process lives.
const SELF: &str = "/proc/self/exe";

/// This program.
#[derive(Debug, Clone)]
pub(super) struct Program {
    path: Option<PathBuf>,
    mark: String,
}

fn mark_of(file: &Metadata) -> String {
    format!(
        "{}:{}:{}.{}",
        file.dev(),
        file.ino(),
        file.mtime(),
        file.mtime_nsec()
    )
}

impl Program {
    /// The program that runs now.
    #[must_use]
    pub(super) fn own() -> Self {
        let mark = std::fs::metadata(SELF)
            .map(|file| mark_of(&file))
            .unwrap_or_default();
        Self {
            path: std::env::current_exe().ok(),
            mark,
        }
    }

    /// How to start it: by its own name while that is still the same file.
    #[must_use]
    pub(super) fn path(&self) -> PathBuf {
        match &self.path {
            Some(path) if std::fs::metadata(path).is_ok_and(|file| mark_of(&file) == self.mark) => {
                path.clone()
            }
            _ => PathBuf::from(SELF),
        }
    }

    /// Tells this program with these settings from any other.
    #[must_use]
    pub(super) fn fingerprint(&self, settings: &str) -> String {
        hex::encode(Sha256::digest(format!("{}\n{settings}", self.mark)))
    }
}
