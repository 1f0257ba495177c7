//! Rules between the settings of mounts, and the folders that servers see them in.
//!
//! A server gets the folder that a mount is in, not the mount itself: only so can a mount that is down be absent without stopping a
//! start, and appear in a server that runs. So a folder is one whole thing, and everything in it is for the same people.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::written::Written;
use super::{MountSettings, Settings, refuse_in};

/// Folders of a server's own that hold more than mounts, or that the starter needs.
const TAKEN: [&str; 17] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv/paws",
    "/sys",
    "/tmp",
    "/usr",
    "/var",
];

/// Where `holt dumps fetch` puts files, below the data directory, unless told otherwise.
const FETCHED: &str = "dumps";

/// A folder that servers see, with mounts and links in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where servers see it, such as `/mnt/nfs`.
    pub path: String,
    /// What it is called on the host, below [`super::NodeSettings::directory`]: the path with `+` for `/`, such as `mnt+nfs`.
    pub name: String,
    /// What is in it, by name.
    pub entries: BTreeMap<String, Entry>,
    /// Who gets it, as in [`MountSettings::users`].
    pub users: Vec<String>,
    /// Who gets it too, as in [`MountSettings::groups`].
    pub groups: Vec<String>,
}

/// One thing in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The mount of this name.
    Mount(String),
    /// A symbolic link of the mount of this name.
    Link {
        /// The mount.
        mount: String,
        /// Where it leads, as servers see it.
        to: String,
    },
}

impl Entry {
    /// The mount it belongs to.
    #[must_use]
    pub fn mount(&self) -> &str {
        match self {
            Self::Mount(mount) | Self::Link { mount, .. } => mount,
        }
    }
}

/// The folders that these mounts make, by path. What the rules forbid is left out.
#[must_use]
pub fn folders(mounts: &[(String, MountSettings)]) -> Vec<Folder> {
    let mut folders = BTreeMap::<String, Folder>::new();
    for (name, mount) in mounts {
        let target = (&mount.target, Entry::Mount(name.clone()));
        let links = mount.links.iter().map(|link| {
            let entry = Entry::Link {
                mount: name.clone(),
                to: mount.target.clone(),
            };
            (link, entry)
        });
        for (path, entry) in std::iter::once(target).chain(links) {
            let Some((folder, last)) = split(path) else {
                continue;
            };
            let folder = folders.entry(folder.to_owned()).or_insert_with(|| Folder {
                path: folder.to_owned(),
                name: folder[1..].replace('/', "+"),
                entries: BTreeMap::new(),
                users: mount.users.clone(),
                groups: mount.groups.clone(),
            });
            folder.entries.entry(last.to_owned()).or_insert(entry);
        }
    }
    folders.into_values().collect()
}

/// A path as the folder it is in and its name there; none where it is no plain path in a folder.
fn split(path: &str) -> Option<(&str, &str)> {
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if path.len() > 200 || !path.strip_prefix('/')?.split('/').all(is_plain) {
        return None;
    }
    let (folder, last) = path.rsplit_once('/')?;
    (!folder.is_empty()).then_some((folder, last))
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

/// Whether one path is the other or lies below it.
fn is_within(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Settings {
    /// Who gets a mount: names of users, or `#<number>`; none is everybody.
    #[must_use]
    pub fn people_of(&self, mount: &MountSettings) -> Option<Vec<String>> {
        if mount.users.is_empty() && mount.groups.is_empty() {
            return None;
        }
        let is_named = |name: &String| mount.groups.contains(name);
        let groups = self.groups.iter().filter(|(name, _)| is_named(name));
        let in_groups = groups.flat_map(|(_, group)| &group.users);
        Some(mount.users.iter().chain(in_groups).cloned().collect())
    }

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

    pub(super) fn check_mounts(&self, written: &mut Written<'_>) {
        for (name, group) in &self.groups {
            check_people(&group.users, &mut |key, reason, fix| {
                refuse_in(written, ("group", name), key, reason, fix);
            });
        }
        for (name, mount) in &self.mounts {
            let mut refuse = |key: &'static str, reason: String, fix: &str| {
                refuse_in(written, ("mount", name), key, reason, fix);
            };
            check_source(mount, &mut refuse);
            self.check_own(mount, &mut refuse);
            check_writing(mount, &mut refuse);
            check_people(&mount.users, &mut refuse);
            self.check_groups(mount, &mut refuse);
            let links = mount.links.iter().map(|link| ("links", link));
            for (key, path) in std::iter::once(("target", &mount.target)).chain(links) {
                self.check_path(mount, path, |reason, fix| refuse(key, reason, fix));
            }
        }
        self.check_folders(written);
        let node = &self.node;
        for (key, value, most) in [
            ("check_every", node.check_every, 3600),
            ("answer_within", node.answer_within, 600),
            ("mount_within", node.mount_within, 3600),
            ("retry_most", node.retry_most, 86_400),
        ] {
            if value.as_millis() < 100 || value.as_secs() > most {
                refuse_in(
                    written,
                    ("node", ""),
                    key,
                    "no mount can be watched with that".to_owned(),
                    &format!("Write a time from \"100ms\" to \"{most}s\""),
                );
            }
        }
    }

    /// A directory that holds Holt's own, or is in it, is given to nobody. Only the words are compared: a source may be on a disk that
    /// does not answer. The node looks at where links lead, before it mounts.
    fn check_own(
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
        let is_own = |own: &PathBuf| lie_in_each_other(&source, own);
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

    fn check_groups(
        &self,
        mount: &MountSettings,
        refuse: &mut impl FnMut(&'static str, String, &str),
    ) {
        let is_known = |name: &String| self.groups.iter().any(|(known, _)| known == name);
        if let Some(unknown) = mount.groups.iter().find(|name| !is_known(name)) {
            let known: Vec<_> = self.groups.iter().map(|(name, _)| &**name).collect();
            let fix = match known.as_slice() {
                [] => "Write it: [group.<name>] with users = [\"...\"]".to_owned(),
                known => format!(
                    "The groups are {}; write another as [group.<name>] with users = [\"...\"]",
                    known.join(", ")
                ),
            };
            refuse("groups", format!("there is no group {unknown:?}"), &fix);
        }
    }

    fn check_path(&self, mount: &MountSettings, path: &str, mut refuse: impl FnMut(String, &str)) {
        let Some((folder, _)) = split(path) else {
            return refuse(
                format!("{path:?} is no path in a folder"),
                "Write a whole path of at least two parts, of letters, digits, \"-\", \"_\" and \".\": \"/mnt/nfs/dumps\"",
            );
        };
        let taken = TAKEN.iter().find(|taken| is_within(folder, taken));
        if let Some(taken) = taken {
            refuse(
                format!("{folder} would hide what servers have in {taken}"),
                "Take a folder that holds nothing else, such as \"/mnt/nfs\" or \"/srv/shared\", and lead there by a link in it",
            );
        }
        if path != mount.target && is_within(path, &mount.target) {
            refuse(
                format!("{path} lies in the mount itself"),
                "Take a path outside of target",
            );
        }
    }

    /// A folder lies in no other, has one meaning for each name, and is for the same people.
    fn check_folders(&self, written: &mut Written<'_>) {
        let all = folders(&self.mounts);
        for (name, mount) in &self.mounts {
            let mut refuse = |key: &'static str, reason: String, fix: &str| {
                refuse_in(written, ("mount", name), key, reason, fix);
            };
            let links = mount.links.iter().map(|link| ("links", link));
            for (key, path) in std::iter::once(("target", &mount.target)).chain(links) {
                let Some((folder, last)) = split(path) else {
                    continue;
                };
                for other in &all {
                    if other.path == folder {
                        if (&other.users, &other.groups) != (&mount.users, &mount.groups) {
                            refuse(
                                "users",
                                format!(
                                    "{folder} has another mount, which is for other people: a folder is given as a whole"
                                ),
                                "Write the same users and groups, or give one of them another folder",
                            );
                        }
                        let meant = match key {
                            "target" => Entry::Mount(name.clone()),
                            _ => Entry::Link {
                                mount: name.clone(),
                                to: mount.target.clone(),
                            },
                        };
                        if other.entries.get(last) != Some(&meant) {
                            refuse(
                                key,
                                format!("{path} is used twice"),
                                "Give each its own path",
                            );
                        }
                    } else if is_within(folder, &other.path) {
                        refuse(
                            key,
                            format!(
                                "{folder} lies in {}, which holds mounts and links alone",
                                other.path
                            ),
                            "Put both into one folder, or into folders side by side",
                        );
                    }
                }
            }
        }
    }
}

fn check_source(mount: &MountSettings, refuse: &mut impl FnMut(&'static str, String, &str)) {
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
    for option in &mount.options {
        let name = option
            .split(|letter: char| !letter.is_ascii_alphanumeric() && !"_-,.".contains(letter))
            .next()
            .unwrap_or_default();
        // First, and told without its value.
        if is_secret(option) {
            refuse(
                "options",
                format!("{name} would stand in the list of processes"),
                "Name a file of credentials instead, as that type of mount has it: \"credentials=/etc/holt/dumps.credentials\"",
            );
        } else if option.contains(',') || option.starts_with('-') {
            refuse(
                "options",
                format!("{option:?} is not one option"),
                "Write each as a text of its own: [\"soft\", \"timeo=100\"]",
            );
        } else if matches!(
            name,
            "ro" | "rw"
                | "exec"
                | "noexec"
                | "suid"
                | "dev"
                | "bind"
                | "rbind"
                | "remount"
                | "move"
                | "shared"
                | "private"
                | "slave"
                | "user"
                | "users"
                | "owner"
                | "group"
        ) {
            refuse(
                "options",
                format!("{option:?} is not the options' to say"),
                "Use read_only, exec, kind and users; set-user-id programs and devices are always off",
            );
        }
    }
}

fn check_writing(mount: &MountSettings, refuse: &mut impl FnMut(&'static str, String, &str)) {
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

fn check_people(users: &[String], refuse: &mut impl FnMut(&'static str, String, &str)) {
    for user in users {
        if let Some(number) = user.strip_prefix('#')
            && number.parse::<i64>().is_err()
        {
            refuse(
                "users",
                format!("{user:?} is no number of a user"),
                "Write a name, or for example \"#12\"",
            );
        }
    }
}

/// Whether an option holds a secret, rather than the name of a file with one: `password2=x`, `username=me%secret`. Or several options, one of
/// which does.
fn is_secret(options: &str) -> bool {
    options.split(',').any(|option| {
        let option = option.to_ascii_lowercase();
        let (name, value) = option.split_once('=').unwrap_or((&option, ""));
        let is_word = ["pass", "secret", "token"]
            .iter()
            .any(|word| name.contains(word));
        let is_file = matches!(name, "credentials" | "secretfile");
        (is_word && !is_file) || (name.starts_with("user") && value.contains('%'))
    })
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

    fn mount(target: &str, links: &[&str]) -> MountSettings {
        MountSettings {
            source: "/srv/dumps".into(),
            target: target.into(),
            links: links.iter().map(|link| (*link).to_owned()).collect(),
            ..MountSettings::default()
        }
    }

    #[test]
    fn paws_layout_is_two_folders() {
        let mounts = [(
            "dumps".to_owned(),
            mount("/mnt/nfs/dumps", &["/public/dumps/public"]),
        )];
        let all = folders(&mounts);
        let names: Vec<_> = all.iter().map(|folder| folder.name.as_str()).collect();
        assert_eq!(names, ["mnt+nfs", "public+dumps"]);
        assert_eq!(all[0].entries["dumps"], Entry::Mount("dumps".into()));
        assert_eq!(
            all[1].entries["public"],
            Entry::Link {
                mount: "dumps".into(),
                to: "/mnt/nfs/dumps".into()
            }
        );
    }

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

    #[test]
    fn only_plain_paths_in_a_folder_are_taken() {
        assert_eq!(split("/mnt/nfs/dumps"), Some(("/mnt/nfs", "dumps")));
        for path in [
            "",
            "/",
            "/mnt",
            "mnt/x",
            "/mnt/../x",
            "/mnt//x",
            "/mnt/x/",
            "/mnt/a+b",
            "/mnt/a b",
            "/mnt/.x",
        ] {
            assert_eq!(split(path), None, "{path:?}");
        }
    }
}
