//! The life of a server: from the wish to have it running until nothing of it is left.
//!
//! A wish is a row (`wanted`); whoever holds the row's lease takes one step after another until what is there is what is wanted.
//! [`Servers`] is the door for pages and the API: it writes wishes, tells how servers are, and wakes the worker.
//!
//! **Invariant:** nothing here knows HTTP, and memory only wakes sooner what a row already says.

pub mod state;

pub use crate::store::rows::{ProgressEvent, QueuePlace, ServerState, ServerView, StartOutcome};

/// Why a wish is refused.
#[derive(Debug, thiserror::Error)]
pub enum ServersError {
    /// No such server, or its owner is being deleted.
    #[error("there is no such server")]
    NotFound,
    /// The user has as many named servers as allowed.
    #[error("you already have {limit} named servers, the most one user may have: delete one first")]
    TooManyNamed {
        /// The limit.
        limit: u32,
    },
    /// Named servers are switched off.
    #[error("named servers are switched off on this hub")]
    NamedOff,
    /// The spawner serves one user only, and somebody else has it.
    #[error(
        "this hub runs notebooks as local processes, for one user only: a second user would share the hub's files. Install Docker for more users"
    )]
    SecondUser,
    /// Not a server name.
    #[error(transparent)]
    Name(#[from] holt_spec::names::NameError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}
