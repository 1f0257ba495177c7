//! Servers in trouble: a clear error or a wait, never a hang, never another user's result.

use std::time::{Duration, Instant};

use crate::database::Database;
use crate::world::{Plan, World};

const FIRST: &[&str] = &["enwiki_p", "wikidatawiki_p", "meta_p"];

#[test]
fn a_server_that_is_killed_and_comes_back() {
    let server = Database::start("killed", FIRST, &[]);
    let mut world = World::new(Plan {
        first: &server,
        ..Plan::default()
    });
    let mut runs = world.client("a", "enwiki_p");
    let mut rests = world.client("a", "enwiki_p");
    let mut pinned = world.client("a", "enwiki_p");
    rests.value("select 1");
    pinned.ask("set @a = 1").unwrap();
    runs.say("select sleep(30)");
    world.until("it runs", |world| world.statements().statements.pop());
    server.kill();
    let lost = runs.hear().unwrap_err();
    assert!(lost.words.contains("Lost connection"), "{lost:?}");
    assert!(
        pinned.ask("select @a").is_err(),
        "what was set is lost, so it does not go on"
    );
    let down = world.until("the section is down", |world| {
        world.status().filter(|status| !status.sections["s1"].up)
    });
    assert!(down.sections["s1"].backends[0].trouble.is_some());
    let began = Instant::now();
    let refused = runs.ask("select 1").unwrap_err();
    assert!(
        refused.words.contains("No replica server of s1"),
        "{refused:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(8));
    assert_eq!(
        world.client("b", "dewiki_p").value("select 2"),
        "2",
        "the other section goes on"
    );
    server.run_again();
    world.until("the section is up", |world| {
        world.status()?.sections["s1"].up.then_some(())
    });
    assert_eq!(
        rests.value("select page_title from page where page_id = 3"),
        "enwiki_p_3"
    );
    assert_eq!(runs.value("select 3"), "3");
}

#[test]
fn a_server_that_hangs_is_given_up_at_the_statements_time() {
    let server = Database::start("frozen", FIRST, &[]);
    let mut world = World::new(Plan {
        first: &server,
        settings: "statement_timeout = \"1s\"\nconnect_timeout = \"1s\"",
        ..Plan::default()
    });
    let mut client = world.client("a", "enwiki_p");
    client.value("select 1");
    server.freeze();
    let began = Instant::now();
    assert!(client.ask("select 2").is_err());
    assert!(began.elapsed() < Duration::from_secs(18));
    world.until("the section is down", |world| {
        (!world.status()?.sections["s1"].up).then_some(())
    });
    server.thaw();
    world.until("the section is up", |world| {
        world.status()?.sections["s1"].up.then_some(())
    });
    assert_eq!(world.client("a", "enwiki_p").value("select 3"), "3");
}

#[test]
fn a_server_without_a_connection_left_is_waited_for() {
    let server = Database::start("full", FIRST, &["--max-connections=10"]);
    let world = World::new(Plan {
        first: &server,
        settings: "queue_timeout = \"1s\"",
        ..Plan::default()
    });
    server.root(&format!(
        "alter user {}@'%' with max_user_connections 1",
        world.accounts[0]
    ));
    server.root(&format!(
        "alter user {}@'%' with max_user_connections 1",
        world.accounts[1]
    ));
    server.root(&format!(
        "alter user {}@'%' with max_user_connections 1",
        world.accounts[2]
    ));
    let mut one = world.client("a", "enwiki_p");
    assert_eq!(one.value("select 1"), "1");
    let mut next = world.client("a", "enwiki_p");
    let refused = next.ask("select 2").unwrap_err();
    assert!(refused.words.contains("no connection left"), "{refused:?}");
    next.say("select 3");
    drop(one);
    assert_eq!(next.hear().unwrap()[0][0].as_deref(), Some("3"));
}

#[test]
fn lag_is_told_and_a_draining_server_takes_nobody_new() {
    let server = Database::start("lagging", FIRST, &[]);
    server.root("create database heartbeat_p; create table heartbeat_p.heartbeat (shard varchar(10), last_updated varchar(30), lag double); insert into heartbeat_p.heartbeat values ('s1', '', 77.5), ('s2', '', 1)");
    let mut world = World::new(Plan {
        first: &server,
        settings: "max_lag = \"10s\"",
        ..Plan::default()
    });
    let lag = world.until("lag is told", |world| {
        world.status()?.sections["s1"].lag_seconds
    });
    assert!((lag - 77.5).abs() < 0.01);
    let mut client = world.client("a", "enwiki_p");
    assert_eq!(
        client.value("select 1"),
        "1",
        "far behind is better than nothing"
    );
    let draining = |on: bool| {
        format!(
            "{{\"address\":\"127.0.0.1:{}\",\"draining\":{on}}}",
            server.port
        )
    };
    assert_eq!(
        world
            .tell("POST", "/holt/replicas/draining", &draining(true))
            .0,
        204
    );
    assert_eq!(client.value("select 2"), "2", "who is there goes on");
    let refused = world.client("a", "enwiki_p").ask("select 1").unwrap_err();
    assert!(refused.words.contains("draining"), "{refused:?}");
    assert_eq!(
        world
            .tell("POST", "/holt/replicas/draining", &draining(false))
            .0,
        204
    );
    assert_eq!(world.client("a", "enwiki_p").value("select 3"), "3");
}

#[test]
fn a_gateway_that_ends_ends_quietly() {
    for _ in 0..4 {
        let mut world = World::usual();
        let port = holt_tests::free_port().unwrap();
        let body = format!("{{\"generation\":99,\"listen\":\"127.0.0.1:{port}\",\"grants\":[]}}");
        let (status, text) = world.tell("PUT", "/holt/replicas/grants", &body);
        assert_eq!(status, 200, "{text}");
        world.until("it listens there too", |world| {
            let listen = world.status()?.listen;
            listen.iter().any(|at| at.port() == port).then_some(())
        });
        let ended = std::process::Command::new("kill")
            .arg(world.process.id().to_string())
            .status()
            .unwrap();
        assert!(ended.success());
        world.process.wait().unwrap();
        let said = world.log();
        assert_eq!(
            said.matches("listens where the hub wants it").count(),
            1,
            "{said}"
        );
    }
}
