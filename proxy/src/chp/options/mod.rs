//! The options of configurable-http-proxy, by its names and with its defaults.
//!
//! Here stands what may be said; what becomes of it is decided in `plan`.

use clap::Args;

pub(super) use self::forward::Forwarding;
pub(super) use self::listen::Listening;
pub(super) use self::tls::Tls;

mod forward;
mod listen;
mod tls;

/// All of them.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(super) listening: Listening,
    #[command(flatten)]
    pub(super) forwarding: Forwarding,
    #[command(flatten)]
    pub(super) tls: Tls,
    #[command(flatten)]
    removed: Removed,
}

/// Options that were taken away, or mean nothing here. They are accepted, so that old command lines go on working.
#[derive(Debug, Clone, Args)]
#[group(skip)]
struct Removed {
    #[arg(long, hide = true, value_name = "HOST")]
    statsd_host: Option<String>,
    #[arg(long, hide = true, value_name = "PORT")]
    statsd_port: Option<String>,
    #[arg(long, hide = true, value_name = "PREFIX")]
    statsd_prefix: Option<String>,
}

impl Options {
    /// Those that are there and change nothing, each with the reason.
    pub(super) fn without_effect(&self) -> Vec<(&'static str, &'static str)> {
        let statsd = "it went with version 4.4 of configurable-http-proxy; metrics are served at --metrics-port";
        let listening = &self.listening;
        let api_socket = listening.api_socket.is_some();
        let metrics_socket = listening.metrics_socket.is_some();
        let mut idle: Vec<(&'static str, &'static str)> = [
            ("--statsd-host", self.removed.statsd_host.is_some(), statsd),
            ("--statsd-port", self.removed.statsd_port.is_some(), statsd),
            (
                "--statsd-prefix",
                self.removed.statsd_prefix.is_some(),
                statsd,
            ),
            (
                "--api-ip and --api-port",
                api_socket && (listening.api_ip.is_some() || listening.api_port.is_some()),
                "--api-socket takes their place",
            ),
            (
                "--metrics-ip and --metrics-port",
                metrics_socket
                    && (listening.metrics_ip.is_some() || listening.metrics_port.is_some()),
                "--metrics-socket takes their place",
            ),
        ]
        .into_iter()
        .filter_map(|(name, given, why)| given.then_some((name, why)))
        .collect();
        idle.extend(self.tls.without_effect());
        idle
    }
}
