//! What the kernel says is mounted: `/proc/self/mountinfo`, read and asked. Pure: the text is given.
//!
//! Source of the format: proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// Most links that are followed on one way, as the kernel does.
const MOST_LINKS: usize = 40;

/// One mount, as one line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// Its number, which is not used again while it is mounted.
    pub(crate) id: u32,
    /// The number of the mount it is on.
    pub(crate) parent: u32,
    /// The file system's device, `major:minor`.
    pub(crate) device: String,
    /// The directory of the file system that is mounted.
    pub(crate) root: PathBuf,
    /// Where.
    pub(crate) point: PathBuf,
    /// Options of this mount alone: `ro`, `nosuid`...
    pub(crate) options: Vec<String>,
    /// Whether what is mounted below it reaches its copies.
    pub(crate) is_shared: bool,
    /// Whether what is mounted below what it is a copy of reaches it.
    pub(crate) is_slave: bool,
    /// The file system's type: `ext4`, `nfs4`.
    pub(crate) kind: String,
    /// What was mounted, as whoever did it wrote it.
    pub(crate) source: String,
}

/// Types of file systems that wait for somebody else, who may not answer; each by how its name begins.
const REMOTE: [&str; 15] = [
    "9p", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "fuse", "gfs2", "gpfs", "lustre",
    "nfs", "ocfs2", "orangefs", "smb",
];

impl Mounted {
    /// Whether whoever looks into it may wait for ever: its files are a server's, or a program's.
    pub(crate) fn may_hang(&self) -> bool {
        REMOTE.iter().any(|name| self.kind.starts_with(name))
    }

    /// Whether it has the option.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|known| known == option)
    }
}

/// All mounts. Their order tells nothing: one that is moved keeps its place in the list. What is on what is told by the parents alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    mounts: Vec<Mounted>,
}

impl Table {
    /// The table of this process.
    pub(crate) fn read() -> std::io::Result<Self> {
        Ok(Self::parse(&std::fs::read("/proc/self/mountinfo")?))
    }

    /// Whether what is mounted within this directory, a path without links, reaches those who have it as slaves.
    pub(crate) fn is_shared(&self, directory: &Path) -> bool {
        self.of(directory).is_some_and(|mount| mount.is_shared)
    }

    /// Lines that cannot be read are left out.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let lines = text.split(|byte| *byte == b'\n');
        Self {
            mounts: lines.filter_map(line).collect(),
        }
    }

    /// The mount that is seen at exactly this place: the topmost there. Where another hides the place, the topmost of those hidden.
    pub(crate) fn at(&self, point: &Path) -> Option<&Mounted> {
        if let Some(met) = self.met(point).filter(|met| met.point == point) {
            return Some(met);
        }
        let there = || self.mounts.iter().filter(|mount| mount.point == point);
        let is_under = |mount: &Mounted| {
            let mut others = there();
            others.any(|other| other.parent == mount.id && other.id != mount.id)
        };
        there().rev().find(|mount| !is_under(mount))
    }

    /// The same, if it is the only one in its place.
    pub(crate) fn alone_at(&self, point: &Path) -> Option<&Mounted> {
        let mut there = self.mounts.iter().filter(|mount| mount.point == point);
        there.next().filter(|_| there.next().is_none())
    }

    /// The mount that a path without links is in.
    pub(crate) fn of(&self, path: &Path) -> Option<&Mounted> {
        // A list without a root is that of a process whose root is no mount.
        self.met(path)
            .or_else(|| path.ancestors().find_map(|above| self.at(above)))
    }

    /// Whether a mount is of the directory that it is on: made so that the directory is a mount point.
    pub(crate) fn is_on_itself(&self, mount: &Mounted) -> bool {
        let Some(under) = self.mounts.iter().find(|other| other.id == mount.parent) else {
            return false;
        };
        let inner = mount.point.strip_prefix(&under.point);
        under.device == mount.device
            && inner.is_ok_and(|inner| {
                mount
                    .root
                    .components()
                    .eq(under.root.join(inner).components())
            })
    }

    /// What covers a path without links, or something on the way to it, so that who looks there may wait for ever: the outermost.
    /// What `home` is in does not count, nor does a directory that is mounted on itself.
    pub(crate) fn cover(&self, path: &Path, home: &Path) -> Option<&Mounted> {
        let mut ways: Vec<_> = path.ancestors().collect();
        ways.reverse();
        ways.into_iter()
            .filter(|above| !home.starts_with(above))
            .filter_map(|above| self.at(above))
            .find(|mount| self.is_cover(mount))
    }

    /// Whether a mount is over another in the same place, or may hang; but for a directory that is mounted on itself. One that is on
    /// itself in the place of another is what that is.
    pub(crate) fn is_cover(&self, mount: &Mounted) -> bool {
        let mut mount = mount;
        // Each step goes down to another mount.
        for _ in &self.mounts {
            let mut others = self.mounts.iter();
            let under = others.find(|other| {
                other.id == mount.parent && other.id != mount.id && other.point == mount.point
            });
            match (self.is_on_itself(mount), under) {
                (true, Some(under)) => mount = under,
                (true, None) => return false,
                (false, under) => return mount.may_hang() || under.is_some(),
            }
        }
        true
    }

    /// The path without links, found without a look into what may hang; see [`Table::cover`]. What is not there counts as written.
    ///
    /// # Errors
    /// The mount in the way.
    pub(crate) fn without_links(&self, path: &Path, home: &Path) -> Result<PathBuf, &Mounted> {
        let mut rest: Vec<OsString> = parts(path);
        let mut found = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == ".." {
                found.pop();
                continue;
            }
            let next = found.join(part);
            if let Some(mount) = self.cover(&next, home) {
                return Err(mount);
            }
            match std::fs::read_link(&next) {
                Ok(target) if links < MOST_LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        found = PathBuf::from("/");
                    }
                    rest.extend(parts(&target));
                }
                _ => found = next,
            }
        }
        Ok(found)
    }

    /// The mount with this number.
    pub(crate) fn numbered(&self, id: u32) -> Option<&Mounted> {
        self.mounts.iter().find(|mount| mount.id == id)
    }

    /// The mount that is met at the end of a path without links, from the root on: what is hidden below another mount is met by nobody.
    pub(crate) fn met(&self, path: &Path) -> Option<&Mounted> {
        let is_top = |mount: &&Mounted| {
            mount.point == Path::new("/")
                && self.numbered(mount.parent).is_none_or(|on| on == *mount)
        };
        let mut met = self.mounts.iter().find(is_top)?;
        // Each step goes to another mount; a list that runs in circles is none of the kernel's.
        for _ in &self.mounts {
            let next = self
                .mounts
                .iter()
                .filter(|mount| mount.parent == met.id && mount.id != met.id)
                .filter(|mount| path.starts_with(&mount.point))
                .rev()
                .min_by_key(|mount| mount.point.components().count());
            match next {
                Some(next) => met = next,
                None => break,
            }
        }
        Some(met)
    }

    /// Everything mounted at the place or below it, outermost first.
    pub(crate) fn within(&self, point: &Path) -> Vec<&Mounted> {
        let mut found: Vec<_> = self
            .mounts
            .iter()
            .filter(|mount| mount.point.starts_with(point))
            .collect();
        found.sort_by_key(|mount| mount.point.components().count());
        found
    }

    /// What is seen strictly below the place: one for each point, the topmost.
    pub(crate) fn below(&self, point: &Path) -> Vec<&Mounted> {
        let mut found = self.within(point);
        found.retain(|mount| mount.point != point && self.at(&mount.point) == Some(mount));
        found
    }

    /// The same, without what is hidden below another mount.
    pub(crate) fn met_below(&self, point: &Path) -> Vec<&Mounted> {
        let mut found = self.below(point);
        found.retain(|mount| self.met(&mount.point) == Some(mount));
        found
    }
}

/// Names and `..` of a path, the last first.
fn parts(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn line(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|byte| *byte == b' ');
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
    // A label or an export may have letters of another time: the line counts all the same.
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = text(fields.next()?);
    let root = path(fields.next()?);
    let point = path(fields.next()?);
    let options = text(fields.next()?);
    let optional: Vec<_> = fields.by_ref().take_while(|field| *field != b"-").collect();
    let kind = text(fields.next()?);
    let source = text(fields.next()?);
    let has = |name: &[u8]| optional.iter().any(|field| field.starts_with(name));
    Some(Mounted {
        id,
        parent,
        device,
        root,
        point,
        options: options.split(',').map(str::to_owned).collect(),
        is_shared: has(b"shared:"),
        is_slave: has(b"master:"),
        kind,
        source,
    })
}

/// Spaces, tabs, line ends and backslashes stand as three octal digits.
fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| {
                let text = std::str::from_utf8(digits).ok()?;
                u8::from_str_radix(text, 8).ok()
            });
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests;
