//! Whether this process is itself in a container of the engine: asked of the engine, and proved by trying.
//!
//! The kernel and the host's name only give candidates.
//! A candidate is the one whose network we have when an address that the engine gave it can be bound here, and the one whose
//! files we have when the engine reads from it a word that we have just written. The two differ where containers share a network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures_util::TryStreamExt;

use super::Shared;
use super::engine::Trouble;
use crate::spawner::SpawnerError;

const WHAT: &str = "look for the container this hub runs in";
/// How long the engine may take to read one small file.
const READ: Duration = Duration::from_secs(10);
/// An archive of one small file is shorter.
const ARCHIVE: usize = 64 << 10;

/// The container we are in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// The container whose network we have; none where that is the machine's own.
    pub(super) network: Option<String>,
    /// What is mounted into the container whose files we have: where it is seen here, and where it is on the engine's machine.
    pub(super) mounts: Vec<(PathBuf, PathBuf)>,
}

/// A file with a word that nobody else knows; gone with it.
pub(super) struct Word {
    path: PathBuf,
    text: String,
}

impl Word {
    /// Writes one into `folder`.
    pub(super) fn write(folder: &Path) -> std::io::Result<Self> {
        let text = format!("holt-{:032x}", rand::random::<u128>());
        let path = folder.join(format!(".holt-{:016x}", rand::random::<u64>()));
        std::fs::write(&path, &text)?;
        let word = Self { path, text };
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&word.path, mode)?;
        Ok(word)
    }

    /// Its file's name.
    pub(super) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Whether somebody read it.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        let text = self.text.as_bytes();
        bytes.windows(text.len()).any(|window| window == text)
    }
}

impl Drop for Word {
    fn drop(&mut self) {
        let _nobody_minds = std::fs::remove_file(&self.path);
    }
}

impl Own {
    /// Where a file of ours is on the engine's machine; none when it is not mounted.
    pub(super) fn on_the_machine(&self, path: &Path) -> Option<PathBuf> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (seen, source) = self
            .mounts
            .iter()
            .filter(|(seen, _)| path.starts_with(seen))
            .max_by_key(|(seen, _)| seen.components().count())?;
        let rest = path.strip_prefix(seen).ok()?;
        Some(if rest.as_os_str().is_empty() {
            source.clone()
        } else {
            source.join(rest)
        })
    }
}

impl Shared {
    /// The container we are in, if we are. Asked once: a process does not move.
    pub(super) async fn own(&self) -> Result<Option<&Own>, SpawnerError> {
        let own = self.own.get_or_try_init(|| self.look_for_own()).await?;
        Ok(own.as_ref())
    }

    async fn look_for_own(&self) -> Result<Option<Own>, SpawnerError> {
        let mut own = None::<Own>;
        let mut has_files = false;
        for candidate in candidates() {
            let found = self.find(&candidate).await;
            let Some(found) = found.map_err(|trouble| trouble.doing(WHAT))? else {
                continue;
            };
            let is_running = found.state.as_ref().and_then(|state| state.running) == Some(true);
            let Some(id) = found.id.clone().filter(|_| is_running) else {
                continue;
            };
            if addresses(&found).any(is_bindable) {
                own.get_or_insert_default().network = Some(id.clone());
            }
            if !has_files && self.has_our_files(&id).await? {
                has_files = true;
                own.get_or_insert_default().mounts = mounts(&found);
            }
        }
        if let Some(own) = &own {
            tracing::info!(
                network = own.network,
                "This hub runs in a container of the engine"
            );
        }
        Ok(own)
    }

    /// Whether the engine reads from that container what we wrote here.
    async fn has_our_files(&self, id: &str) -> Result<bool, SpawnerError> {
        let Ok(word) = Word::write(&self.data_dir) else {
            return Ok(false);
        };
        let path = word.path.to_string_lossy().into_owned();
        let options = DownloadFromContainerOptionsBuilder::new()
            .path(&path)
            .build();
        let read = self
            .engine
            .call_within(READ, |docker| async move {
                docker
                    .download_from_container(id, Some(options))
                    .try_fold(Vec::new(), |mut all, chunk| async move {
                        let room = ARCHIVE.saturating_sub(all.len()).min(chunk.len());
                        all.extend_from_slice(&chunk[..room]);
                        Ok(all)
                    })
                    .await
            })
            .await;
        match read {
            Ok(bytes) => Ok(word.is_in(&bytes)),
            Err(trouble @ (Trouble::Unavailable { .. } | Trouble::Timeout(_))) => {
                Err(trouble.doing(WHAT))
            }
            Err(_) => Ok(false),
        }
    }
}

/// Ids and names that may be ours.
fn candidates() -> Vec<String> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut found = ids(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_plain) {
        found.push(name);
    }
    found
}

/// Container ids in what the kernel tells: the sources of the files that engines mount, and the control groups.
fn ids(mountinfo: &str, cgroup: &str) -> Vec<String> {
    const MOUNTED: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
    let sources = mountinfo.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (source, target) = (fields.next()?, fields.next()?);
        MOUNTED.contains(&target).then_some(source)
    });
    let mut found = Vec::new();
    for text in cgroup.lines().chain(sources) {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
            let is_id = word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_id && !found.iter().any(|known| known == word) {
                found.push(word.to_owned());
            }
        }
    }
    found
}

/// The addresses that the engine gave a container.
fn addresses(found: &ContainerInspectResponse) -> impl Iterator<Item = std::net::IpAddr> + '_ {
    let settings = found.network_settings.as_ref();
    let networks = settings.and_then(|settings| settings.networks.as_ref());
    networks
        .into_iter()
        .flat_map(|networks| networks.values())
        .filter_map(|endpoint| endpoint.ip_address.as_ref()?.parse().ok())
}

/// Whether the address is one of this process's network.
pub(super) fn is_bindable(ip: std::net::IpAddr) -> bool {
    std::net::TcpListener::bind((ip, 0)).is_ok()
}

/// What is mounted, longest-lived kinds only: what a temporary file system holds nobody else can see.
fn mounts(found: &ContainerInspectResponse) -> Vec<(PathBuf, PathBuf)> {
    let all = found.mounts.iter().flatten().filter_map(|mount| {
        let source = mount.source.as_ref().filter(|source| !source.is_empty())?;
        Some((
            PathBuf::from(mount.destination.as_ref()?),
            PathBuf::from(source),
        ))
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn ids_are_found_where_engines_leave_them() {
        let mounted = format!(
            "600 590 254:0 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw,relatime - ext4 /dev/vda rw"
        );
        assert_eq!(ids(&mounted, "0::/\n"), [ID]);
        assert_eq!(
            ids(
                "",
                &format!("12:pids:/docker/{ID}\n0::/system.slice/docker-{ID}.scope\n")
            ),
            [ID]
        );
        let layer = format!(
            "500 400 0:50 / / rw - overlay overlay rw,upperdir=/var/lib/docker/overlay2/{ID}/diff"
        );
        assert!(ids(&layer, "0::/init.scope\n").is_empty());
    }

    #[test]
    fn a_path_is_translated_by_the_nearest_mount() {
        let own = Own {
            network: None,
            mounts: vec![
                ("/srv".into(), "/mnt/a".into()),
                ("/srv/holt".into(), "/mnt/b".into()),
            ],
        };
        let there = |path: &str| own.on_the_machine(Path::new(path));
        assert_eq!(there("/srv/holt/homes"), Some("/mnt/b/homes".into()));
        assert_eq!(there("/srv/holt"), Some("/mnt/b".into()));
        assert_eq!(there("/srv/holter"), Some("/mnt/a/holter".into()));
        assert_eq!(there("/elsewhere"), None);
    }

    #[test]
    fn a_word_is_known_again_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let word = Word::write(folder.path()).unwrap();
        let read = std::fs::read(folder.path().join(word.name())).unwrap();
        assert!(word.is_in(&read));
        assert!(!word.is_in(b"holt-"));
        drop(word);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
