//! Holt's control plane.
//!
//! Rooms and the arrows between them stand in `hub/README.md`.

pub mod servers;
pub mod spawner;
pub mod store;
