//! Whose a way is: whether others than root could put something else in the place of a directory that root works in.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What on the way to a path others than root could change, or put something else into, if there is any. A link at its end counts too.
pub(super) fn others_may_change(path: &Path) -> Option<PathBuf> {
    let is_others = |above: &Path, is_end: bool| {
        let Ok(found) = std::fs::symlink_metadata(above) else {
            // It is not there yet, or cannot be seen: whoever makes it is decided by what is above.
            return false;
        };
        if is_end || found.is_symlink() {
            return found.is_symlink() && found.uid() != 0;
        }
        let is_sticky = found.mode() & 0o1000 != 0;
        found.uid() != 0 || (found.mode() & 0o022 != 0 && !is_sticky)
    };
    path.ancestors()
        .enumerate()
        .find(|(depth, above)| is_others(above, *depth == 0))
        .map(|(_, above)| above.to_owned())
}

/// The same, also for where links on the way lead, which has a way of its own.
pub(super) fn others_may_lead(path: &Path) -> Option<PathBuf> {
    let led = || others_may_change(&path.parent()?.canonicalize().ok()?.join("in"));
    others_may_change(path).or_else(led)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_way_that_others_may_change_is_seen() -> std::io::Result<()> {
        let directory = tempfile::tempdir()?;
        let open = directory.path().join("open");
        std::fs::create_dir_all(open.join("source"))?;
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777))?;
        assert!(others_may_change(&open.join("source")).is_some());
        assert_eq!(others_may_change(Path::new("/usr/bin")), None);
        Ok(())
    }
}
