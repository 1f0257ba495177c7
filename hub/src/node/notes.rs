//! What `holt check` tells of sources that are or would be on disks of this machine.

use std::path::Path;

use crate::config::Settings;
use crate::mountinfo::Table;

/// Bind mounts whose source is no directory now, by name of the mount, each as a sentence. It may become one later, so that is no mistake.
#[must_use]
pub fn source_notes(settings: &Settings) -> Vec<(String, String)> {
    let Ok(table) = Table::read() else {
        return Vec::new();
    };
    let binds = settings.mounts.iter().filter(|(_, it)| it.kind == "bind");
    binds
        .filter_map(|(name, mount)| {
            // Nobody waits for one on a file server.
            let path = table.without_links(Path::new(&mount.source), Path::new("/"));
            let reason = match std::fs::metadata(path.ok()?) {
                Ok(found) if found.is_dir() => return None,
                Ok(_) => "is no directory, and kind = \"bind\" shows directories alone: give the one it is in, or set kind = \"image\" for a file with a file system in it",
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => "does not exist now, and until it does there is nothing to see: make that directory, or mount what it is on",
                Err(_) => return None,
            };
            Some((name.clone(), format!("{} {reason}", mount.source)))
        })
        .collect()
}
