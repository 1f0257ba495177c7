//! One address for all wikis.

use crate::database::Database;
use crate::world::{Plan, World};

#[test]
fn one_session_reads_wikis_of_both_sections() {
    let world = World::usual();
    let mut client = world.client("a", "enwiki_p");
    let (first, second) = (
        Database::first().port.to_string(),
        Database::second().port.to_string(),
    );
    assert_eq!(client.value("select @@port"), first);
    assert_eq!(
        client.value("select page_title from page where page_id = 7"),
        "enwiki_p_7"
    );
    client.ask("use dewiki_p").unwrap();
    assert_eq!(client.value("select @@port"), second);
    assert_eq!(
        client.value("select page_title from page where page_id = 7"),
        "dewiki_p_7"
    );
    assert_eq!(
        client.value("select page_title from wikidatawiki_p.page where page_id = 7"),
        "wikidatawiki_p_7"
    );
    assert_eq!(
        client.value("select page_title from page where page_id = 8"),
        "dewiki_p_8"
    );
    client.send(0, b"\x02enwiki_p");
    client.word().unwrap();
    assert_eq!(client.value("select database()"), "enwiki_p");
}

#[test]
fn a_session_goes_on_as_it_was() {
    let world = World::usual();
    let mut client = world.client("a", "enwiki_p");
    for statement in [
        "set names utf8mb4",
        "set time_zone = '+03:00'",
        "set sql_mode = 'ANSI_QUOTES'",
    ] {
        client.ask(statement).unwrap();
    }
    client.ask("use dewiki_p").unwrap();
    assert_eq!(client.value("select @@time_zone"), "+03:00");
    assert_eq!(client.value("select @@sql_mode"), "ANSI_QUOTES");
    assert_eq!(client.value("select @@character_set_client"), "utf8mb4");
    assert_eq!(
        client.value("select \"page_title\" from \"page\" where page_id = 1"),
        "dewiki_p_1"
    );
}

#[test]
fn what_would_be_lost_keeps_a_session_where_it_is() {
    let world = World::usual();
    for (statement, undo, word) in [
        ("begin", Some("commit"), "transaction"),
        ("set @a = 1", None, "variables"),
        ("select get_lock('holt', 0)", None, "lock"),
    ] {
        let mut client = world.client("a", "enwiki_p");
        client.ask(statement).unwrap();
        let refused = client.ask("use dewiki_p").unwrap_err();
        assert!(refused.words.contains(word), "{refused:?}");
        let refused = client.ask("select 1 from dewiki_p.page").unwrap_err();
        assert!(refused.words.contains("s2"), "{refused:?}");
        assert_eq!(client.value("select database()"), "enwiki_p");
        if let Some(undo) = undo {
            client.ask(undo).unwrap();
            client.ask("use dewiki_p").unwrap();
        }
    }
}

#[test]
fn wikis_of_two_sections_are_not_joined() {
    let world = World::usual();
    let mut client = world.client("a", "enwiki_p");
    for statement in [
        "select * from enwiki_p.page join dewiki_p.page using (page_id)",
        "select * from page join dewiki_p.page using (page_id)",
    ] {
        let refused = client.ask(statement).unwrap_err();
        assert!(refused.words.contains("two sections"), "{refused:?}");
    }
    let unknown = client.ask("use enwiki").unwrap_err();
    assert_eq!(unknown.code, 1049);
    assert!(unknown.words.contains("enwiki_p"), "{unknown:?}");
}

#[test]
fn the_map_is_read_from_the_replicas_and_from_dblists() {
    let mut world = World::new(Plan {
        settings: "map = \"meta_p\"\n",
        first_settings: "databases = [\"meta_p\"]",
        ..Plan::default()
    });
    let known = world.until("the map was read", |world| {
        world
            .status()
            .filter(|status| status.databases.contains_key("enwiki_p"))
    });
    assert_eq!(known.databases["dewiki_p"], "s2");
    assert_eq!(
        world
            .client("a", "enwiki_p")
            .value("select count(*) from page"),
        "1000"
    );

    let lists = tempfile::tempdir().unwrap();
    std::fs::write(
        lists.path().join("s1.dblist"),
        "# comment\nenwiki\nwikidatawiki\n",
    )
    .unwrap();
    std::fs::write(lists.path().join("s2.dblist"), "dewiki\n").unwrap();
    let mut world = World::new(Plan {
        settings: &format!(
            "map = \"dblists\"\ndblists = \"{}\"\nmap_refresh = \"200ms\"\n",
            lists.path().display()
        ),
        first_settings: "",
        ..Plan::default()
    });
    world.until("the lists were read", |world| {
        world
            .status()?
            .databases
            .contains_key("wikidatawiki_p")
            .then_some(())
    });
    std::fs::write(lists.path().join("s1.dblist"), "enwiki\nnewwiki\n").unwrap();
    world.until("the lists were read again", |world| {
        world
            .status()?
            .databases
            .contains_key("newwiki_p")
            .then_some(())
    });
    lists.close().unwrap();
    assert_eq!(
        world
            .client("a", "dewiki_p")
            .value("select count(*) from page"),
        "1000",
        "what was known is kept"
    );
}

#[test]
fn procedures_bring_several_results_and_large_packets_pass() {
    let world = World::usual();
    let mut client = world.client("a", "enwiki_p");
    assert_eq!(
        client.ask("call two_results()").unwrap(),
        [[Some("1".to_owned())]]
    );
    assert_eq!(client.value("select 3"), "3");
    // More than one packet there, with the comment crossing into the next one.
    let long = "x".repeat(0xFF_FFFF - 30);
    let statement = format!("select length('{long}')");
    let payload = [b"\x03", statement.as_bytes()].concat();
    let (one, other) = payload.split_at(payload.len().min(0xFF_FFFF));
    client.send(0, one);
    if one.len() == 0xFF_FFFF {
        client.send(1, other);
    }
    assert_eq!(client.hear().unwrap(), [[Some(long.len().to_string())]]);
    client.say("select repeat('y', 17000000)");
    let mut bytes = 0;
    loop {
        let (_, payload) = client.packet().unwrap();
        if payload.first() == Some(&0xFE) && payload.len() < 9 && bytes > 1000 {
            break;
        }
        bytes += payload.len();
    }
    assert!(bytes > 17_000_000);
    assert_eq!(client.value("select 4"), "4");
}
