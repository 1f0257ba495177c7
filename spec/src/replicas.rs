//! The control API between hub and replica gateway: JSON over HTTP/1.1 on a Unix socket (mode 0600).
//!
//! | request | body | answer |
//! |---|---|---|
//! | `PUT /holt/replicas/grants` | [`Grants`] | 200 [`Accepted`]; 409 [`Refused`] when the gateway already holds a newer generation |
//! | `GET /holt/replicas/grants` | – | 200 [`Accepted`]: the generation in force, and no secret |
//! | `POST /holt/replicas/revocations` | [`Revoked`] | 204 once these launches can open nothing and have no connection left |
//! | `GET /holt/replicas/statements` | – | 200 [`Statements`] |
//! | `DELETE /holt/replicas/statements/{id}` | – | 204 when the statement is being killed; 404 when it is over |
//! | `GET /holt/replicas/status` | – | 200 [`Status`] |
//! | `GET /holt/replicas/usage` | – | 200 [`Usage`] |
//! | `POST /holt/replicas/draining` | [`Draining`] | 204; 404 when there is no such backend |
//! | `GET /metrics` | – | 200, Prometheus text |
//!
//! The gateway lets nobody in before it has been given grants, and keeps the last ones while no hub is up.
//! A revocation holds until grants of a newer generation come. Every request may be repeated.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

pub use crate::control::{Accepted, Refused};

/// Path of the whole set of grants.
pub const GRANTS_PATH: &str = "/holt/replicas/grants";
/// Path that takes revocations.
pub const REVOCATIONS_PATH: &str = "/holt/replicas/revocations";
/// Path of running statements; with `/{id}` behind it, of one.
pub const STATEMENTS_PATH: &str = "/holt/replicas/statements";
/// Path that tells how the gateway and its backends are.
pub const STATUS_PATH: &str = "/holt/replicas/status";

/// Path that tells what users took since the gateway began.
pub const USAGE_PATH: &str = "/holt/replicas/usage";
/// Path that empties a backend, or fills it again.
pub const DRAINING_PATH: &str = "/holt/replicas/draining";

/// Everybody who may come in.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    /// Raised in the database in the transaction that changes a grant.
    pub generation: u64,
    /// Where notebooks come in: an address they reach, and a port chosen once and kept.
    /// The gateway opens it when it can, and tries again until then; absent where `replicas.listen` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Each launch has one.
    pub grants: Vec<Grant>,
}

/// What one launch may do.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The launch.
    pub launch: String,
    /// The user it is bound to.
    pub user: i64,
    /// The user's name, for people who look at statements.
    pub name: String,
    /// The server's name; empty for the default one.
    pub server: String,
    /// What the client calls itself; unique among grants.
    pub username: String,
    /// What the password is checked by.
    pub verifier: Verifier,
    /// The only address it may come from. The unspecified one (`0.0.0.0`) where the way hides addresses: then it may come from any.
    pub address: IpAddr,
    /// Limits of its own; what is absent is the gateway's.
    #[serde(default)]
    pub limits: Limits,
}

/// What a password is checked by, without being one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verifier {
    /// Hexadecimal SHA-1 of the SHA-1 of the password, for `mysql_native_password`.
    pub native: String,
    /// Hexadecimal SHA-256 of the SHA-256 of the password, for `caching_sha2_password`.
    pub sha2: String,
}

/// Limits of one user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Connections at once over all launches of the user; more wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Seconds a statement may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_seconds: Option<u64>,
    /// Bytes of one result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_bytes: Option<u64>,
}

/// Launches that end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// Their ids.
    pub launches: Vec<String>,
}

/// What runs now, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statements {
    /// One each.
    pub statements: Vec<Statement>,
}

/// A running statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Names it for a kill; never used again.
    pub id: String,
    /// Whose it is.
    pub user: i64,
    /// The user's name as it was granted.
    pub name: String,
    /// The server's name.
    pub server: String,
    /// The launch.
    pub launch: String,
    /// The section it runs on.
    pub section: String,
    /// The default database, if one is chosen.
    pub database: Option<String>,
    /// Its text as the user wrote it, cut at 1,000 characters.
    pub text: String,
    /// How long it has been running, in milliseconds.
    pub age_ms: u64,
    /// Rows that have come so far; absent where results are relayed unparsed and not counted.
    pub rows: Option<u64>,
    /// Bytes that have come so far.
    pub bytes: u64,
}

/// How the gateway and its backends are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Generation of the grants in force; 0 before there were any.
    pub generation: u64,
    /// Where clients are listened to.
    pub listen: Vec<SocketAddr>,
    /// Clients that are connected.
    pub connections: u64,
    /// Section name to its state.
    pub sections: BTreeMap<String, Section>,
    /// Databases that are known, each to its section (`enwiki_p` to `s1`).
    pub databases: BTreeMap<String, String>,
}

/// One section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Whether any backend takes statements.
    pub up: bool,
    /// How far the best backend is behind, in seconds; absent when it does not tell.
    pub lag_seconds: Option<f64>,
    /// Whether it answers and nothing new arrives: replication has stopped on every backend that takes statements.
    #[serde(default)]
    pub stale: bool,
    /// Its backends, in the order they are configured.
    pub backends: Vec<Backend>,
}

/// One server of a section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// `host:port`.
    pub address: String,
    /// Whether it takes statements.
    pub up: bool,
    /// Whether it takes no new connections, because an operator said so.
    pub draining: bool,
    /// How far it is behind, in seconds.
    pub lag_seconds: Option<f64>,
    /// Why it does not take statements, in words.
    pub trouble: Option<String>,
}

/// Whether a backend takes new connections. The gateway remembers it over its own end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draining {
    /// `host:port`, as in the settings.
    pub address: String,
    /// No new connections; those that are there go on.
    pub draining: bool,
}

/// What users took since the gateway began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// One for each user and section.
    pub usage: Vec<UsageOf>,
}

/// What a user took of a section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageOf {
    /// The user.
    pub user: i64,
    /// The section.
    pub section: String,
    /// Statements that ended.
    pub statements: u64,
    /// How long they took together.
    pub milliseconds: u64,
    /// Bytes of their results.
    pub bytes: u64,
}

impl std::fmt::Debug for Grants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grants")
            .field("generation", &self.generation)
            .field("grants", &self.grants.len())
            .finish()
    }
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Verifiers are as good as passwords to who can sign with them.
        f.debug_struct("Grant")
            .field("launch", &self.launch)
            .field("user", &self.user)
            .field("username", &self.username)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier(..)")
    }
}
