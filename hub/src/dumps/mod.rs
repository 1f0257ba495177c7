//! Getting published dump files: what there is (`layout`), one file after another (`fetch`), each right or not there (`download`,
//! `part`), from a mirror that is not waited for without end (`mirror`, `pace`).
//!
//! Source: the layout of dumps.wikimedia.org, `/<wiki>/<date>/` with `dumpstatus.json`, which lists jobs, their files, sizes and
//! checksums. Mirrors keep the same layout below an address of theirs.
//!
//! **Invariant:** a file stands under its own name only when its size and checksum are those that the dump's list says.

mod download;
mod fetch;
mod layout;
mod mirror;
mod pace;
mod part;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub use self::fetch::{Got, Request, fetch};
pub use self::layout::{Job, WikiName};
pub use self::mirror::Mirror;
pub use self::pace::Patience;

/// Where Wikimedia publishes dumps.
pub const WIKIMEDIA: &str = "https://dumps.wikimedia.org/";

/// Why something could not be had. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DumpsError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Usage(String),
    /// There is no such thing on the mirror.
    #[error("{0}")]
    Absent(String),
    /// The mirror does not answer, or not as a mirror does.
    #[error("{0}")]
    Mirror(String),
    /// What the mirror sent is not what the dump's list says.
    #[error("{0}")]
    Wrong(String),
    /// The local disk.
    #[error("{}: {cause}", path.display())]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
}

/// What went wrong at a path, with what to do where that is known.
fn disk(path: &Path) -> impl Fn(std::io::Error) -> DumpsError {
    move |cause| {
        let cause = match cause.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => std::io::Error::new(
                cause.kind(),
                "the disk is full; free some space and run the same again: what is there already is kept",
            ),
            ErrorKind::FileTooLarge => std::io::Error::new(
                cause.kind(),
                "this file system takes no file so large; give another place with --to",
            ),
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => std::io::Error::new(
                cause.kind(),
                "this user may not write there; give another place with --to, or run it as whom it belongs to",
            ),
            _ => cause,
        };
        DumpsError::Disk {
            path: path.to_owned(),
            cause,
        }
    }
}

/// Takes how far it is. Bytes, except where said.
pub trait Progress: Send + Sync {
    /// A file begins, of so many bytes.
    fn begin(&self, name: &str, size: u64);
    /// So many bytes of it are there.
    fn at(&self, bytes: u64);
    /// The file is done.
    fn end(&self);
    /// A sentence for whoever waits.
    fn say(&self, line: &str);
}
