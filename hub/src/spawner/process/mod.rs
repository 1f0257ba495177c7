//! Launches as local processes, for a machine without a container engine: one user, on loopback, without isolation.
//!
//! `venv` makes the Python environment, `spawn` starts a process, `launch` finds it again by the files it left.
//! A process is in a session of its own and outlives the hub, which finds it again by the files it left.
//!
//! **Invariant:** what a server is given reaches it by its environment, never by its arguments or by a file that stays.

mod launch;
mod spawn;
mod venv;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use holt_spec::bundle::Bundle;
use ipnet::IpNet;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::launch::{Launch, is_safe};
use crate::spawner::{
    Event, Found, Image, IsolationReport, LaunchId, LaunchPlan, Meeting, ProgressSink, Seen,
    Spawner, SpawnerError, Usage,
};

/// Settings of the process spawner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSettings {
    /// A Python environment that is there already; none: one is made below the data directory.
    pub venv: Option<PathBuf>,
    /// How long a server may take to end when asked.
    pub stop_grace: Duration,
    /// How long a network step may give nothing.
    pub stall: Duration,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            venv: None,
            stop_grace: Duration::from_secs(10),
            stall: Duration::from_secs(30),
        }
    }
}

/// Launches as local processes. Cheap to clone.
#[derive(Clone)]
pub struct ProcessSpawner {
    shared: Arc<Shared>,
}

struct Shared {
    settings: ProcessSettings,
    data_dir: PathBuf,
    tasks: TaskTracker,
    stop: CancellationToken,
    events: broadcast::Sender<Event>,
    // Held while the environment is made: whoever comes second finds it.
    making: tokio::sync::Mutex<()>,
}

impl ProcessSpawner {
    /// A spawner that keeps its things below `data_dir`. Processes that run already are watched on `tasks` until `stop`.
    #[must_use]
    pub fn connect(
        settings: ProcessSettings,
        data_dir: PathBuf,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let spawner = Self {
            shared: Arc::new(Shared {
                settings,
                data_dir: std::path::absolute(&data_dir).unwrap_or(data_dir),
                tasks,
                stop,
                events: broadcast::Sender::new(256),
                making: tokio::sync::Mutex::default(),
            }),
        };
        for launch in spawner.shared.launches() {
            spawner.shared.watch(launch);
        }
        spawner
    }
}

impl Shared {
    /// Where launches keep their files.
    fn folder(&self) -> PathBuf {
        self.data_dir.join("process")
    }

    fn launch(&self, id: &LaunchId) -> Result<Launch, SpawnerError> {
        if !is_safe(&id.0) {
            return Err(refused(
                "find a process",
                format!("{id} is no id of a launch"),
            ));
        }
        Ok(Launch::new(id.clone(), self.folder().join(&id.0)))
    }

    /// All launches that left files.
    fn launches(&self) -> Vec<Launch> {
        let entries = std::fs::read_dir(self.folder()).into_iter().flatten();
        entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name().into_string().ok()?;
                Some(Launch::new(LaunchId(name), entry.path()))
            })
            .collect()
    }

    /// Tells when the process ends.
    fn watch(self: &Arc<Self>, launch: Launch) {
        let shared = self.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = shared.stop.cancelled() => {}
                () = launch.ended() => {
                    // Nobody listening is lawful.
                    let _listeners = shared.events.send(Event::Changed(launch.id().clone()));
                }
            }
        });
    }
}

#[async_trait]
impl Spawner for ProcessSpawner {
    fn kind(&self) -> &'static str {
        "process"
    }

    /// Two users would share the hub's files.
    fn max_users(&self) -> Option<usize> {
        Some(1)
    }

    async fn prepare(&self, kept: Option<&Meeting>) -> Result<Meeting, SpawnerError> {
        let loopback = IpNet::from(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));
        if let Some(kept) = kept
            && kept.listen.ip().is_loopback()
        {
            return Ok(kept.clone());
        }
        Ok(Meeting {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, launch::free_port()?)),
            allow: vec![loopback],
        })
    }

    async fn image(&self, progress: ProgressSink) -> Result<Image, SpawnerError> {
        let _one = self.shared.making.lock().await;
        let venv = self.shared.ensure_venv(&progress).await?;
        Ok(Image {
            reference: venv.to_string_lossy().into_owned(),
            // What it is given, it is given at its start.
            bindable: true,
        })
    }

    async fn create(
        &self,
        plan: &LaunchPlan,
        _image: &Image,
        _bundle: Option<&Bundle>,
    ) -> Result<(), SpawnerError> {
        if !is_safe(&plan.home) {
            return Err(refused(
                "make a home",
                format!("{:?} is no key of a home", plan.home),
            ));
        }
        let home = self.shared.data_dir.join("homes").join(&plan.home);
        std::fs::create_dir_all(&home)
            .map_err(|error| refused("make a home", format!("{}: {error}", home.display())))?;
        self.shared.launch(&plan.launch)?.create()
    }

    async fn bind(
        &self,
        plan: &LaunchPlan,
        image: &Image,
        bundle: &Bundle,
    ) -> Result<SocketAddr, SpawnerError> {
        let launch = self.shared.launch(&plan.launch)?;
        let home = self.shared.data_dir.join("homes").join(&plan.home);
        let is_new = matches!(launch.seen(), Seen::Created);
        let address = launch
            .start(&home, std::path::Path::new(&image.reference), bundle)
            .await?;
        if is_new {
            self.shared.watch(launch);
        }
        Ok(address)
    }

    async fn inspect(&self, launch: &LaunchId) -> Result<Seen, SpawnerError> {
        Ok(self.shared.launch(launch)?.seen())
    }

    async fn list(&self) -> Result<Vec<Found>, SpawnerError> {
        let all = self.shared.launches().into_iter().map(|launch| Found {
            seen: launch.seen(),
            launch: launch.id().clone(),
        });
        Ok(all.filter(|found| found.seen != Seen::Absent).collect())
    }

    async fn stop(&self, launch: &LaunchId) -> Result<(), SpawnerError> {
        let launch = self.shared.launch(launch)?;
        launch.stop(self.shared.settings.stop_grace).await
    }

    async fn remove(&self, launch: &LaunchId) -> Result<(), SpawnerError> {
        let launch = self.shared.launch(launch)?;
        launch.stop(Duration::ZERO).await?;
        launch.remove()
    }

    async fn remove_home(&self, key: &str) -> Result<(), SpawnerError> {
        let what = "delete a home";
        if !is_safe(key) {
            return Err(refused(what, format!("{key:?} is no key of a home")));
        }
        let home = self.shared.data_dir.join("homes").join(key);
        match tokio::fs::remove_dir_all(&home).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(refused(what, error.to_string()))
            }
            _ => Ok(()),
        }
    }

    async fn logs(&self, launch: &LaunchId, lines: usize) -> Result<String, SpawnerError> {
        self.shared.launch(launch)?.last_lines(lines)
    }

    async fn usage(&self, launch: &LaunchId) -> Usage {
        let launch = self.shared.launch(launch);
        Usage {
            memory_peak: launch.ok().and_then(|launch| launch.memory_peak()),
            memory_limit: None,
        }
    }

    fn events(&self) -> BoxStream<'static, Event> {
        let following = BroadcastStream::new(self.shared.events.subscribe());
        let following = following.map(|event| event.unwrap_or(Event::Connected));
        futures_util::stream::once(async { Event::Connected })
            .chain(following)
            .boxed()
    }

    async fn check_isolation(&self) -> Option<IsolationReport> {
        None
    }
}

fn refused(what: &'static str, reason: String) -> SpawnerError {
    SpawnerError::Refused { what, reason }
}
