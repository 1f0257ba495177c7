//! What the gateway is told at its start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use secrecy::SecretString;

/// Everything that the gateway is told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The Unix socket of the control API.
    pub control: PathBuf,
    /// A directory for the section map as it was last read; it is made when it is not there.
    pub state_dir: PathBuf,
    /// Where clients come in, beside what the hub says.
    pub listen: Vec<SocketAddr>,
    /// The sections; names must differ.
    pub sections: Vec<SectionSettings>,
    /// The section of statements that name no wiki.
    pub default_section: String,
    /// The accounts of the pool. They must work on every backend.
    pub accounts: Vec<Account>,
    /// Whether accounts may serve several users at once.
    pub sharing: Sharing,
    /// Where it is written which wiki is in which section.
    pub map: MapSource,
    /// Between two looks there.
    pub map_refresh: Duration,
    /// TLS for clients.
    pub tls: ClientTls,
    /// The limits.
    pub limits: Limits,
    /// Between two looks at each backend.
    pub check_interval: Duration,
    /// A backend further behind is used only when none is nearer.
    pub max_lag: Option<Duration>,
}

/// Limits for everybody; the hub may give a launch its own.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections of one user that hold one to a backend, over all launches. More wait.
    pub connections: u32,
    /// Connections of one user that may wait.
    pub queue: u32,
    /// So long may a statement wait for a connection.
    pub queue_timeout: Duration,
    /// So long may a statement run.
    pub statement_timeout: Duration,
    /// Bytes of one result.
    pub result_bytes: Option<u64>,
    /// Bytes of one statement.
    pub statement_bytes: usize,
    /// A connection without a statement for so long is closed.
    pub idle_timeout: Duration,
    /// A statement that took so long is logged.
    pub slow: Duration,
    /// So long may a backend take until it has let the gateway in.
    pub connect_timeout: Duration,
}

/// One section: servers that have the same wikis.
#[derive(Debug, Clone)]
pub struct SectionSettings {
    /// Its name, as in the section map.
    pub name: String,
    /// Its servers, `host:port`.
    pub backends: Vec<String>,
    /// Databases that are here, whatever the map says.
    pub databases: Vec<String>,
    /// TLS to its servers.
    pub tls: BackendTls,
}

/// An account of the pool.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: SecretString,
}

/// Whom an account serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// One user at a time.
    Never,
    /// Everybody: users see, and could stop, each other's statements.
    Everybody,
}

/// TLS to backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendTls {
    /// None.
    Off,
    /// Enciphered, to whoever answers.
    Unverified,
    /// Enciphered, to who shows a certificate of the authorities in this file, or of the system's.
    Verified(Option<PathBuf>),
}

/// TLS for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientTls {
    /// None.
    Off,
    /// With a certificate that is made at the start.
    Own,
    /// With these files.
    Files {
        /// The certificate, with its chain.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
}

/// Asks an address for text; nothing where there is none.
pub type Fetch =
    Arc<dyn Fn(String) -> BoxFuture<'static, Result<Option<String>, String>> + Send + Sync>;

/// Where the section map comes from.
#[derive(Clone)]
pub enum MapSource {
    /// Only from what the sections' settings say.
    Settings,
    /// Files `<section>.dblist` in a directory; `_p` is added to each name.
    Directory(PathBuf),
    /// The same at an address, asked with this.
    Address {
        /// The address that they lie under.
        base: String,
        /// Who asks.
        fetch: Fetch,
    },
    /// The table `meta_p.wiki`.
    Table,
}

impl std::fmt::Debug for MapSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Settings => f.write_str("Settings"),
            Self::Directory(path) => f.debug_tuple("Directory").field(path).finish(),
            Self::Address { base, .. } => f.debug_tuple("Address").field(base).finish(),
            Self::Table => f.write_str("Table"),
        }
    }
}
