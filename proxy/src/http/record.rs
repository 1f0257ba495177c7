//! What remains of a request: a line in the log, a number in the metrics, the time its route was used.
//!
//! Never a query, a cookie or a token.

use std::time::Instant;

use http::{HeaderValue, Method};

use super::Listener;
use super::route::Way;

/// The record of one request.
#[derive(Debug)]
pub(crate) struct Record {
    began: Instant,
    method: Method,
    path: Box<str>,
    listener: Listener,
    id: Option<HeaderValue>,
    way: Option<Way>,
    status: u16,
}

impl Record {
    /// A request came.
    pub(crate) fn begin(method: &Method, path: &str, listener: Listener) -> Self {
        Record {
            began: Instant::now(),
            method: method.clone(),
            path: path.into(),
            listener,
            id: None,
            way: None,
            status: 0,
        }
    }

    /// It has an id.
    pub(crate) fn identified(&mut self, id: HeaderValue) {
        self.id = Some(id);
    }

    /// Its way was found.
    pub(crate) fn routed(&mut self, way: &Way) {
        self.way = Some(way.clone());
    }

    /// Its answer began.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
        crate::metrics::request(self.listener.name(), self.way_name(), status);
    }

    /// Its answer ended; `whole` when nothing was cut off.
    pub(crate) fn finished(&mut self, whole: bool) {
        if whole
            && (200..300).contains(&self.status)
            && let Some(Way::Server(leaf, _)) = &self.way
        {
            leaf.last_use.touch();
        }
        let milliseconds = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(
            request.id = self.id.as_ref().and_then(|id| id.to_str().ok()),
            method = %self.method,
            path = %self.path,
            listener = self.listener.name(),
            way = self.way_name(),
            status = self.status,
            whole,
            duration_ms = milliseconds,
            "Answered a request"
        );
    }

    fn way_name(&self) -> &'static str {
        self.way.as_ref().map_or("none", Way::name)
    }
}
