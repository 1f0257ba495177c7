//! The threads that move bytes: each with a runtime, listeners and upstream connections of its own, so that none waits for another.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use holt_spec::control::InternalStatus;
use tokio::runtime::Builder;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;

use crate::http::{Edge, Seats};
use crate::listen::{Door, accept_public, keep_internal};

/// Between two looks for upstream connections that nobody uses.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Connections that were told to end may take so long.
const ENDING: Duration = Duration::from_secs(2);

/// Threads at work.
#[derive(Debug)]
pub(crate) struct Workers {
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts threads that serve these doors, shared out among them, until the edge stops; by TLS where `tls` is given.
    /// The first one also keeps the internal listener, where its status is asked for.
    ///
    /// # Errors
    /// When the system gives no thread, no runtime, or no further descriptor for a door.
    pub(crate) fn start(
        edge: &Arc<Edge>,
        count: usize,
        doors: Vec<Door>,
        tls: Option<TlsAcceptor>,
        mut internal: Option<Arc<Mutex<Option<InternalStatus>>>>,
    ) -> io::Result<Self> {
        let count = count.max(1);
        let seats = Arc::new(Seats::default());
        let mut threads = Vec::with_capacity(count);
        for (number, doors) in share_out(doors, count)?.into_iter().enumerate() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let edge = Arc::clone(edge);
            let (tls, seats, internal) = (tls.clone(), Arc::clone(&seats), internal.take());
            let work = move || {
                runtime.block_on(async {
                    for door in doors {
                        let (edge, tls, seats) =
                            (Arc::clone(&edge), tls.clone(), Arc::clone(&seats));
                        edge.clone()
                            .tasks
                            .spawn(accept_public(edge, door, tls, seats));
                    }
                    if let Some(status) = internal {
                        edge.tasks.spawn(keep_internal(Arc::clone(&edge), status));
                    }
                    keep_house(&edge, count == 1).await;
                    let _ = timeout(ENDING, edge.emptied()).await;
                });
            };
            let name = format!("worker-{number}");
            threads.push(std::thread::Builder::new().name(name).spawn(work)?);
        }
        Ok(Workers { threads })
    }

    /// Waits until all threads are gone. The edge must have been stopped.
    pub(crate) async fn ended(self) {
        let joined = tokio::task::spawn_blocking(move || {
            self.threads.into_iter().all(|thread| thread.join().is_ok())
        });
        if !matches!(joined.await, Ok(true)) {
            tracing::error!("A worker ended badly");
        }
    }
}

/// What must be done from time to time, until the end.
async fn keep_house(edge: &Edge, alone: bool) {
    let mut sweep = interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = sweep.tick() => edge.sweep(alone),
            () = edge.stop.cancelled() => return,
        }
    }
}

/// Each worker gets its part of the doors; where there are fewer, some share one.
fn share_out(doors: Vec<Door>, count: usize) -> io::Result<Vec<Vec<Door>>> {
    let mut shares: Vec<Vec<Door>> = (0..count).map(|_| Vec::new()).collect();
    let given = doors.len();
    for (number, share) in shares.iter_mut().enumerate().skip(given) {
        if let Some(door) = doors.get(number % given.max(1)) {
            share.push(door.try_clone()?);
        }
    }
    for (number, door) in doors.into_iter().enumerate() {
        shares[number % count].push(door);
    }
    Ok(shares)
}
