//! What stories are told with: a hub of one's own, people with browsers, kernels, a real Chromium, a wiki, and a look at the engine.
//!
//! **Invariant:** only what outsiders can use: the binary `holt`, its pages and API, the engine, and the database read-only.

pub mod chrome;
pub mod docker;
pub mod dying;
pub mod engine_door;
pub mod hub;
pub mod images;
pub mod inside;
pub mod kernel;
pub mod mariadb;
pub mod mend;
pub mod mirror;
pub mod openid;
pub mod person;
pub mod raw;
pub mod rows;
pub mod stock;
pub mod wait;
pub mod wiki;

use std::path::PathBuf;

/// Where screenshots and logs of failures are kept.
#[must_use]
pub fn output_dir() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("output");
    // Who writes there will say what is wrong.
    let _ = std::fs::create_dir_all(&dir);
    dir
}

/// A port that was free a moment ago.
///
/// # Errors
/// When the machine has none left.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}
