//! The internal listener: where the table wants it, for servers alone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use holt_spec::control::{Internal, InternalStatus};
use tokio::net::TcpListener;

use super::accept::accept_internal;
use super::{Share, open};
use crate::http::Edge;

/// Between two tries to open it.
const AGAIN: Duration = Duration::from_secs(1);

/// Keeps the internal listener where the table wants it, and says how it is.
pub(crate) async fn keep_internal(edge: Arc<Edge>, status: Arc<Mutex<Option<InternalStatus>>>) {
    let mut changed = edge.live.watch();
    loop {
        let wanted = edge.live.now().internal.clone();
        let say = |error: Option<String>| {
            *status.lock().expect("no panic under this lock") =
                wanted.as_ref().map(|wanted| InternalStatus {
                    listen: wanted.listen,
                    error,
                });
        };
        let until = async {
            // Another table with the same listener changes nothing.
            while edge.live.now().internal == wanted {
                if changed.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        let serving = async {
            match &wanted {
                None => {
                    say(None);
                    std::future::pending().await
                }
                Some(wanted) => serve_internal(&edge, wanted, &say).await,
            }
        };
        tokio::select! {
            () = serving => {}
            () = until => {}
            () = edge.drain.cancelled() => return,
        }
    }
}

async fn serve_internal(edge: &Arc<Edge>, wanted: &Internal, say: &impl Fn(Option<String>)) {
    let address = wanted.listen;
    match open(address, Share::AloneAhead).and_then(TcpListener::from_std) {
        Ok(listener) => {
            say(None);
            tracing::info!(%address, "The internal listener is open");
            accept_internal(edge, &listener, &wanted.allow).await;
        }
        Err(error) => {
            say(Some(error.to_string()));
            tracing::warn!(%address, %error, "The internal listener cannot be opened and is tried again");
            tokio::time::sleep(AGAIN).await;
        }
    }
}
