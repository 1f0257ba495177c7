//! Puts the control plane together and runs it: `holt hub`, and what `holt down` and the supervisor need of it.

mod broker;
mod credentials;
mod mounts;
mod providers;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use self::credentials::ServerCredentials;
use crate::access::Revoke;
use crate::background::{IsolationState, LockCheck, Passes};
use crate::broker::Broker;
use crate::config::{self, Settings};
use crate::engine::{self, Engine};
use crate::error_chain;
use crate::http::{HttpSettings, HubState};
use crate::replicas::{Reached, Replicas};
use crate::routes::Routes;
use crate::servers::{Parts, ServerSettings, Servers};
use crate::socket::SocketError;
use crate::spawner::docker::{self, DockerSpawner};
use crate::spawner::process::{ProcessSettings, ProcessSpawner};
use crate::spawner::{IsolationReport, Meeting, Spawner};
use crate::store::{Store, StoreError};

/// How long tasks may take to end after the stop.
const DRAIN: Duration = Duration::from_secs(10);
/// What database clients try when they are told no port.
const GATEWAY_PORT: u16 = 3306;
/// How many ports after it are tried where it is in use.
const GATEWAY_PORTS: u16 = 50;
/// Between two tries to prepare an engine that does not answer.
const PREPARE_AGAIN: Duration = Duration::from_secs(3);

/// Runs the hub on the Unix socket `socket` until `stop`.
///
/// # Errors
/// When the database, the socket or the settings cannot be used; everything else is coped with while running.
pub async fn run(
    settings: &Settings,
    socket: PathBuf,
    metrics: Option<PrometheusHandle>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let tasks = TaskTracker::new();
    let store = Store::open(&settings.data_dir.database()).await?;
    let (listener, _lock) = listen(&socket).await?;
    let name = hub_name(&socket);
    // The socket's lock is ours: earlier processes of this hub are dead, and their leases with them.
    store.end_leases_of(&name).await?;
    let spawner = spawner(settings, &store, &tasks, &stop).await?;
    let routes = Routes::new(store.clone(), settings.data_dir.proxy_socket());
    let replicas = replicas(settings, &store).await?;
    let credentials = Arc::new(ServerCredentials::new(settings, &store).await?);
    let sign_in = Arc::new(providers::sign_in(settings)?);
    let revoke: Arc<dyn Revoke> = Arc::new(RoutesRevoke(routes.clone()));
    let broker = broker::broker(settings, &store, sign_in.clone(), revoke.clone(), &tasks)?;
    if let Some(broker) = &broker {
        broker.recall_sites().await?;
    }
    let servers = Servers::new(Parts {
        store: store.clone(),
        spawner: spawner.clone(),
        routes: routes.clone(),
        replicas: replicas.clone(),
        broker: broker.clone(),
        credentials: credentials.clone(),
        settings: server_settings(settings),
        owner: format!(
            "{name}#{}-{:08x}",
            std::process::id(),
            rand::random::<u32>()
        ),
    });
    let isolation = IsolationState::default();
    if let (Some(broker), Some(meeting)) = (&broker, kept_meeting(&store).await?) {
        broker.meet(&format!("http://{}", meeting.listen));
    }
    let address = format!("unix:{}", socket.display());
    store.register_hub(&name, &address).await?;

    servers.hold_starts(Some("The hub is getting ready".to_owned()));
    tasks.spawn(prepare(
        store.clone(),
        spawner.clone(),
        servers.clone(),
        Met {
            credentials: credentials.clone(),
            replicas: replicas.clone(),
            broker: broker.clone(),
        },
        isolation.clone(),
        stop.clone(),
    ));
    tasks.spawn(routes.clone().run(stop.clone()));
    if let Some(replicas) = replicas.clone() {
        tasks.spawn(replicas.run(stop.clone()));
    }
    if let Some(broker) = broker.clone() {
        tasks.spawn(broker.clone().keep_sites(stop.clone()));
        tasks.spawn(broker.run(stop.clone()));
    }
    tasks.spawn(servers.clone().run(tasks.clone(), stop.clone()));
    Passes {
        store: store.clone(),
        spawner,
        routes: routes.clone(),
        servers: servers.clone(),
        hub: (name, address),
        isolation,
        sign_in: sign_in.clone(),
        revoke: revoke.clone(),
        session_idle: settings.hub.session_idle,
        home_grace: settings.server.home_grace,
        lock_check: LockCheck {
            interval: settings.lock_check.interval,
            concurrency: settings.lock_check.concurrency as usize,
        },
        renew: settings.auth_state.renew,
    }
    .start(&tasks, &stop);

    let state = HubState::new(
        store.clone(),
        Arc::new(servers),
        http_settings(settings),
        sign_in,
        revoke,
        replicas,
        broker,
        metrics,
        stop.clone(),
    )
    .await?;
    info!("The hub answers");
    crate::http::serve(listener, crate::http::router(state), stop.clone())
        .await
        .context("the hub's socket failed")?;
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        warn!("Some tasks did not end in time; what they did is taken up again by the next hub");
    }
    store.close().await;
    Ok(())
}

/// What is wrong with files that the settings name, each in one line.
#[must_use]
pub fn mistakes(settings: &Settings) -> Vec<String> {
    let mut mistakes = providers::mistakes(settings);
    mistakes.extend(broker::mistakes(settings));
    mistakes
}

/// Stops every notebook server and waits until nothing of them is left, at most for `deadline`. Returns how many are left.
/// A hub that runs does the work; without one it is done here.
///
/// # Errors
/// When the database or the spawner cannot be used.
pub async fn stop_all(
    settings: &Settings,
    hub_runs: bool,
    deadline: Duration,
) -> anyhow::Result<usize> {
    let store = Store::open(&settings.data_dir.database()).await?;
    let tasks = TaskTracker::new();
    let stop = CancellationToken::new();
    store.want_all_stopped().await?;
    if !hub_runs {
        store
            .end_leases_of(&hub_name(&settings.data_dir.hub_socket()))
            .await?;
        let spawner = spawner(settings, &store, &tasks, &stop).await?;
        let routes = Routes::new(store.clone(), settings.data_dir.proxy_socket());
        let servers = Servers::new(Parts {
            store: store.clone(),
            spawner,
            routes: routes.clone(),
            replicas: replicas(settings, &store).await?,
            broker: None,
            credentials: Arc::new(ServerCredentials::new(settings, &store).await?),
            settings: server_settings(settings),
            owner: format!("down#{}", std::process::id()),
        });
        tasks.spawn(routes.run(stop.clone()));
        tasks.spawn(servers.run(tasks.clone(), stop.clone()));
    }
    let emptied = tokio::time::timeout(deadline, async {
        while !store.open_launches().await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok::<_, StoreError>(())
    })
    .await;
    let left = store.open_launches().await?.len();
    stop.cancel();
    tasks.close();
    let _ = tokio::time::timeout(DRAIN, tasks.wait()).await;
    if let Ok(result) = emptied {
        result?;
    }
    Ok(left)
}

/// What was found by trying.
#[derive(Debug)]
pub struct Tried {
    /// The ways out of a container; `None` where there is nothing to isolate.
    pub report: Option<IsolationReport>,
    /// Connections of servers come from addresses of their own.
    pub has_addresses: bool,
}

/// Tries every forbidden way out of a container before anything listens.
///
/// # Errors
/// When the engine cannot be used.
pub async fn try_isolation(settings: &Settings) -> anyhow::Result<Tried> {
    let store = Store::open(&settings.data_dir.database()).await?;
    let tasks = TaskTracker::new();
    let stop = CancellationToken::new();
    let spawner = spawner(settings, &store, &tasks, &stop).await?;
    let meeting = spawner
        .prepare(kept_meeting(&store).await?.as_ref())
        .await?;
    store.keep_meeting(&meeting).await?;
    let report = spawner.check_isolation().await;
    let has_addresses = !spawner.source(meeting.listen).is_unspecified();
    stop.cancel();
    tasks.close();
    Ok(Tried {
        report,
        has_addresses,
    })
}

pub use self::mounts::try_propagation;

/// Prepares the engine until it is done, then lets starts go on and makes the image before anybody asks for it.
async fn prepare(
    store: Store,
    spawner: Arc<dyn Spawner>,
    servers: Servers,
    met: Met,
    isolation: IsolationState,
    stop: CancellationToken,
) {
    loop {
        match prepare_once(&store, spawner.as_ref(), &met).await {
            Ok(()) => break,
            Err(error) => {
                warn!(error = %error_chain(error.as_ref()), "The spawner is not ready; trying again");
                servers.hold_starts(Some(error.to_string()));
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PREPARE_AGAIN) => {}
        }
    }
    servers.hold_starts(None);
    match tokio::select! {
        () = stop.cancelled() => return,
        image = servers.prepare_image() => image,
    } {
        Ok(image) => info!(image = image.reference, "The notebook image is ready"),
        Err(error) => {
            warn!(error = %error_chain(&error), "The notebook image is not ready; the next start tries again")
        }
    }
    let report = tokio::select! {
        () = stop.cancelled() => return,
        report = spawner.check_isolation() => report,
    };
    if let Some(report) = report {
        for way in report
            .ways
            .iter()
            .filter(|way| way.result == crate::spawner::WayResult::Bad)
        {
            warn!(
                way = way.way,
                fix = way.fix,
                "A way that should be closed or open is not: {}",
                way.way
            );
        }
        isolation.keep(report);
    }
}

async fn prepare_once(store: &Store, spawner: &dyn Spawner, met: &Met) -> anyhow::Result<()> {
    let meeting = spawner.prepare(kept_meeting(store).await?.as_ref()).await?;
    store.keep_meeting(&meeting).await?;
    met.credentials.meet(&meeting);
    if let Some(replicas) = &met.replicas {
        replicas.meet(meeting.listen.ip());
    }
    if let Some(broker) = &met.broker {
        broker.meet(&format!("http://{}", meeting.listen));
    }
    Ok(())
}

/// What tells servers where they meet the hub.
struct Met {
    credentials: Arc<ServerCredentials>,
    replicas: Option<Replicas>,
    broker: Option<Broker>,
}

/// The way to the replica gateway, where the settings have one.
async fn replicas(settings: &Settings, store: &Store) -> anyhow::Result<Option<Replicas>> {
    let Some(reached) = reached(settings, store).await? else {
        return Ok(None);
    };
    let replicas = Replicas::new(store.clone(), settings.data_dir.replicas_socket(), reached);
    if let Some(meeting) = kept_meeting(store).await? {
        replicas.meet(meeting.listen.ip());
    }
    Ok(Some(replicas))
}

/// Where launches reach the gateway: where the settings say, or by a port that is chosen once and kept.
async fn reached(settings: &Settings, store: &Store) -> anyhow::Result<Option<Reached>> {
    if !settings.replicas.is_on() {
        return Ok(None);
    }
    if let Some(listen) = settings.replicas.listen {
        return Ok(Some(Reached::Set(listen)));
    }
    let free = (GATEWAY_PORT..GATEWAY_PORT + GATEWAY_PORTS)
        .find(|port| std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok())
        .unwrap_or(GATEWAY_PORT);
    let kept = store
        .keep_setting("replicas.port", &free.to_string())
        .await?;
    let port = kept
        .parse()
        .context("the database holds something unexpected in settings.replicas.port")?;
    Ok(Some(Reached::Met(port)))
}

async fn kept_meeting(store: &Store) -> Result<Option<Meeting>, StoreError> {
    Ok(store.routes().await?.meeting)
}

async fn hub_id(store: &Store) -> Result<String, StoreError> {
    store
        .keep_setting("hub.id", &format!("{:08x}", rand::random::<u32>()))
        .await
}

/// The spawner that is configured, or the one taken first, or the one this machine has.
async fn spawner(
    settings: &Settings,
    store: &Store,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<Arc<dyn Spawner>> {
    let hub_id = hub_id(store).await?;
    // A kept choice is not looked at again: a hub that comes back while the engine is down must come back.
    let kept = match settings.spawner.kind {
        config::SpawnerKind::Docker => Some("docker".to_owned()),
        config::SpawnerKind::Process => Some("process".to_owned()),
        config::SpawnerKind::Auto => store.setting(engine::KEPT).await?,
    };
    let kind = match kept {
        Some(kind) => kind,
        None => match engine::choose(settings, store).await? {
            Engine::Docker { .. } => "docker".to_owned(),
            Engine::Process { .. } => "process".to_owned(),
        },
    };
    let data_dir = settings.data_dir.path().to_owned();
    Ok(match kind.as_str() {
        "docker" => {
            let ports = reached(settings, store)
                .await?
                .map(|reached| reached.port());
            let ports = ports.into_iter().collect();
            Arc::new(docker_spawner(settings, hub_id, ports, tasks, stop))
        }
        "process" => Arc::new(ProcessSpawner::connect(
            ProcessSettings {
                stop_grace: settings.server.stop_grace,
                ..ProcessSettings::default()
            },
            data_dir,
            tasks.clone(),
            stop.clone(),
        )),
        other => anyhow::bail!(
            "the data directory was made with the spawner {other:?}, which this version does not have"
        ),
    })
}

fn docker_spawner(
    settings: &Settings,
    hub_id: String,
    allowed_ports: Vec<u16>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> DockerSpawner {
    DockerSpawner::connect(
        docker::DockerSettings {
            allowed_ports,
            ..docker_settings(settings)
        },
        hub_id,
        settings.data_dir.path().to_owned(),
        tasks.clone(),
        stop.clone(),
    )
}

/// Listens on a Unix socket that only one process may have; the lock is held as long as the returned file is open.
async fn listen(socket: &Path) -> anyhow::Result<(UnixListener, std::fs::File)> {
    let lock_path = socket.with_extension("sock.lock");
    let lock = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .with_context(|| format!("{} cannot be made", lock_path.display()))?;
    match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(SocketError::InUse {
                path: socket.to_owned(),
                pid: crate::socket::owner(socket).await,
            }
            .into());
        }
        Err(error) => return Err(error).context("the lock of the hub's socket failed"),
    }
    Ok((crate::socket::bind_private(socket).await?, lock))
}

/// A hub's name among hubs: that of its socket.
fn hub_name(socket: &Path) -> String {
    socket.display().to_string()
}

fn server_settings(settings: &Settings) -> ServerSettings {
    let server = &settings.server;
    let default = ServerSettings::default();
    ServerSettings {
        concurrent_starts: if server.concurrent_starts == 0 {
            default.concurrent_starts
        } else {
            server.concurrent_starts
        },
        active_servers: (server.active_servers > 0).then_some(server.active_servers),
        named_servers_per_user: server.named_servers_per_user,
        idle_timeout: server.idle_timeout,
        start_timeout: server.start_timeout,
        ready_timeout: server.ready_timeout,
        memory_bytes: server.memory.map(|size| size.bytes()),
        cpus: (server.cpus > 0.0).then_some(server.cpus),
        pids: (server.pids > 0).then_some(u64::from(server.pids)),
        port: default.port,
        environment: server.environment.clone(),
        default_url: server.default_url.clone(),
        mounts: mounts::users(settings),
    }
}

/// What the Docker spawner is told of the settings.
pub(crate) fn docker_settings(settings: &Settings) -> docker::DockerSettings {
    let docker = &settings.docker;
    docker::DockerSettings {
        host: docker.host.clone(),
        image: docker.image.clone(),
        network: docker.network.clone(),
        subnet: docker.subnet.and_then(|subnet| match subnet {
            ipnet::IpNet::V4(subnet) => Some(subnet),
            ipnet::IpNet::V6(_) => None,
        }),
        shares: mounts::shares(settings),
        stop_grace: settings.server.stop_grace,
        log_bytes: docker.log_size.bytes(),
        homes: match docker.home {
            config::HomeKind::Bind => docker::HomeKind::Bind,
            config::HomeKind::Volume => docker::HomeKind::Volume,
        },
        isolation: match docker.isolation {
            config::Isolation::Strict => docker::Isolation::Strict,
            config::Isolation::AcceptWeak => docker::Isolation::AcceptWeak,
        },
        ..docker::DockerSettings::default()
    }
}

fn http_settings(settings: &Settings) -> HttpSettings {
    HttpSettings {
        public_url: settings.public_url(),
        hub_name: settings.hub.name.clone(),
        session_lifetime: settings.hub.session_lifetime,
        session_idle: settings.hub.session_idle,
        announce_version: settings.hub.announce_version.clone(),
        named_servers: settings.server.named_servers_per_user > 0,
        mounts: crate::node::directory(settings),
        mount_users: mounts::users(settings),
        metrics_open: settings.hub.metrics_open,
        ..HttpSettings::default()
    }
}

/// Hands revocations to the proxy.
struct RoutesRevoke(Routes);

#[async_trait]
impl Revoke for RoutesRevoke {
    async fn revoke(&self, sessions: Vec<String>, tokens: Vec<String>) {
        self.0.revoke(sessions, tokens).await;
    }
}
