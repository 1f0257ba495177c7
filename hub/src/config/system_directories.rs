//! Directories of a machine that are given to no notebook for writing.

use std::path::Path;

/// Directories of the system's own: whoever may write there, or in what is in them, has the machine.
const SYSTEM: [&str; 13] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/root",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/docker",
    "/var/spool/cron",
];
/// Directories that hold others' things: only what is in them may be given away.
const HOLDERS: [&str; 11] = [
    "/", "/home", "/media", "/mnt", "/opt", "/run", "/srv", "/tmp", "/var", "/var/lib", "/var/run",
];

/// Whether a directory, a path without links, is the system's own, so that nobody else may write in it.
pub(crate) fn holds_the_system(source: &Path) -> bool {
    HOLDERS.iter().any(|holder| source == Path::new(holder))
        || SYSTEM.iter().any(|system| source.starts_with(system))
}
