//! The open websockets, so that those of a revoked session can be closed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use crate::metrics::Present;
use crate::table::Hash;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Websockets {
    next: AtomicU64,
    // Held for one look through, never across an await.
    open: Mutex<HashMap<u64, Arc<Entry>>>,
    ended: Notify,
}

#[derive(Debug)]
struct Entry {
    credentials: Box<[Hash]>,
    closing: AtomicBool,
    waker: AtomicWaker,
}

/// A websocket is open as long as this lives.
#[derive(Debug)]
pub(crate) struct Open {
    all: Arc<Websockets>,
    id: u64,
    entry: Arc<Entry>,
    _present: Present,
}

impl Websockets {
    /// Registers one that carries these credentials.
    pub(crate) fn open(self: &Arc<Self>, credentials: Vec<Hash>) -> Open {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(Entry {
            credentials: credentials.into(),
            closing: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        self.open
            .lock()
            .expect("no panic under this lock")
            .insert(id, Arc::clone(&entry));
        Open {
            all: Arc::clone(self),
            id,
            entry,
            _present: Present::websocket(),
        }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.open.lock().expect("no panic under this lock").len()
    }

    /// Closes those that carry one of these credentials, and waits until they are closed.
    pub(crate) async fn close(&self, revoked: &[Hash]) {
        self.close_where(|entry| entry.credentials.iter().any(|hash| revoked.contains(hash)))
            .await;
    }

    /// Closes all, and waits until they are closed.
    pub(crate) async fn close_all(&self) {
        self.close_where(|_| true).await;
    }

    async fn close_where(&self, must: impl Fn(&Entry) -> bool) {
        let closing: Vec<u64> = {
            let open = self.open.lock().expect("no panic under this lock");
            open.iter()
                .filter(|(_, entry)| must(entry))
                .map(|(id, entry)| {
                    entry.closing.store(true, Ordering::Release);
                    entry.waker.wake();
                    *id
                })
                .collect()
        };
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            // Registered before the look, so that no end falls in between.
            ended.as_mut().enable();
            let any = {
                let open = self.open.lock().expect("no panic under this lock");
                closing.iter().any(|id| open.contains_key(id))
            };
            if !any {
                return;
            }
            ended.await;
        }
    }
}

impl Open {
    /// Ready when it must close; the task that asks is woken then.
    pub(crate) fn poll_closing(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.entry.waker.register(cx.waker());
        if self.is_closing() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Whether it must close.
    pub(crate) fn is_closing(&self) -> bool {
        self.entry.closing.load(Ordering::Acquire)
    }

    /// What its request carried.
    pub(crate) fn credentials(&self) -> &[Hash] {
        &self.entry.credentials
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.all
            .open
            .lock()
            .expect("no panic under this lock")
            .remove(&self.id);
        self.all.ended.notify_waiters();
    }
}
