//! The file that routes are kept in: what `GET /api/routes` tells, replaced whole.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use serde_json::value::RawValue;

use super::routes::Fields;
use crate::table::StateDir;

/// The file.
#[derive(Debug)]
pub(super) struct Store {
    dir: StateDir,
    name: String,
    // The version that is on disk. Held while it is written, on a blocking thread: who waits finds its own version written by another.
    written: Mutex<u64>,
}

impl Store {
    /// Opens it, and reads what it holds.
    pub(super) fn open(file: &Path) -> io::Result<(Self, BTreeMap<String, Fields>)> {
        let (Some(dir), Some(name)) = (
            file.parent(),
            file.file_name().and_then(|name| name.to_str()),
        ) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is no path of a file",
            ));
        };
        let dir = StateDir::open(dir)?;
        let kept = dir.load(name)?.unwrap_or_default();
        let store = Store {
            dir,
            name: name.to_owned(),
            written: Mutex::new(0),
        };
        Ok((store, kept))
    }

    /// Makes sure that a version, or a later one, is on disk. Blocks.
    pub(super) fn keep(&self, wanted: u64, now: impl FnOnce() -> (u64, String)) -> io::Result<()> {
        let mut written = self.written.lock().expect("no panic under this lock");
        if *written >= wanted {
            return Ok(());
        }
        let (version, text) = now();
        let text = RawValue::from_string(text)?;
        self.dir.save(&self.name, &text)?;
        *written = version;
        Ok(())
    }
}
