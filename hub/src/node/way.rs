//! Whose a way is: whether others than root could put something else in the place of what root works with.
//!
//! A way is walked step by step, each from the descriptor of the one before, so that what was looked at is what is gone through: every
//! directory and every link that is really met. What is at its end is held.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Most links that are followed on one way, as the kernel does.
const MOST_LINKS: usize = 40;

/// A way that was walked.
#[derive(Debug)]
pub(super) struct Way {
    end: OwnedFd,
    path: PathBuf,
    is_directory: bool,
    is_led: bool,
    others: Option<PathBuf>,
}

/// Why a way was not walked to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Lost {
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    #[error("{} is no directory", .0.display())]
    NoDirectory(PathBuf),
    #[error("{} is behind more than {MOST_LINKS} links", .0.display())]
    TooManyLinks(PathBuf),
    #[error("{}: {cause}", at.display())]
    Failed { at: PathBuf, cause: Errno },
}

/// What is met in a directory.
enum Met {
    Directory(OwnedFd),
    Link { whose: u32, to: PathBuf },
    Else(OwnedFd),
}

impl Way {
    /// Walks a whole path to its end, links included. May wait for a file system on the way, so a hand does it; the node itself only
    /// where nothing that may hang is in the way. No file system is asked about the end.
    ///
    /// # Errors
    /// The path does not begin at `/`, or something on it is missing, cannot be looked at, or is behind too many links.
    pub(super) fn walk(path: &Path) -> Result<Self, Lost> {
        let mut way = Self {
            end: top()?,
            path: "/".into(),
            is_directory: true,
            is_led: false,
            others: None,
        };
        if !path.is_absolute() {
            return Err(Lost::Missing(path.to_owned()));
        }
        let mut rest = parts(path);
        let mut links = 0;
        while let Some(part) = rest.pop() {
            way.look()?;
            let next = way.path.join(&part);
            match way.meet(&part)? {
                Met::Directory(directory) => way.go(directory, &part, true),
                Met::Else(file) => way.go(file, &part, false),
                Met::Link { whose, to } => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Lost::TooManyLinks(path.to_owned()));
                    }
                    way.is_led = true;
                    if whose != 0 {
                        way.others.get_or_insert(next);
                    }
                    if to.is_absolute() {
                        (way.end, way.path) = (top()?, "/".into());
                    }
                    rest.extend(parts(&to));
                }
            }
        }
        Ok(way)
    }

    /// As [`Way::walk`], to a directory that something in it is worked with: whoever may change it counts too.
    ///
    /// # Errors
    /// As there; or it is no directory.
    pub(super) fn walk_into(path: &Path) -> Result<Self, Lost> {
        let mut way = Self::walk(path)?;
        if !way.is_directory {
            return Err(Lost::NoDirectory(way.path));
        }
        way.look()?;
        Ok(way)
    }

    /// The first on the way that others than root could change, or put something else into.
    pub(super) fn others(&self) -> Option<&Path> {
        self.others.as_deref()
    }

    /// Whether it leads elsewhere than its words say: by a link, or by `..`.
    pub(super) fn is_led(&self) -> bool {
        self.is_led
    }

    /// Whether a directory is at its end.
    pub(super) fn is_directory(&self) -> bool {
        self.is_directory
    }

    /// What is at its end, without rights to read.
    pub(super) fn end(&self) -> &OwnedFd {
        &self.end
    }

    /// The same, given away.
    pub(super) fn into_end(self) -> OwnedFd {
        self.end
    }

    fn failed(&self, part: &OsStr) -> impl Fn(Errno) -> Lost {
        let [here, next] = [self.path.clone(), self.path.join(part)];
        move |errno| match errno {
            Errno::NOENT => Lost::Missing(next.clone()),
            Errno::NOTDIR => Lost::NoDirectory(here.clone()),
            cause => Lost::Failed {
                at: next.clone(),
                cause,
            },
        }
    }

    fn go(&mut self, to: OwnedFd, part: &OsStr, is_directory: bool) {
        self.end = to;
        self.is_directory = is_directory;
        if part == ".." {
            // Where the directory that is left was moved to is decided by whoever moved it.
            self.is_led = true;
            self.path.pop();
        } else {
            self.path.push(part);
        }
    }

    /// Notes whether others may change what is in the directory that was come to.
    fn look(&mut self) -> Result<(), Lost> {
        let found = rustix::fs::fstat(&self.end).map_err(|cause| Lost::Failed {
            at: self.path.clone(),
            cause,
        })?;
        let is_sticky = found.st_mode & 0o1000 != 0;
        if found.st_uid != 0 || (is_open(&found) && !is_sticky) {
            self.others.get_or_insert_with(|| self.path.clone());
        }
        Ok(())
    }

    fn meet(&self, part: &OsStr) -> Result<Met, Lost> {
        let failed = self.failed(part);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::openat(&self.end, part, flags, Mode::empty());
        // Asked for as a directory first: only so is one mounted that is mounted when somebody comes.
        match open(flags | OFlags::DIRECTORY) {
            Ok(directory) => return Ok(Met::Directory(directory)),
            Err(Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let met = open(flags).map_err(&failed)?;
        let found = rustix::fs::fstat(&met).map_err(&failed)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Symlink => {
                let to = rustix::fs::readlinkat(&met, "", Vec::new()).map_err(&failed)?;
                Ok(Met::Link {
                    whose: found.st_uid,
                    to: OsString::from_vec(to.into_bytes()).into(),
                })
            }
            FileType::Directory => Ok(Met::Directory(met)),
            _ => Ok(Met::Else(met)),
        }
    }
}

/// Whether others than its owner may write it.
pub(super) fn is_open(found: &Stat) -> bool {
    found.st_mode & 0o022 != 0
}

fn top() -> Result<OwnedFd, Lost> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, "/", flags, Mode::empty()).map_err(|cause| Lost::Failed {
        at: "/".into(),
        cause,
    })
}

/// The names of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        _ => None,
    });
    names.map(OsStr::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

    use super::*;

    const NOBODY: Option<u32> = Some(65534);

    /// What on a way others may change, and whether it is led elsewhere.
    fn seen(path: &Path) -> (Option<PathBuf>, bool) {
        let way = Way::walk(path).unwrap();
        (way.others().map(Path::to_owned), way.is_led())
    }

    /// Only root gives files to others.
    fn root() -> Option<tempfile::TempDir> {
        let directory = tempfile::tempdir().unwrap();
        rustix::process::geteuid().is_root().then_some(directory)
    }

    #[test]
    fn a_way_that_others_may_change_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let open = directory.path().join("open");
        std::fs::create_dir_all(open.join("source")).unwrap();
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(seen(&open.join("source")).0.is_some());
        assert!(Way::walk_into(&open).unwrap().others().is_some());
        assert_eq!(seen(Path::new("/usr/share")), (None, false));
    }

    #[test]
    fn a_sticky_directory_and_links_of_roots_are_lawful() {
        let Some(directory) = root() else { return };
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(at("open/source")).unwrap();
        std::fs::set_permissions(at("open"), PermissionsExt::from_mode(0o1777)).unwrap();
        symlink("open/source", at("near")).unwrap();
        symlink(at("near"), at("far")).unwrap();
        assert_eq!(seen(&at("open/source")), (None, false));
        assert_eq!(seen(&at("far")), (None, true));
        // Whose the end is does not count, only who could put something else there.
        chown(at("open/source"), NOBODY, None).unwrap();
        assert_eq!(seen(&at("far")), (None, true));
        lchown(at("near"), NOBODY, None).unwrap();
        assert_eq!(seen(&at("far")), (Some(at("near")), true));
    }

    #[test]
    fn what_is_met_behind_a_link_counts_wherever_it_leads() {
        let Some(directory) = root() else { return };
        let at = |name: &str| directory.path().join(name);
        for name in ["r", "bob", "vault/private"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        symlink(at("vault/private"), at("bob/cur")).unwrap();
        symlink(at("vault"), at("bob/up")).unwrap();
        symlink("../bob/cur", at("r/share")).unwrap();
        symlink("../bob/up", at("r/up")).unwrap();
        let ways = [at("r/share"), at("r/up/private")];
        for way in &ways {
            assert_eq!(seen(way), (None, true), "{}", way.display());
        }
        lchown(at("bob/cur"), NOBODY, None).unwrap();
        assert_eq!(seen(&ways[0]), (Some(at("bob/cur")), true));
        chown(at("bob"), NOBODY, None).unwrap();
        for way in &ways {
            assert_eq!(seen(way), (Some(at("bob")), true), "{}", way.display());
        }
        let (others, is_led) = seen(&at("bob/../vault"));
        assert_eq!((others, is_led), (Some(at("bob")), true));
    }

    /// `realpath` gives up here, and the kernel does not.
    #[test]
    fn a_link_to_where_no_path_is_short_enough_is_followed_and_seen() {
        let Some(directory) = root() else { return };
        let at = |name: &str| directory.path().join(name);
        let names = |count| format!("{}/", "d".repeat(250)).repeat(count);
        let far = directory.path().join(names(4));
        std::fs::create_dir_all(at("bob").join(names(14))).unwrap();
        std::fs::create_dir_all(&far).unwrap();
        std::fs::rename(at("bob"), far.join("bob")).unwrap();
        let link = far.join("link");
        symlink(format!("bob/{}", names(14)), &link).unwrap();
        assert!(link.canonicalize().is_err() && std::fs::metadata(&link).is_ok());
        assert_eq!(seen(&link), (None, true));
        chown(far.join("bob"), NOBODY, None).unwrap();
        assert_eq!(seen(&link), (Some(far.join("bob")), true));
    }

    #[test]
    fn a_way_without_an_end_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let lost = |path: &Path| Way::walk(path).unwrap_err();
        std::fs::write(at("file"), "").unwrap();
        symlink("round", at("round")).unwrap();
        let (file, gone) = (at("file"), at("gone"));
        assert_eq!(lost(&gone.join("in")), Lost::Missing(gone));
        assert_eq!(lost(&file.join("in")), Lost::NoDirectory(file.clone()));
        assert_eq!(Way::walk_into(&file).unwrap_err(), Lost::NoDirectory(file));
        assert_eq!(lost(&at("round")), Lost::TooManyLinks(at("round")));
    }

    #[test]
    fn as_many_links_are_followed_as_the_kernel_follows() {
        let directory = tempfile::tempdir().unwrap();
        let at = |number: usize| directory.path().join(number.to_string());
        std::fs::create_dir(at(0)).unwrap();
        for number in 1..=MOST_LINKS + 1 {
            symlink(at(number - 1), at(number)).unwrap();
        }
        for number in [MOST_LINKS, MOST_LINKS + 1] {
            let is_there = std::fs::metadata(at(number)).is_ok();
            assert_eq!(Way::walk(&at(number)).is_ok(), is_there, "{number}");
        }
    }
}
