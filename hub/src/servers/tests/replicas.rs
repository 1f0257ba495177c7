//! What starts and ends say to the replica gateway, and in which order.

use std::sync::{Arc, Mutex};

use super::world::World;
use super::*;
use crate::replicas::tests::gateway::Gateway;

#[tokio::test]
async fn who_reads_ready_is_known_to_the_gateway_and_an_end_is_told_before_the_container_is_stopped()
 {
    let world = World::with_replicas().await;
    let gateway = Arc::new(Gateway::start(&world.gateway()));
    world.servers.start(world.user, "", None).await.unwrap();
    world.reaches(world.user, ServerState::Ready).await;
    let grant = gateway.memory().grants.grants[0].clone();
    assert_eq!(grant.user, world.user);
    assert_eq!(grant.address, world.spawner.address.ip());
    let bundle = world.spawner.bundles.lock().unwrap()[0].clone();
    assert_eq!(bundle.env["MYSQL_USERNAME"], grant.username);
    assert_eq!(bundle.env["MYSQL_HOST"], "127.0.0.1");
    assert!(
        bundle.files[0]
            .content
            .contains(&bundle.env["MYSQL_PASSWORD"])
    );

    // What was revoked when the container was stopped.
    let seen = Arc::new(Mutex::new(None));
    let (kept, watched) = (seen.clone(), gateway.clone());
    *world.spawner.at_stop.lock().unwrap() = Some(Box::new(move |launch| {
        let is_revoked = watched.memory().revoked.contains(&launch.0);
        *kept.lock().unwrap() = Some((launch.0.clone(), is_revoked));
    }));
    world.servers.stop(world.user, "").await.unwrap();
    world.reaches(world.user, ServerState::Stopped).await;
    assert_eq!(*seen.lock().unwrap(), Some((grant.launch, true)));
    assert!(world.store.grants().await.unwrap().1.is_empty());
}

#[tokio::test]
async fn signing_out_everywhere_revokes_before_it_stops() {
    let world = World::with_replicas().await;
    let gateway = Arc::new(Gateway::start(&world.gateway()));
    world.servers.start(world.user, "", None).await.unwrap();
    world.reaches(world.user, ServerState::Ready).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (kept, watched) = (seen.clone(), gateway.clone());
    *world.spawner.at_stop.lock().unwrap() = Some(Box::new(move |_| {
        kept.lock().unwrap().push(watched.memory().revoked.len());
    }));
    world.store.sign_out_everywhere(world.user).await.unwrap();
    world.reaches(world.user, ServerState::Stopped).await;
    assert_eq!(*seen.lock().unwrap(), [1]);
}

#[tokio::test]
async fn a_gateway_that_is_away_holds_up_neither_start_nor_stop_and_is_told_when_it_is_back() {
    let world = World::with_replicas().await;
    let began = std::time::Instant::now();
    world.servers.start(world.user, "", None).await.unwrap();
    world.reaches(world.user, ServerState::Ready).await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert!(
        world.spawner.bundles.lock().unwrap()[0]
            .env
            .contains_key("MYSQL_PASSWORD")
    );
    let gateway = Gateway::start(&world.gateway());
    let told = tokio::time::timeout(Duration::from_secs(5), async {
        while gateway.memory().grants.grants.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(told.await.is_ok(), "the gateway was not told");
    drop(gateway);
    let began = std::time::Instant::now();
    world.servers.stop(world.user, "").await.unwrap();
    world.reaches(world.user, ServerState::Stopped).await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_launch_that_was_not_bound_leaves_no_grant() {
    let world = World::with_replicas().await;
    let gateway = Gateway::start(&world.gateway());
    world.spawner.bind_failures.store(1, Ordering::SeqCst);
    world.servers.start(world.user, "", None).await.unwrap();
    world.reaches(world.user, ServerState::Ready).await;
    let bundles = world.spawner.bundles.lock().unwrap().clone();
    assert_eq!(bundles.len(), 2);
    assert_ne!(
        bundles[0].env["MYSQL_PASSWORD"],
        bundles[1].env["MYSQL_PASSWORD"]
    );
    let grants = gateway.memory().grants.grants.clone();
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].username, bundles[1].env["MYSQL_USERNAME"]);
}
