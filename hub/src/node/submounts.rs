//! What is mounted below the source of a bind mount, and what we have of it: pure.
//!
//! Ours is cut off from its source, so that nothing writable appears in it by itself. What is mounted there later is found in the
//! table, and copied with flags of our own.

use std::path::{Path, PathBuf};

use super::job::Access;
use super::mark::Mark;
use crate::mountinfo::{Mounted, Table};

/// What has to be done to have below `place` what is below `source`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Ours that the source has no more, or has another in the place of, or whose flags somebody changed: paths below `place`, innermost
    /// first.
    pub(super) gone: Vec<PathBuf>,
    /// The source's that we do not have: paths below both, outermost first.
    pub(super) new: Vec<PathBuf>,
}

/// Compares both sides of a bind mount.
pub(super) fn difference(table: &Table, source: &Path, place: &Path, access: Access) -> Difference {
    let theirs = by_path(table, source);
    let ours = by_path(table, place);
    let is_same = |our: &Mounted, their: &Mounted| {
        let what = |mount: &Mounted| Mark::of(mount).what;
        what(our) == what(their) && access.is_kept_by(our)
    };
    let mut difference = Difference::default();
    for (path, mount) in &ours {
        let kept = theirs
            .iter()
            .any(|(other, their)| other == path && is_same(mount, their));
        if !kept {
            difference.gone.insert(0, path.clone());
        }
    }
    for (path, mount) in &theirs {
        let had = ours
            .iter()
            .any(|(other, our)| other == path && is_same(our, mount));
        if !had {
            difference.new.push(path.clone());
        }
    }
    difference
}

fn by_path<'t>(table: &'t Table, top: &Path) -> Vec<(PathBuf, &'t Mounted)> {
    table
        .met_below(top)
        .into_iter()
        .filter_map(|mount| Some((mount.point.strip_prefix(top).ok()?.to_owned(), mount)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_changed_and_gone_mounts_are_found() {
        let table = Table::parse(
            b"1 0 254:0 / / rw - ext4 x rw\n\
              2 1 0:50 / /src/same rw - tmpfs x rw\n\
              6 1 0:54 / /src/open rw - tmpfs x rw\n\
              3 1 0:51 / /src/late rw - tmpfs x rw\n\
              4 3 0:52 / /src/late/inner rw - tmpfs x rw\n\
              5 1 0:53 / /src/other rw - tmpfs x rw\n\
              7 1 0:56 / /src/over rw - tmpfs x rw\n\
              8 7 0:57 / /src/over/hidden rw - tmpfs x rw\n\
              9 7 0:58 / /src/over rw - tmpfs x rw\n\
              10 1 254:0 /src /m/d ro - ext4 x rw\n\
              11 10 0:50 / /m/d/same ro,nosuid,nodev - tmpfs x rw\n\
              12 10 0:49 / /m/d/other ro,nosuid,nodev - tmpfs x rw\n\
              13 10 0:48 / /m/d/gone ro,nosuid,nodev - tmpfs x rw\n\
              14 13 0:47 / /m/d/gone/inner ro,nosuid,nodev - tmpfs x rw\n\
              15 10 0:54 / /m/d/open ro,nodev - tmpfs x rw\n\
              16 10 0:58 / /m/d/over ro,nosuid,nodev - tmpfs x rw\n",
        );
        let access = Access {
            write: false,
            exec: true,
        };
        let found = difference(&table, Path::new("/src"), Path::new("/m/d"), access);
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(found.gone, paths(&["gone/inner", "open", "gone", "other"]));
        assert_eq!(found.new, paths(&["open", "late", "other", "late/inner"]));
    }
}
