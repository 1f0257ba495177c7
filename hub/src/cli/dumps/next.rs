//! What is to be done for notebooks to see what was got: they see shared files only through a mount.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::super::node::how_to_run;
use crate::config::{FILE_NAME, MountSettings, Settings, SpawnerKind};
use crate::node::{self, Condition, Status, StatusPlace};

/// Where notebooks look for dumps.
const SEEN_AT: &str = "/public/dumps/public";
/// Where the mount itself is, there.
const TARGET: &str = "/mnt/nfs/dumps";

/// The mount that servers see where they look for dumps.
fn dumps_mount(settings: &Settings) -> Option<&(String, MountSettings)> {
    settings.mounts.iter().find(|(_, mount)| {
        mount.target == SEEN_AT || mount.links.iter().any(|link| link == SEEN_AT)
    })
}

/// Its directory, where it is one of this machine.
pub(super) fn mounted_directory(settings: &Settings) -> Option<PathBuf> {
    let (_, mount) = dumps_mount(settings)?;
    (mount.kind == "bind").then(|| PathBuf::from(&mount.source))
}

/// What to do after files came below `into`, into `folder`.
pub(super) fn steps(settings: &Settings, into: &Path, folder: &Path) -> String {
    let mut text = String::new();
    // Folders that this run made are open; those that were there may not be.
    for folder in folder
        .ancestors()
        .take_while(|above| above.starts_with(into))
    {
        if is_shut(folder, 0o005) {
            text.push_str(&format!(
                "Notebooks may not look into {0}: chmod o+rx {0}\n",
                folder.display()
            ));
        }
    }
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_whole = |name: &OsStr| !name.as_encoded_bytes().starts_with(b".");
    if files
        .filter(|file| is_whole(&file.file_name()))
        .any(|file| is_shut(&file.path(), 0o004))
    {
        text.push_str(&format!(
            "Notebooks may not read all files there: chmod o+r {}/*\n",
            folder.display()
        ));
    }
    let kind = settings.spawner.kind;
    let is_mounted = dumps_mount(settings).is_some();
    if kind != SpawnerKind::Docker && !is_mounted && !is_same(into, Path::new(SEEN_AT)) {
        let above = Path::new(SEEN_AT).parent().unwrap_or(Path::new("/"));
        text.push_str(&format!(
            "Notebooks that are processes of this machine, without Docker, need no mount: sudo mkdir -p {} && sudo ln -sT {} {SEEN_AT}\n",
            above.display(),
            into.display()
        ));
    }
    if kind == SpawnerKind::Process {
        return text.trim_end().to_owned();
    }
    let seen = folder.strip_prefix(into).unwrap_or(folder);
    let seen = Path::new(SEEN_AT).join(seen);
    let seen = seen.display();
    text.push_str(&match dumps_mount(settings) {
        Some((name, mount)) if mount.kind == "bind" && is_same(Path::new(&mount.source), into) => {
            if is_up(settings, name) {
                format!("Notebooks see them now, at {seen}")
            } else {
                format!(
                    "[mount.{name}] brings them to {seen} in notebook servers, and nobody keeps it up.\n{}",
                    who_keeps_it(settings)
                )
            }
        }
        Some((name, mount)) => format!(
            "Notebooks do not see them yet: at {SEEN_AT}, [mount.{name}] shows them {:?}.\nFor these instead, say in it, in {}:\n\n{}\n\nand take its options away. {}",
            mount.source,
            file_of(settings).display(),
            source_lines(into),
            then(settings)
        ),
        None => format!(
            "For notebooks to see them at {seen}, add to {}:\n\n[mount.{}]\n{}\ntarget = {TARGET:?}\nlinks = [{SEEN_AT:?}]\n\n{}",
            file_of(settings).display(),
            free_name(settings),
            source_lines(into),
            then(settings)
        ),
    });
    text
}

fn source_lines(into: &Path) -> String {
    // How JSON writes text, TOML reads it.
    let source = serde_json::Value::from(into.display().to_string());
    format!("kind = \"bind\"\nsource = {source}")
}

fn then(settings: &Settings) -> String {
    format!(
        "Then end `holt up` (Ctrl-C) and start it again; notebook servers that run see it after their next start.\n{}",
        who_keeps_it(settings)
    )
}

fn who_keeps_it(settings: &Settings) -> String {
    format!(
        "`holt up` keeps mounts where it is root; otherwise run beside it: {}\n`holt doctor` says whether it works; the settings of a mount are in spec/rules/config.md, [mount.<name>]",
        how_to_run(settings)
    )
}

/// The settings file that is, or the one that would be found.
fn file_of(settings: &Settings) -> PathBuf {
    let file = settings
        .file
        .clone()
        .unwrap_or_else(|| settings.data_dir.path().join(FILE_NAME));
    std::path::absolute(&file).unwrap_or(file)
}

/// A name for a mount that none has.
fn free_name(settings: &Settings) -> String {
    let is_taken = |name: &String| settings.mounts.iter().any(|(known, _)| known == name);
    let numbered = (2..).map(|number| format!("dumps{number}"));
    std::iter::once("dumps".to_owned())
        .chain(numbered)
        .find(|name| !is_taken(name))
        .unwrap_or_default()
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// Whether notebooks, who are somebody else, lack one of these rights.
fn is_shut(path: &Path, rights: u32) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & rights != rights)
}

/// Whether a node says that this mount is there.
fn is_up(settings: &Settings, name: &str) -> bool {
    let status = Status::read(&StatusPlace::of(settings));
    status
        .filter(|status| status.is_fresh(node::now()))
        .is_some_and(|status| {
            let mut mounts = status.mounts.iter();
            mounts.any(|mount| mount.name == name && mount.condition == Condition::Up)
        })
}
