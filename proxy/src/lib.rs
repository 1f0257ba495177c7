//! Holt's data plane: carries browsers to notebook servers, and servers to the hub.
//!
//! **Invariant:** the proxy knows nothing of users, OAuth or the hub's database; it knows the route table of `holt_spec::control`.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod chp;
pub mod cli;
mod control;
#[doc(hidden)]
pub mod fuzz;
mod http;
mod listen;
mod metrics;
pub mod replica;
mod table;
mod tls;
mod values;
mod workers;
