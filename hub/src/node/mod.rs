//! `holt node`: keeps the mounts that servers share, beside a hub that has no such rights.
//!
//! Everything is below one directory that is a shared mount point; a server gets folders of it as slaves, so what is mounted or taken
//! away there happens in running servers too, and a mount that is down is an empty directory (`ground`). What others mount there is
//! taken away, and whether the directory is still shared is looked at (`sweep`).
//! Each mount is watched by a task of its own (`watch`): is it there, does it answer in time, is it the one that was made? One that is
//! ill is taken away at once, whoever uses it, and mounted again after growing pauses.
//! Whatever touches a mount does so in a process of its own (`hand`, sent and bounded by `hands`), because a dead file system holds
//! whoever asks it.
//!
//! **Invariant:** this process never touches a mount itself, neither by path nor by descriptor. It ends without taking any away, so
//! that servers keep their files over its restarts.

mod backoff;
mod board;
mod claim;
mod follow;
mod followed;
mod ground;
mod hand;
mod hands;
mod held;
mod image;
mod job;
mod make;
mod mark;
mod notes;
mod part;
mod probe;
mod reach;
mod round;
mod status;
mod submounts;
mod sweep;
mod watch;
mod way;
mod weigh;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

pub use self::claim::Claim;
pub use self::hand::main as hand;
pub use self::image::image_notes;
pub use self::mark::Mark;
pub use self::notes::source_notes;
pub use self::probe::Probe;
pub use self::status::{Condition, Missing, MountStatus, Status, StatusPlace, directory, now};

use self::board::Board;
use self::ground::{Ground, Sharing};
use self::hands::Hands;
use self::sweep::{Sweeper, clear, clear_staging};
use self::watch::Watch;
use crate::config::{Entry, Settings, folders};
use crate::mountinfo::Table;

/// How long a mount that nobody wants any more may take to be taken away.
const CLEARING: Duration = Duration::from_secs(5);

/// Why there can be no node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// This process may not mount.
    #[error("mounting needs the rights of root (CAP_SYS_ADMIN), which this process does not have")]
    Rights,
    /// Another node has the directory.
    #[error("another `holt node`{} keeps the mounts in {path}", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Held {
        /// The directory.
        path: PathBuf,
        /// The other's process.
        pid: Option<i32>,
    },
    /// The directory keeps mounts of another data directory.
    #[error("node.directory {path} keeps the mounts of another data directory, {data_dir}{}: name a directory of its own with node.directory. If that data directory was moved or deleted, take its mounts away with `holt node --unmount --take-over`", pid.map(|pid| format!(", whose node runs (pid {pid})")).unwrap_or_default())]
    Others {
        /// The directory.
        path: PathBuf,
        /// The other data directory.
        data_dir: PathBuf,
        /// Its node, if that runs.
        pid: Option<i32>,
    },
    /// A node of earlier settings runs.
    #[error("a `holt node`{} of earlier settings still keeps mounts in {path}: end it first", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Earlier {
        /// Its directory.
        path: PathBuf,
        /// Its process.
        pid: Option<i32>,
    },
    /// The directory cannot be used.
    #[error("the directory of mounts {path} cannot be used")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

/// Makes the directory a shared mount point, for whoever looks whether that can be done. Done already: nothing changes.
///
/// # Errors
/// [`NodeError`] with what is in the way.
pub fn prepare(settings: &Settings) -> Result<(), NodeError> {
    let data_dir = settings.data_dir.path();
    let ground = Ground::take(&directory(settings), data_dir, Claim::Own)?;
    let (earlier, _) = claim::earlier(data_dir, ground.path()).unwrap_or_default();
    for path in earlier {
        if let Err(NodeError::Held { path, pid }) = Ground::take(&path, data_dir, Claim::Own) {
            return Err(NodeError::Earlier { path, pid });
        }
    }
    ground.share()?;
    ground.keep(&folders(&settings.mounts));
    Ok(())
}

/// Keeps the mounts until `stop`; then goes and leaves them.
///
/// # Errors
/// [`NodeError`] when it cannot begin; everything later is coped with.
pub async fn run(settings: &Settings, stop: CancellationToken) -> Result<(), NodeError> {
    let data_dir = settings.data_dir.path();
    let ground = Arc::new(Ground::take(&directory(settings), data_dir, Claim::Own)?);
    take_earlier_away(settings).await?;
    let folders = folders(&settings.mounts);
    // Those that hang are few.
    let mut takers = Hands::default();
    clear(&ground, &folders, &mut takers).await;
    clear_staging(&ground, &mut takers).await;
    let board = Arc::new(Board::new(settings));
    let earlier = Status::read_in(ground.directory()).unwrap_or_default();
    let images: Vec<_> = earlier
        .mounts
        .iter()
        .filter_map(|it| it.image.clone())
        .collect();
    let earlier = Some(earlier).filter(Status::is_of_this_boot);
    let earlier = earlier.unwrap_or_default();
    board.keep_shared_anew(earlier.shared_anew);
    let was_there = Table::read().is_ok_and(|table| table.at(ground.path()).is_some());
    if ground.share()? == Sharing::Anew && was_there {
        board.shared_anew();
    }
    if let Err(cause) = ground.tidy_staging(&folders) {
        warn!(error = %cause, "What an earlier node left in the staging directory stays");
    }
    ground.keep(&folders);

    // Links in it are followed once; a data directory is on a disk of the machine.
    let data_dir = data_dir.canonicalize().unwrap_or(data_dir.to_owned());
    let tasks = TaskTracker::new();
    let table = board::follow_table(&tasks, &stop);
    let sweeper = Sweeper::new(&ground, &folders, &board);
    tasks.spawn(sweeper.run(table.clone(), settings.node.check_every, stop.clone()));
    for folder in &folders {
        for (entry, kept) in &folder.entries {
            let Entry::Mount(name) = kept else { continue };
            let Some((_, mount)) = settings.mounts.iter().find(|(known, _)| known == name) else {
                continue;
            };
            let mut watch = Watch::new(
                name,
                mount,
                &settings.node,
                &ground,
                ground.place(folder, entry),
                &data_dir,
                Arc::clone(&board),
            );
            if mount.kind == "image" && images.contains(&mount.source) {
                watch.knows_its_image();
            }
            let earlier = earlier.mounts.iter().find(|known| known.name == *name);
            tasks.spawn(watch.run(earlier.cloned(), table.clone(), stop.clone()));
        }
    }
    info!(directory = %ground.path().display(), mounts = settings.mounts.len(), "The node keeps its mounts");
    board.write_until(&ground, &folders, stop).await;
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// What is mounted over the directory, or over a folder in it, and may hold whoever looks there: each as a sentence without its end.
#[must_use]
pub fn covers(settings: &Settings) -> Vec<String> {
    let top = directory(settings);
    let data_dir = settings.data_dir.path();
    let folders = folders(&settings.mounts).into_iter();
    let paths = std::iter::once(top.clone()).chain(folders.map(|folder| top.join(folder.name)));
    let mut found: Vec<_> = paths
        .filter_map(|path| reach::find(&path, data_dir).err())
        .map(|cause| cause.to_string())
        .collect();
    // What is over the directory is over all that is in it.
    found.dedup();
    found
}

/// Takes every mount away, and the shared mount point with them; also below the directories of earlier settings. Servers that run see
/// empty folders. Nothing there, or no node ever: nothing changes.
///
/// # Errors
/// A node runs, or there is no right to unmount.
pub async fn take_all_away(settings: &Settings, claim: Claim) -> Result<(), NodeError> {
    let path = directory(settings);
    let found = reach::find(&path, settings.data_dir.path());
    let found = found.map_err(|cause| NodeError::Directory { path, cause })?;
    if found.exists() {
        take_away_below(&found, settings, claim).await?;
    }
    take_earlier_away(settings).await
}

/// As [`take_all_away`] once there are no mounts in the settings; a directory that was never a node's, or is another's now, is left alone.
///
/// # Errors
/// As there.
pub async fn take_left_away(settings: &Settings) -> Result<(), NodeError> {
    let found = reach::find(&directory(settings), settings.data_dir.path());
    let is_marked = |path: &PathBuf| {
        let directory = reach::Directory::open(path);
        directory.is_ok_and(|it| claim::mark_of(&it).is_some())
    };
    if let Ok(path) = found
        && is_marked(&path)
    {
        match take_away_below(&path, settings, Claim::Own).await {
            Err(NodeError::Others { .. }) => {}
            taken => taken?,
        }
    }
    take_earlier_away(settings).await
}

/// Takes away what nodes of this data directory left in other directories.
async fn take_earlier_away(settings: &Settings) -> Result<(), NodeError> {
    let data_dir = settings.data_dir.path();
    let earlier = claim::earlier(data_dir, &directory(settings));
    let (earlier, covered) = earlier.unwrap_or_default();
    for path in covered {
        warn!(directory = %path.display(), "Something is mounted over a directory of mounts, so nobody sees whose it is: take it away with `umount --lazy`");
    }
    for path in earlier {
        match take_away_below(&path, settings, Claim::Own).await {
            Ok(()) => {
                info!(directory = %path.display(), "The mounts of earlier settings were taken away")
            }
            Err(NodeError::Held { path, pid }) => return Err(NodeError::Earlier { path, pid }),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn take_away_below(
    directory: &Path,
    settings: &Settings,
    claim: Claim,
) -> Result<(), NodeError> {
    let ground = Ground::take(directory, settings.data_dir.path(), claim)?;
    clear(&ground, &[], &mut Hands::default()).await;
    ground.unshare(CLEARING).await?;
    Status::remove(ground.directory()).map_err(|cause| NodeError::Directory {
        path: ground.path().to_owned(),
        cause,
    })
}

/// `5 s`, `500 ms`.
fn words(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}
