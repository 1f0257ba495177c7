//! Options of both modes: whom the edge believes, and how patient and how generous it is.

use std::time::Duration;

use clap::Args;
use ipnet::IpNet;

use crate::http::{Forwarded, Settings};
use crate::values;

/// Options of both modes.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Both modes")]
pub(crate) struct Shared {
    /// Networks of proxies in front, whose X-Forwarded headers are believed; everybody else's are replaced.
    #[arg(long, value_name = "CIDR,..", value_delimiter = ',', value_parser = values::network)]
    trusted_proxies: Option<Vec<IpNet>>,
    /// Trusted proxies begin each connection with a PROXY header (version 1 or 2).
    #[arg(long, requires = "trusted_proxies")]
    proxy_protocol: bool,
    /// Pages of these origins alone may open websockets; without it that is the server's business.
    #[arg(long, value_name = "ORIGIN,..", value_delimiter = ',', value_parser = values::origin)]
    allowed_origins: Option<Vec<Box<str>>>,
    /// Connections that one address may hold (trusted proxies have no limit).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections_per_address: Option<u32>,
    /// Requests and websockets that one route may have at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections_per_route: Option<u32>,
    /// Pings and pongs of a websocket do not count as use of its route.
    #[arg(long)]
    activity_ignore_control_frames: bool,
    /// What a server sends over a websocket counts as use of its route.
    #[arg(long)]
    activity_count_output: bool,
    /// Trailer fields that are passed on; all others are dropped.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', value_parser = values::field)]
    allowed_trailers: Vec<Box<str>>,
    /// Threads that carry requests. Default: one for each core.
    #[arg(long, value_name = "N", value_parser = workers)]
    workers: Option<usize>,
    /// So long may a request's head take.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = values::duration)]
    head_timeout: Duration,
    /// A body that makes no progress for so long ends its request.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = values::duration)]
    stall_timeout: Duration,
}

fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1024) => Ok(number),
        _ => Err("it is a number from 1 to 1024".to_owned()),
    }
}

impl Shared {
    /// How many threads carry requests.
    pub(crate) fn workers(&self) -> usize {
        self.workers
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// What is said here, over what a mode begins with.
    pub(crate) fn apply(&self, settings: &mut Settings) {
        if let Some(trusted) = &self.trusted_proxies {
            settings.trusted.clone_from(trusted);
            settings.forwarded = Forwarded::Replace;
        }
        settings.proxy_protocol = self.proxy_protocol;
        if self.allowed_origins.is_some() {
            settings.origins.clone_from(&self.allowed_origins);
        }
        if self.max_connections_per_address.is_some() {
            settings.per_address = self.max_connections_per_address;
        }
        if self.max_connections_per_route.is_some() {
            settings.per_route = self.max_connections_per_route;
        }
        settings.ignore_control_frames = self.activity_ignore_control_frames;
        settings.count_output = self.activity_count_output;
        settings.trailers.clone_from(&self.allowed_trailers);
        settings.head = self.head_timeout;
        settings.stall = self.stall_timeout;
    }
}
