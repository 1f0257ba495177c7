//! The hub's metrics, declared in one place with what they mean.
//!
//! Labels are bounded: the pattern of a route, never a path, a user or a server.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Requests answered, by method, route pattern and status.
pub const REQUESTS: &str = "holt_http_requests_total";
/// Time from a request's head to its answer's head.
pub const REQUEST_SECONDS: &str = "holt_http_request_duration_seconds";
/// Sign-ins, by way (`password`, `link`) and outcome.
pub const LOGINS: &str = "holt_logins_total";
/// Users there are.
pub const USERS: &str = "holt_users";
/// Servers, by state.
pub const SERVERS: &str = "holt_servers";

/// Installs the recorder of this process. `None` when one was installed before.
#[must_use]
pub fn install() -> Option<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(
            Matcher::Suffix("_duration_seconds".to_owned()),
            &[
                0.001, 0.005, 0.02, 0.1, 0.3, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
            ],
        )
        .ok()?
        .install_recorder()
        .ok()?;
    describe_counter!(
        REQUESTS,
        "Requests answered, by method, route pattern and status"
    );
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "Time from a request's head to its answer's head"
    );
    describe_counter!(LOGINS, "Sign-ins, by way and outcome");
    describe_gauge!(USERS, "Users there are");
    describe_gauge!(SERVERS, "Servers, by state");
    Some(handle)
}
