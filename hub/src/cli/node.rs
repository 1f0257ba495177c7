//! `holt node`: the role that mounts, and taking its mounts away.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::exit::UNAVAILABLE;
use super::signals::Signals;
use super::{Failure, Place};
use crate::config::Settings;
use crate::node::NodeError;
use crate::telemetry;

/// `holt node`.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    #[command(flatten)]
    place: Place,
    /// Take all mounts away and end. Notebook servers that run see empty folders.
    #[arg(long)]
    unmount: bool,
}

pub(super) async fn run(arguments: NodeArgs) -> Result<(), Failure> {
    let settings = arguments.place.load()?;
    if arguments.unmount {
        return Ok(crate::node::take_all_away(&settings).await?);
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

/// The command that an operator runs for the node.
pub(super) fn how_to_run(settings: &Settings) -> String {
    let mut line = format!(
        "sudo holt node --data-dir {}",
        settings.data_dir.path().display()
    );
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
            NodeError::Held { .. } => Self {
                code: super::exit::TRY_LATER,
                message: error.to_string(),
            },
            NodeError::Directory { .. } => Self {
                code: UNAVAILABLE,
                message: crate::error_chain(&error),
            },
        }
    }
}
