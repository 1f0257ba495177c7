//! `holt doctor`: what on this machine would stop a notebook server or break its isolation.

use super::Failure;
use crate::config::Settings;

pub(super) async fn run(_settings: Settings) -> Result<(), Failure> {
    Ok(())
}
