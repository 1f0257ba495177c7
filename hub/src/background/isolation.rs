//! Tries the forbidden ways out of a container again and again, and puts back what another program took away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::gauge;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Passes, pause};
use crate::metrics::ISOLATION_WEAK;
use crate::spawner::{IsolationReport, WayResult};

/// How often.
const PERIOD: Duration = Duration::from_secs(300);

/// What trying last showed, for pages and metrics. Cheap to clone.
#[derive(Clone, Default)]
pub struct IsolationState {
    /// A plain lock: held for a copy only.
    report: Arc<Mutex<Option<IsolationReport>>>,
}

impl IsolationState {
    /// The last report, when there is one.
    #[must_use]
    pub fn report(&self) -> Option<IsolationReport> {
        self.report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Keeps a report, and counts the ways that are not as they should be.
    pub fn keep(&self, report: IsolationReport) {
        let weak = report
            .ways
            .iter()
            .filter(|way| way.result != WayResult::Good)
            .count();
        #[expect(clippy::cast_precision_loss, reason = "there are a dozen ways")]
        gauge!(ISOLATION_WEAK).set(weak as f64);
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    }
}

pub(super) async fn run(passes: Passes, stop: CancellationToken) {
    // The first try was made before the hub began to listen.
    while pause(PERIOD, &stop).await {
        let Some(report) = passes.spawner.check_isolation().await else {
            continue;
        };
        if report.restored {
            info!("The firewall rules of notebook servers had been taken away and were put back");
        }
        for way in &report.ways {
            if way.result == WayResult::Bad {
                warn!(
                    way = way.way,
                    fix = way.fix,
                    "A way that should be closed or open is not: {}",
                    way.way
                );
            }
        }
        passes.isolation.keep(report);
    }
}
