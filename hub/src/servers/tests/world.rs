//! A hub without HTTP: a real store, an engine that fails where it is told to, and a proxy that says yes.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use holt_spec::bundle::Bundle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::tests::pretend::Pretence;
use crate::replicas::Reached;
use crate::servers::*;
use crate::spawner::{Event, Found, Image, IsolationReport, Meeting, Seen, SpawnerError, Usage};

/// What is done when a launch is about to be stopped.
pub(super) type Look = Box<dyn Fn(&LaunchId) + Send>;

/// An engine in memory. Its servers are one listener that answers 200.
pub(super) struct FakeSpawner {
    pub(super) address: SocketAddr,
    pub(super) launches: Mutex<HashMap<LaunchId, Seen>>,
    pub(super) created: AtomicU32,
    /// Bindings that fail before one succeeds.
    pub(super) bind_failures: AtomicU32,
    /// The engine does not answer.
    pub(super) down: Mutex<bool>,
    /// Bound servers do not answer: their address is a closed port.
    pub(super) mute: Mutex<bool>,
    /// Looks on when a launch is about to be stopped.
    pub(super) at_stop: Mutex<Option<Look>>,
    /// What launches were bound with.
    pub(super) bundles: Mutex<Vec<Bundle>>,
}

impl FakeSpawner {
    fn check(&self) -> Result<(), SpawnerError> {
        if *self.down.lock().unwrap() {
            return Err(SpawnerError::Unavailable {
                hint: "start it".into(),
                cause: "no such file".into(),
            });
        }
        Ok(())
    }

    pub(super) fn running(&self) -> usize {
        let launches = self.launches.lock().unwrap();
        launches
            .values()
            .filter(|seen| matches!(seen, Seen::Running { .. }))
            .count()
    }
}

#[async_trait]
impl Spawner for FakeSpawner {
    fn kind(&self) -> &'static str {
        "fake"
    }

    async fn prepare(&self, kept: Option<&Meeting>) -> Result<Meeting, SpawnerError> {
        Ok(kept.cloned().unwrap_or(Meeting {
            listen: self.address,
            allow: Vec::new(),
        }))
    }

    async fn image(&self, _progress: ProgressSink) -> Result<Image, SpawnerError> {
        self.check()?;
        Ok(Image {
            reference: "fake".into(),
            bindable: true,
        })
    }

    async fn create(
        &self,
        plan: &LaunchPlan,
        _image: &Image,
        _bundle: Option<&Bundle>,
    ) -> Result<(), SpawnerError> {
        self.check()?;
        self.created.fetch_add(1, Ordering::SeqCst);
        self.launches
            .lock()
            .unwrap()
            .entry(plan.launch.clone())
            .or_insert(Seen::Created);
        Ok(())
    }

    async fn bind(
        &self,
        plan: &LaunchPlan,
        _image: &Image,
        bundle: &Bundle,
    ) -> Result<SocketAddr, SpawnerError> {
        self.check()?;
        self.bundles.lock().unwrap().push(bundle.clone());
        if self
            .bind_failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok()
        {
            return Err(SpawnerError::Bind {
                reason: "exit code 97".into(),
            });
        }
        let address = if *self.mute.lock().unwrap() {
            "127.0.0.1:1".parse().unwrap()
        } else {
            self.address
        };
        self.launches.lock().unwrap().insert(
            plan.launch.clone(),
            Seen::Running {
                address: Some(address),
            },
        );
        Ok(address)
    }

    async fn inspect(&self, launch: &LaunchId) -> Result<Seen, SpawnerError> {
        self.check()?;
        Ok(self
            .launches
            .lock()
            .unwrap()
            .get(launch)
            .cloned()
            .unwrap_or(Seen::Absent))
    }

    async fn list(&self) -> Result<Vec<Found>, SpawnerError> {
        self.check()?;
        let launches = self.launches.lock().unwrap();
        Ok(launches
            .iter()
            .map(|(launch, seen)| Found {
                launch: launch.clone(),
                seen: seen.clone(),
            })
            .collect())
    }

    async fn stop(&self, launch: &LaunchId) -> Result<(), SpawnerError> {
        self.check()?;
        if let Some(look) = self.at_stop.lock().unwrap().as_ref() {
            look(launch);
        }
        if let Some(seen) = self.launches.lock().unwrap().get_mut(launch) {
            *seen = Seen::Exited {
                code: 0,
                out_of_memory: false,
            };
        }
        Ok(())
    }

    async fn remove(&self, launch: &LaunchId) -> Result<(), SpawnerError> {
        self.check()?;
        self.launches.lock().unwrap().remove(launch);
        Ok(())
    }

    async fn remove_home(&self, _key: &str) -> Result<(), SpawnerError> {
        Ok(())
    }

    async fn logs(&self, _launch: &LaunchId, _lines: usize) -> Result<String, SpawnerError> {
        Ok("the last line".into())
    }

    async fn usage(&self, _launch: &LaunchId) -> Usage {
        Usage {
            memory_peak: Some(500 << 20),
            memory_limit: Some(512 << 20),
        }
    }

    fn events(&self) -> BoxStream<'static, Event> {
        Box::pin(futures_util::stream::pending())
    }

    async fn check_isolation(&self) -> Option<IsolationReport> {
        None
    }
}

struct NoCredentials;

#[async_trait]
impl Credentials for NoCredentials {
    async fn issue(
        &self,
        _server: &ServerRow,
        _plan: &LaunchPlan,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        Ok(BTreeMap::new())
    }
}

/// A hub without HTTP.
pub(super) struct World {
    pub(super) store: Store,
    /// Gives tokens to those who signed in by its provider.
    pub(super) wikis: Pretence,
    pub(super) servers: Servers,
    pub(super) spawner: Arc<FakeSpawner>,
    pub(super) user: i64,
    pub(super) stop: CancellationToken,
    directory: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    pub(super) async fn new(settings: ServerSettings) -> Self {
        Self::make(settings, false).await
    }

    /// With a way to a replica gateway at `World::gateway`, where nobody answers yet.
    pub(super) async fn with_replicas() -> Self {
        Self::make(ServerSettings::default(), true).await
    }

    /// Where the replica gateway answers, if it does.
    pub(super) fn gateway(&self) -> PathBuf {
        self.directory.path().join("gateway.sock")
    }

    async fn make(settings: ServerSettings, has_replicas: bool) -> Self {
        let store = Store::in_memory().await.unwrap();
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nX-JupyterHub-Version: 5.5.4\r\nContent-Length: 0\r\n\r\n")
                    .await;
            }
        });
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("proxy.sock");
        let proxy = UnixListener::bind(&socket).unwrap();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = proxy.accept().await {
                let mut head = vec![0; 65536];
                let _ = stream.read(&mut head).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                    .await;
            }
        });
        let spawner = Arc::new(FakeSpawner {
            address,
            launches: Mutex::default(),
            created: AtomicU32::new(0),
            bind_failures: AtomicU32::new(0),
            down: Mutex::new(false),
            mute: Mutex::new(false),
            at_stop: Mutex::default(),
            bundles: Mutex::default(),
        });
        let replicas = has_replicas.then(|| {
            let socket = directory.path().join("gateway.sock");
            let replicas = Replicas::new(store.clone(), socket, Reached::Met(3306));
            replicas.meet(address.ip());
            tasks.spawn(replicas.clone().run(stop.clone()));
            replicas
        });
        let routes = Routes::new(store.clone(), socket);
        tasks.spawn(routes.clone().run(stop.clone()));
        let wikis = Pretence::new(&store);
        wikis.broker.meet("http://172.30.0.1:8081");
        let servers = Servers::new(Parts {
            store: store.clone(),
            spawner: spawner.clone(),
            routes,
            replicas,
            broker: Some(wikis.broker.clone()),
            credentials: Arc::new(NoCredentials),
            settings,
            owner: "hub#1".into(),
        });
        tasks.spawn(servers.clone().run(tasks.clone(), stop.clone()));
        let user = add_user(&store, "ada").await;
        Self {
            store,
            servers,
            wikis,
            spawner,
            user,
            stop,
            directory,
        }
    }

    pub(super) async fn state(&self, user: i64) -> ServerState {
        self.servers
            .view(user, "")
            .await
            .unwrap()
            .map_or(ServerState::Stopped, |view| view.state)
    }

    pub(super) async fn reaches(&self, user: i64, wanted: ServerState) {
        let mut last = None;
        let reached = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let state = self.state(user).await;
                if state == wanted {
                    return;
                }
                last = Some(state);
                self.servers.changed(Duration::from_millis(50)).await;
            }
        });
        if reached.await.is_err() {
            panic!("wanted {wanted:?}, last saw {last:?}");
        }
    }

    pub(super) async fn failure(&self) -> String {
        self.servers
            .view(self.user, "")
            .await
            .unwrap()
            .unwrap()
            .failure
            .unwrap_or_default()
    }
}

pub(super) async fn add_user(store: &Store, name: &str) -> i64 {
    sqlx::query_scalar(
        "INSERT INTO users (name, cookie_id, created) VALUES (?, 'c', 0) RETURNING id",
    )
    .bind(name)
    .fetch_one(store.pool())
    .await
    .unwrap()
}
