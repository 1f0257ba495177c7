//! Every metric of the proxy, and how they are shown.
//!
//! Labels are bounded: never a path, a user or a target.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

const REQUESTS: &str = "holt_proxy_requests_total";
const CONNECTIONS: &str = "holt_proxy_connections";
const WEBSOCKETS: &str = "holt_proxy_websockets";
const WAITING: &str = "holt_proxy_waiting_requests";
const GENERATION: &str = "holt_proxy_table_generation";
const ROUTES: &str = "holt_proxy_routes";
const FAILURES: &str = "holt_proxy_failures_total";

/// Starts to count; a second call in one process changes nothing.
pub(crate) fn install() {
    static HANDLE: OnceLock<()> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _ = RENDER.set(recorder.handle());
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::debug!("Another recorder counts in this process");
        }
        metrics::describe_counter!(
            REQUESTS,
            "Requests answered, by listener, by where they led and by status class"
        );
        metrics::describe_gauge!(CONNECTIONS, "Open client connections");
        metrics::describe_gauge!(WEBSOCKETS, "Open websockets");
        metrics::describe_gauge!(WAITING, "Requests that wait for a server or a hub");
        metrics::describe_gauge!(GENERATION, "Generation of the route table in force");
        metrics::describe_gauge!(ROUTES, "Routes in the table");
        metrics::describe_counter!(
            FAILURES,
            "Requests answered by the proxy itself, by side and phase of the failure"
        );
    });
}

static RENDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// The text that Prometheus reads.
pub(crate) fn render() -> String {
    RENDER
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default()
}

/// A request was answered.
pub(crate) fn request(listener: &'static str, way: &'static str, status: u16) {
    let class = match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    };
    metrics::counter!(REQUESTS, "listener" => listener, "way" => way, "class" => class)
        .increment(1);
}

/// The proxy had to answer by itself.
pub(crate) fn failure(side: &'static str, phase: &'static str) {
    metrics::counter!(FAILURES, "side" => side, "phase" => phase).increment(1);
}

/// A table is in force.
pub(crate) fn table(generation: u64, routes: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!(GENERATION).set(generation as f64);
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!(ROUTES).set(routes as f64);
}

/// Something that is there as long as this lives.
#[derive(Debug)]
pub(crate) struct Present(&'static str);

impl Present {
    /// A client connection.
    pub(crate) fn connection() -> Self {
        Self::of(CONNECTIONS)
    }

    /// A websocket.
    pub(crate) fn websocket() -> Self {
        Self::of(WEBSOCKETS)
    }

    /// A waiting request.
    pub(crate) fn waiting() -> Self {
        Self::of(WAITING)
    }

    fn of(name: &'static str) -> Self {
        metrics::gauge!(name).increment(1.0);
        Present(name)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        metrics::gauge!(self.0).decrement(1.0);
    }
}
