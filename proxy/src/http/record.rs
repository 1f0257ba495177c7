//! What remains of a request: a line in the log, a number in the metrics.
//!
//! Never a query, a cookie or a token. What only a log would want is gathered only when there is one.

use std::time::Instant;

use super::Listener;
use super::route::Way;
use crate::metrics;

/// The record of one request.
#[derive(Debug)]
pub(crate) struct Record {
    listener: Listener,
    way: &'static str,
    logged: Option<Box<Logged>>,
}

#[derive(Debug)]
struct Logged {
    began: Instant,
    method: Box<str>,
    path: Box<str>,
}

impl Record {
    /// A request came.
    pub(crate) fn begin(method: &str, path: &str, listener: Listener) -> Self {
        let logged = tracing::enabled!(tracing::Level::DEBUG).then(|| {
            Box::new(Logged {
                began: Instant::now(),
                method: method.into(),
                path: path.into(),
            })
        });
        Record {
            listener,
            way: "none",
            logged,
        }
    }

    /// Its way was found.
    pub(crate) fn routed(&mut self, way: &Way) {
        self.way = way.name();
    }

    /// It is over; `whole` when nothing of its answer was cut off.
    pub(crate) fn finished(&self, status: u16, whole: bool) {
        metrics::request(self.listener.name(), self.way, status);
        if let Some(logged) = &self.logged {
            let milliseconds =
                u64::try_from(logged.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::debug!(
                method = %logged.method,
                path = %logged.path,
                listener = self.listener.name(),
                way = self.way,
                status,
                whole,
                duration_ms = milliseconds,
                "Answered a request"
            );
        }
    }
}
