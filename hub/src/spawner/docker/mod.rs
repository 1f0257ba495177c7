//! Launches as containers of a Docker engine.
//!
//! The files, in the order of a launch: `network` and `firewall` (what all share), `image/` (what it is made from), `homes`,
//! `launch` (made, stopped, removed), `look` (how it is), `bind` (started and handed its bundle), `watch` (what the engine tells).
//! `shares` are the folders of mounts that launches get; `own` finds the container that the hub itself runs in, if it does; `oneshot` runs throwaway containers; `probe` tries the
//! forbidden ways to what `targets` sets up; `doctor` says what is wrong with this machine.
//!
//! **Invariant:** the engine's state is asked for, never assumed; a name or label of ours never holds anything about a person.

mod bind;
mod doctor;
mod engine;
mod firewall;
mod homes;
mod image;
mod join;
mod launch;
mod look;
mod names;
mod network;
mod oneshot;
mod own;
mod probe;
mod reach;
mod rules;
mod settings;
mod shares;
mod targets;
mod watch;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use holt_spec::bundle::Bundle;
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::doctor::{Finding, Level, diagnose, findings_of};
pub use self::engine::{DEFAULT_SOCKET, Detected, detect};
pub use self::settings::{DockerSettings, HomeKind, Isolation, NOTEBOOK_UID, Share};
pub use self::shares::ShareSeen;

use self::engine::Engine;
use self::homes::Homes;
use self::image::Images;
use self::names::Names;
use self::network::Net;
use self::own::Own;
use self::reach::Reach;
use self::rules::Rules;
use self::watch::Watch;
use crate::spawner::{
    Event, Found, Image, IsolationReport, LaunchId, LaunchPlan, Meeting, ProgressSink, Seen,
    Spawner, SpawnerError, Usage,
};

/// Launches as containers. Cheap to clone.
#[derive(Clone)]
pub struct DockerSpawner {
    shared: Arc<Shared>,
}

/// What all calls share.
struct Shared {
    settings: DockerSettings,
    names: Names,
    data_dir: PathBuf,
    stop: CancellationToken,
    tasks: TaskTracker,
    engine: Engine,
    watch: Watch,
    images: Images,
    starts: Semaphore,
    stops: Semaphore,
    // Found out once each.
    own: OnceCell<Option<Own>>,
    homes: OnceCell<Homes>,
    // Plain mutexes around values; nothing is awaited while one is held.
    net: Mutex<Option<Net>>,
    reach: Mutex<Reach>,
    meeting: Mutex<Option<Meeting>>,
    // Names of hosts that launches know, and where they lead.
    hosts: Mutex<Option<(Arc<[String]>, IpAddr)>>,
    withheld: Mutex<Option<Instant>>,
    // Held while the firewall is changed: the rules and how the kernel lists them.
    installed: tokio::sync::Mutex<Option<(Rules, String)>>,
}

impl DockerSpawner {
    /// A spawner for the hub `hub_id`. The engine may be away: calls then say so, and events tell when it is back.
    /// Two tasks on `tasks` listen and measure until `stop` fires.
    #[must_use]
    pub fn connect(
        settings: DockerSettings,
        hub_id: String,
        data_dir: PathBuf,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let data_dir = std::path::absolute(&data_dir).unwrap_or(data_dir);
        let shared = Arc::new(Shared {
            engine: Engine::new(settings.host.as_deref(), settings.call_timeout),
            names: Names::new(hub_id),
            watch: Watch::new(),
            images: Images::new(&settings),
            starts: Semaphore::new(settings.starts_at_once.max(1)),
            stops: Semaphore::new(settings.stops_at_once.max(1)),
            own: OnceCell::new(),
            homes: OnceCell::new(),
            net: Mutex::default(),
            reach: Mutex::default(),
            meeting: Mutex::default(),
            hosts: Mutex::default(),
            withheld: Mutex::default(),
            installed: tokio::sync::Mutex::default(),
            stop,
            tasks: tasks.clone(),
            data_dir,
            settings,
        });
        tasks.spawn(watch::listen(shared.clone()));
        tasks.spawn(watch::sample(shared.clone()));
        Self { shared }
    }

    /// The image of throwaway containers, built if need be.
    ///
    /// # Errors
    /// [`SpawnerError::Image`] with what to do.
    pub async fn helper_reference(&self, progress: ProgressSink) -> Result<String, SpawnerError> {
        image::helper_image(&self.shared, progress).await
    }

    /// What a throwaway container sees of a folder that is given to it as launches get theirs. Once it runs, `mount` is called, and it
    /// waits some seconds for a file `late/word`.
    ///
    /// # Errors
    /// Engine not there. That it refuses the folder is an answer.
    pub async fn try_share(
        &self,
        folder: &Path,
        mount: impl FnOnce() + Send,
    ) -> Result<ShareSeen, SpawnerError> {
        self.shared.try_share(folder, mount).await
    }

    /// Takes away what [`Spawner::prepare`] made: throwaway containers, firewall, network. Launches must be gone.
    ///
    /// # Errors
    /// As the engine says.
    pub async fn remove_everything(&self) -> Result<(), SpawnerError> {
        self.shared.remove_firewall().await?;
        self.shared.remove_network().await
    }
}

#[async_trait]
impl Spawner for DockerSpawner {
    fn kind(&self) -> &'static str {
        "docker"
    }

    async fn prepare(&self, kept: Option<&Meeting>) -> Result<Meeting, SpawnerError> {
        image::helper_image(&self.shared, Arc::new(|_| {})).await?;
        self.shared.prepare_network(kept).await
    }

    async fn image(&self, progress: ProgressSink) -> Result<Image, SpawnerError> {
        image::notebook_image(&self.shared, progress).await
    }

    async fn create(
        &self,
        plan: &LaunchPlan,
        image: &Image,
        bundle: Option<&Bundle>,
    ) -> Result<(), SpawnerError> {
        self.shared.create_launch(plan, image, bundle).await
    }

    async fn bind(
        &self,
        plan: &LaunchPlan,
        image: &Image,
        bundle: &Bundle,
    ) -> Result<SocketAddr, SpawnerError> {
        self.shared.bind_launch(plan, image, bundle).await
    }

    fn source(&self, address: SocketAddr) -> IpAddr {
        match self.shared.reach() {
            Reach::Direct => address.ip(),
            // The engine's machine is another one, and its connections come from whatever stands between.
            Reach::Published => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }

    fn name_hosts(&self, names: Arc<[String]>, address: IpAddr) {
        *self
            .shared
            .hosts
            .lock()
            .expect("nothing panics while it is held") = Some((names, address));
    }

    async fn inspect(&self, launch: &LaunchId) -> Result<Seen, SpawnerError> {
        self.shared.inspect_launch(launch).await
    }

    async fn list(&self) -> Result<Vec<Found>, SpawnerError> {
        self.shared.list_launches().await
    }

    async fn stop(&self, launch: &LaunchId) -> Result<(), SpawnerError> {
        self.shared.stop_launch(launch).await
    }

    async fn remove(&self, launch: &LaunchId) -> Result<(), SpawnerError> {
        self.shared.remove_launch(launch).await
    }

    async fn remove_home(&self, key: &str) -> Result<(), SpawnerError> {
        self.shared.delete_home(key).await
    }

    async fn logs(&self, launch: &LaunchId, lines: usize) -> Result<String, SpawnerError> {
        let name = self.shared.names.container(launch);
        let text = self.shared.last_lines(&name, lines).await;
        text.map_err(|trouble| trouble.doing("read a container's log"))
    }

    async fn usage(&self, launch: &LaunchId) -> Usage {
        self.shared.watch.usage(launch)
    }

    fn events(&self) -> BoxStream<'static, Event> {
        self.shared.watch.events()
    }

    async fn check_isolation(&self) -> Option<IsolationReport> {
        Some(self.shared.check_isolation().await)
    }
}
