//! Users and their credentials: nobody sees, stops or slows another, and nobody comes in by another's.

use std::time::{Duration, Instant};

use holt_spec::replicas::Limits;

use crate::database::Database;
use crate::world::{Plan, World};

#[test]
fn nobody_comes_in_before_the_hub_has_spoken() {
    let mut world = World::start(Plan::default());
    let refused = world.try_client("a", "").unwrap_err();
    assert!(
        refused.words.contains("not told this gateway yet"),
        "{refused:?}"
    );
    world.let_in("a", 1);
    world.client("a", "enwiki_p");
    for (user, password) in [("ha", "pb"), ("hx", "pa"), ("", ""), ("root", "")] {
        let refused = crate::raw::Raw::enter(world.address, user, password, "").unwrap_err();
        assert_eq!(refused.code, 1045, "{user}");
    }
}

#[test]
fn a_credential_works_from_its_own_address_alone() {
    let mut world = World::usual();
    world.let_in_with("c", 3, "192.0.2.7", Limits::default());
    let refused = world.try_client("c", "").unwrap_err();
    assert_eq!(refused.code, 1045);
    assert!(
        refused.words.contains("only in the notebook server"),
        "{refused:?}"
    );
    world.let_in_with("d", 4, "0.0.0.0", Limits::default());
    world.client("d", "");
}

#[test]
fn an_ended_launch_has_no_connection_left_when_that_is_answered() {
    let world = World::usual();
    let mut rests = world.client("a", "enwiki_p");
    rests.value("select 1");
    let mut runs = world.client("a", "enwiki_p");
    let mut other = world.client("b", "enwiki_p");
    runs.say("select sleep(30)");
    let account = other.value("select current_user()");
    let began = Instant::now();
    world.revoke("[\"a\"]");
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(world.status().unwrap().connections, 1);
    let refused = runs.hear().unwrap_err();
    assert!(refused.words.contains("ended"), "{refused:?}");
    assert!(rests.ask("select 1").is_err());
    assert_eq!(world.try_client("a", "").unwrap_err().code, 1045);
    assert_eq!(
        other.value("select current_user()"),
        account,
        "others go on"
    );
    let sleeps = "select count(*) from information_schema.processlist where info like '%holt user=1 %sleep(30)%' and info not like '%processlist%'";
    let began = Instant::now();
    while Database::first().root(sleeps).trim() != "0" {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the statement was ended on the server too"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    world.revoke("[\"a\"]");
}

#[test]
fn a_user_neither_sees_nor_stops_another() {
    let world = World::usual();
    let mut one = world.client("a", "enwiki_p");
    let mut other = world.client("b", "enwiki_p");
    one.say("select 'secret of a', sleep(2)");
    while world.statements().statements.is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_ne!(other.value("select current_user()"), "");
    let seen = other.ask("show full processlist").unwrap();
    assert!(!format!("{seen:?}").contains("secret"), "{seen:?}");
    let seen = other
        .ask("select info from information_schema.processlist")
        .unwrap();
    assert!(!format!("{seen:?}").contains("secret"), "{seen:?}");
    for statement in [
        format!("kill {}", one.number),
        format!("kill query {}", one.number),
        "kill 1".to_owned(),
    ] {
        assert_eq!(other.ask(&statement).unwrap_err().code, 1094, "{statement}");
    }
    let thread = Database::first().root("select id from information_schema.processlist where info like '%secret of a%' and info not like '%processlist%'");
    assert_eq!(
        other
            .ask(&format!("kill {}", thread.trim()))
            .unwrap_err()
            .code,
        1094
    );
    for statement in [
        "show explain for",
        "explain for connection",
        "show analyze for",
    ] {
        let statement = format!("{statement} {}", thread.trim());
        let refused = other.ask(&statement).unwrap_err();
        assert!(
            !refused.words.contains("secret"),
            "{statement}: {refused:?}"
        );
    }
    assert_eq!(one.hear().unwrap().len(), 1);
}

#[test]
fn a_user_stops_a_statement_of_their_own() {
    let world = World::usual();
    let mut one = world.client("a", "enwiki_p");
    let mut again = world.client("a", "dewiki_p");
    one.say("select sleep(30)");
    while world.statements().statements.is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    again.ask(&format!("kill query {}", one.number)).unwrap();
    assert_eq!(one.hear().unwrap_err().code, 1317);
    assert_eq!(one.value("select 5"), "5");
    again.ask(&format!("kill {}", one.number)).unwrap();
    assert!(one.ask("select 1").is_err());
}

#[test]
fn every_statement_begins_with_whose_it_is() {
    let world = World::usual();
    let mut client = world.client("a", "enwiki_p");
    let own = client.value("/* holt user=9 server=x launch=y */ select info from information_schema.processlist where id = connection_id()");
    assert!(
        own.starts_with("/* holt user=1 server=a%20%2A%2F%20server launch=a */ /* holt user=9"),
        "{own}"
    );
    // The same for what is prepared: it is looked at while it runs.
    let statement =
        b"\x16select info from information_schema.processlist where id = connection_id()";
    client.send(0, statement);
    let prepared = client.word().unwrap();
    for _ in 0..2 {
        client.word().unwrap();
    }
    let mut execute = vec![0x17];
    execute.extend_from_slice(&prepared[1..5]);
    execute.extend_from_slice(&[0, 1, 0, 0, 0]);
    client.send(0, &execute);
    for _ in 0..3 {
        client.word().unwrap();
    }
    let row = client.word().unwrap();
    let row = String::from_utf8_lossy(&row).into_owned();
    assert!(
        row.contains("/* holt user=1 server=a%20%2A%2F%20server launch=a */ select info"),
        "{row}"
    );
    client.word().unwrap();
    let refused = client.ask("use dewiki_p").unwrap_err();
    assert!(refused.words.contains("prepared"), "{refused:?}");
}

#[test]
fn an_operator_sees_and_stops_what_runs() {
    let world = World::usual();
    let mut client = world.client("a", "enwiki_p");
    client.say("select sleep(30) /* mine */");
    let statement = loop {
        if let Some(statement) = world.statements().statements.pop() {
            break statement;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(
        (
            statement.user,
            statement.section.as_str(),
            statement.launch.as_str()
        ),
        (1, "s1", "a")
    );
    assert_eq!(statement.text, "select sleep(30) /* mine */");
    assert_eq!(statement.database.as_deref(), Some("enwiki_p"));
    let path = format!("/holt/replicas/statements/{}", statement.id);
    assert_eq!(world.tell("DELETE", &path, "").0, 204);
    assert_eq!(client.hear().unwrap_err().code, 1317);
    assert_eq!(world.tell("DELETE", &path, "").0, 404);
    assert!(world.statements().statements.is_empty());
    let metrics = world.tell("GET", "/metrics", "").1;
    assert!(
        metrics.contains("holt_replicas_statements_total{section=\"s1\",outcome=\"failed\"} 1"),
        "{metrics}"
    );
    let usage = world.tell("GET", "/holt/replicas/usage", "").1;
    assert!(
        usage.contains("\"user\":1,\"section\":\"s1\",\"statements\":1"),
        "{usage}"
    );
}

#[test]
fn an_account_that_can_write_or_see_others_is_not_used() {
    for (grant, word) in [
        ("insert on `enwiki\\_p`.*", "INSERT"),
        ("process on *.*", "PROCESS"),
        ("file on *.*", "FILE"),
    ] {
        let world = World::new(Plan {
            accounts: 1,
            grants: &["select on `%\\_p`.*", grant],
            ..Plan::default()
        });
        let mut client = world.client("a", "enwiki_p");
        let refused = client.ask("select 1").unwrap_err();
        assert!(refused.words.contains("more than read"), "{refused:?}");
        let status = world.status().unwrap();
        let trouble = status.sections["s1"].backends[0].trouble.clone().unwrap();
        assert!(trouble.contains(word), "{trouble}");
        assert!(world.log().contains("A replica account is not used"));
    }
}

#[test]
fn what_a_killed_gateway_left_running_is_seen_by_nobody() {
    let mut world = World::new(Plan {
        accounts: 1,
        ..Plan::default()
    });
    let mut one = world.client("a", "enwiki_p");
    one.say("select sleep(600), 'of an earlier gateway'");
    world.until("it runs", |world| world.statements().statements.pop());
    world.run_again();
    let mut other = world.client("b", "enwiki_p");
    let seen = other.value("select count(*) from information_schema.processlist");
    assert_eq!(seen, "1");
}
