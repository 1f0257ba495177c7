//! What starts give to reach wikis, and what ends it: at once, in the transaction that wishes it.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{poll, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::world::World;
use super::*;
use crate::broker::{Asked, BrokerError, FRESH};

/// A world in which somebody who signed in by a wiki has a server; their number, their token, and where it works.
pub(super) async fn started() -> (World, i64, String, IpAddr) {
    let world = World::new(ServerSettings {
        named_servers_per_user: 1,
        ..ServerSettings::default()
    })
    .await;
    let user = world.wikis.person(&world.store, "Ada").await;
    world.servers.start(user, "", None).await.unwrap();
    world.reaches(user, ServerState::Ready).await;
    let bundle = world.spawner.bundles.lock().unwrap()[0].clone();
    let file = |variable: &str| {
        let path = &bundle.env[variable];
        let file = bundle.files.iter().find(|file| file.path == *path);
        file.expect("the variable names a file").content.clone()
    };
    let token = file("HOLT_BROKER_TOKEN_FILE");
    assert_eq!(
        bundle.env["HOLT_BROKER_URL"],
        "http://172.30.0.1:8081/hub/api/broker"
    );
    assert!(!bundle.env.values().any(|value| value.contains(&token)));
    let told = file("HOLT_BROKER_SITES_FILE");
    assert_eq!(
        told,
        r#"{"sites":[{"api":"/w/api.php","origin":"https://wiki.example","rest":"/w/rest.php"}],"user":"Ada"}"#
    );
    let address = world.spawner.address.ip();
    (world, user, token, address)
}

fn is_nobodys<T>(answer: &Result<T, BrokerError>) -> bool {
    matches!(answer, Err(BrokerError::NoCaller))
}

#[tokio::test]
async fn a_token_works_from_its_launch_alone_and_no_longer_than_it_is_wished() {
    let (world, user, token, address) = started().await;
    let caller = world
        .wikis
        .broker
        .caller(&token, Some(address))
        .await
        .unwrap();
    assert_eq!((caller.user_id, caller.user.as_str()), (user, "Ada"));
    let elsewhere: IpAddr = "172.30.0.9".parse().unwrap();
    for from in [Some(elsewhere), None] {
        assert!(is_nobodys(&world.wikis.broker.caller(&token, from).await));
    }
    for wrong in ["", "x", &"x".repeat(43), &token[1..]] {
        assert!(is_nobodys(
            &world.wikis.broker.caller(wrong, Some(address)).await
        ));
    }
    // Wished to stop: before anything was done about it.
    *world.spawner.down.lock().unwrap() = true;
    world.servers.stop(user, "").await.unwrap();
    assert!(is_nobodys(
        &world.wikis.broker.caller(&token, Some(address)).await
    ));
    // Wished to run again at once: that is another launch.
    world.servers.start(user, "", None).await.unwrap();
    assert!(is_nobodys(
        &world.wikis.broker.caller(&token, Some(address)).await
    ));
    *world.spawner.down.lock().unwrap() = false;
}

#[tokio::test]
async fn a_lock_and_a_sign_out_everywhere_end_it_in_that_moment() {
    let (world, user, token, address) = started().await;
    *world.spawner.down.lock().unwrap() = true;
    world.store.sign_out_everywhere(user).await.unwrap();
    assert!(is_nobodys(
        &world.wikis.broker.caller(&token, Some(address)).await
    ));

    let (world, user, token, address) = started().await;
    *world.spawner.down.lock().unwrap() = true;
    let identity = world.store.identities_of(user).await.unwrap().remove(0);
    world.store.put_out(&identity, "locked").await.unwrap();
    assert!(is_nobodys(
        &world.wikis.broker.caller(&token, Some(address)).await
    ));
}

#[tokio::test]
async fn many_who_ask_at_once_are_each_told_their_own() {
    let (world, _, token, address) = started().await;
    let broker = &world.wikis.broker;
    let wrong = "x".repeat(token.len());
    let mut first = Box::pin(broker.caller(&token, Some(address)));
    assert!(poll!(&mut first).is_pending());
    let asked = (0..40).map(|number| {
        let wrong = &wrong;
        let token = &token;
        async move {
            if number % 2 == 0 {
                let caller = broker.caller(token, Some(address)).await;
                caller.is_ok_and(|caller| caller.user == "Ada")
            } else {
                is_nobodys(&broker.caller(wrong, Some(address)).await)
            }
        }
    });
    let mut all = Box::pin(join_all(asked));
    assert!(poll!(&mut all).is_pending());
    // It gives up while it looks for all: they look themselves.
    drop(first);
    let all = timeout(Duration::from_secs(10), all).await.unwrap();
    assert!(all.into_iter().all(|right| right));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_concerns_its_own_token_alone() {
    let (world, user, token, address) = started().await;
    world.servers.start(user, "second", None).await.unwrap();
    let both = async {
        while world.store.broker_launches(user).await.unwrap().len() < 2 {
            world.servers.changed(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), both).await.unwrap();
    let second = world.spawner.bundles.lock().unwrap()[1].clone();
    let path = &second.env["HOLT_BROKER_TOKEN_FILE"];
    let file = second.files.iter().find(|file| file.path == *path);
    let other = file.expect("the variable names a file").content.clone();
    let launches = world.store.broker_launches(user).await.unwrap();
    let launch = launches.iter().find(|one| one.server == "second").unwrap();
    world
        .store
        .spoil_broker_grant(&launch.launch)
        .await
        .unwrap();
    // The first one looks for itself; the others are looked up together.
    let broker = &world.wikis.broker;
    let (_, good, bad) = tokio::join!(
        broker.caller(&token, Some(address)),
        broker.caller(&token, Some(address)),
        broker.caller(&other, Some(address)),
    );
    assert!(good.is_ok() && matches!(bad, Err(BrokerError::Store(_))));
}

#[tokio::test]
async fn what_comes_slowly_is_not_sent_after_its_launch_was_stopped() {
    let (world, user, token, address) = started().await;
    let (finish, finished) = oneshot::channel::<()>();
    let words = async move {
        finished.await.unwrap();
        Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(b"action=edit")))
    };
    let body = StreamBody::new(Box::pin(stream::once(words)));
    let mut headers = HeaderMap::new();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, form);
    let asked = Asked {
        token: &token,
        from: Some(address),
        method: "POST",
        url: "https://wiki.example/w/api.php",
        headers: &headers,
    };
    let mut sent = Box::pin(world.wikis.broker.send(asked, body));
    assert!(timeout(FRESH * 2, &mut sent).await.is_err());
    *world.spawner.down.lock().unwrap() = true;
    world.servers.stop(user, "").await.unwrap();
    finish.send(()).unwrap();
    assert!(is_nobodys(&sent.await));
}

#[tokio::test]
async fn its_owner_halts_it_and_nobody_else() {
    let (world, user, token, address) = started().await;
    let launch = world
        .store
        .broker_launches(user)
        .await
        .unwrap()
        .remove(0)
        .launch;
    assert!(
        !world
            .store
            .halt_broker(world.user, &launch, true)
            .await
            .unwrap()
    );
    world
        .wikis
        .broker
        .caller(&token, Some(address))
        .await
        .unwrap();
    assert!(world.store.halt_broker(user, &launch, true).await.unwrap());
    let halted = world.wikis.broker.caller(&token, Some(address)).await;
    assert!(matches!(halted, Err(BrokerError::Halted)));
    assert!(world.store.halt_broker(user, &launch, false).await.unwrap());
    world
        .wikis
        .broker
        .caller(&token, Some(address))
        .await
        .unwrap();
}

#[tokio::test]
async fn who_did_not_sign_in_by_the_provider_is_given_nothing() {
    let world = World::new(ServerSettings::default()).await;
    world.servers.start(world.user, "", None).await.unwrap();
    world.reaches(world.user, ServerState::Ready).await;
    let bundle = world.spawner.bundles.lock().unwrap()[0].clone();
    assert!(!bundle.env.contains_key("HOLT_BROKER_URL"));
    assert!(bundle.files.is_empty());
}
