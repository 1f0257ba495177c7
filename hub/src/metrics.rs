//! Metrics: each declared here with its meaning, and shown in Prometheus' text form.
//!
//! Labels are bounded: a route's pattern, a state, a kind; never a path or a user.

use std::sync::OnceLock;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Requests answered, by `method`, `route` (its pattern) and `status`.
pub const REQUESTS: &str = "holt_http_requests_total";
/// How long answers took, in seconds, by `method` and `route`.
pub const REQUEST_SECONDS: &str = "holt_http_request_duration_seconds";
/// Servers by `state`.
pub const SERVERS: &str = "holt_servers";
/// Questions about accounts, by `outcome` (`good`, `locked`, `missing`, `unknown`).
pub const LOCK_CHECKS: &str = "holt_lock_checks_total";
/// 1 while so many accounts of a `provider` seem locked that nothing is believed.
pub const LOCK_CHECK_HALTED: &str = "holt_lock_check_halted";
/// Sign-ins, by `way` (`password`, `link`, or the provider's name in the settings) and `outcome`.
pub const LOGINS: &str = "holt_logins_total";
/// Users known.
pub const USERS: &str = "holt_users";
/// Starts that waited in line when last counted.
pub const QUEUE: &str = "holt_start_queue";
/// How long starts took from the wish until the server answered, in seconds.
pub const START_SECONDS: &str = "holt_server_start_duration_seconds";
/// Starts that ended, by `outcome`: `ready` or `failed`.
pub const STARTS: &str = "holt_server_starts_total";
/// Servers that ended by themselves, by `reason`: `exit` or `memory`.
pub const DEATHS: &str = "holt_server_deaths_total";
/// Whether the container engine answered when last asked: 0 or 1.
pub const ENGINE_UP: &str = "holt_engine_up";
/// 1 while `holt node` looks after its mounts.
pub const NODE_UP: &str = "holt_node_up";
/// 1 while a `mount` is there and answers.
pub const MOUNT_UP: &str = "holt_mount_up";
/// How long a `mount` took to answer when last asked, in seconds.
pub const MOUNT_ANSWER_SECONDS: &str = "holt_mount_answer_seconds";
/// Times that a `mount` was ill and taken away.
pub const MOUNT_HEALS: &str = "holt_mount_heals_total";
/// Tries to mount a `mount` that did not succeed.
pub const MOUNT_FAILURES: &str = "holt_mount_failures_total";
/// What is mounted below the source of a bind `mount` and is left out because it is ill.
pub const MOUNT_MISSING: &str = "holt_mount_missing_parts";
/// Processes that hang in a `mount`.
pub const MOUNT_STUCK: &str = "holt_mount_stuck_processes";
/// Ways out of a container that are not as they should be, when last tried.
pub const ISOLATION_WEAK: &str = "holt_isolation_weak_ways";
/// Whether the replica gateway answered when last asked: 0 or 1. Absent where there is none.
pub const REPLICA_GATEWAY_UP: &str = "holt_replica_gateway_up";

/// Requests to wikis on people's behalf, by `outcome`: `answered`, `not-sent`, `unknown`.
pub const BROKER_REQUESTS: &str = "holt_broker_requests_total";
/// How long such a request took until its answer began, in seconds.
pub const BROKER_REQUEST_SECONDS: &str = "holt_broker_request_duration_seconds";
/// Such requests that could not be written down for their owner's page.
pub const BROKER_LOST_ACTIONS: &str = "holt_broker_lost_actions_total";

const SECONDS: [f64; 12] = [
    0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Starts counting in this process and returns what shows the counts. Further calls return the same.
///
/// # Panics
/// Never: the list of limits is not empty.
pub fn install() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
                .expect("the list of limits is not empty")
                .build_recorder();
            let handle = recorder.handle();
            // Only a second recorder can be refused, and this is the only place that sets one.
            drop(metrics::set_global_recorder(recorder));
            describe();
            handle
        })
        .clone()
}

/// What is shown now, in Prometheus' text form.
#[must_use]
pub fn render() -> String {
    let handle = install();
    handle.run_upkeep();
    handle.render()
}

fn describe() {
    describe_counter!(REQUESTS, "Requests answered");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "How long answers took");
    describe_counter!(LOGINS, "Sign-ins, by way and outcome");
    describe_counter!(
        LOCK_CHECKS,
        "Questions whether accounts stand well, by outcome"
    );
    describe_gauge!(
        LOCK_CHECK_HALTED,
        "1 while a provider calls so many accounts locked that it is not believed"
    );
    describe_gauge!(SERVERS, "Servers by state");
    describe_gauge!(USERS, "Users known");
    describe_gauge!(QUEUE, "Starts that wait in line");
    describe_histogram!(
        START_SECONDS,
        Unit::Seconds,
        "How long starts took until the server answered"
    );
    describe_counter!(STARTS, "Starts that ended, by outcome");
    describe_counter!(DEATHS, "Servers that ended by themselves");
    describe_gauge!(ENGINE_UP, "Whether the container engine answered");
    describe_gauge!(REPLICA_GATEWAY_UP, "Whether the replica gateway answered");
    describe_counter!(
        BROKER_REQUESTS,
        "Requests to wikis on people's behalf, by outcome"
    );
    describe_histogram!(
        BROKER_REQUEST_SECONDS,
        Unit::Seconds,
        "How long requests to wikis took until their answer began"
    );
    describe_counter!(
        BROKER_LOST_ACTIONS,
        "Requests to wikis that could not be written down"
    );
    describe_gauge!(NODE_UP, "Whether `holt node` looks after its mounts");
    describe_gauge!(MOUNT_UP, "Whether a mount is there and answers");
    describe_gauge!(
        MOUNT_ANSWER_SECONDS,
        Unit::Seconds,
        "How long a mount took to answer when last asked"
    );
    describe_counter!(MOUNT_HEALS, "Times that a mount was ill and taken away");
    describe_counter!(
        MOUNT_FAILURES,
        "Tries to mount that did not succeed, by mount"
    );
    describe_gauge!(
        MOUNT_MISSING,
        "Mounts below the source of a mount that are left out because they are ill"
    );
    describe_gauge!(MOUNT_STUCK, "Processes that hang in a mount");
    describe_gauge!(
        ISOLATION_WEAK,
        "Ways out of a container that are not as they should be"
    );
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_counted_is_shown() {
        super::install();
        metrics::counter!(super::STARTS, "outcome" => "ready").increment(1);
        let shown = super::render();
        assert!(
            shown.contains("holt_server_starts_total{outcome=\"ready\"}"),
            "{shown}"
        );
    }
}
