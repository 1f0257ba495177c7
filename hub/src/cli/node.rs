//! `holt node`: the role that mounts, and taking its mounts away.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::exit::UNAVAILABLE;
use super::signals::Signals;
use super::{Failure, Place};
use crate::config::Settings;
use crate::node::{Claim, NodeError};
use crate::telemetry;

/// `holt node`.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    #[command(flatten)]
    place: Place,
    /// Take all mounts away and end. Notebook servers that run see empty folders.
    #[arg(long)]
    unmount: bool,
    /// Take also the mounts away that another data directory has in `node.directory`, and whose node has ended: one that was moved or
    /// deleted.
    #[arg(long, requires = "unmount")]
    take_over: bool,
}

pub(super) async fn run(arguments: NodeArgs) -> Result<(), Failure> {
    let settings = arguments.place.load()?;
    is_roots(settings.file.as_deref())?;
    if arguments.unmount {
        let claim = match arguments.take_over {
            true => Claim::Anyones,
            false => Claim::Own,
        };
        return Ok(crate::node::take_all_away(&settings, claim).await?);
    }
    telemetry::start(&settings.log);
    let signals = Signals::listen()?;
    let stop = CancellationToken::new();
    let node = crate::node::run(&settings, stop.clone());
    tokio::pin!(node);
    tokio::select! {
        ended = &mut node => return Ok(ended?),
        () = signals.first() => stop.cancel(),
    }
    Ok(node.await?)
}

/// Refuses settings that somebody else may write: root would mount, and give away, whatever they say.
fn is_roots(file: Option<&Path>) -> Result<(), Failure> {
    let Some(file) = file.filter(|_| rustix::process::geteuid().is_root()) else {
        return Ok(());
    };
    let found = std::fs::metadata(file).map_err(|cause| {
        Failure::unavailable(format!("{} cannot be looked at: {cause}", file.display()))
    })?;
    // Who ran sudo decides anyway.
    let by_sudo = std::env::var("SUDO_UID")
        .ok()
        .and_then(|uid| uid.parse().ok());
    // A user's own group is theirs alone on most systems.
    let others = match found.uid() {
        0 => Some(0o022),
        uid => (Some(uid) == by_sudo).then_some(0o002),
    };
    if others.is_some_and(|others| found.mode() & others == 0) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} can be written by others than root, who would then mount as root: give --config a file of root's",
        file.display()
    )))
}

/// The command that an operator runs for the node.
pub(super) fn how_to_run(settings: &Settings) -> String {
    with_places("sudo holt node", settings)
}

/// The command that takes its mounts away.
pub(super) fn how_to_unmount(settings: &Settings) -> String {
    with_places("sudo holt node --unmount", settings)
}

fn with_places(command: &str, settings: &Settings) -> String {
    let data_dir = settings.data_dir.path();
    let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let mut line = format!("{command} --data-dir {}", data_dir.display());
    if let Some(file) = &settings.file {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        line.push_str(&format!(" --config {}", file.display()));
    }
    line
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        match &error {
            NodeError::Rights => Self::unavailable(format!("{error}. Run it as root")),
            NodeError::Held { .. } | NodeError::Earlier { .. } => Self {
                code: super::exit::TRY_LATER,
                message: error.to_string(),
            },
            NodeError::Others { .. } | NodeError::Directory { .. } => Self {
                code: UNAVAILABLE,
                message: crate::error_chain(&error),
            },
        }
    }
}
