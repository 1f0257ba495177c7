//! What servers and their spawner are told of mounts, and trying whether what is mounted reaches containers.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Settings, folders};
use crate::node;
use crate::servers::MountUsers;
use crate::spawner::docker::{Share, ShareSeen};
use crate::store::Store;

/// Who gets which mount.
pub(super) fn users(settings: &Settings) -> MountUsers {
    let mounts = settings.mounts.iter();
    MountUsers(
        mounts
            .map(|(name, mount)| (name.clone(), settings.people_of(mount)))
            .collect(),
    )
}

/// The folders of mounts as the spawner is told of them.
pub(super) fn shares(settings: &Settings) -> Vec<Share> {
    let directory = node::directory(settings);
    let shares = folders(&settings.mounts).into_iter().map(|folder| {
        let mut mounts: Vec<_> = folder
            .entries
            .values()
            .map(|entry| entry.mount().to_owned())
            .collect();
        mounts.dedup();
        Share {
            source: directory.join(&folder.name),
            target: folder.path,
            mounts,
        }
    });
    shares.collect()
}

/// Gives a folder of the node's directory to a throwaway container and mounts into it while that runs. Without the right to mount, only
/// how the container got it is seen.
///
/// # Errors
/// Neither the engine nor the directory can be used.
pub async fn try_propagation(settings: &Settings) -> anyhow::Result<ShareSeen> {
    let store = Store::open(&settings.data_dir.database()).await?;
    let tasks = TaskTracker::new();
    let stop = CancellationToken::new();
    let spawner = super::docker_spawner(
        settings,
        super::hub_id(&store).await?,
        Vec::new(),
        &tasks,
        &stop,
    );
    let probe = match node::Probe::prepare(settings) {
        Ok(probe) => Some(probe),
        Err(node::NodeError::Rights) => None,
        // The engine would wait for what is mounted over it.
        Err(error) => return Err(error.into()),
    };
    let folder = match &probe {
        Some(probe) => probe.folder().to_owned(),
        None => node::Probe::directory(settings)?,
    };
    let mut mounted = Ok(());
    let seen = spawner
        .try_share(&folder, || {
            // One mounted before the start would prove nothing.
            if let Some(probe) = &probe {
                mounted = probe.mount();
            }
        })
        .await;
    stop.cancel();
    tasks.close();
    mounted?;
    Ok(seen?)
}
