//! The life of servers over a real store, with an engine that fails where it is told to and a proxy that says yes.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
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

use super::*;
use crate::spawner::{Event, Found, Image, IsolationReport, Meeting, Seen, SpawnerError, Usage};

/// An engine in memory. Its servers are one listener that answers 200.
struct FakeSpawner {
    address: SocketAddr,
    launches: Mutex<HashMap<LaunchId, Seen>>,
    created: AtomicU32,
    /// Bindings that fail before one succeeds.
    bind_failures: AtomicU32,
    /// The engine does not answer.
    down: Mutex<bool>,
    /// Bound servers do not answer: their address is a closed port.
    mute: Mutex<bool>,
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

    fn running(&self) -> usize {
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
        _bundle: &Bundle,
    ) -> Result<SocketAddr, SpawnerError> {
        self.check()?;
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
struct World {
    store: Store,
    servers: Servers,
    spawner: Arc<FakeSpawner>,
    user: i64,
    stop: CancellationToken,
    _directory: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    async fn new(settings: ServerSettings) -> Self {
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
        });
        let routes = Routes::new(store.clone(), socket);
        tasks.spawn(routes.clone().run(stop.clone()));
        let servers = Servers::new(Parts {
            store: store.clone(),
            spawner: spawner.clone(),
            routes,
            credentials: Arc::new(NoCredentials),
            settings,
            owner: "hub#1".into(),
        });
        tasks.spawn(servers.clone().run(tasks.clone(), stop.clone()));
        let user = add_user(&store, "ada").await;
        Self {
            store,
            servers,
            spawner,
            user,
            stop,
            _directory: directory,
        }
    }

    async fn state(&self, user: i64) -> ServerState {
        self.servers
            .view(user, "")
            .await
            .unwrap()
            .map_or(ServerState::Stopped, |view| view.state)
    }

    async fn reaches(&self, user: i64, wanted: ServerState) {
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

    async fn failure(&self) -> String {
        self.servers
            .view(self.user, "")
            .await
            .unwrap()
            .unwrap()
            .failure
            .unwrap_or_default()
    }
}

async fn add_user(store: &Store, name: &str) -> i64 {
    sqlx::query_scalar(
        "INSERT INTO users (name, cookie_id, created) VALUES (?, 'c', 0) RETURNING id",
    )
    .bind(name)
    .fetch_one(store.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_start_ends_ready_with_a_route_and_a_stop_leaves_nothing() {
    let world = World::new(ServerSettings::default()).await;
    assert_eq!(
        world.servers.start(world.user, "", None).await.unwrap(),
        StartOutcome::Accepted
    );
    world.reaches(world.user, ServerState::Ready).await;
    let routes = world.store.routes().await.unwrap().routes;
    assert_eq!(
        routes.get("/user/ada/"),
        Some(&Some(format!("http://{}", world.spawner.address)))
    );
    let view = world.servers.view(world.user, "").await.unwrap().unwrap();
    assert_eq!(view.version.as_deref(), Some("5.5.4"));

    assert_eq!(
        world.servers.stop(world.user, "").await.unwrap(),
        ServerState::Stopping
    );
    world.reaches(world.user, ServerState::Stopped).await;
    assert!(world.store.routes().await.unwrap().routes.is_empty());
    assert!(world.spawner.launches.lock().unwrap().is_empty());
    assert_eq!(world.failure().await, "");
}

#[tokio::test]
async fn started_twice_it_runs_once() {
    let world = World::new(ServerSettings::default()).await;
    let (first, second) = tokio::join!(
        world.servers.start(world.user, "", None),
        world.servers.start(world.user, "", None)
    );
    let outcomes = [first.unwrap(), second.unwrap()];
    assert!(outcomes.contains(&StartOutcome::Accepted), "{outcomes:?}");
    world.reaches(world.user, ServerState::Ready).await;
    assert_eq!(
        world.servers.start(world.user, "", None).await.unwrap(),
        StartOutcome::AlreadyReady
    );
    assert_eq!(world.spawner.created.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stop_during_the_start_ends_it() {
    let world = World::new(ServerSettings::default()).await;
    *world.spawner.mute.lock().unwrap() = true;
    world.servers.start(world.user, "", None).await.unwrap();
    world.reaches(world.user, ServerState::Starting).await;
    world.servers.stop(world.user, "").await.unwrap();
    world.reaches(world.user, ServerState::Stopped).await;
    assert!(world.spawner.launches.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_start_during_the_stop_follows_it() {
    let world = World::new(ServerSettings::default()).await;
    world.servers.start(world.user, "", None).await.unwrap();
    world.reaches(world.user, ServerState::Ready).await;
    world.servers.stop(world.user, "").await.unwrap();
    let outcome = world.servers.start(world.user, "", None).await.unwrap();
    assert!(
        matches!(outcome, StartOutcome::AfterStop | StartOutcome::Accepted),
        "{outcome:?}"
    );
    world.reaches(world.user, ServerState::Ready).await;
    assert_eq!(world.spawner.created.load(Ordering::SeqCst), 2);
    assert_eq!(world.spawner.running(), 1);
}

#[tokio::test]
async fn a_delete_during_the_stop_forgets_the_server() {
    let world = World::new(ServerSettings::default()).await;
    world.servers.start(world.user, "", None).await.unwrap();
    world.reaches(world.user, ServerState::Ready).await;
    world.servers.stop(world.user, "").await.unwrap();
    world.servers.delete(world.user, "").await.unwrap();
    assert!(matches!(
        world.servers.start(world.user, "", None).await,
        Err(ServersError::NotFound)
    ));
    world.reaches(world.user, ServerState::Stopped).await;
    let gone = tokio::time::timeout(Duration::from_secs(10), async {
        while world.servers.view(world.user, "").await.unwrap().is_some() {
            world.servers.changed(Duration::from_millis(50)).await;
        }
    });
    gone.await.expect("the row goes");
}

#[tokio::test]
async fn an_unbound_launch_is_replaced_and_keeps_its_place() {
    let world = World::new(ServerSettings::default()).await;
    world.spawner.bind_failures.store(1, Ordering::SeqCst);
    world.servers.start(world.user, "", None).await.unwrap();
    world.reaches(world.user, ServerState::Ready).await;
    assert_eq!(world.spawner.created.load(Ordering::SeqCst), 2);
    assert_eq!(world.spawner.launches.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_launch_that_never_binds_fails_with_what_was_seen() {
    let world = World::new(ServerSettings::default()).await;
    world.spawner.bind_failures.store(99, Ordering::SeqCst);
    world.servers.start(world.user, "", None).await.unwrap();
    world.reaches(world.user, ServerState::Stopped).await;
    assert!(
        world.failure().await.contains("exit code 97"),
        "{}",
        world.failure().await
    );
    assert_eq!(world.spawner.created.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_fails_with_its_last_line() {
    let settings = ServerSettings {
        ready_timeout: Duration::from_millis(300),
        ..ServerSettings::default()
    };
    let world = World::new(settings).await;
    *world.spawner.mute.lock().unwrap() = true;
    world.servers.start(world.user, "", None).await.unwrap();
    world.reaches(world.user, ServerState::Stopped).await;
    let words = world.failure().await;
    assert!(
        words.contains("did not answer") && words.contains("the last line"),
        "{words}"
    );
}

#[tokio::test]
async fn a_server_that_dies_is_unrouted_with_its_reason() {
    let world = World::new(ServerSettings::default()).await;
    world.servers.start(world.user, "", None).await.unwrap();
    world.reaches(world.user, ServerState::Ready).await;
    let dead = Seen::Exited {
        code: 137,
        out_of_memory: true,
    };
    let launch = world
        .spawner
        .launches
        .lock()
        .unwrap()
        .keys()
        .next()
        .cloned()
        .unwrap();
    world
        .spawner
        .launches
        .lock()
        .unwrap()
        .insert(launch.clone(), dead.clone());
    world.store.keep_seen(&launch, Some(&dead)).await.unwrap();
    world.servers.wake();
    world.reaches(world.user, ServerState::Stopped).await;
    let words = world.failure().await;
    assert!(
        words.contains("out of memory") && words.contains("512 MiB") && words.contains("500 MiB"),
        "{words}"
    );
    assert!(world.store.routes().await.unwrap().routes.is_empty());
}

#[tokio::test]
async fn an_engine_that_is_down_is_no_death() {
    let world = World::new(ServerSettings::default()).await;
    world.servers.start(world.user, "", None).await.unwrap();
    world.reaches(world.user, ServerState::Ready).await;
    *world.spawner.down.lock().unwrap() = true;
    let launch = world
        .spawner
        .launches
        .lock()
        .unwrap()
        .keys()
        .next()
        .cloned()
        .unwrap();
    world.store.keep_seen(&launch, None).await.unwrap();
    assert!(world.store.servers_to_work_on().await.unwrap().is_empty());
    assert_eq!(world.state(world.user).await, ServerState::Ready);
    assert_eq!(world.store.routes().await.unwrap().routes.len(), 1);
}

#[tokio::test]
async fn who_waits_stands_in_line() {
    let settings = ServerSettings {
        concurrent_starts: 1,
        ..ServerSettings::default()
    };
    let world = World::new(settings).await;
    *world.spawner.mute.lock().unwrap() = true;
    let second = add_user(&world.store, "bob").await;
    let third = add_user(&world.store, "eve").await;
    world.servers.start(world.user, "", None).await.unwrap();
    world.reaches(world.user, ServerState::Starting).await;
    world.servers.start(second, "", None).await.unwrap();
    world.servers.start(third, "", None).await.unwrap();
    let place = async |user| {
        let view = world.servers.view(user, "").await.unwrap().unwrap();
        world
            .servers
            .place(view.id)
            .await
            .unwrap()
            .map(|place| place.position)
    };
    assert_eq!(
        (place(second).await, place(third).await),
        (Some(1), Some(2))
    );
    assert_eq!(world.state(third).await, ServerState::Queued);
    // Who calls it off leaves the line.
    world.servers.stop(second, "").await.unwrap();
    assert_eq!((place(second).await, place(third).await), (None, Some(1)));
    world.servers.stop(world.user, "").await.unwrap();
    world.reaches(third, ServerState::Starting).await;
}

#[tokio::test]
async fn a_lost_lease_changes_nothing() {
    let world = World::new(ServerSettings::default()).await;
    world.stop.cancel();
    let server = world.store.ensure_server(world.user, "lab").await.unwrap();
    let old = world.store.lease(server, "a#1", 0).await.unwrap().unwrap();
    let new = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            if let Some(lease) = world.store.lease(server, "b#1", 60_000).await.unwrap() {
                return lease;
            }
        }
    });
    let new = new.await.unwrap();
    assert!(new.fence > old.fence);
    assert!(!world.store.renew_lease(&old, 1000).await.unwrap());
    world.store.want_deleted(server).await.unwrap();
    assert!(!world.store.forget_server(&old).await.unwrap());
    assert!(world.store.forget_server(&new).await.unwrap());
}

#[tokio::test]
async fn named_servers_have_a_limit() {
    let settings = ServerSettings {
        named_servers_per_user: 1,
        ..ServerSettings::default()
    };
    let world = World::new(settings).await;
    world.servers.start(world.user, "one", None).await.unwrap();
    let refused = world.servers.start(world.user, "two", None).await;
    assert!(
        matches!(refused, Err(ServersError::TooManyNamed { limit: 1 })),
        "{refused:?}"
    );
    assert!(matches!(
        world.servers.start(world.user, "No Slug", None).await,
        Err(ServersError::Name(_))
    ));
}

#[test]
fn launch_ids_are_sorted_by_time_and_differ() {
    let ids: Vec<LaunchId> = (0..100).map(|_| new_launch_id()).collect();
    assert!(ids.iter().all(|id| id.0.len() == 26), "{ids:?}");
    assert_eq!(
        ids.iter().collect::<std::collections::HashSet<_>>().len(),
        100
    );
}
