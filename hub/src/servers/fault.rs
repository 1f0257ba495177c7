//! Lets tests kill this process at an exact step, as `kill -9` would.
//!
//! `HOLT_CRASH_AT=<file>`: at the point that the file names, the file is deleted and the process is killed.
//! So it happens once, though the hub is started again with the same environment, and to one of two hubs.

use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::process::{Signal, getpid, kill_process};

static FAULT: OnceLock<Option<PathBuf>> = OnceLock::new();

/// A point of a step: `<step>:begun` (written down, not taken) or `<step>:acted` (taken, its end not written down).
pub(super) fn point(name: &str) {
    let Some(file) = FAULT.get_or_init(|| std::env::var_os("HOLT_CRASH_AT").map(PathBuf::from))
    else {
        return;
    };
    if std::fs::read_to_string(file).is_ok_and(|text| text.trim() == name)
        && std::fs::remove_file(file).is_ok()
    {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
