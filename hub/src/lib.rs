//! Holt's control plane.
//!
//! Rooms and the arrows between them stand in `hub/README.md`.

pub mod access;
pub mod background;
pub mod broker;
pub mod cli;
pub mod config;
pub mod dumps;
pub mod engine;
pub mod http;
pub mod hub;
mod lock;
pub mod login;
pub mod metrics;
mod mountinfo;
pub mod node;
pub mod oauth_provider;
pub mod replicas;
pub mod routes;
pub mod secret;
pub mod servers;
pub mod socket;
pub mod spawner;
pub mod store;
pub mod supervisor;
pub mod telemetry;
pub mod users;

/// An error with its causes in one line, for logs and for words that say what was seen last.
#[must_use]
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
