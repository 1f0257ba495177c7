//! Lets tests kill this process at an exact step, as `kill -9` would.
//!
//! `HOLT_CRASH_AT=<point>=<file>`: at that point, if the file is there, it is deleted and the process is killed.
//! So it happens once, though the hub is started again with the same environment.

use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::process::{Signal, getpid, kill_process};

static FAULT: OnceLock<Option<(String, PathBuf)>> = OnceLock::new();

/// A point of a step: `<step>:begun` (written down, not taken) or `<step>:acted` (taken, its end not written down).
pub(super) fn point(name: &str) {
    let fault = FAULT.get_or_init(|| {
        let text = std::env::var("HOLT_CRASH_AT").ok()?;
        let (point, file) = text.split_once('=')?;
        Some((point.to_owned(), PathBuf::from(file)))
    });
    if let Some((point, file)) = fault
        && point == name
        && std::fs::remove_file(file).is_ok()
    {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
