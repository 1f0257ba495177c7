//! Fair use: time, connections, accounts, bytes.

use std::time::{Duration, Instant};

use holt_spec::replicas::Limits;

use crate::database::Database;
use crate::world::{Plan, World};

#[test]
fn a_statement_is_stopped_at_its_time_whatever_the_session_says() {
    let world = World::new(Plan {
        settings: "statement_timeout = \"1s\"",
        ..Plan::default()
    });
    let mut client = world.client("a", "enwiki_p");
    client.ask("set max_statement_time = 0").unwrap();
    let began = Instant::now();
    let refused = client.ask("select sleep(30)").unwrap_err();
    assert_eq!(refused.code, 1969);
    assert!(refused.words.contains("1 s"), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(client.value("select 1"), "1", "the session goes on");
}

#[test]
fn one_connection_too_many_waits_and_then_is_told() {
    let mut world = World::new(Plan {
        settings: "queue_timeout = \"1s\"\nqueue = 2",
        ..Plan::default()
    });
    let limits = Limits {
        connections: Some(1),
        ..Limits::default()
    };
    world.let_in_with("c", 3, "127.0.0.1", limits);
    let mut one = world.client("c", "enwiki_p");
    one.value("select 1");
    let mut next = world.client("c", "enwiki_p");
    let began = Instant::now();
    assert_eq!(next.ask("select 2").unwrap_err().code, 1203);
    assert!(began.elapsed() >= Duration::from_millis(900));
    next.say("select 3");
    drop(one);
    assert_eq!(next.hear().unwrap()[0][0].as_deref(), Some("3"));
    let _third = world.client("c", "enwiki_p");
    let _fourth = world.client("c", "enwiki_p");
    assert_eq!(world.try_client("c", "").unwrap_err().code, 1203);
    world.client("a", "enwiki_p").value("select 1");
}

#[test]
fn a_shared_account_serves_everybody_and_check_says_what_that_shows() {
    let world = World::new(Plan {
        accounts: 1,
        settings: "shared_account = true",
        ..Plan::default()
    });
    let (mut one, mut other) = (world.client("a", "enwiki_p"), world.client("b", "enwiki_p"));
    assert_eq!(
        one.value("select current_user()"),
        other.value("select current_user()")
    );
}

#[test]
fn a_result_that_is_too_large_is_cut_with_a_word() {
    let world = World::new(Plan {
        settings: "result_limit = \"1MiB\"",
        ..Plan::default()
    });
    let mut client = world.client("a", "enwiki_p");
    let refused = client
        .ask("select a.page_title, b.page_title, repeat('x', 1000) from page a join page b")
        .unwrap_err();
    assert!(refused.words.contains("1048576 bytes"), "{refused:?}");
    assert_eq!(client.value("select 1"), "1");
}

#[test]
fn rows_come_while_the_statement_runs() {
    let world = World::usual();
    let mut client = world.client("a", "enwiki_p");
    // The server keeps a few rows back itself.
    client.say("select page_id, repeat('x', 8000), if(page_id < 200, 0, sleep(600)) from page where page_id <= 200");
    let rows = std::iter::from_fn(|| client.packet()).filter(|(_, packet)| packet.len() > 8000);
    assert_eq!(rows.take(190).count(), 190);
}

#[test]
fn a_compressed_client_that_does_not_read_is_stopped_at_the_time_too() {
    let mut world = World::new(Plan {
        settings: "statement_timeout = \"1s\"",
        ..Plan::default()
    });
    let port = world.address.port().to_string();
    let many =
        "select a.page_title, b.page_title, repeat(md5(rand()), 100) from page a join page b";
    let mut client = std::process::Command::new("mariadb")
        .args([
            "-h",
            "127.0.0.1",
            "-P",
            &port,
            "-uha",
            "-ppa",
            "--compress",
            "--quick",
        ])
        .args(["enwiki_p", "-e", many])
        // Never read.
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    world.until("it runs", |world| world.statements().statements.pop());
    world.until("it is over", |world| {
        world.statements().statements.is_empty().then_some(())
    });
    let _ = client.kill();
    let _ = client.wait();
}

#[test]
fn a_client_that_leaves_takes_its_statement_with_it() {
    let mut world = World::usual();
    let mut client = world.client("a", "enwiki_p");
    client.say("select sleep(60), 'left behind'");
    world.until("it runs", |world| world.statements().statements.pop());
    drop(client);
    world.until("it is ended on the server", |_| {
        let runs = Database::first().root("select count(*) from information_schema.processlist where info like '%left behind%' and info not like '%processlist%'");
        (runs.trim() == "0").then_some(())
    });
    world.until("its place is free", |world| {
        (world.status()?.connections == 0).then_some(())
    });
}

#[test]
fn who_rests_for_too_long_is_sent_away() {
    let mut world = World::new(Plan {
        settings: "idle_timeout = \"500ms\"",
        ..Plan::default()
    });
    let _client = world.client("a", "enwiki_p");
    world.until("it is gone", |world| {
        (world.status()?.connections == 0).then_some(())
    });
}
