//! What the operator may decide: read from the file, the environment and flags, and checked as a whole.
//!
//! Every mistake is reported at once, each with its place, its reason and its fix.
//! The settings themselves stand in [`section`]; rules between several of them stand here.

mod broker;
mod data_dir;
mod mount_options;
mod mount_sources;
mod mounts;
mod problem;
mod providers;
pub mod reference;
mod replicas;
pub mod section;
mod sections;
mod system_directories;
pub mod value;
mod written;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

pub use data_dir::{DataDir, DataDirError};
pub(crate) use mount_sources::lie_in_each_other;
pub use mounts::{Entry, Folder, folders};
pub use problem::{Place, Problem};
pub use section::{
    AccessSettings, AuthStateSettings, BrokerSettings, Callback, DockerSettings, GroupSettings,
    HomeKind, HomePath, HubSettings, Isolation, LocalLogin, LockCheckSettings, LogFormat,
    LogSettings, MountSettings, NodeSettings, Protocol, ProviderKind, ProviderSettings,
    ProxySettings, ReplicaClientTls, ReplicaMap, ReplicaSectionSettings, ReplicaTls,
    ReplicasSettings, ServerSettings, Signature, SpawnerKind, SpawnerSettings,
};
pub(crate) use system_directories::holds_the_system;
use written::{Written, whole_key};

/// The name of the settings file.
pub const FILE_NAME: &str = "holt.toml";

/// Where settings are looked for. Flags stand over the environment, the environment over the file.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--public-url`.
    pub public_url: Option<String>,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// All that the operator decided.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything is kept.
    pub data_dir: DataDir,
    /// The settings file that was read.
    pub file: Option<PathBuf>,
    /// `[hub]`.
    pub hub: HubSettings,
    /// `[server]`.
    pub server: ServerSettings,
    /// `[provider.<name>]`, in the order of their names.
    pub providers: Vec<(String, ProviderSettings)>,
    /// `[access]`.
    pub access: AccessSettings,
    /// `[lock_check]`.
    pub lock_check: LockCheckSettings,
    /// `[auth_state]`.
    pub auth_state: AuthStateSettings,
    /// `[spawner]`.
    pub spawner: SpawnerSettings,
    /// `[docker]`.
    pub docker: DockerSettings,
    /// `[proxy]`.
    pub proxy: ProxySettings,
    /// `[replicas]`.
    pub replicas: ReplicasSettings,
    /// `[replica_section.<name>]`, in the order of their names.
    pub replica_sections: Vec<(String, ReplicaSectionSettings)>,
    /// `[broker]`.
    pub broker: BrokerSettings,
    /// `[node]`.
    pub node: NodeSettings,
    /// `[group.<name>]`, in the order of their names.
    pub groups: Vec<(String, GroupSettings)>,
    /// `[mount.<name>]`, in the order of their names.
    pub mounts: Vec<(String, MountSettings)>,
    /// `[log]`.
    pub log: LogSettings,
}

impl Settings {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Every mistake found, never an empty list.
    pub fn load(sources: &Sources) -> Result<Self, Vec<Problem>> {
        let data_dir = DataDir::choose(sources.data_dir.as_deref(), &sources.environment)
            .map_err(|problem| vec![problem])?;
        let file = find_file(sources.config.as_deref(), data_dir.path());
        let mut text = String::new();
        let mut written = Written::default();
        if let Some(path) = &file {
            match std::fs::read_to_string(path) {
                Ok(content) => text = content,
                Err(cause) => written.problems.push(unreadable(path, &cause)),
            }
        }
        if let Some(path) = &file {
            written.add_file(path, &text);
        }
        written.add_environment(sources.environment.iter().cloned());
        if let Some(listen) = &sources.listen {
            written.add_flag("--listen", "proxy", "listen", listen);
        }
        if let Some(public_url) = &sources.public_url {
            written.add_flag("--public-url", "hub", "public_url", public_url);
        }
        let providers = written.names("provider").into_iter().map(|name| {
            let settings = ProviderSettings::read_of(&mut written, &name);
            (name, settings)
        });
        let providers = providers.collect();
        let sections = written.names("replica_section").into_iter().map(|name| {
            let settings = ReplicaSectionSettings::read_of(&mut written, &name);
            (name, settings)
        });
        let replica_sections = sections.collect();
        let groups = written.names("group").into_iter().map(|name| {
            let settings = GroupSettings::read_of(&mut written, &name);
            (name, settings)
        });
        let groups = groups.collect();
        let mounts = written.names("mount").into_iter().map(|name| {
            let settings = MountSettings::read_of(&mut written, &name);
            (name, settings)
        });
        let settings = Self {
            mounts: mounts.collect(),
            groups,
            replica_sections,
            replicas: ReplicasSettings::read(&mut written),
            providers,
            broker: BrokerSettings::read(&mut written),
            node: NodeSettings::read(&mut written),
            access: AccessSettings::read(&mut written),
            lock_check: LockCheckSettings::read(&mut written),
            auth_state: AuthStateSettings::read(&mut written),
            hub: HubSettings::read(&mut written),
            server: ServerSettings::read(&mut written),
            spawner: SpawnerSettings::read(&mut written),
            docker: DockerSettings::read(&mut written),
            proxy: ProxySettings::read(&mut written),
            log: LogSettings::read(&mut written),
            data_dir,
            file,
        };
        settings.check_rules(&mut written);
        if written.problems.is_empty() {
            Ok(settings)
        } else {
            Err(written.problems)
        }
    }

    /// The rules between settings, and limits that a kind of value cannot know.
    fn check_rules(&self, written: &mut Written<'_>) {
        self.check_providers(written);
        self.check_broker(written);
        self.check_replicas(written);
        self.check_mounts(written);
        let mut refuse = |section: &'static str, key: &'static str, reason: String, fix: &str| {
            refuse_in(written, (section, ""), key, reason, fix);
        };
        let listen = self.proxy.listen;
        if self.spawner.kind == SpawnerKind::Process && !listen.ip().is_loopback() {
            refuse(
                "proxy",
                "listen",
                format!(
                    "{listen} is open to other machines, but spawner.kind = \"process\" runs notebooks without isolation"
                ),
                PROCESS_FIX,
            );
        }
        if listen.ip().is_unspecified() && self.hub.public_url.is_none() {
            refuse(
                "hub",
                "public_url",
                format!(
                    "proxy.listen is {listen}, every address of the machine, so nobody can tell what browsers call it"
                ),
                "Set hub.public_url, for example \"https://hub.example.org\"",
            );
        }
        if let Some(subnet) = self.docker.subnet {
            let fits = matches!(subnet, IpNet::V4(net) if net.addr().is_private() && net.prefix_len() <= 28 && net.prefix_len() >= 8);
            if !fits {
                refuse(
                    "docker",
                    "subnet",
                    format!("{subnet} is not a private IPv4 network with room for servers"),
                    "Write for example \"10.89.0.0/22\"",
                );
            }
        }
        if let Some(host) = &self.docker.host
            && !["unix://", "tcp://", "http://"]
                .iter()
                .any(|scheme| host.starts_with(scheme))
        {
            refuse(
                "docker",
                "host",
                format!("{host:?} is not an address that Holt can speak to"),
                "Write \"unix:///var/run/docker.sock\" or \"tcp://address:port\"",
            );
        }
        for (key, value) in [
            ("start_timeout", self.server.start_timeout),
            ("ready_timeout", self.server.ready_timeout),
        ] {
            if value.as_secs() == 0 {
                refuse(
                    "server",
                    key,
                    "no server can be that quick".to_owned(),
                    "Write at least \"1s\"",
                );
            }
        }
        if self
            .hub
            .session_idle
            .is_some_and(|idle| idle.as_secs() < 60)
        {
            refuse(
                "hub",
                "session_idle",
                "people would be signed out while they read a page".to_owned(),
                "Write at least \"1m\", or \"0\" for never",
            );
        }
        if self.lock_check.interval.as_secs() < 10 {
            refuse(
                "lock_check",
                "interval",
                "the provider would be asked without a pause".to_owned(),
                "Write at least \"10s\"; \"5m\" is usual",
            );
        }
        if !(1..=64).contains(&self.lock_check.concurrency) {
            refuse(
                "lock_check",
                "concurrency",
                format!(
                    "{} questions cannot be under way at once",
                    self.lock_check.concurrency
                ),
                "Write a number from 1 to 64",
            );
        }
        if self.hub.session_lifetime.as_secs() < 60 {
            refuse(
                "hub",
                "session_lifetime",
                "everybody would be signed out at once".to_owned(),
                "Write at least \"1m\"",
            );
        }
        if !self.server.default_url.starts_with('/') || self.server.default_url.starts_with("//") {
            refuse(
                "server",
                "default_url",
                format!("{:?} is not a path of the server", self.server.default_url),
                "Write a path such as \"/lab\" or \"/tree\"",
            );
        }
        if self.server.pids != 0 && self.server.pids < 32 {
            refuse(
                "server",
                "pids",
                format!(
                    "{} processes are too few for a notebook server",
                    self.server.pids
                ),
                "Write at least 32, or 0 for no limit",
            );
        }
        if self.server.memory.is_some_and(|size| size.0 < 64 << 20) {
            refuse(
                "server",
                "memory",
                "a notebook server needs more".to_owned(),
                "Write at least \"64MiB\"; \"1GiB\" is a good beginning",
            );
        }
        if self.proxy.workers > 64 {
            refuse(
                "proxy",
                "workers",
                "more than 64 listeners do not help".to_owned(),
                "Write 0 for one for each core",
            );
        }
        if let Err(cause) = tracing_subscriber::EnvFilter::try_new(&self.log.filter) {
            refuse(
                "log",
                "filter",
                format!("{:?} is not a filter ({cause})", self.log.filter),
                "Write for example \"info\" or \"info,holt=debug\"",
            );
        }
    }

    /// Whether others than this machine can come in.
    #[must_use]
    pub fn is_open_to_others(&self) -> bool {
        !self.proxy.listen.ip().is_loopback()
    }

    /// The refusal of local processes on a listener that others can reach, for when the kind is chosen at run time.
    ///
    /// # Errors
    /// The problem, with its fix.
    pub fn allow_processes(&self) -> Result<(), Problem> {
        if !self.is_open_to_others() {
            return Ok(());
        }
        Err(Problem {
            place: Place::Default,
            key: Some("proxy.listen".to_owned()),
            reason: format!(
                "{} is open to other machines, but without Docker notebooks run as local processes, without isolation",
                self.proxy.listen
            ),
            fix: PROCESS_FIX.to_owned(),
        })
    }

    /// What the outside calls the hub when the public listener is at `listen`: no slash at the end.
    #[must_use]
    pub fn public_url_at(&self, listen: SocketAddr) -> String {
        match &self.hub.public_url {
            Some(url) => url.0.clone(),
            None => format!("http://{listen}"),
        }
    }

    /// What the outside calls the hub: no slash at the end.
    #[must_use]
    pub fn public_url(&self) -> String {
        self.public_url_at(self.proxy.listen)
    }

    /// How many listeners and workers the proxy has.
    #[must_use]
    pub fn proxy_workers(&self) -> usize {
        match self.proxy.workers {
            0 => std::thread::available_parallelism()
                .map_or(1, usize::from)
                .min(8),
            workers => workers as usize,
        }
    }

    /// How many servers may be starting at once.
    #[must_use]
    pub fn concurrent_starts(&self) -> usize {
        match self.server.concurrent_starts {
            0 => std::thread::available_parallelism()
                .map_or(1, usize::from)
                .saturating_mul(2)
                .max(4),
            starts => starts as usize,
        }
    }
}

/// Notes a value that breaks a rule. One that could not be read has its report already.
fn refuse_in(
    written: &mut Written<'_>,
    (section, name): (&'static str, &str),
    key: &'static str,
    reason: String,
    fix: &str,
) {
    let problem = Problem {
        place: written.place((section, name), key),
        key: Some(whole_key(section, name, key)),
        reason,
        fix: fix.to_owned(),
    };
    if !written
        .problems
        .iter()
        .any(|known| known.key == problem.key)
    {
        written.problems.push(problem);
    }
}

const PROCESS_FIX: &str =
    "Listen on 127.0.0.1, or install Docker and set spawner.kind = \"docker\"";

fn find_file(flag: Option<&Path>, data_dir: &Path) -> Option<PathBuf> {
    if let Some(path) = flag {
        return Some(path.to_owned());
    }
    [PathBuf::from(FILE_NAME), data_dir.join(FILE_NAME)]
        .into_iter()
        .find(|path| path.exists())
}

fn unreadable(path: &Path, cause: &std::io::Error) -> Problem {
    Problem {
        place: Place::File {
            path: path.to_owned(),
            line: None,
        },
        key: None,
        reason: format!("the file cannot be read: {cause}"),
        fix: match cause.kind() {
            std::io::ErrorKind::NotFound => {
                "Give the right path with --config, or leave it out".to_owned()
            }
            std::io::ErrorKind::InvalidData => "Save it as UTF-8".to_owned(),
            _ => "Let the user who runs Holt read it".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests;
