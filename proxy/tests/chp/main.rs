//! What `holt-proxy` promises when it stands in for configurable-http-proxy: one list of facts, tried on both programs.
//!
//! A fact is looked at from outside, over real sockets, on ours and on the peer (version 5.3.0, run as it comes).
//! Where the two differ on purpose, the fact says both, so that no difference is there by chance.

#![allow(clippy::unwrap_used, reason = "tests")]

mod activity;
mod answers;
mod api;
mod api_data;
mod broken_servers;
mod command_line;
mod error_pages;
mod errors;
mod exchange;
mod forwarded;
mod harness;
mod headers;
mod interim;
mod life;
mod limits;
mod listeners;
mod log;
mod matrix;
mod matrix_heads;
mod metrics;
mod origins;
mod paths;
mod redirects;
mod routing;
mod routing_by_host;
mod storage;
mod tls;
mod tls_inside;
mod tls_redirection;
mod websockets;
