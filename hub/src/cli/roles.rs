//! The roles as processes of their own, under `holt up`, systemd or Kubernetes.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
    let watch = TaskTracker::new();
    watch.spawn(cancel_on_signal(stop.clone()));
    crate::hub::run(&settings, socket, Some(shown), stop.clone()).await?;
    stop.cancel();
    Ok(())
}

pub(super) async fn proxy(arguments: holt_proxy::cli::Args) -> Result<(), Failure> {
    Ok(holt_proxy::cli::run(arguments).await?)
}

/// Fires the token at the first signal that asks us to end.
pub(super) async fn cancel_on_signal(stop: CancellationToken) {
    tokio::select! {
        () = next_signal() => stop.cancel(),
        () = stop.cancelled() => {}
    }
}

/// Waits for Ctrl-C, SIGTERM, or the terminal's end.
pub(super) async fn next_signal() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(cause) => {
            tracing::warn!(error = %cause, "A signal cannot be listened for");
            std::future::pending().await
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}
