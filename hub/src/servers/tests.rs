//! The life of servers over a real store, with an engine that fails where it is told to and a proxy that says yes.

mod broker;
mod replicas;
mod under_way;
mod world;

use std::sync::atomic::Ordering;
use std::time::Duration;

use self::world::{World, add_user};
use super::*;
use crate::spawner::Seen;

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

#[tokio::test]
async fn an_engine_that_is_away_holds_starts_and_says_so() {
    let world = World::new(ServerSettings::default()).await;
    world.servers.engine_answers(false);
    world.servers.start(world.user, "", None).await.unwrap();
    assert!(
        world
            .servers
            .held()
            .is_some_and(|why| why.contains("engine"))
    );
    assert_eq!(world.state(world.user).await, ServerState::Queued);
    world.servers.engine_answers(true);
    world.reaches(world.user, ServerState::Ready).await;
}
