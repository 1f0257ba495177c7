//! The settings themselves, each declared once: name, kind, default and meaning.
//!
//! The table made from these declarations reads the file and the environment, makes the reference and finds unknown keys.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::value::{PublicUrl, Size, Value, choice};

/// One setting, for the reference and for finding unknown keys.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The table in the file.
    pub section: &'static str,
    /// The key in it.
    pub key: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// The default, as text.
    pub default: &'static str,
    /// How it is written.
    pub form: &'static str,
    /// Whether it stands in quotes in the file.
    pub quoted: bool,
}

/// Declares one section: its struct, its table of fields and how it is read.
macro_rules! section {
    ($(#[doc = $about:literal])+ $name:ident = $section:literal {
        $($(#[doc = $doc:literal])+ $key:ident: $kind:ty = $default:literal,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name { $($(#[doc = $doc])+ pub $key: $kind,)+ }

        impl $name {
            /// Each setting of the section, in order.
            pub const FIELDS: &'static [Field] = &[$(Field {
                section: $section,
                key: stringify!($key),
                doc: concat!($($doc, "\n"),+),
                default: $default,
                form: <$kind as Value>::FORM,
                quoted: <$kind as Value>::QUOTED,
            },)+];

            /// Takes the section's values out of what was written.
            pub(super) fn read(written: &mut super::Written<'_>) -> Self {
                Self { $($key: written.take($section, stringify!($key), $default),)+ }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::read(&mut super::Written::default())
            }
        }
    };
}

section! {
    /// `[hub]`: what people see, and sessions.
    HubSettings = "hub" {
        /// What the hub calls itself on its pages.
        name: String = "Holt",
        /// What the outside calls the hub. Links, redirects and cookies are made from it, never from what a browser sends.
        public_url: Option<PublicUrl> = "",
        /// How long a browser stays signed in.
        session_lifetime: Duration = "14d",
        /// The version of JupyterHub that single-user servers are told.
        announce_version: String = "5.5.4",
        /// Whether metrics can be read without signing in.
        metrics_open: bool = "false",
    }
}

section! {
    /// `[server]`: the life and the limits of notebook servers.
    ServerSettings = "server" {
        /// How many servers may be starting at once; 0 is twice the machine's cores, at least 4. Who comes later waits in line.
        concurrent_starts: u32 = "0",
        /// How many servers may run at once; 0 is no limit. Who comes later waits in line.
        active_servers: u32 = "0",
        /// How many named servers a user may have beside the default one; 0 is none.
        named_servers_per_user: u32 = "0",
        /// A server that nobody used for so long is stopped.
        idle_timeout: Option<Duration> = "0",
        /// How long the engine may take to make and start a server.
        start_timeout: Duration = "60s",
        /// How long a started server may take until it answers.
        ready_timeout: Duration = "30s",
        /// How long a server may take to end when it is asked to.
        stop_grace: Duration = "10s",
        /// Memory of one server.
        memory: Option<Size> = "",
        /// Processor cores of one server; 0 is no limit.
        cpus: f64 = "0",
        /// Processes and threads of one server; 0 is no limit.
        pids: u32 = "512",
        /// Variables that every server gets. Not for secrets: every user can read them.
        environment: BTreeMap<String, String> = "{}",
        /// Where a server opens.
        default_url: String = "/lab",
    }
}

choice! {
    /// How servers are made.
    SpawnerKind {
        /// Docker if one is installed, local processes otherwise; the first choice is kept.
        Auto = "auto",
        /// A container for each server.
        Docker = "docker",
        /// Local processes, for one user, on loopback only.
        Process = "process",
    }
}

section! {
    /// `[spawner]`: what servers are made with.
    SpawnerSettings = "spawner" {
        /// Containers or local processes. `auto` takes Docker if one is installed and keeps that choice.
        kind: SpawnerKind = "auto",
    }
}

choice! {
    /// Where homes are kept.
    HomeKind {
        /// A directory below the data directory.
        Bind = "bind",
        /// A volume of the engine.
        Volume = "volume",
    }
}

choice! {
    /// What to do when a server can reach what it must not.
    Isolation {
        /// Refuse to listen beyond loopback.
        Strict = "strict",
        /// Say so and go on.
        AcceptWeak = "accept-weak",
    }
}

section! {
    /// `[docker]`: the container engine.
    DockerSettings = "docker" {
        /// The engine's address; none is `DOCKER_HOST` or the default socket.
        host: Option<String> = "",
        /// The image of the servers; none is the one that Holt builds.
        image: Option<String> = "",
        /// The name of the servers' network; none is a name of Holt's own.
        network: Option<String> = "",
        /// The addresses of the servers' network; none leaves the choice to the engine.
        subnet: Option<IpNet> = "",
        /// Homes as directories below the data directory, or as volumes of the engine.
        home: HomeKind = "bind",
        /// Whether to serve others than this machine when a server can reach what it must not.
        isolation: Isolation = "strict",
        /// How much of its own log a server keeps, twice.
        log_size: Size = "10MiB",
    }
}

section! {
    /// `[proxy]`: the way in.
    ProxySettings = "proxy" {
        /// Where browsers come in.
        listen: SocketAddr = "127.0.0.1:8000",
        /// Proxies before this one whose `X-Forwarded-*` headers are believed.
        trusted_proxies: Vec<IpNet> = "[]",
        /// Listeners and worker threads; 0 is one for each core, at most 8.
        workers: u32 = "0",
    }
}

choice! {
    /// How log lines look.
    LogFormat {
        /// Text on a terminal, JSON elsewhere.
        Auto = "auto",
        /// One JSON object a line.
        Json = "json",
        /// For people.
        Text = "text",
    }
}

section! {
    /// `[log]`: what is told, and how.
    LogSettings = "log" {
        /// How log lines look; `auto` is text on a terminal and JSON elsewhere.
        format: LogFormat = "auto",
        /// What is logged, as `tracing` filters are written: `info`, or `info,holt=debug`.
        filter: String = "info",
    }
}

/// A section with its heading for the reference.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its name in the file.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Its settings.
    pub fields: &'static [Field],
}

/// Every section, in the order of the reference.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "hub",
        about: "What people see, and sessions.",
        fields: HubSettings::FIELDS,
    },
    Section {
        name: "server",
        about: "The life and the limits of notebook servers.",
        fields: ServerSettings::FIELDS,
    },
    Section {
        name: "spawner",
        about: "What servers are made with.",
        fields: SpawnerSettings::FIELDS,
    },
    Section {
        name: "docker",
        about: "The container engine.",
        fields: DockerSettings::FIELDS,
    },
    Section {
        name: "proxy",
        about: "The way in.",
        fields: ProxySettings::FIELDS,
    },
    Section {
        name: "log",
        about: "What is told, and how.",
        fields: LogSettings::FIELDS,
    },
];
