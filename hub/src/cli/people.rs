//! `holt user`, and the link that the first administrator signs in with.

use clap::Subcommand;

use super::{Failure, Place};
use crate::store::Store;

/// How long a sign-in link works, in words.
pub(super) const LINK_LIFE_WORDS: &str = "30 minutes";

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// List users.
    List(Place),
}

impl User {
    pub(super) async fn run(self) -> Result<(), Failure> {
        Err(Failure::unavailable("not yet"))
    }
}

pub(super) async fn first_link(_store: &Store, url: &str) -> Result<Option<String>, Failure> {
    Ok(Some(format!("{url}/hub/link/stub")))
}
