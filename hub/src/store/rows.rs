//! What rows of servers, launches and the queue say, as values.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a server's owner wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It shall answer.
    Running,
    /// Nothing of it shall run.
    Stopped,
    /// It shall be forgotten.
    Deleted,
}

/// Where a launch is. The name says which step may have been begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Claimed and planned; the image is made ready.
    Planned,
    /// The engine may have it.
    Creating,
    /// It may run and may have its bundle.
    Binding,
    /// It runs; it does not answer yet.
    Waiting,
    /// It answers and has a route.
    Ready,
    /// It has no route and no valid tokens any more; it may still run.
    Stopping,
    /// It does not run; the engine may still have it.
    Removing,
}

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

impl Wanted {
    /// As it stands in the row.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Deleted => "deleted",
        }
    }
}

impl FromStr for Wanted {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Running, Self::Stopped, Self::Deleted]
            .into_iter()
            .find(|wanted| wanted.as_str() == text)
            .ok_or(())
    }
}

impl Phase {
    /// From first to last.
    pub const ALL: [Self; 7] = [
        Self::Planned,
        Self::Creating,
        Self::Binding,
        Self::Waiting,
        Self::Ready,
        Self::Stopping,
        Self::Removing,
    ];

    /// As it stands in the row; `gone`, after the last, has no value here.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Creating => "creating",
            Self::Binding => "binding",
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Removing => "removing",
        }
    }
}

impl FromStr for Phase {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|phase| phase.as_str() == text)
            .ok_or(())
    }
}
