//! The replica gateway: carries statements of notebooks to the wiki replicas, by the MySQL protocol.
//!
//! A client proves who it is with a credential of its launch (`login`), and says statements (`session`). Each is read far enough to
//! know its wiki and whether it only reads (`statement`), gets a comment that says whose it is, goes to a server of the wiki's
//! section with an account that serves this user alone (`reach`), and its answer comes back unread but for its end (`relay`).
//!
//! **Invariant:** before the hub has granted it, nobody comes in; a backend's credentials never reach a client.

mod accounts;
pub(crate) mod answer;
mod backend;
mod certificate;
mod comment;
mod compress;
mod control;
mod door;
mod draining;
mod grants;
mod health;
pub(crate) mod hello;
pub(crate) mod lexer;
mod like;
mod listen;
mod login;
mod map;
mod memory;
mod metrics;
mod order;
pub(crate) mod packet;
mod passwords;
mod people;
mod privileges;
mod reach;
mod relay;
mod sections;
mod session;
mod sessions;
mod setting;
mod settings;
pub(crate) mod statement;
mod turns;
mod usage;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use holt_spec::replicas::Grant;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::certificate::mistakes;
pub use self::settings::{
    Account, BackendTls, ClientTls, Fetch, Limits, MapSource, SectionSettings, Settings, Sharing,
};

use self::accounts::Accounts;
use self::backend::Dial;
use self::grants::Gate;
use self::people::People;
use self::sections::{Section, Sections, Target};
use self::sessions::{Order, Running, Session};
use self::usage::Counts;
use crate::tls::{self, Files, Names, Servers};

/// Between two looks for statements that run too long.
const SWEEP_EVERY: Duration = Duration::from_millis(100);
/// Clients may take so long to end when the gateway does.
const ENDING: Duration = Duration::from_secs(5);

/// Options of TLS to backends, as the settings call them.
const BACKEND: Names = Names {
    key: "key",
    cert: "certificate",
    ca: "tls_ca_file",
    passphrase: None,
};

/// Everything that a session and a pass need.
struct Gateway {
    settings: Settings,
    gate: Gate,
    sessions: Arc<sessions::Sessions>,
    accounts: Arc<Accounts>,
    people: People,
    /// Who sends a large command.
    large: People,
    sections: Sections,
    usage: Counts,
    tls: Option<TlsAcceptor>,
    /// SHA-256 of the certificate that clients are shown.
    fingerprint: Option<[u8; 32]>,
    /// Where the hub wants clients to come in.
    wanted: watch::Sender<Option<SocketAddr>>,
    // Held for one change.
    listening: Mutex<Vec<SocketAddr>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}

impl Gateway {
    /// How many connections to backends a user may have.
    fn connections_of(&self, grant: &Grant) -> u32 {
        grant
            .limits
            .connections
            .unwrap_or(self.settings.limits.connections)
            .max(1)
    }

    fn max_lag(&self) -> Option<f64> {
        self.settings.max_lag.map(|lag| lag.as_secs_f64())
    }

    fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.sections
            .all
            .iter()
            .flat_map(|section| &section.targets)
    }

    fn listening(&self) -> Vec<SocketAddr> {
        self.listening
            .lock()
            .expect("no panic under this lock")
            .clone()
    }

    /// A statement ended.
    fn account(&self, session: &Session, running: &Running, answered: bool) {
        let took = running.began.elapsed();
        let bytes = session.bytes.load(Ordering::Relaxed);
        let grant = &session.granted.grant;
        metrics::statement(&running.section, answered, took.as_secs_f64(), bytes);
        self.usage.add(grant.user, &running.section, took, bytes);
        if took >= self.settings.limits.slow {
            tracing::info!(
                user.id = grant.user,
                user.name = grant.name,
                server = grant.server,
                launch = grant.launch,
                section = %running.section,
                database = %running.database,
                duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                bytes,
                answered,
                statement = running.text,
                "A slow statement ended"
            );
        }
    }
}

/// Runs the gateway until `stop` fires; then connections end, and the control socket is gone.
///
/// # Errors
/// When it cannot start: the control socket or an address is taken, a file cannot be used, or there is no account or no section.
pub async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    metrics::install();
    anyhow::ensure!(!settings.accounts.is_empty(), "there is no replica account");
    anyhow::ensure!(!settings.sections.is_empty(), "there is no section");
    std::fs::create_dir_all(&settings.state_dir)
        .with_context(|| format!("{} cannot be made", settings.state_dir.display()))?;
    let (acceptor, fingerprint, renewal) = listen::client_tls(&settings.tls)?;
    let sections = make_sections(&settings)?;
    let control = crate::control::bind(&settings.control).await?;
    let gateway = Arc::new(Gateway {
        accounts: Accounts::new(settings.accounts.clone(), settings.sharing),
        gate: Gate::default(),
        sessions: sessions::Sessions::new(),
        people: People::default(),
        large: People::default(),
        sections,
        usage: Counts::default(),
        tls: acceptor,
        fingerprint,
        wanted: watch::channel(None).0,
        listening: Mutex::default(),
        tasks: TaskTracker::new(),
        stop: stop.child_token(),
        settings,
    });
    map::take_kept(&gateway);
    draining::take_kept(&gateway);
    let listeners = listen::open(&gateway)?;
    let for_control = Arc::clone(&gateway);
    gateway.tasks.spawn(crate::control::serve_with(
        control,
        gateway.tasks.clone(),
        gateway.stop.clone(),
        move |request| {
            let gateway = Arc::clone(&for_control);
            async move { control::answer(&gateway, request).await }
        },
    ));
    for target in gateway.targets() {
        gateway
            .tasks
            .spawn(health::watch(Arc::clone(&gateway), Arc::clone(target)));
    }
    gateway.tasks.spawn(map::keep_fresh(Arc::clone(&gateway)));
    gateway.tasks.spawn(sweep(Arc::clone(&gateway)));
    gateway.tasks.spawn(turns::keep(Arc::clone(&gateway)));
    if let Some(renewal) = renewal {
        let (every, stop) = (gateway.settings.check_interval, gateway.stop.clone());
        gateway.tasks.spawn(renewal.keep_fresh(every, stop));
    }
    for listener in listeners {
        gateway
            .tasks
            .spawn(listen::accept(Arc::clone(&gateway), listener));
    }
    gateway
        .tasks
        .spawn(listen::keep_wanted(Arc::clone(&gateway)));
    tracing::info!(listen = ?gateway.listening(), sections = gateway.sections.all.len(), accounts = gateway.accounts.count(), "The replica gateway is open");
    stop.cancelled().await;
    gateway.sessions.end(Order::EndAll, ENDING, |_| true).await;
    gateway.tasks.close();
    let _ = timeout(ENDING, gateway.tasks.wait()).await;
    // It may be another gateway's by now only if this one was taken for dead; then it is that one's to make anew.
    let _ = std::fs::remove_file(&gateway.settings.control);
    Ok(())
}

async fn sweep(gateway: Arc<Gateway>) {
    let mut tick = interval(SWEEP_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => gateway.sessions.sweep(gateway.settings.limits.idle_timeout),
            () = gateway.stop.cancelled() => return,
        }
    }
}

fn make_sections(settings: &Settings) -> anyhow::Result<Sections> {
    let mut fixed = HashMap::new();
    let mut all = Vec::new();
    for (at, section) in settings.sections.iter().enumerate() {
        let (servers, ca) = match &section.tls {
            BackendTls::Off => (None, None),
            BackendTls::Unverified => (Some(Servers::Anybody), None),
            BackendTls::Verified(ca) => (Some(Servers::Certified), ca.as_deref()),
        };
        let files = Files {
            names: &BACKEND,
            key: None,
            cert: None,
            ca,
            passphrase: None,
        };
        let connector = servers
            .map(|servers| tls::connector(&files, servers, tls::EVERY_VERSION))
            .transpose()
            .map(|connector| connector.map(certificate::without_http))
            .with_context(|| format!("TLS of section {}", section.name))?;
        let name: Arc<str> = section.name.as_str().into();
        let targets = section
            .backends
            .iter()
            .map(|address| {
                let dial = Dial {
                    address: address.as_str().into(),
                    tls: connector.clone(),
                    patience: settings.limits.connect_timeout,
                };
                Arc::new(Target::new(dial, Arc::clone(&name)))
            })
            .collect();
        all.push(Arc::new(Section::new(&section.name, targets)));
        fixed.extend(
            section
                .databases
                .iter()
                .map(|database| (database.clone(), at)),
        );
    }
    Ok(Sections::new(all, &settings.default_section, fixed))
}
