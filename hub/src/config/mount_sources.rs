//! What may be mounted: sources and types of a mount, and what is written there. None of it is looked at on a disk.

use std::path::{Component, Path, PathBuf};

use super::mount_options::{check_options, is_secret};
use super::system_directories::holds_the_system;
use super::{MountSettings, Settings};

/// Where `holt dumps fetch` puts files, below the data directory, unless told otherwise.
const FETCHED: &str = "dumps";

impl Settings {
    /// What is lawful and yet will hold a notebook: mounts of NFS that wait for ever, and what to write, each as a name and a sentence.
    #[must_use]
    pub fn mounts_that_wait(&self) -> Vec<(String, String)> {
        let waits = |mount: &MountSettings| {
            let is_soft = |option: &String| matches!(option.as_str(), "soft" | "softerr");
            matches!(mount.kind.as_str(), "nfs" | "nfs4") && !mount.options.iter().any(is_soft)
        };
        let waiting = self.mounts.iter().filter(|(_, mount)| waits(mount));
        let tell = |(name, mount): &(String, MountSettings)| {
            let words = format!(
                "without \"soft\" in its options a notebook that reads while {} is away hangs, and may not be stopped: write options = [\"soft\", \"timeo=100\", \"retrans=2\"]",
                mount.source
            );
            (name.clone(), words)
        };
        waiting.map(tell).collect()
    }

    /// Nothing is mounted out of what notebooks write: they could put something else there.
    pub(super) fn check_within_written(
        &self,
        name: &str,
        mount: &MountSettings,
        refuse: &mut impl FnMut(&'static str, String, &str),
    ) {
        if !matches!(mount.kind.as_str(), "bind" | "image") {
            return;
        }
        let source = plain(Path::new(&mount.source));
        let is_around = |(other, written): &&(String, MountSettings)| {
            let theirs = plain(Path::new(&written.source));
            other != name
                && written.kind == "bind"
                && !written.read_only
                && source != theirs
                && source.starts_with(&theirs)
        };
        if let Some((other, _)) = self.mounts.iter().find(is_around) {
            refuse(
                "source",
                format!(
                    "it lies in the source of [mount.{other}], which notebooks write: they could put another directory there"
                ),
                "Give a directory outside of it, or set read_only there",
            );
        }
    }

    /// Two would write one file system, and each spoil what the other wrote.
    pub(super) fn check_images(
        &self,
        name: &str,
        mount: &MountSettings,
        refuse: &mut impl FnMut(&'static str, String, &str),
    ) {
        let source = plain(Path::new(&mount.source));
        let is_same = |(other, theirs): &&(String, MountSettings)| {
            other != name && theirs.kind == "image" && plain(Path::new(&theirs.source)) == source
        };
        if mount.kind == "image"
            && let Some((other, _)) = self.mounts.iter().find(is_same)
        {
            refuse(
                "source",
                format!("[mount.{other}] has the same file, which only one can mount"),
                "Give each its own file; one mount is seen in more places by links",
            );
        }
    }

    /// A directory that holds Holt's own, or is in it, is given to nobody. Only the words are compared: a source may be on a disk that
    /// does not answer. The node looks at where links lead, before it mounts.
    pub(super) fn check_own(
        &self,
        mount: &MountSettings,
        refuse: &mut impl FnMut(&'static str, String, &str),
    ) {
        if mount.kind != "bind" {
            return;
        }
        let source = plain(Path::new(&mount.source));
        let data_dir = self.data_dir.path();
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        let without_links = data_dir.canonicalize().ok();
        let own = [
            Some(&data_dir),
            without_links.as_ref(),
            self.node.directory.as_ref(),
        ];
        let is_own = |own: &PathBuf| {
            lie_in_each_other(&source, own) || (!mount.read_only && source.starts_with(own))
        };
        if let Some(own) = own.into_iter().flatten().map(|own| plain(own)).find(is_own) {
            refuse(
                "source",
                format!(
                    "{} and {}, where Holt keeps its own files, lie in each other",
                    mount.source,
                    own.display()
                ),
                "Give a directory that is for notebooks alone",
            );
        }
    }
}

pub(super) fn check_source(
    mount: &MountSettings,
    refuse: &mut impl FnMut(&'static str, String, &str),
) {
    let is_path = matches!(mount.kind.as_str(), "bind" | "image");
    if mount.source.is_empty() {
        refuse(
            "source",
            "there is nothing to mount".to_owned(),
            "Write a directory, \"server:/export\" or a device",
        );
    } else if has_secret(&mount.source) {
        // Told without the source: it must stand nowhere.
        refuse(
            "source",
            "a password in it would stand in lists of processes and of mounts, and in logs"
                .to_owned(),
            "Take it out, and name a file with it that only root can read: options = [\"credentials=/etc/holt/dumps.credentials\"], or as that type of mount has it",
        );
    } else if is_path && !mount.source.starts_with('/') {
        refuse(
            "source",
            format!("{:?} begins nowhere", mount.source),
            "Write the whole path, from /; for another type of mount set kind, for example \"nfs\"",
        );
    } else if mount.source.starts_with('-') {
        refuse(
            "source",
            format!("{:?} would be read as an option", mount.source),
            "Write a directory, \"server:/export\" or a device",
        );
    }
    let is_kind = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if mount.kind.is_empty()
        || mount.kind.starts_with('-')
        || mount.kind.contains(',')
        || !mount.kind.bytes().all(is_kind)
    {
        refuse(
            "kind",
            format!("{:?} is no type of mount", mount.kind),
            "Write \"bind\", \"image\", or what `mount -t` takes, such as \"nfs\"",
        );
    }
    if is_path && !mount.options.is_empty() {
        refuse(
            "options",
            format!("kind = {:?} has none", mount.kind),
            "Take them out; read_only and exec have settings of their own",
        );
    }
    check_options(mount, refuse);
}

pub(super) fn check_writing(
    mount: &MountSettings,
    refuse: &mut impl FnMut(&'static str, String, &str),
) {
    if mount.kind == "bind"
        && !mount.read_only
        && holds_the_system(&plain(Path::new(&mount.source)))
    {
        refuse(
            "source",
            format!(
                "notebooks would write in {}, which is the system's own",
                mount.source
            ),
            "Give a directory made for them, such as \"/srv/team\", or set read_only = true",
        );
    }
    if let Some(owner) = &mount.owner {
        let is_number = |text: &str| text.parse::<u32>().is_ok_and(|number| number != u32::MAX);
        let is_pair = owner
            .split_once(':')
            .is_some_and(|(user, group)| is_number(user) && is_number(group));
        if !is_pair {
            refuse(
                "owner",
                format!("{owner:?} are no two numbers"),
                "Write \"52771:52771\" for the user that servers run as",
            );
        }
        if mount.read_only {
            refuse(
                "owner",
                "nobody can write there".to_owned(),
                "Take it out, or set read_only = false",
            );
        }
    }
    if mount.kind == "image" && mount.quota.is_none() {
        refuse(
            "quota",
            "a file system in a file needs a size".to_owned(),
            "Write for example \"20GiB\"",
        );
    }
    if let Some(quota) = mount.quota {
        if mount.kind != "image" {
            refuse(
                "quota",
                format!("kind = {:?} has its own way of limits", mount.kind),
                "Use kind = \"image\" for a limit of Holt's making, or set the limit where the files are kept",
            );
        } else if quota.0 < 16 << 20 {
            refuse(
                "quota",
                "a file system needs more".to_owned(),
                "Write at least \"16MiB\"",
            );
        }
    }
}

/// Whether a source would give away what is in a directory of Holt's own, whose folder of fetched dumps alone is for everybody.
pub(crate) fn lie_in_each_other(source: &Path, own: &Path) -> bool {
    own.starts_with(source) || (source.starts_with(own) && !source.starts_with(own.join(FETCHED)))
}

/// A path without `.` and `..`, by its words alone.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// Whether a source has a password in it: `ftp://user:password@host`, `//user:password@host/share`, `user:password@host:/path`, or
/// `https://host/path?token=x`. Paths of this machine have none, and what follows `host:/` is a path, whatever is in it.
fn has_secret(source: &str) -> bool {
    let is_address = source.contains("://") || source.starts_with("//");
    if source.starts_with('/') && !is_address {
        return false;
    }
    let (address, query) = source.split_once('?').unwrap_or((source, ""));
    let is_in_query = is_address && query.split('&').any(is_secret);
    let before_path = match (address.split_once("://"), address.strip_prefix("//")) {
        // A password may have a slash in it, against the rules; a port is no password.
        (Some((_, rest)), _) | (None, Some(rest)) => {
            let rest = rest.trim_start_matches('/');
            let authority = rest.split('/').next().unwrap_or_default();
            let is_port = authority.rsplit_once(':').is_some_and(|(_, port)| {
                !authority.contains('@') && port.bytes().all(|byte| byte.is_ascii_digit())
            });
            if is_port { authority } else { rest }
        }
        (None, None) => address.rsplit_once(":/").map_or(address, |(host, _)| host),
    };
    let user = before_path.rsplit_once('@').map(|(user, _)| user);
    is_in_query || user.is_some_and(|user| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_source_is_seen_and_what_looks_like_one_is_let_through() {
        for source in [
            "ftp://me:hush@host/dumps",
            "https://me:hu@sh@host:443/dav",
            "https://me:hu/sh@host/dav",
            "//me:hush@server/share",
            "me:hush@host:/srv/dumps",
            "me:hu/sh@host:/srv/dumps",
            "me:hush@host",
            "https://host/dav?user=me&password=hush",
        ] {
            assert!(has_secret(source), "{source}");
        }
        for source in [
            "server:/export",
            "server:/export@v2",
            "[fe80::1]:/export@v2",
            "me@host:/srv/dumps",
            "mon1:6789,mon2:6789:/volumes/a@b",
            "https://host:443/dav@2",
            "//server/share",
            "/srv/a:b@c",
            "/dev/vdb",
            "dying-fs#/tmp/x",
        ] {
            assert!(!has_secret(source), "{source}");
        }
        assert!(is_secret("soft,password=hush") && !is_secret("credentials=/etc/password"));
    }
}
