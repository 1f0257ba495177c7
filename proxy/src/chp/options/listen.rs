//! Where to listen.

use std::path::PathBuf;

use clap::Args;

use crate::values;

/// Where to listen.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Listeners")]
pub(in crate::chp) struct Listening {
    /// Where browsers come in; nothing or '*' is every interface.
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::chp) ip: Option<String>,
    /// Where browsers come in. Default: 8000.
    #[arg(long, value_name = "N", value_parser = values::port)]
    pub(in crate::chp) port: Option<u16>,
    /// A Unix socket that browsers come in by, in place of --ip and --port.
    #[arg(long, value_name = "PATH", value_parser = values::path, conflicts_with_all = ["ip", "port"])]
    pub(in crate::chp) socket: Option<PathBuf>,
    /// Where the REST API is. Default: localhost; nothing is every interface.
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::chp) api_ip: Option<String>,
    /// Where the REST API is. Default: the public port and one.
    #[arg(long, value_name = "N", value_parser = values::port)]
    pub(in crate::chp) api_port: Option<u16>,
    /// A Unix socket for the REST API, in place of --api-ip and --api-port.
    #[arg(long, value_name = "PATH", value_parser = values::path)]
    pub(in crate::chp) api_socket: Option<PathBuf>,
    /// Where metrics are. Default: every interface.
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::chp) metrics_ip: Option<String>,
    /// Where metrics are; without it there are none.
    #[arg(long, value_name = "N", value_parser = values::free_port)]
    pub(in crate::chp) metrics_port: Option<u16>,
    /// A Unix socket for metrics, in place of --metrics-ip and --metrics-port.
    #[arg(long, value_name = "PATH", value_parser = values::path)]
    pub(in crate::chp) metrics_socket: Option<PathBuf>,
    /// On this port plain requests are sent on to https.
    #[arg(long, value_name = "PORT", value_parser = values::free_port)]
    pub(in crate::chp) redirect_port: Option<u16>,
    /// The port they are sent on to. Default: the public port.
    #[arg(long, value_name = "PORT", value_parser = values::port)]
    pub(in crate::chp) redirect_to: Option<u16>,
    /// A file for the process's number, while it runs.
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(in crate::chp) pid_file: Option<PathBuf>,
    /// What is logged: debug, info, warn or error.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(in crate::chp) log_level: String,
}
