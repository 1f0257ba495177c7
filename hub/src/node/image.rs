//! A file with a file system in it: made where there is none, and weighed.
//!
//! It has no name until it is whole and on the disk, so one that was cut off leaves nothing, and no file of others is in the way.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::hand::{Trouble, failed};
use super::make::run;
use super::way::{Way, is_open};
use crate::config::Settings;
use crate::mountinfo::Table;

/// Makes the file with a file system of the size in it, if it is not there and never was. One that is there must be root's alone, as all
/// of its way.
pub(super) fn make(path: &Path, size: u64, is_known: bool) -> Result<(), Trouble> {
    let unusable = |cause: std::io::Error| Trouble::Failed(format!("{}: {cause}", path.display()));
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(refused(path, "is no name of a file"));
    };
    let lost = |lost| Trouble::Failed(format!("{}: {lost}; nothing is made", path.display()));
    let folder = Way::walk_into(folder).map_err(lost)?;
    must_have_a_way_of_roots(path, &folder)?;
    // Only where there surely is none: a disk that fails to tell must not lose what is on it.
    let seen = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(folder.end(), name, seen, Mode::empty()) {
        Ok(file) => return must_be_an_image(path, &file),
        Err(Errno::NOENT) if is_known => {
            return Err(Trouble::Failed(format!(
                "{} was there before and is gone: mount the disk that it is on. If an empty one is to be made, run `holt node --unmount` first",
                path.display()
            )));
        }
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(unusable(errno.into())),
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    // Who may not see what is in it may not read the file either.
    let file = match rustix::fs::openat(folder.end(), ".", flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file),
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
            return Err(Trouble::Failed(format!(
                "{0}: the file system there has no files without a name; make it yourself with `truncate --size {size} {0} && mkfs.ext4 {0}`",
                path.display()
            )));
        }
        Err(errno) => return Err(unusable(errno.into())),
    };
    file.set_len(size).map_err(unusable)?;
    let open = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let mut command = Command::new("mkfs.ext4");
    command.args(["-q", "-F", "-m", "0", "--", &open]);
    run(command)?;
    file.sync_all().map_err(unusable)?;
    // Takes the place of nothing.
    rustix::fs::linkat(CWD, &open, folder.end(), name, AtFlags::SYMLINK_FOLLOW)
        .map_err(|errno| unusable(errno.into()))?;
    let readable = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(folder.end(), ".", readable, Mode::empty())
        .and_then(rustix::fs::fsync)
        .map_err(|errno| unusable(errno.into()))
}

/// Whoever may change the way could put a file system of his own there, which root's kernel would read, or another's.
fn must_have_a_way_of_roots(path: &Path, way: &Way) -> Result<(), Trouble> {
    match way.others() {
        Some(above) => Err(Trouble::Refused(format!(
            "others than root may change {}, and put another file where {} is: a file with a file system in it needs a way that is root's alone",
            above.display(),
            path.display()
        ))),
        None => Ok(()),
    }
}

/// What is there is a file of root's and nothing else: no link, no device, nothing that somebody else wrote or writes.
fn must_be_an_image(path: &Path, file: &OwnedFd) -> Result<(), Trouble> {
    let found = look(path, file)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => must_be_written_by_root(path, &found),
        FileType::Symlink => Err(refused(path, "is a link")),
        _ => Err(refused(path, "is no file")),
    }
}

/// The same for a disk of another kind of mount, which may be a device, and behind links of root's.
pub(super) fn must_be_roots(path: &Path, way: &Way) -> Result<(), Trouble> {
    must_have_a_way_of_roots(path, way)?;
    let found = look(path, way.end())?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => must_be_written_by_root(path, &found),
        _ => Ok(()),
    }
}

fn must_be_written_by_root(path: &Path, found: &Stat) -> Result<(), Trouble> {
    if found.st_uid != 0 || is_open(found) {
        return Err(Trouble::Refused(format!(
            "others than root may write {0}, and root's kernel would read what they made up: see who wrote it, then `chown root {0}` and `chmod go-w {0}`",
            path.display()
        )));
    }
    // In a directory where anybody may make names, the other may be the right one.
    match found.st_nlink {
        1 => Ok(()),
        _ => Err(refused(path, "has a second name (a hard link)")),
    }
}

fn look(path: &Path, file: &OwnedFd) -> Result<Stat, Trouble> {
    rustix::fs::fstat(file).map_err(|errno| failed(&path.display().to_string(), errno))
}

fn refused(path: &Path, reason: &str) -> Trouble {
    Trouble::Refused(format!(
        "{} {reason}: give the path of a file of root's alone as the source",
        path.display()
    ))
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

    fn why(made: Result<(), Trouble>) -> String {
        match made {
            Ok(()) => "it is taken".to_owned(),
            Err(Trouble::Refused(reason)) => reason,
            Err(Trouble::Failed(reason)) => format!("not refused: {reason}"),
        }
    }

    #[test]
    fn a_file_that_is_not_roots_alone_is_not_taken() -> std::io::Result<()> {
        use std::os::unix::fs::{PermissionsExt, chown, symlink};

        let directory = tempfile::tempdir()?;
        let at = |name: &str| directory.path().join(name);
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let path = at("bob/team.img");
        std::fs::create_dir(at("bob"))?;
        std::fs::write(at("other.img"), "other")?;
        let says = |words: &str| {
            let why = why(make(&path, 16 << 20, false));
            assert!(why.contains(words), "{words}: {why}");
        };
        symlink(at("other.img"), &path)?;
        says("is a link");
        std::fs::remove_file(&path)?;
        std::fs::hard_link(at("other.img"), &path)?;
        says("has a second name");
        std::fs::remove_file(&path)?;
        std::fs::create_dir(&path)?;
        says("is no file");
        std::fs::remove_dir(&path)?;
        std::fs::write(&path, "mine")?;
        says("it is taken");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666))?;
        says("others than root may write");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644))?;
        chown(&path, Some(65534), None)?;
        says("others than root may write");
        std::fs::remove_file(&path)?;
        let gone = why(make(&path, 16 << 20, true));
        assert!(gone.contains("was there before and is gone"), "{gone}");
        chown(at("bob"), Some(65534), None)?;
        says("others than root may change");
        assert!(!path.exists());
        assert_eq!(std::fs::read_to_string(at("other.img"))?, "other");
        Ok(())
    }
}
