//! What is known of running children, kept on disk so that the next `up` finds them.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::process::Identity;

/// One child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Which process.
    #[serde(flatten)]
    pub(super) identity: Identity,
    /// Which program and settings it was started with.
    pub(super) fingerprint: String,
    /// Where the public listener is that it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) listen: Option<SocketAddr>,
}

/// The children by role. The file is replaced whole with each change.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    // Held for a map's change and one small write, never across a wait.
    entries: Mutex<BTreeMap<String, Entry>>,
}

impl Record {
    /// Reads what an earlier `up` left. An unreadable file is as good as none: children are also found by their sockets.
    #[must_use]
    pub(super) fn open(path: PathBuf) -> Self {
        let entries = std::fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Self {
            path,
            entries: Mutex::new(entries),
        }
    }

    /// What is known of a role.
    #[must_use]
    pub(super) fn get(&self, role: &str) -> Option<Entry> {
        self.lock().get(role).cloned()
    }

    /// Keeps or forgets a role's child.
    ///
    /// # Errors
    /// When the file cannot be written; memory has the change all the same.
    pub(super) fn set(&self, role: &str, entry: Option<Entry>) -> io::Result<()> {
        let mut entries = self.lock();
        match entry {
            Some(entry) => entries.insert(role.to_owned(), entry),
            None => entries.remove(role),
        };
        let text = serde_json::to_vec_pretty(&*entries).map_err(io::Error::other)?;
        replace(&self.path, &text)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(text)?;
    std::fs::rename(&new, path)
}
