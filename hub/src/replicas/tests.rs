//! The way to the gateway, tried with one that only pretends but speaks the real protocol.

pub(crate) mod gateway;

use std::time::Duration;

use self::gateway::Gateway;
use super::*;
use crate::spawner::LaunchId;
use crate::store::grants::NewGrant;

type Tried = Result<(), Box<dyn std::error::Error>>;

/// A hub's way, kept until it is dropped.
struct World {
    store: Store,
    replicas: Replicas,
    socket: PathBuf,
    stop: CancellationToken,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let socket = directory.path().join("g.sock");
        let store = Store::in_memory().await?;
        let replicas = way(&store, &socket);
        Ok(Self {
            store,
            replicas,
            socket,
            stop: CancellationToken::new(),
            _directory: directory,
        })
    }

    fn run(&self) {
        tokio::spawn(self.replicas.clone().run(self.stop.clone()));
    }

    /// A launch that runs and has a grant.
    async fn granted(&self, name: &str) -> Result<(Lease, LaunchId), Box<dyn std::error::Error>> {
        let user = self.store.create_user(name, false, None).await?;
        let server = self.store.ensure_server(user.id, "").await?;
        let launch = LaunchId(format!("launch-{name}"));
        for statement in [
            format!(
                "INSERT INTO launches (id, server_id, phase, phase_at, ticket, plan, created) VALUES ('{launch}', {server}, 'binding', 0, 1, '{{}}', 0)"
            ),
            format!("UPDATE servers SET launch = '{launch}' WHERE id = {server}"),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(statement))
                .execute(self.store.pool())
                .await?;
        }
        let lease = self.store.lease(server, "hub#1", 60_000).await?;
        let lease = lease.ok_or("nobody else works on it")?;
        let grant = Secret::new(user.id).grant;
        assert!(self.store.keep_grant(&lease, &launch, &grant).await?);
        let address = "172.30.0.7:8888".parse()?;
        let source = "172.30.0.7".parse()?;
        assert!(
            self.store
                .begin_waiting(&lease, &launch, address, source)
                .await?
        );
        Ok((lease, launch))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn way(store: &Store, socket: &std::path::Path) -> Replicas {
    let replicas = Replicas::new(store.clone(), socket.to_owned(), Reached::Met(3306));
    replicas.meet("172.30.0.1".parse().expect("an address"));
    replicas
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let looking = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(10), looking)
        .await
        .is_err()
    {
        panic!("waited for: {what}");
    }
}

#[tokio::test]
async fn a_gateway_is_given_all_grants_and_again_when_it_begins_anew() -> Tried {
    let world = World::new().await?;
    world.granted("ada").await?;
    let gateway = Gateway::start(&world.socket);
    world.run();
    until("the grants are there", || {
        gateway.memory().grants.grants.len() == 1
    })
    .await;
    {
        let memory = gateway.memory();
        let grant = &memory.grants.grants[0];
        assert_eq!(grant.name, "ada");
        assert_eq!(grant.address, "172.30.0.7".parse::<IpAddr>()?);
        assert_eq!(memory.grants.listen, Some("172.30.0.1:3306".parse()?));
    }
    drop(gateway);
    until("it is away", || world.replicas.is_away()).await;
    let gateway = Gateway::start(&world.socket);
    until("the grants are there again", || {
        gateway.memory().grants.grants.len() == 1
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_was_away_for_less_than_a_look_is_given_all_again() -> Tried {
    let world = World::new().await?;
    world.granted("ada").await?;
    let gateway = Gateway::start(&world.socket);
    world.run();
    until("the grants are there", || {
        gateway.memory().grants.grants.len() == 1
    })
    .await;
    // It begins anew between two looks: it answers each time, and has nothing.
    let generation = {
        let mut memory = gateway.memory();
        let generation = memory.grants.generation;
        memory.grants = Grants::default();
        generation
    };
    until("the grants are there again", || {
        gateway.memory().grants.generation == generation
    })
    .await;
    assert_eq!(gateway.memory().grants.grants.len(), 1);
    Ok(())
}

#[tokio::test]
async fn two_hubs_push_and_the_newest_stays() -> Tried {
    let world = World::new().await?;
    let gateway = Gateway::start(&world.socket);
    world.run();
    let other = way(&world.store, &world.socket);
    tokio::spawn(other.clone().run(world.stop.clone()));
    for name in ["ada", "bob", "cyd"] {
        world.granted(name).await?;
        world.replicas.settle().await?;
        other.settle().await?;
    }
    let newest = unsigned(world.store.grants_generation().await?)?;
    until("the newest is there", || {
        gateway.memory().grants.generation == newest
    })
    .await;
    assert_eq!(gateway.memory().grants.grants.len(), 3);
    assert!(!world.replicas.is_away() && !other.is_away());
    Ok(())
}

#[tokio::test]
async fn an_end_takes_the_grant_and_is_told_and_waits_for_no_gateway() -> Tried {
    let world = World::new().await?;
    let (lease, launch) = world.granted("ada").await?;
    let gateway = Gateway::start(&world.socket);
    world.run();
    world.replicas.settle().await?;
    let why = crate::store::launches::StopReason::Wish;
    let phase = crate::store::rows::Phase::Waiting;
    let retired = world
        .store
        .begin_stopping(&lease, &launch, phase, &why)
        .await?;
    assert!(retired.is_some());
    world.replicas.revoke(&launch.0).await;
    assert_eq!(gateway.memory().revoked, ["launch-ada"]);
    world.replicas.settle().await?;
    until("no grant is left", || {
        gateway.memory().grants.grants.is_empty()
    })
    .await;
    drop(gateway);
    until("it is away", || world.replicas.is_away()).await;
    let began = Instant::now();
    world.replicas.revoke(&launch.0).await;
    world.replicas.settle().await?;
    assert!(began.elapsed() < Duration::from_secs(2));
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_says_nothing_is_waited_for_only_so_long() -> Tried {
    let world = World::new().await?;
    let _silent = tokio::net::UnixListener::bind(&world.socket)?;
    let began = Instant::now();
    world.replicas.revoke("launch").await;
    assert!(began.elapsed() < REVOKE + Duration::from_secs(2));
    Ok(())
}

#[tokio::test]
async fn databases_are_kept_for_a_hub_that_comes_while_the_gateway_is_away() -> Tried {
    let world = World::new().await?;
    let gateway = Gateway::start(&world.socket);
    gateway.memory().databases = BTreeMap::from([("enwiki_p".to_owned(), "s1".to_owned())]);
    world.run();
    until("hosts are known", || world.replicas.hosts().len() == 4).await;
    drop(gateway);
    let other = way(&world.store, &world.socket);
    assert!(other.hosts().is_empty());
    tokio::spawn(other.clone().run(world.stop.clone()));
    until("they are known to the next hub", || {
        other.hosts().len() == 4
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_hub_that_lost_its_lease_grants_nothing() -> Tried {
    let world = World::new().await?;
    let (lease, launch) = world.granted("ada").await?;
    let before = world.store.grants().await?;
    let stale = Lease {
        fence: lease.fence - 1,
        ..lease
    };
    let grant = NewGrant {
        username: "u1_x".to_owned(),
        native: "0".to_owned(),
        sha2: "0".to_owned(),
    };
    assert!(!world.store.keep_grant(&stale, &launch, &grant).await?);
    assert_eq!(world.store.grants().await?, before);
    // Given again, what was given before is void at once, and the new is not in force before the launch runs.
    assert!(world.store.keep_grant(&lease, &launch, &grant).await?);
    let (generation, grants) = world.store.grants().await?;
    assert!(generation > before.0 && grants.is_empty());
    Ok(())
}
