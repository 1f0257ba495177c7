//! Makes launches exist: the door to container engines and local processes.
//!
//! A spawner knows launches, not users: what belongs to a person reaches a launch by [`Spawner::bind`] or, in images without a
//! starter, with [`Spawner::create`].
//! Every call names one launch by its id and is safe to repeat after the caller was killed in the middle.
//!
//! **Invariant:** nothing here reads or writes the database, and nothing assumes that hub and server share a host or a file system.

pub mod docker;
mod local;
pub mod process;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use holt_spec::bundle::Bundle;
use serde::{Deserialize, Serialize};

/// One run of a server: 26 characters, lower-case letters and digits, sortable by time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LaunchId(pub String);

impl std::fmt::Display for LaunchId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a launch shall be, fixed when it is claimed and kept with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// The launch.
    pub launch: LaunchId,
    /// The server's row, the stable key of its labels.
    pub server_id: i64,
    /// Key of the home directory or volume: the user's number, never a name.
    pub home: String,
    /// Port the server listens on, inside.
    pub port: u16,
    /// Memory limit in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU limit in cores.
    pub cpus: Option<f64>,
    /// Limit of processes and threads.
    pub pids: Option<u64>,
    /// Names of the mounts of `[mount.<name>]` that it gets.
    #[serde(default)]
    pub mounts: Vec<String>,
}

/// The image launches are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What to name it to the engine.
    pub reference: String,
    /// It has a starter that waits for a [`Bundle`]; if not, the bundle must be given at creation.
    pub bindable: bool,
}

/// What the engine was seen to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Seen {
    /// Nothing of that launch.
    Absent,
    /// It exists and was never started.
    Created,
    /// It runs; the address is where the hub and the proxy reach the server, once known.
    Running {
        /// Host and port.
        address: Option<SocketAddr>,
    },
    /// It ended by itself or was stopped.
    Exited {
        /// Exit code as the engine tells it.
        code: i64,
        /// The kernel killed it for want of memory.
        out_of_memory: bool,
    },
}

/// A launch that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The launch.
    pub launch: LaunchId,
    /// How it is.
    pub seen: Seen,
}

/// Something the engine told by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Listening (again): events may have been missed, list now.
    Connected,
    /// The engine's event stream ended; until [`Event::Connected`] nothing is known.
    Disconnected,
    /// A launch changed; look at it.
    Changed(LaunchId),
    /// A launch hit its memory limit.
    OutOfMemory(LaunchId),
}

/// A step forward that a waiting person may read.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// 0 to 100 of this piece of work, when that is known.
    pub percent: Option<u8>,
    /// A short sentence, without a full stop's worth of technical words.
    pub message: String,
}

/// Takes progress; never blocks.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

/// What can go wrong. `Unavailable` is never a verdict about a launch.
#[derive(Debug, thiserror::Error)]
pub enum SpawnerError {
    /// The engine did not answer or could not be reached.
    #[error("the container engine does not answer: {hint}")]
    Unavailable {
        /// What to do.
        hint: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The call took longer than it may.
    #[error("{what} took longer than {seconds} s")]
    Timeout {
        /// Which call.
        what: &'static str,
        /// Its limit.
        seconds: u64,
    },
    /// The image could not be had or built.
    #[error("the image could not be made ready: {reason}")]
    Image {
        /// A sentence with what to do.
        reason: String,
    },
    /// The launch ended before it was bound, or never took its bundle.
    #[error("the server's container ended before it could start: {reason}")]
    Bind {
        /// What was seen last.
        reason: String,
    },
    /// The engine refused.
    #[error("the engine refused to {what}: {reason}")]
    Refused {
        /// Which call.
        what: &'static str,
        /// The engine's words.
        reason: String,
    },
}

impl SpawnerError {
    /// Whether the same call may succeed later with nothing changed by anybody here.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Timeout { .. } => true,
            Self::Image { .. } | Self::Bind { .. } | Self::Refused { .. } => false,
        }
    }
}

/// The internal listener that servers reach the hub by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meeting {
    /// Where the proxy shall listen. Chosen once and kept by the caller.
    pub listen: SocketAddr,
    /// Networks servers come from.
    pub allow: Vec<ipnet::IpNet>,
}

/// Peak use of a launch, as sampled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Highest memory use seen, in bytes.
    pub memory_peak: Option<u64>,
    /// The limit in force.
    pub memory_limit: Option<u64>,
}

/// A way to make launches exist.
///
/// Calls for different launches do not wait for each other beyond the spawner's own bounds (images, starts and stops have one each).
/// A call that is cancelled may have taken effect; calling it again is lawful.
#[async_trait]
pub trait Spawner: Send + Sync {
    /// `docker`, `kubernetes` or `process`.
    fn kind(&self) -> &'static str;

    /// How many users may have servers here; `None` is no limit.
    fn max_users(&self) -> Option<usize> {
        None
    }

    /// Makes ready what launches need in common (network, firewall, how the hub reaches containers) and says where servers meet
    /// the hub. `kept` is the answer of an earlier call: the same address and port are used again.
    ///
    /// # Errors
    /// Engine not there, or something of ours in the way.
    async fn prepare(&self, kept: Option<&Meeting>) -> Result<Meeting, SpawnerError>;

    /// Sees to it that the image is there, building or pulling it once for all who ask at the same time.
    ///
    /// # Errors
    /// [`SpawnerError::Image`] with what to do.
    async fn image(&self, progress: ProgressSink) -> Result<Image, SpawnerError>;

    /// Makes the launch exist, not running. A launch that exists already is left as it is.
    /// `bundle` is given only for images that are not bindable.
    ///
    /// # Errors
    /// As the engine says.
    async fn create(
        &self,
        plan: &LaunchPlan,
        image: &Image,
        bundle: Option<&Bundle>,
    ) -> Result<(), SpawnerError>;

    /// Starts the launch and hands it its bundle; returns the address of the server once the engine knows it.
    /// Bound already: returns the address.
    ///
    /// # Errors
    /// [`SpawnerError::Bind`] when it ended first: then it must be removed and a new launch made.
    async fn bind(
        &self,
        plan: &LaunchPlan,
        image: &Image,
        bundle: &Bundle,
    ) -> Result<SocketAddr, SpawnerError>;

    /// Where connections of a launch whose server answers at `address` come from, as a listener here sees them; the unspecified
    /// address where the way between them hides it.
    fn source(&self, address: SocketAddr) -> IpAddr {
        address.ip()
    }

    /// Names of hosts that launches created from now on know, beside those that are known anyway, and where they lead.
    /// Does nothing where launches share the names of this machine.
    fn name_hosts(&self, _names: Arc<[String]>, _address: IpAddr) {}

    /// How the launch is now. `Err` is "unknown", never "gone".
    ///
    /// # Errors
    /// Engine not there.
    async fn inspect(&self, launch: &LaunchId) -> Result<Seen, SpawnerError>;

    /// All launches of this hub that the engine has.
    ///
    /// # Errors
    /// Engine not there.
    async fn list(&self) -> Result<Vec<Found>, SpawnerError>;

    /// Asks the launch to end and, after the configured grace, ends it. Not there or not running: nothing to do.
    ///
    /// # Errors
    /// Engine not there.
    async fn stop(&self, launch: &LaunchId) -> Result<(), SpawnerError>;

    /// Removes every trace of the launch but the home, and returns when its name is free.
    ///
    /// # Errors
    /// Engine not there.
    async fn remove(&self, launch: &LaunchId) -> Result<(), SpawnerError>;

    /// Deletes the home `key` for good.
    ///
    /// # Errors
    /// As the engine says.
    async fn remove_home(&self, key: &str) -> Result<(), SpawnerError>;

    /// The last lines the launch printed.
    ///
    /// # Errors
    /// Engine not there.
    async fn logs(&self, launch: &LaunchId, lines: usize) -> Result<String, SpawnerError>;

    /// Peak use so far.
    async fn usage(&self, launch: &LaunchId) -> Usage;

    /// What the engine tells by itself, for ever: after a break it connects again.
    fn events(&self) -> BoxStream<'static, Event>;

    /// Tries every forbidden way and puts back what is missing; `None` where there is nothing to isolate.
    async fn check_isolation(&self) -> Option<IsolationReport>;
}

/// What trying the forbidden ways showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolationReport {
    /// Each way that was tried.
    pub ways: Vec<WayTried>,
    /// Rules had been removed by something else and were put back.
    pub restored: bool,
}

/// One way out of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayTried {
    /// For example `host port over IPv4`.
    pub way: String,
    /// What was found.
    pub result: WayResult,
    /// What to do when it is not as it should be.
    pub fix: Option<String>,
}

/// Verdict about one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WayResult {
    /// Forbidden and closed, or allowed and open.
    Good,
    /// Forbidden and open, or allowed and closed.
    Bad,
    /// The try proved nothing.
    Unproven,
}

impl IsolationReport {
    /// Every way is as it should be.
    #[must_use]
    pub fn is_strong(&self) -> bool {
        self.ways.iter().all(|way| way.result == WayResult::Good)
    }
}

/// Settings of the environment handed to every server by the operator: `[server.environment]`.
pub type Environment = BTreeMap<String, String>;
