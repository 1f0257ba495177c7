//! The table of all sections, which reads the file and the environment, makes the reference and finds unknown keys.

use super::section::{
    AccessSettings, AuthStateSettings, BrokerSettings, DockerSettings, Field, GroupSettings,
    HubSettings, LockCheckSettings, LogSettings, MountSettings, NodeSettings, ProviderSettings,
    ProxySettings, ReplicaSectionSettings, ReplicasSettings, ServerSettings, SpawnerSettings,
};

/// A section with its heading for the reference.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    /// Its name in the file.
    pub(super) name: &'static str,
    /// What it is about.
    pub(super) about: &'static str,
    /// Its settings.
    pub(super) fields: &'static [Field],
    /// Whether there may be several, each with a name: `[provider.wiki]`.
    pub(super) is_named: bool,
}

/// Every section, in the order of the reference.
pub(super) const SECTIONS: &[Section] = &[
    Section {
        name: "hub",
        about: "What people see, and sessions.",
        fields: HubSettings::FIELDS,
        is_named: false,
    },
    Section {
        name: "server",
        about: "The life and the limits of notebook servers.",
        fields: ServerSettings::FIELDS,
        is_named: false,
    },
    Section {
        name: "provider",
        about: "A way to sign in elsewhere; `<name>` stands in addresses: small letters and digits.",
        fields: ProviderSettings::FIELDS,
        is_named: true,
    },
    Section {
        name: "access",
        about: "Who may come in by a provider. Where nothing is said, nobody may but those invited.",
        fields: AccessSettings::FIELDS,
        is_named: false,
    },
    Section {
        name: "lock_check",
        about: "Whether accounts that have a server or a session still stand well with their provider.",
        fields: LockCheckSettings::FIELDS,
        is_named: false,
    },
    Section {
        name: "auth_state",
        about: "Credentials of people at their providers, kept encrypted.",
        fields: AuthStateSettings::FIELDS,
        is_named: false,
    },
    Section {
        name: "spawner",
        about: "What servers are made with.",
        fields: SpawnerSettings::FIELDS,
        is_named: false,
    },
    Section {
        name: "docker",
        about: "The container engine.",
        fields: DockerSettings::FIELDS,
        is_named: false,
    },
    Section {
        name: "proxy",
        about: "The way in.",
        fields: ProxySettings::FIELDS,
        is_named: false,
    },
    Section {
        name: "replicas",
        about: "The wiki replicas in every notebook. It is on once there are accounts.",
        fields: ReplicasSettings::FIELDS,
        is_named: false,
    },
    Section {
        name: "replica_section",
        about: "Replica servers that have the same wikis; `<name>` is the section's, such as `s1`.",
        fields: ReplicaSectionSettings::FIELDS,
        is_named: true,
    },
    Section {
        name: "broker",
        about: "Requests to wikis on a person's behalf, from their notebooks; no credential enters a notebook. It is on once a provider is named.",
        fields: BrokerSettings::FIELDS,
        is_named: false,
    },
    Section {
        name: "node",
        about: "How mounts are watched and healed by `holt node`.",
        fields: NodeSettings::FIELDS,
        is_named: false,
    },
    Section {
        name: "group",
        about: "People who get mounts together; `<name>` is small letters and digits. These are Holt's own, not the groups of a provider.",
        fields: GroupSettings::FIELDS,
        is_named: true,
    },
    Section {
        name: "mount",
        about: "Files that servers share, kept mounted by `holt node`; `<name>` is small letters and digits. Always without set-user-id programs and devices.",
        fields: MountSettings::FIELDS,
        is_named: true,
    },
    Section {
        name: "log",
        about: "What is told, and how.",
        fields: LogSettings::FIELDS,
        is_named: false,
    },
];
