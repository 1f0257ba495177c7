//! The roles as processes of their own, under `holt up`, systemd or Kubernetes.

use std::path::PathBuf;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::signals::Signals;
use super::{Failure, Overrides};
use crate::{metrics, telemetry};

/// `holt hub`.
#[derive(Debug, Args)]
pub(super) struct HubArgs {
    #[command(flatten)]
    overrides: Overrides,
    /// The Unix socket that the proxy reaches this hub by. Several hubs on one data directory need one each.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

pub(super) async fn hub(arguments: HubArgs) -> Result<(), Failure> {
    let settings = arguments.overrides.load()?;
    telemetry::start(&settings.log);
    let shown = metrics::install();
    settings.data_dir.prepare()?;
    let socket = arguments
        .socket
        .unwrap_or_else(|| settings.data_dir.hub_socket());
    let stop = CancellationToken::new();
    let signals = Signals::listen()?;
    let hub = crate::hub::run(&settings, socket, Some(shown), stop.clone());
    tokio::pin!(hub);
    tokio::select! {
        ended = &mut hub => return Ok(ended?),
        () = signals.first() => stop.cancel(),
    }
    // Ends by itself within its own limits, unless there is no patience any more.
    tokio::select! {
        ended = hub => Ok(ended?),
        () = signals.second() => Ok(()),
    }
}

pub(super) async fn proxy(arguments: holt_proxy::cli::Args) -> Result<(), Failure> {
    holt_proxy::cli::run(arguments).await.map_err(|error| {
        match error.downcast::<holt_proxy::cli::Misuse>() {
            Ok(misuse) => Failure::usage(misuse.to_string()),
            Err(error) => error.into(),
        }
    })
}
