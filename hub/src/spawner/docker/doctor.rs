//! What on this machine would stop a start or break isolation, and how to mend it.

use std::net::SocketAddr;
use std::path::Path;

use super::settings::DockerSettings;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Fine,
    /// Works, and should be looked at.
    Warning,
    /// Would stop a start or break isolation.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// Looks.
pub async fn diagnose(
    _settings: &DockerSettings,
    _data_dir: &Path,
    _listen: SocketAddr,
) -> Vec<Finding> {
    vec![]
}
