//! A file with a file system in it: made where there is none, and weighed.
//!
//! It has no name until it is whole and on the disk, so one that was cut off leaves nothing, and no file of others is in the way.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::hand::Trouble;
use super::make::run;
use crate::config::Settings;
use crate::mountinfo::Table;

/// Makes the file with a file system of the size in it, if it is not there.
pub(super) fn make(path: &Path, size: u64) -> Result<(), Trouble> {
    let failed = |cause: std::io::Error| Trouble::Failed(format!("{}: {cause}", path.display()));
    // Only where there surely is none: a disk that fails to tell must not lose what is on it.
    match std::fs::symlink_metadata(path) {
        Ok(_) => return Ok(()),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
        Err(cause) => return Err(failed(cause)),
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let folder = File::open(folder).map_err(failed)?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    // Who may not see what is in it may not read the file either.
    let file = match rustix::fs::openat(&folder, ".", flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file),
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
            return Err(Trouble::Failed(format!(
                "{0}: the file system there has no files without a name; make it yourself with `truncate --size {size} {0} && mkfs.ext4 {0}`",
                path.display()
            )));
        }
        Err(errno) => return Err(failed(errno.into())),
    };
    file.set_len(size).map_err(failed)?;
    let open = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let mut command = Command::new("mkfs.ext4");
    command.args(["-q", "-F", "-m", "0", "--", &open]);
    run(command)?;
    file.sync_all().map_err(failed)?;
    // Takes the place of nothing.
    rustix::fs::linkat(CWD, &open, CWD, path, AtFlags::SYMLINK_FOLLOW)
        .map_err(|errno| failed(errno.into()))?;
    folder.sync_all().map_err(failed)
}

/// What is wrong with the size of a file that is there, as a part of a sentence.
pub(super) fn note(path: &Path, quota: u64) -> Option<String> {
    let found = std::fs::metadata(path)
        .ok()
        .filter(|found| found.is_file())?;
    let size = found.len();
    if size != quota {
        return Some(format!(
            "{0} is {1} large, and stays so, though quota is {2}: write quota = \"{1}\", or unmount it and change it with `truncate`, `e2fsck -f` and `resize2fs`",
            path.display(),
            in_words(size),
            in_words(quota)
        ));
    }
    let taken = found.blocks().saturating_mul(512);
    fits(path, size.saturating_sub(taken))
}

/// What is wrong when so much more has to find room on the disk that the file is on, or is to be on.
fn fits(path: &Path, wanted: u64) -> Option<String> {
    let there = [Some(path), path.parent()].into_iter().flatten();
    let disk = there.map(rustix::fs::statvfs).find_map(Result::ok)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    (free < wanted).then(|| {
        format!(
            "{} may grow by {} more, but its disk has {} free: whoever writes meets errors once that is full",
            path.display(),
            in_words(wanted),
            in_words(free)
        )
    })
}

/// As settings have it, when it is a whole number of the unit; else a little less.
fn in_words(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = units
        .iter()
        .find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    match whole.or_else(|| units.iter().find(|(unit, _)| bytes >= 16 * unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

/// What is wrong with the sizes of all files of the settings that are or would be on disks of this machine, by name of the mount.
#[must_use]
pub fn image_notes(settings: &Settings) -> Vec<(String, String)> {
    let Ok(table) = Table::read() else {
        return Vec::new();
    };
    let home = Path::new("/");
    let images = settings.mounts.iter().filter(|(_, it)| it.kind == "image");
    images
        .filter_map(|(name, mount)| {
            let quota = mount.quota?.0;
            // Nobody waits for one on a file server.
            let path = table.without_links(Path::new(&mount.source), home).ok()?;
            let note = match path.exists() {
                true => note(&path, quota),
                false => fits(&path, quota),
            };
            Some((name.clone(), note?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_size_or_larger_than_its_disk_is_told() -> std::io::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("team.img");
        assert_eq!(note(&path, 1 << 20), None);
        assert_eq!(fits(&path, 1 << 20), None);
        File::create(&path)?.set_len(1 << 20)?;
        assert_eq!(note(&path, 1 << 20), None);
        let words = note(&path, 2 << 20).unwrap_or_default();
        assert!(
            words.contains("is 1MiB large") && words.contains("quota is 2MiB"),
            "{words}"
        );
        let words = fits(&path, 1 << 60).unwrap_or_default();
        assert!(words.contains("free: whoever writes"), "{words}");
        Ok(())
    }
}
