//! The promises of `holt-proxy`, tried from outside: its own binary, real sockets, bytes.

#![allow(clippy::unwrap_used, reason = "tests")]

mod abuse;
mod bad_input;
mod control;
mod harness;
mod http;
mod hubs;
mod internal;
mod life;
mod pending;
mod revocations;
mod websockets;
