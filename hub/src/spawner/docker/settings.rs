//! What an operator may decide about Docker, with a default for each.
//!
//! Plain values: `config.rs` reads them from files, this room only uses them.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;

/// The notebook user's number, inside every image of ours.
pub const NOTEBOOK_UID: u32 = 52771;

/// Where a user's files live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HomeKind {
    /// A directory `homes/<key>` under the data directory.
    #[default]
    Bind,
    /// A volume of the engine, `holt-home-<hub>-<key>`.
    Volume,
}

/// What to do when a forbidden way out of a container is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Say so, and let the hub refuse to listen beyond loopback.
    #[default]
    Strict,
    /// Say so and go on.
    AcceptWeak,
}

/// A folder of mounts on this machine that servers see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The folder here.
    pub source: PathBuf,
    /// Where servers see it.
    pub target: String,
    /// The mounts that it belongs to: a launch gets it when it gets them all.
    pub mounts: Vec<String>,
}

/// Settings of the Docker spawner.
#[derive(Debug, Clone, PartialEq)]
pub struct DockerSettings {
    /// Address of the engine, as in `DOCKER_HOST`; none: that variable, then the default socket.
    pub host: Option<String>,
    /// Image to start notebooks from; none: the one we build.
    pub image: Option<String>,
    /// Which of our own images is built: none for the usual one, or the name of a variant in `images/singleuser/stages.toml`.
    pub variant: Option<String>,
    /// Image of throwaway containers (`nft`, `python3`, `sh`); none: the one we build.
    pub helper_image: Option<String>,
    /// Name of the bridge network of our own; none: `holt-<hub>`.
    pub network: Option<String>,
    /// Addresses of that network; none: the engine chooses once.
    pub subnet: Option<Ipv4Net>,
    /// Port of the internal listener; the next free one is taken when it is in use, and then kept.
    pub internal_port: u16,
    /// Further ports on the internal address that servers may use (the replica gateway's).
    pub allowed_ports: Vec<u16>,
    /// How long a server may take to end when asked.
    pub stop_grace: Duration,
    /// Size at which a container's log is rotated, in bytes.
    pub log_bytes: u64,
    /// Where homes live.
    pub homes: HomeKind,
    /// Home directory inside the container.
    pub home_path: String,
    /// Folders of mounts that launches get.
    pub shares: Vec<Share>,
    /// Memory limit for launches whose plan names none, in bytes.
    pub memory_bytes: Option<u64>,
    /// Limit of processes for launches whose plan names none.
    pub pids: u64,
    /// What to do when isolation is weak.
    pub isolation: Isolation,
    /// Image builds and pulls at once.
    pub images_at_once: usize,
    /// Creates and starts at once.
    pub starts_at_once: usize,
    /// Stops and removals at once.
    pub stops_at_once: usize,
    /// Limit of a short call to the engine.
    pub call_timeout: Duration,
    /// How long a started container may take to acknowledge its bundle.
    pub bind_timeout: Duration,
    /// How long a network step of an image build may say nothing.
    pub stall: Duration,
    /// How often memory use is looked at.
    pub sample_every: Duration,
}

impl Default for DockerSettings {
    fn default() -> Self {
        Self {
            host: None,
            image: None,
            variant: None,
            helper_image: None,
            network: None,
            subnet: None,
            internal_port: 8081,
            allowed_ports: Vec::new(),
            stop_grace: Duration::from_secs(10),
            log_bytes: 10 << 20,
            homes: HomeKind::Bind,
            home_path: "/home/paws".into(),
            shares: Vec::new(),
            memory_bytes: None,
            pids: 512,
            isolation: Isolation::Strict,
            images_at_once: 1,
            starts_at_once: 16,
            stops_at_once: 16,
            call_timeout: Duration::from_secs(30),
            bind_timeout: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            sample_every: Duration::from_secs(10),
        }
    }
}
