//! Homes: the one place where a user's files live, a directory or a volume.
//!
//! A directory is made by the hub and given to the notebook user by whoever may: the hub itself, or a throwaway container that
//! has the one capability for it.
//!
//! **Invariant:** no link is followed below the data directory, and what a user wrote is never read or removed with the hub's
//! own rights when those are more than the user's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bollard::models::{Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::RemoveVolumeOptions;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::Shared;
use super::engine::or_absent;
use super::names::{LABEL_HELPER, LABEL_HUB, is_key};
use super::oneshot::OneShot;
use super::own::Word;
use super::settings::{HomeKind, NOTEBOOK_UID};
use crate::spawner::SpawnerError;

/// Label of a home's volume: the key.
const LABEL_HOME: &str = "holt.home";
/// The directory of all homes, below the data directory.
const HOMES: &str = "homes";

/// Where homes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Homes {
    /// Below this directory of the engine's machine, which is our own `homes`.
    Directory(PathBuf),
    /// In volumes of the engine.
    Volumes,
}

impl Shared {
    /// Sees to it that the home is there and is the notebook user's, and says how to mount it.
    pub(super) async fn home_mount(&self, key: &str) -> Result<Mount, SpawnerError> {
        if !is_key(key) {
            return Err(refused(
                "make a home",
                format!("{key:?} is no key of a home"),
            ));
        }
        let (typ, source) = match self.homes().await? {
            Homes::Directory(homes) => (MountType::BIND, self.home_directory(homes, key).await?),
            Homes::Volumes => (MountType::VOLUME, self.home_volume(key).await?),
        };
        Ok(Mount {
            target: Some(self.settings.home_path.clone()),
            source: Some(source),
            typ: Some(typ),
            ..Default::default()
        })
    }

    /// Where homes are. Found out once.
    async fn homes(&self) -> Result<&Homes, SpawnerError> {
        self.homes.get_or_try_init(|| self.find_homes()).await
    }

    async fn find_homes(&self) -> Result<Homes, SpawnerError> {
        let here = self.homes_path();
        if self.settings.homes == HomeKind::Volume {
            return Ok(Homes::Volumes);
        }
        let Some(own) = self.own().await? else {
            return Ok(Homes::Directory(here));
        };
        // The engine knows directories of its machine, not of our container.
        if let Some(data_dir) = own.on_the_machine(&self.data_dir) {
            let there = data_dir.join(HOMES);
            if self.is_same_directory(&here, &there).await? {
                return Ok(Homes::Directory(there));
            }
        }
        let mut entries = std::fs::read_dir(&here).into_iter().flatten().flatten();
        if entries.any(|entry| !entry.file_name().to_string_lossy().starts_with('.')) {
            return Err(refused(
                "find the homes",
                format!(
                    "{} has homes, but the engine does not see them: mount the data directory into the hub's container from a \
                     directory or volume of the engine's machine",
                    here.display()
                ),
            ));
        }
        tracing::warn!(
            "The data directory is inside the hub's container, where the engine cannot mount homes from: homes are volumes. \
             Mount it from a directory or volume of the engine's machine to have them together"
        );
        Ok(Homes::Volumes)
    }

    /// Whether `there` on the engine's machine is `here`: a word written here is read by a container that has it mounted.
    async fn is_same_directory(&self, here: &Path, there: &Path) -> Result<bool, SpawnerError> {
        let what = "find the homes";
        let folder = here.to_owned();
        let written = tokio::task::spawn_blocking(move || {
            make_all_homes(&folder)?;
            Word::write(&folder)
        })
        .await;
        let word = written
            .map_err(|error| refused(what, error.to_string()))?
            .map_err(|error| refused(what, format!("{}: {error}", here.display())))?;
        let shot = OneShot {
            command: vec!["cat".into(), format!("/homes/{}", word.name())],
            mounts: vec![bind(there, "/homes")],
            ..OneShot::new("homes")
        };
        match self.run_helper(shot).await {
            Ok(output) => Ok(word.is_in(output.text.as_bytes())),
            // The engine has no such directory.
            Err(SpawnerError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the home here, and says where the engine has it: `there` is how its machine sees the directory of all.
    async fn home_directory(&self, there: &Path, key: &str) -> Result<String, SpawnerError> {
        let what = "make a home directory";
        let homes = self.homes_path();
        let path = homes.join(key);
        let text = there
            .join(key)
            .to_str()
            .ok_or_else(|| refused(what, "the data directory's path is not UTF-8".into()))?
            .to_owned();
        let (parent, name) = (homes.clone(), key.to_owned());
        let made = tokio::task::spawn_blocking(move || make_directory(&parent, &name)).await;
        let is_owned = made
            .map_err(|error| refused(what, error.to_string()))?
            .map_err(|error| refused(what, format!("{}: {error}", path.display())))?;
        if is_owned {
            return Ok(text);
        }
        let mount = bind(there, "/homes");
        let output = self
            .run_helper(OneShot {
                capabilities: vec!["CHOWN"],
                mounts: vec![mount],
                command: [
                    "chown",
                    "-h",
                    &format!("{NOTEBOOK_UID}:{NOTEBOOK_UID}"),
                    &format!("/homes/{key}"),
                ]
                .map(str::to_owned)
                .to_vec(),
                ..OneShot::new("chown")
            })
            .await?;
        match output.code {
            0 => Ok(text),
            _ => Err(refused(what, output.text)),
        }
    }

    async fn home_volume(&self, key: &str) -> Result<String, SpawnerError> {
        let what = "make a home volume";
        let name = self.names.volume(key);
        let wanted = name.as_str();
        let looked = self
            .engine
            .call(|docker| async move { docker.inspect_volume(wanted).await })
            .await;
        if or_absent(looked)
            .map_err(|trouble| trouble.doing(what))?
            .is_some()
        {
            return Ok(name);
        }
        let body = VolumeCreateRequest {
            name: Some(name.clone()),
            labels: Some(HashMap::from([
                (LABEL_HOME.to_owned(), key.to_owned()),
                (format!("{LABEL_HUB}.home"), self.names.hub.clone()),
            ])),
            ..Default::default()
        };
        self.engine
            .call(|docker| async move { docker.create_volume(body).await })
            .await
            .map_err(|trouble| trouble.doing(what))?;
        let output = self
            .run_helper(OneShot {
                capabilities: vec!["CHOWN"],
                mounts: vec![volume(&name, "/home-of")],
                command: [
                    "chown",
                    "-h",
                    &format!("{NOTEBOOK_UID}:{NOTEBOOK_UID}"),
                    "/home-of",
                ]
                .map(str::to_owned)
                .to_vec(),
                ..OneShot::new("chown")
            })
            .await?;
        match output.code {
            0 => Ok(name),
            _ => Err(refused(what, output.text)),
        }
    }

    /// Deletes a home for good.
    pub(super) async fn delete_home(&self, key: &str) -> Result<(), SpawnerError> {
        let what = "delete a home";
        if !is_key(key) {
            return Err(refused(what, format!("{key:?} is no key of a home")));
        }
        let Homes::Directory(there) = self.homes().await? else {
            let name = self.names.volume(key);
            let answer = self
                .engine
                .call(|docker| async move {
                    docker
                        .remove_volume(&name, None::<RemoveVolumeOptions>)
                        .await
                })
                .await;
            return or_absent(answer)
                .map(|_| ())
                .map_err(|trouble| trouble.doing(what));
        };
        let home = self.homes_path().join(key);
        match std::fs::symlink_metadata(&home) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(refused(what, error.to_string())),
            Ok(found) if !found.is_dir() => {
                return Err(refused(what, "it is not a directory".into()));
            }
            Ok(_) => {}
        }
        // Emptied by a container that is the notebook user and nothing more: what is deleted is what that user may delete.
        let output = self
            .run_helper(OneShot {
                user: Some(format!("{NOTEBOOK_UID}:{NOTEBOOK_UID}")),
                mounts: vec![bind(&there.join(key), "/home-of")],
                command: ["sh", "-c", "cd /home-of && find . -mindepth 1 -type d ! -perm -700 -exec chmod u+rwx {} \\; ; find . -mindepth 1 -delete"]
                    .map(str::to_owned)
                    .to_vec(),
                ..OneShot::new("delete")
            })
            .await?;
        if output.code != 0 {
            return Err(refused(what, output.text));
        }
        match std::fs::remove_dir(&home) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(refused(what, error.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// The directory of all homes.
    pub(super) fn homes_path(&self) -> PathBuf {
        self.data_dir.join(HOMES)
    }

    /// Labels of a throwaway container.
    pub(super) fn helper_labels(&self) -> HashMap<String, String> {
        HashMap::from([(LABEL_HELPER.to_owned(), self.names.hub.clone())])
    }
}

/// Makes the directory of all homes.
fn make_all_homes(path: &Path) -> Result<(), Errno> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o711)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes `parent/name` and gives it to the notebook user; false when this process may not give it.
fn make_directory(parent: &Path, name: &str) -> Result<bool, Errno> {
    make_all_homes(parent)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let parent = rustix::fs::open(parent, flags, Mode::empty())?;
    match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    // By name and not by handle: once it is the notebook user's, we may no longer open it.
    let found = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if !rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir() {
        return Err(Errno::NOTDIR);
    }
    if found.st_uid == NOTEBOOK_UID {
        return Ok(true);
    }
    let (owner, group) = (Uid::from_raw(NOTEBOOK_UID), Gid::from_raw(NOTEBOOK_UID));
    match rustix::fs::chownat(
        &parent,
        name,
        Some(owner),
        Some(group),
        AtFlags::SYMLINK_NOFOLLOW,
    ) {
        Ok(()) => Ok(true),
        Err(Errno::PERM | Errno::INVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

fn bind(source: &Path, target: &str) -> Mount {
    Mount {
        target: Some(target.into()),
        source: Some(source.to_string_lossy().into_owned()),
        typ: Some(MountType::BIND),
        ..Default::default()
    }
}

fn volume(name: &str, target: &str) -> Mount {
    Mount {
        target: Some(target.into()),
        source: Some(name.into()),
        typ: Some(MountType::VOLUME),
        ..Default::default()
    }
}

fn refused(what: &'static str, reason: String) -> SpawnerError {
    SpawnerError::Refused { what, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_place_of_a_home_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let homes = folder.path().join("homes");
        std::fs::create_dir(&homes).unwrap();
        std::os::unix::fs::symlink("/etc", homes.join("7")).unwrap();
        assert_eq!(make_directory(&homes, "7"), Err(Errno::NOTDIR));
    }

    #[test]
    fn a_link_in_place_of_all_homes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/tmp", folder.path().join("homes")).unwrap();
        assert!(make_directory(&folder.path().join("homes"), "7").is_err());
    }
}
