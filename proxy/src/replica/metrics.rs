//! The metrics of the gateway. Labels are sections and outcomes: never a user, a database or a statement.

use std::sync::Arc;

use super::Gateway;

const STATEMENTS: &str = "holt_replicas_statements_total";
const SECONDS: &str = "holt_replicas_statement_seconds";
const BYTES: &str = "holt_replicas_result_bytes_total";
const CONNECTIONS: &str = "holt_replicas_connections";
const ACCOUNTS_FREE: &str = "holt_replicas_accounts_free";
const RUNNING: &str = "holt_replicas_running_statements";
const BACKENDS: &str = "holt_replicas_backends_up";
const LAG: &str = "holt_replicas_lag_seconds";
const REFUSED: &str = "holt_replicas_logins_refused_total";

/// Starts to count; a second call changes nothing.
pub(super) fn install() {
    crate::metrics::install();
    metrics::describe_counter!(
        STATEMENTS,
        "Statements, by section and by whether they were answered"
    );
    metrics::describe_histogram!(SECONDS, "How long statements took, by section");
    metrics::describe_counter!(BYTES, "Bytes of results, by section");
    metrics::describe_gauge!(CONNECTIONS, "Clients that are connected");
    metrics::describe_gauge!(ACCOUNTS_FREE, "Backend accounts that serve nobody");
    metrics::describe_gauge!(RUNNING, "Statements that run");
    metrics::describe_gauge!(BACKENDS, "Replica servers that take statements, by section");
    metrics::describe_gauge!(LAG, "How far the best replica server is behind, by section");
    metrics::describe_counter!(REFUSED, "Clients that were not let in");
}

/// A statement ended.
pub(super) fn statement(section: &Arc<str>, answered: bool, seconds: f64, bytes: u64) {
    let section = section.to_string();
    let outcome = if answered { "answered" } else { "failed" };
    metrics::counter!(STATEMENTS, "section" => section.clone(), "outcome" => outcome).increment(1);
    metrics::counter!(BYTES, "section" => section.clone()).increment(bytes);
    metrics::histogram!(SECONDS, "section" => section).record(seconds);
}

/// A client was not let in.
pub(super) fn refused() {
    metrics::counter!(REFUSED).increment(1);
}

/// The text that Prometheus reads.
pub(super) fn render(gateway: &Gateway) -> String {
    let gauge = |count: usize| count as f64;
    metrics::gauge!(CONNECTIONS).set(gauge(gateway.sessions.count()));
    metrics::gauge!(ACCOUNTS_FREE).set(gauge(gateway.accounts.free()));
    metrics::gauge!(RUNNING).set(gauge(gateway.sessions.running().len()));
    for section in &gateway.sections.all {
        let status = section.status();
        let up = status.backends.iter().filter(|backend| backend.up).count();
        metrics::gauge!(BACKENDS, "section" => section.name.to_string()).set(gauge(up));
        if let Some(lag) = status.lag_seconds {
            metrics::gauge!(LAG, "section" => section.name.to_string()).set(lag);
        }
    }
    crate::metrics::render()
}
