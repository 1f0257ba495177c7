//! The life of a server: from the wish to have it running until nothing of it is left.
//!
//! A wish is a row (`wanted`); whoever holds the row's lease takes one step after another until what is there is what is wanted.
//! [`Servers`] is the door for pages and the API: it writes wishes, tells how servers are, and wakes the worker.
//!
//! **Invariant:** nothing here knows HTTP, and memory only wakes sooner what a row already says.

use serde::{Deserialize, Serialize};

/// How a server is, for people and the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerView {
    /// The row.
    pub id: i64,
    /// Its owner.
    pub user_id: i64,
    /// The owner's name.
    pub user: String,
    /// Empty for the default server.
    pub name: String,
    /// Where it is in its life.
    pub state: ServerState,
    /// When it became ready, milliseconds since 1970.
    pub started: Option<i64>,
    /// Last use, milliseconds since 1970.
    pub last_activity: Option<i64>,
    /// Why the last start or run ended, in words, when it did not end by wish.
    pub failure: Option<String>,
    /// Version of the single-user server, as it said.
    pub version: Option<String>,
    /// Options of the last start, JSON text.
    pub options: Option<String>,
}

/// The states a person can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// Nothing of it runs.
    Stopped,
    /// It waits for its turn.
    Queued,
    /// On its way.
    Starting,
    /// It answers.
    Ready,
    /// On its way out.
    Stopping,
}

impl ServerState {
    /// JupyterHub's `pending`.
    #[must_use]
    pub fn pending(self) -> Option<&'static str> {
        match self {
            Self::Queued | Self::Starting => Some("spawn"),
            Self::Stopping => Some("stop"),
            Self::Stopped | Self::Ready => None,
        }
    }
}

/// What came of the wish to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartOutcome {
    /// It stands in the queue or is on its way.
    Accepted,
    /// It was on its way already.
    AlreadyStarting,
    /// It answers already.
    AlreadyReady,
    /// It is being stopped; it starts again when that is done.
    AfterStop,
}

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
    #[error("this hub runs notebooks as local processes, for one user only: a second user would share the hub's files. Install Docker for more users")]
    SecondUser,
    /// Not a server name.
    #[error(transparent)]
    Name(#[from] holt_spec::names::NameError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QueuePlace {
    /// 1 is next.
    pub position: u32,
    /// Seconds until it probably starts, from how long recent starts took; `None` when there were none.
    pub estimate_seconds: Option<u32>,
}

/// One line of a start's progress. The last of a start has kind `ready` or `failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressEvent {
    /// Grows with time; ask for what came after it.
    pub id: i64,
    /// `step`, `ready` or `failed`.
    pub kind: String,
    /// 0 to 100.
    pub percent: i64,
    /// A sentence for the waiting person.
    pub message: String,
}
