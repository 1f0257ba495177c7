//! Answers on a Unix socket until told to stop, then lets what is under way end within a deadline.

use std::time::Duration;

use axum::Router;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

/// How long requests under way may take after the stop.
const DRAIN: Duration = Duration::from_secs(8);

/// Serves until `stop` fires and, after that, at most eight seconds. Progress streams end with the stop (they hold the same token).
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: UnixListener,
    router: Router,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let drained =
        axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        ended = drained.into_future() => ended,
        () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => Ok(()),
    }
}
