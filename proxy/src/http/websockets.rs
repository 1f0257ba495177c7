//! The open websockets, so that those of a revoked session can be closed.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use crate::metrics::Present;
use crate::table::Hash;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Websockets {
    next: AtomicU64,
    // Held for one look through, never across an await.
    open: Mutex<HashMap<u64, Entry>>,
}

#[derive(Debug)]
struct Entry {
    credentials: Box<[Hash]>,
    close: CancellationToken,
    closed: CancellationToken,
}

/// A websocket is open as long as this lives.
#[derive(Debug)]
pub(crate) struct Open<'a> {
    all: &'a Websockets,
    id: u64,
    /// Fires when it must close.
    pub(crate) close: CancellationToken,
    closed: CancellationToken,
    _present: Present,
}

impl Websockets {
    /// Registers one that carries these credentials.
    pub(crate) fn open(&self, credentials: Vec<Hash>) -> Open<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let close = CancellationToken::new();
        let closed = CancellationToken::new();
        let entry = Entry {
            credentials: credentials.into(),
            close: close.clone(),
            closed: closed.clone(),
        };
        self.open
            .lock()
            .expect("no panic under this lock")
            .insert(id, entry);
        Open {
            all: self,
            id,
            close,
            closed,
            _present: Present::websocket(),
        }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.open.lock().expect("no panic under this lock").len()
    }

    /// Closes those that carry one of these credentials, and waits until they are closed.
    pub(crate) async fn close(&self, revoked: &[Hash]) {
        let closing: Vec<CancellationToken> = {
            let open = self.open.lock().expect("no panic under this lock");
            open.values()
                .filter(|entry| entry.credentials.iter().any(|hash| revoked.contains(hash)))
                .map(|entry| {
                    entry.close.cancel();
                    entry.closed.clone()
                })
                .collect()
        };
        for closed in closing {
            closed.cancelled().await;
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.all
            .open
            .lock()
            .expect("no panic under this lock")
            .remove(&self.id);
        self.closed.cancel();
    }
}
