//! What the hub and the proxy both promise: wire types, names and paths.
//!
//! **Invariant:** this crate does no I/O and knows neither of the two programs that use it.

pub mod bundle;
pub mod control;
pub mod names;
pub mod replicas;
