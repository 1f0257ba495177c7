//! The control API between hub and proxy: JSON over HTTP/1.1, on a Unix socket (mode 0600) or, elsewhere, the network.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `PUT /holt/table` | [`Table`] | 200 [`Accepted`]; 409 [`Refused`] when the proxy already holds a newer generation |
//! | `POST /holt/changes` | [`Changes`] | 200 [`Accepted`]; 409 [`Refused`] when `base` is not the proxy's generation: push the whole table |
//! | `GET /holt/table` | – | 200 [`Table`] |
//! | `GET /holt/activity` | – | 200 [`Activity`] |
//! | `GET /holt/status` | – | 200 [`Status`] |
//! | `POST /holt/revocations` | [`Revocations`] | 204 once no matching request is let through and matching websockets are closed |
//!
//! A 200 means that the next connection sees the routes, and that they are on disk.
//! Every request may be repeated.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Path of the whole table.
pub const TABLE_PATH: &str = "/holt/table";
/// Path that takes changes.
pub const CHANGES_PATH: &str = "/holt/changes";
/// Path that tells when each route was last used.
pub const ACTIVITY_PATH: &str = "/holt/activity";
/// Path that tells how the proxy is.
pub const STATUS_PATH: &str = "/holt/status";
/// Path that takes revocations.
pub const REVOCATIONS_PATH: &str = "/holt/revocations";

/// The header in which the proxy tells the hub which listener a request came by: `public` or `internal`.
/// The proxy removes what a client sends under this name.
pub const LISTENER_HEADER: &str = "x-holt-listener";

/// All that the proxy serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Raised in the database in the transaction that changes a route.
    pub generation: u64,
    /// The default route: hubs, tried in order when one does not connect.
    /// `unix:/path/to.sock` or `http://host:port`.
    pub hubs: Vec<String>,
    /// The listener for servers, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<Internal>,
    /// Public path prefix in escaped form, with slashes at both ends (`/user/a%20b/`), to where it leads.
    /// With a host before it, in lower case and without port (`a.example/user/b/`), it is that host's alone, and goes before those of all.
    pub routes: BTreeMap<String, Route>,
}

/// Where a prefix leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase", deny_unknown_fields)]
pub enum Route {
    /// The server is on its way: navigations go to the hub's start page at once, everything else waits.
    Pending,
    /// The server answers here.
    Target {
        /// `http://host:port`, no path.
        url: String,
    },
}

/// The listener that carries only `/hub/api`, for servers alone (the address every container knows).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Internal {
    /// Address and port, chosen once and kept.
    pub listen: SocketAddr,
    /// Peers outside these networks are refused.
    pub allow: Vec<IpNet>,
}

/// A step from one generation to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// The generation this step starts from.
    pub base: u64,
    /// The generation it ends at.
    pub generation: u64,
    /// Routes added or replaced.
    pub set: BTreeMap<String, Route>,
    /// Routes taken away.
    pub removed: Vec<String>,
}

/// The answer to a table or to changes that were taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The generation now in force.
    pub generation: u64,
}

/// The answer to what was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The generation in force.
    pub generation: u64,
    /// A sentence.
    pub message: String,
}

/// When each route was last used, in milliseconds since 1970 (UTC).
/// A route that was not used since the proxy learned of it is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Prefix to milliseconds.
    pub routes: BTreeMap<String, u64>,
}

/// How the proxy is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Generation of the table in force.
    pub generation: u64,
    /// Where the public listeners are.
    pub public: Vec<SocketAddr>,
    /// The internal listener as it is: `None` when it is not asked for.
    pub internal: Option<InternalStatus>,
    /// Open websockets.
    pub websockets: u64,
    /// The process.
    pub pid: u32,
    /// The program's version.
    pub version: String,
}

/// How the internal listener is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternalStatus {
    /// Where it should be.
    pub listen: SocketAddr,
    /// Why it is not there; `None` when it is. The proxy tries again by itself.
    pub error: Option<String>,
}

/// What the proxy must no longer let through: hexadecimal SHA-256 hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocations {
    /// Hashes of values of the cookie `jupyterhub-session-id`.
    #[serde(default)]
    pub sessions: Vec<String>,
    /// Hashes of access tokens: in `Authorization`, the query's `token`, or a server's own signed cookie.
    #[serde(default)]
    pub tokens: Vec<String>,
    /// Forget these after so many seconds; a hub sends them again while they matter.
    pub keep_seconds: u64,
}
