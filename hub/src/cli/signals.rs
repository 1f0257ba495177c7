//! Ctrl-C, SIGTERM and the terminal's end: heard from the beginning, so that none is lost between two waits.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Counts the signals that ask this process to end.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    count: watch::Receiver<u32>,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn listen() -> std::io::Result<Self> {
        let (sender, count) = watch::channel(0);
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        // The task ends with the process: a signal may come until then.
        TaskTracker::new().spawn(tally(interrupt?, terminate?, hangup?, sender));
        Ok(Self { count })
    }

    /// Returns once the process was asked to end; at once if that was before.
    pub(super) async fn first(&self) {
        self.at_least(1).await;
    }

    /// Returns once it was asked again.
    pub(super) async fn second(&self) {
        self.at_least(2).await;
    }

    async fn at_least(&self, wanted: u32) {
        if self
            .count
            .clone()
            .wait_for(|count| *count >= wanted)
            .await
            .is_err()
        {
            std::future::pending().await
        }
    }
}

async fn tally(
    mut interrupt: Signal,
    mut terminate: Signal,
    mut hangup: Signal,
    count: watch::Sender<u32>,
) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        count.send_modify(|count| *count += 1);
    }
}
