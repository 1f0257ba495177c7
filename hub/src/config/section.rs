//! The settings themselves, each declared once: name, kind, default and meaning.
//!
//! The table of them is in `sections`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::value::{PublicUrl, Secret, Size, Value, choice};

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
                Self::read_of(written, "")
            }

            /// The same for the section of this name, where there may be several; the empty name is the only one.
            pub(super) fn read_of(written: &mut super::Written<'_>, name: &str) -> Self {
                Self { $($key: written.take(($section, name), stringify!($key), $default),)+ }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::read(&mut super::Written::default())
            }
        }
    };
}

choice! {
    /// Names and passwords of Holt's own.
    LocalLogin {
        /// Only where no provider is declared.
        Auto = "auto",
        /// Beside providers too.
        On = "on",
        /// Never; the administrator's link still works.
        Off = "off",
    }
}

section! {
    /// `[hub]`: what people see, and sessions.
    HubSettings = "hub" {
        /// What the hub calls itself on its pages.
        name: String = "Holt",
        /// What the outside calls the hub. Links, redirects and cookies are made from it, never from what a browser sends.
        public_url: Option<PublicUrl> = "",
        /// Whom the operators of other sites can write to about this hub's requests: an address of e-mail or a page; none is public_url.
        contact: Option<String> = "",
        /// How long a browser stays signed in.
        session_lifetime: Duration = "14d",
        /// A browser that is not used for so long is signed out; "0" is never.
        session_idle: Option<Duration> = "0",
        /// Whether people sign in with names and passwords that Holt keeps itself; auto: only where there is no provider.
        local_login: LocalLogin = "auto",
        /// Whether the sign-in page leads to the provider at once, where there is one way to sign in.
        auto_login: bool = "false",
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
        /// What a home's directory is called: `{id}`, Holt's own number of the user, or `{sub}`, the account's number at the only provider.
        home_path: HomePath = "{id}",
        /// How long the home of a deleted user is kept.
        home_grace: Duration = "30d",
    }
}

choice! {
    /// What a home's directory is called.
    HomePath {
        /// Holt's own number.
        Id = "{id}",
        /// The account's number at the only provider.
        Sub = "{sub}",
    }
}

choice! {
    /// What a provider is.
    ProviderKind {
        /// A MediaWiki with the extension OAuth.
        Mediawiki = "mediawiki",
        /// OpenID Connect, or another OAuth 2.0 provider by its endpoints.
        Oidc = "oidc",
    }
}

choice! {
    /// How a wiki is spoken to.
    Protocol {
        /// OAuth 1.0a.
        Oauth1 = "oauth1",
        /// OAuth 2.0 with PKCE.
        Oauth2 = "oauth2",
    }
}

choice! {
    /// How OAuth 1.0a requests are signed.
    Signature {
        /// With the consumer's secret.
        HmacSha1 = "hmac-sha1",
        /// With a private key.
        RsaSha1 = "rsa-sha1",
    }
}

choice! {
    /// Where a wiki sends the browser with OAuth 1.0a.
    Callback {
        /// To the address that was registered for the consumer.
        Registered = "oob",
        /// To the address that Holt says, which begins as the registered one.
        Sent = "url",
    }
}

section! {
    /// `[provider.<name>]`: a way to sign in elsewhere. The name stands in addresses: small letters and digits.
    ProviderSettings = "provider" {
        /// What it is.
        kind: ProviderKind = "mediawiki",
        /// What stands on the button; none is the name.
        label: Option<String> = "",
        /// The consumer key of OAuth 1.0a, or the client's id of OAuth 2.0.
        client_id: String = "",
        /// A file with the client's secret alone. A public client has none.
        client_secret_file: Option<PathBuf> = "",
        /// The secret itself, from the environment only.
        client_secret: Option<Secret> = "",
        /// What is asked for: grants of a wiki, scopes elsewhere; none is the usual.
        scopes: Vec<String> = "[]",
        /// Members of these groups there administer the hub.
        admin_groups: Vec<String> = "[]",
        /// An origin that is dialled instead of the public one, such as `"http://wiki.internal:8080"`.
        connect_to: Option<Url> = "",
        /// The path that the provider sends browsers back to; each provider has one of its own.
        callback_path: String = "/hub/oauth_callback",
        /// How far the clocks may be apart.
        leeway: Duration = "30s",
        /// Who vouches for accounts; none is the origin of index_url, or of authorize_url. With OpenID Connect it is where discovery begins.
        issuer: Option<Url> = "",
        /// A wiki: its index.php as the public calls it, such as `"https://meta.wikimedia.org/w/index.php"`.
        index_url: Option<Url> = "",
        /// A wiki: OAuth 1.0a or OAuth 2.0, as the consumer was registered.
        protocol: Protocol = "oauth2",
        /// A wiki with OAuth 1.0a: how requests are signed.
        signature: Signature = "hmac-sha1",
        /// A wiki with RSA-SHA1: a file with the private key, PEM.
        private_key_file: Option<PathBuf> = "",
        /// A wiki with OAuth 1.0a: whether the registered address is a whole one ("oob") or a prefix ("url").
        callback: Callback = "oob",
        /// A wiki: whether accounts that are locked everywhere (CentralAuth) are kept out.
        lock_check: bool = "true",
        /// OAuth 2.0 without discovery: where the browser goes.
        authorize_url: Option<Url> = "",
        /// OAuth 2.0 without discovery: where a code becomes a token.
        token_url: Option<Url> = "",
        /// OAuth 2.0 without discovery: where the token's owner is told.
        userinfo_url: Option<Url> = "",
        /// OpenID Connect: the claim that is the account's number, which never changes.
        claim_id: String = "sub",
        /// OpenID Connect: the claim that is the name.
        claim_name: String = "preferred_username",
        /// OpenID Connect: the claim that lists groups; a path such as "realm_access.roles" leads into objects.
        claim_groups: Option<String> = "",
        /// OpenID Connect: the claim that makes an administrator when it is true.
        claim_admin: Option<String> = "",
    }
}

section! {
    /// `[access]`: who may come in by a provider. Where nothing is said, nobody may but those invited.
    AccessSettings = "access" {
        /// Whoever the provider vouches for may come in.
        allow_all: bool = "false",
        /// These may come in: names, or `"<provider>:<number>"`, which no change of name hands to somebody else.
        allow: Vec<String> = "[]",
        /// Members of these groups there may come in.
        allow_groups: Vec<String> = "[]",
        /// These may not, whatever else is said; written as in allow.
        block: Vec<String> = "[]",
        /// These administer, and may come in; written as in allow, by number rather than by name, and by number alone with several providers.
        admins: Vec<String> = "[]",
        /// Accounts younger than this may not come in; "0" is no rule.
        min_account_age: Option<Duration> = "0",
        /// Accounts with fewer edits on the wiki may not come in.
        min_edits: u32 = "0",
        /// Accounts that are blocked on the wiki may not come in. Weak evidence: with OAuth 2.0 a block of the hub's own address counts too.
        refuse_blocked: bool = "false",
        /// Accounts without a confirmed address of e-mail may not come in.
        require_confirmed_email: bool = "false",
    }
}

section! {
    /// `[lock_check]`: whether accounts that have a server or a session still stand well with their provider.
    LockCheckSettings = "lock_check" {
        /// How often each account is asked about.
        interval: Duration = "5m",
        /// How long the last good answer holds for new sign-ins while the provider is away.
        max_age: Duration = "1h",
        /// How many questions are under way at once.
        concurrency: u32 = "4",
    }
}

section! {
    /// `[auth_state]`: credentials of people at their providers, kept encrypted.
    AuthStateSettings = "auth_state" {
        /// A file with keys, one a line, the newest first: 32 bytes each, in hexadecimal or base64. None is one that Holt makes in the data directory.
        keys_file: Option<PathBuf> = "",
        /// The keys themselves, parted by ";", from the environment only.
        keys: Option<Secret> = "",
        /// How often it is tried whether the credentials of people with a session still hold; "0" is never. Who took them back signs in again.
        renew: Option<Duration> = "1h",
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

section! {
    /// `[broker]`: requests to wikis on a person's behalf, from their notebooks.
    BrokerSettings = "broker" {
        /// Whose people act: the name of a `[provider.<name>]` of kind mediawiki. None is off. Where client_id is not set, its consumer acts, and what people allow it at sign-in is what their notebooks can do.
        provider: Option<String> = "",
        /// Another consumer at the same wiki, which acts, so that signing in allows nothing but to know who somebody is: its key, or the client's id. Each person allows it on the hub's page "Wiki requests" when it is first needed, and takes it back there. None: the provider's consumer acts.
        client_id: Option<String> = "",
        /// With client_id: a file with that client's secret alone.
        client_secret_file: Option<PathBuf> = "",
        /// With client_id: the secret itself, from the environment only.
        client_secret: Option<Secret> = "",
        /// With client_id: OAuth 1.0a or OAuth 2.0, as that consumer was registered.
        protocol: Protocol = "oauth2",
        /// With client_id and OAuth 1.0a: how requests are signed.
        signature: Signature = "hmac-sha1",
        /// With client_id and RSA-SHA1: a file with the private key, PEM.
        private_key_file: Option<PathBuf> = "",
        /// With client_id and OAuth 1.0a: whether the registered address is a whole one ("oob") or a prefix ("url").
        callback: Callback = "oob",
        /// With client_id: the path that the wiki sends browsers back to. "/hub/oauth_callback" lets a consumer act that people signed in by before; the provider's needs another one then.
        callback_path: String = "/hub/wiki/callback",
        /// With client_id: grants that are asked for with OAuth 2.0, and named on the page before people allow them; none is all that are registered.
        scopes: Vec<String> = "[]",
        /// Wikis that may be called: hosts, or addresses of `api.php`. None of these, `sites_file` and `sites_matrix` is the provider's own wiki alone. With OAuth 2.0 each is sent the access token that all of the farm take: name only wikis of the provider's farm.
        sites: Vec<String> = "[]",
        /// A wiki that knows of more of them: the address of its `api.php`, whose `action=sitematrix` is asked and kept. One line for all wikis of Wikimedia: `"https://meta.wikimedia.org/w/api.php"`.
        sites_matrix: Option<Url> = "",
        /// How often sites_matrix is asked. While it does not answer, what it said last goes on, over restarts too.
        sites_refresh: Duration = "1d",
        /// Origins that are dialled instead of wikis' own, by host, such as `["en.wikipedia.org=https://10.0.0.5:8443"]`; `*` is every other host. What is signed, and `Host`, stay the wiki's own; TLS is that of the origin. Without TLS only this machine is lawful.
        connect_to: Vec<String> = "[]",
        /// A file with more of them: one a line, or what `api.php?action=sitematrix&format=json` of a wiki answers.
        sites_file: Option<PathBuf> = "",
        /// Requests a second that one user may send for long; who is faster waits. This and the next two are counted by each hub process: a proxy sends all to one hub while that answers, so they are what a user has; where something spreads requests over several hubs, a user may have as much at each.
        requests_per_second: u32 = "20",
        /// Requests that one user may send at once before that counts.
        burst: u32 = "100",
        /// Requests of one user that may be under way at once.
        concurrent: u32 = "10",
        /// The largest body of one request.
        body_limit: Size = "256MiB",
        /// How long a wiki may take to answer.
        timeout: Duration = "3m",
        /// Whether notebooks also hold the credentials themselves, in `CLIENT_ID`, `CLIENT_SECRET`, `ACCESS_KEY`, `ACCESS_SECRET` and `USER`, as on PAWS: for programs that sign by themselves, by OAuth 1.0a. `holt check` says what that exposes.
        paws_environment: bool = "false",
    }
}

section! {
    /// `[node]`: how mounts are watched and healed by `holt node`.
    NodeSettings = "node" {
        /// The directory that the mounts are below; none is `mounts` in the data directory. It becomes a mount point that is shared with containers.
        directory: Option<PathBuf> = "",
        /// How often each mount is looked at.
        check_every: Duration = "10s",
        /// A mount that does not answer within this time is taken away and mounted again.
        answer_within: Duration = "5s",
        /// How long mounting may take.
        mount_within: Duration = "30s",
        /// The longest pause between two tries to mount; the first is a second, and each is twice the one before.
        retry_most: Duration = "5m",
    }
}

section! {
    /// `[group.<name>]`: people who get a mount together. Not the groups of a provider.
    GroupSettings = "group" {
        /// Who is in it: names of users, or `"#<number>"`, Holt's own number. None is nobody.
        users: Vec<String> = "[]",
    }
}

section! {
    /// `[mount.<name>]`: files that servers share, kept mounted by `holt node`. Always without set-user-id programs and devices.
    MountSettings = "mount" {
        /// What is mounted, as `mount` takes it: a directory of this machine, `"server:/export"`, a device.
        source: String = "",
        /// The type, as `mount -t` takes it: `"nfs"`, `"ceph"`, `"fuse.sshfs"`...; `"bind"` is a directory of this machine.
        kind: String = "bind",
        /// Options for `mount -o`. With NFS say how long it may hang: `["soft", "timeo=100", "retrans=2"]`; with FUSE let servers in: `["allow_other"]`.
        options: Vec<String> = "[]",
        /// Where servers see it, such as `"/mnt/nfs/dumps"`. The folder it is in holds mounts and links alone.
        target: String = "",
        /// Further paths that lead to the target, such as `"/public/dumps/public"`.
        links: Vec<String> = "[]",
        /// Whether servers can only read.
        read_only: bool = "true",
        /// Whether programs on it can be run.
        exec: bool = "false",
        /// Who gets it: names of users, or `"#<number>"`, Holt's own number, which no change of name hands to somebody else. Neither users nor groups is everybody. (Environments that people choose, profiles, are no part of Holt yet.)
        users: Vec<String> = "[]",
        /// Who gets it too: names of groups, each of which has a section `[group.<name>]`.
        groups: Vec<String> = "[]",
        /// Where servers can write: to whom the topmost directory is given, as `"uid:gid"`; servers run as 52771. None leaves it as it is.
        owner: Option<String> = "",
        /// With kind `"image"`: the size of the file system in the file `source`, which is made when it is not there. Nobody can write more.
        quota: Option<Size> = "",
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

choice! {
    /// Where it is written which wiki is in which section.
    ReplicaMap {
        /// Only in the settings of the sections.
        Settings = "settings",
        /// In files `<section>.dblist`.
        Dblists = "dblists",
        /// In the table `meta_p.wiki` of the replicas.
        Table = "meta_p",
    }
}

choice! {
    /// TLS between notebooks and the gateway.
    ReplicaClientTls {
        /// With a certificate that the gateway makes for itself.
        Own = "own",
        /// With the files that are named.
        Files = "files",
        /// None.
        Off = "off",
    }
}

choice! {
    /// TLS between the gateway and replica servers.
    ReplicaTls {
        /// None.
        Off = "off",
        /// Enciphered; whose certificate it is does not matter.
        Encrypt = "encrypt",
        /// Enciphered, and the certificate must be believed.
        Verify = "verify",
    }
}

section! {
    /// `[replicas]`: the wiki replicas in every notebook. It is on once there are accounts.
    ReplicasSettings = "replicas" {
        /// A file with the accounts of the replica servers, one a line: name, a space, password. Each serves one user at a time.
        accounts_file: Option<PathBuf> = "",
        /// The accounts themselves, parted by ";", from the environment only.
        accounts: Option<Secret> = "",
        /// Whether accounts serve several users at once, who then see and can stop each other's queries.
        shared_account: bool = "false",
        /// Where notebooks reach the gateway; none is the address at which servers meet the hub, with a port that is chosen once.
        listen: Option<SocketAddr> = "",
        /// The section of queries that name no wiki; none is the first one.
        default_section: Option<String> = "",
        /// Where it is written which wiki is in which section.
        map: ReplicaMap = "settings",
        /// The directory or the address of the dblists, such as `"https://noc.wikimedia.org/conf/dblists"`.
        dblists: Option<String> = "",
        /// How often the map is read again.
        map_refresh: Duration = "1h",
        /// TLS between notebooks and the gateway, for clients that ask for it.
        tls: ReplicaClientTls = "own",
        /// With tls = "files": the certificate, with its chain, PEM.
        tls_certificate_file: Option<PathBuf> = "",
        /// With tls = "files": its key, PEM.
        tls_key_file: Option<PathBuf> = "",
        /// Connections of one user to replica servers, over all servers of the user. Who wants more waits.
        connections: u32 = "8",
        /// How many more connections of one user may wait.
        queue: u32 = "32",
        /// How long a query waits for a connection.
        queue_timeout: Duration = "60s",
        /// How long a query may run.
        statement_timeout: Duration = "30m",
        /// Size of one result.
        result_limit: Option<Size> = "",
        /// Size of one query.
        statement_limit: Size = "64MiB",
        /// A connection that is not used for so long is closed.
        idle_timeout: Duration = "1h",
        /// A query that took so long is logged, with its user.
        slow: Duration = "30s",
        /// How long a replica server may take to let the gateway in.
        connect_timeout: Duration = "5s",
        /// How often each replica server is looked at.
        check_interval: Duration = "5s",
        /// A replica server further behind is used only when there is no other; "0" is never mind.
        max_lag: Option<Duration> = "0",
    }
}

section! {
    /// `[replica_section.<name>]`: replica servers that have the same wikis, such as `s1`.
    ReplicaSectionSettings = "replica_section" {
        /// Its servers, such as `["s1.analytics.db.example.org:3306"]`.
        backends: Vec<String> = "[]",
        /// Databases that are here, whatever the map says, such as `["meta_p"]`.
        databases: Vec<String> = "[]",
        /// TLS to its servers. Without "verify", who can stand in for a server of MySQL learns the passwords of accounts.
        tls: ReplicaTls = "off",
        /// With tls = "verify": whose certificates are believed, PEM; none is the system's.
        tls_ca_file: Option<PathBuf> = "",
    }
}
