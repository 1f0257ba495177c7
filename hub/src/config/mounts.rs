//! Rules between the settings of mounts, and the folders that servers see them in.
//!
//! A server gets the folder that a mount is in, not the mount itself: only so can a mount that is down be absent without stopping a
//! start, and appear in a server that runs. So a folder is one whole thing, and everything in it is for the same people.

use std::collections::BTreeMap;

use super::mount_sources::{check_source, check_writing};
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
            self.check_images(name, mount, &mut refuse);
            self.check_within_written(name, mount, &mut refuse);
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
