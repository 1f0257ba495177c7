//! What `holt-proxy` promises when it stands in for configurable-http-proxy: one list of facts, tried on both programs.
//!
//! A fact is looked at from outside, over real sockets, on ours and on the peer (version 5.3.0, run as it comes).
//! Where the two differ on purpose, the fact says both, so that no difference is there by chance.

#![allow(clippy::unwrap_used, reason = "tests")]

mod activity;
mod api;
mod backend;
mod command_line;
mod errors;
mod facts;
mod headers;
mod life;
mod matrix;
mod paths;
mod peer;
mod program;
mod routing;
mod wire;
