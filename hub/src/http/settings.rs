//! Settings of pages and API. `config.rs` composes them.

use std::time::Duration;

use crate::node::StatusPlace;
use crate::servers::MountUsers;

/// What pages and API go by.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// What the outside calls the hub, without a slash at the end: `https://hub.example`.
    pub public_url: String,
    /// The hub's name on its pages.
    pub hub_name: String,
    /// What every page says on top, when there is something to say.
    pub announcement: Option<String>,
    /// How long a browser stays signed in, and a server's visitor with it.
    pub session_lifetime: Duration,
    /// A browser that nobody used for so long is signed out.
    pub session_idle: Option<Duration>,
    /// The version of JupyterHub whose contract is kept.
    pub announce_version: String,
    /// Users may have servers besides their default one.
    pub named_servers: bool,
    /// After sign-in go to the notebook server rather than to the home page.
    pub redirect_to_server: bool,
    /// `/hub/metrics` needs no credential.
    pub metrics_open: bool,
    /// Where `holt node` says how its mounts are.
    pub mounts: StatusPlace,
    /// The mounts and who gets them.
    pub mount_users: MountUsers,
    /// How long an invitation or reset link works.
    pub link_lifetime: Duration,
    /// How long the API waits for a server to start before it answers 202.
    pub slow_start: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:8000".to_owned(),
            hub_name: "Holt".to_owned(),
            announcement: None,
            session_lifetime: Duration::from_secs(14 * 24 * 3600),
            session_idle: None,
            announce_version: "5.5.4".to_owned(),
            named_servers: false,
            redirect_to_server: true,
            metrics_open: false,
            mounts: StatusPlace::default(),
            mount_users: MountUsers::default(),
            link_lifetime: Duration::from_secs(7 * 24 * 3600),
            slow_start: Duration::from_secs(10),
        }
    }
}

impl HttpSettings {
    /// Cookies are for encrypted connections only.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    /// The outside's URL of a path of ours.
    #[must_use]
    pub fn full(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.trim_end_matches('/'))
    }
}
