//! Where requests go, and what is done to them on their way.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::values;

/// Where requests go, and what is done to them on their way.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Routes and requests")]
pub(in crate::chp) struct Forwarding {
    /// Where a request without a route goes: a route '/' from the start.
    #[arg(long, value_name = "URL")]
    pub(in crate::chp) default_target: Option<String>,
    /// A server with pages for errors: asked for URL/<code>?url=<request>.
    #[arg(long, value_name = "URL")]
    pub(in crate::chp) error_target: Option<String>,
    /// A directory with pages for errors: <code>.html, or error.html.
    #[arg(long, value_name = "DIR", value_parser = values::path)]
    pub(in crate::chp) error_path: Option<PathBuf>,
    /// The first part of a route's path is a host.
    #[arg(long)]
    pub(in crate::chp) host_routing: bool,
    /// Where routes are kept: memory, or file:/PATH.
    #[arg(long, value_name = "WHERE")]
    pub(in crate::chp) storage_backend: Option<String>,
    /// Routes with targets that make no sense are taken, and fail when they are used.
    #[arg(long)]
    pub(in crate::chp) lenient_targets: bool,
    /// A request loses its route's prefix on its way.
    #[arg(long)]
    pub(in crate::chp) no_include_prefix: bool,
    /// The path of a target is left out of the request.
    #[arg(long)]
    pub(in crate::chp) no_prepend_path: bool,
    /// Servers are not told who asks: no X-Forwarded headers are added.
    #[arg(long)]
    pub(in crate::chp) no_x_forward: bool,
    /// Redirects to the target's host become redirects to the host that was asked.
    #[arg(long)]
    pub(in crate::chp) auto_rewrite: bool,
    /// The scheme that redirects to the target's host get.
    #[arg(long, value_name = "SCHEME")]
    pub(in crate::chp) protocol_rewrite: Option<String>,
    /// Host becomes the target's.
    #[arg(long)]
    pub(in crate::chp) change_origin: bool,
    /// A header for every request, in place of the client's; may be repeated.
    #[arg(long, value_name = "NAME:VALUE", value_parser = values::header, allow_hyphen_values = true)]
    pub(in crate::chp) custom_header: Vec<(Box<str>, Box<str>)>,
    /// Milliseconds of silence after which a client's connection is closed.
    #[arg(long, value_name = "MS", value_parser = values::milliseconds)]
    pub(in crate::chp) timeout: Option<Duration>,
    /// Milliseconds of silence of a server after which its request fails.
    #[arg(long, value_name = "MS", value_parser = values::milliseconds)]
    pub(in crate::chp) proxy_timeout: Option<Duration>,
    /// Milliseconds that a connection stays open between two requests. Default: 5000.
    #[arg(long, value_name = "MS", value_parser = values::milliseconds)]
    pub(in crate::chp) keep_alive_timeout: Option<Duration>,
}
