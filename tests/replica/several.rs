//! Several servers in one section: who dies, who lags and who is emptied is left, and nobody waits for it.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::database::Database;
use crate::world::{Plan, World};

const MONITOR: &[&str] = &[
    "select, show view, execute on `%\\_p`.*",
    "slave monitor on *.*",
];

/// Which servers of the first section take sessions that are new.
fn used(world: &World) -> HashSet<String> {
    (0..6)
        .map(|_| world.client("a", "enwiki_p").value("select @@port"))
        .collect()
}

fn ports(servers: &[&Database]) -> HashSet<String> {
    servers
        .iter()
        .map(|server| server.port.to_string())
        .collect()
}

fn drain(world: &World, server: &Database, draining: bool) {
    let body = format!(
        "{{\"address\":\"127.0.0.1:{}\",\"draining\":{draining}}}",
        server.port
    );
    let (status, text) = world.tell("POST", "/holt/replicas/draining", &body);
    assert_eq!(status, 204, "{text}");
}

#[test]
fn a_server_that_dies_leaves_its_users_to_the_other() {
    let one = Database::start("dies", &["enwiki_p"], &[]);
    let other = Database::start("lives", &["enwiki_p"], &[]);
    let mut world = World::new(Plan {
        first: &one,
        more: &[&other],
        first_settings: "databases = [\"enwiki_p\"]",
        ..Plan::default()
    });
    assert_eq!(used(&world), ports(&[&one, &other]));
    // One that runs something there, and one that rests there with settings of its own.
    let there = || {
        loop {
            let mut client = world.client("a", "enwiki_p");
            if client.value("select @@port") == one.port.to_string() {
                return client;
            }
        }
    };
    let (mut runs, mut rests) = (there(), there());
    rests.ask("set time_zone = '+05:00'").unwrap();
    runs.say("select sleep(30)");
    world.until("it runs", |world| world.statements().statements.pop());
    one.kill();
    let lost = runs.hear().unwrap_err();
    assert!(lost.words.contains("Lost connection"), "{lost:?}");
    let began = Instant::now();
    for client in [&mut runs, &mut rests] {
        assert_eq!(client.value("select @@port"), other.port.to_string());
    }
    assert_eq!(rests.value("select @@time_zone"), "+05:00");
    assert_eq!(used(&world), ports(&[&other]));
    assert!(began.elapsed() < Duration::from_secs(4));
    let status = world.until("it is told", |world| {
        let section = world.status()?.sections.remove("s1")?;
        (!section.backends[0].up).then_some(section)
    });
    assert!(status.up && status.backends[1].up);
    one.run_again();
    world.until("both are used again", |world| {
        (used(world) == ports(&[&one, &other])).then_some(())
    });
}

/// One server copies from the other, as replicas do; then later and later, and at last not at all.
#[test]
fn a_server_that_lags_is_used_only_when_no_other_is_there() {
    let source = Database::start("source", &["enwiki_p"], &["--server-id=1", "--log-bin=bin"]);
    let copy = Database::start("copy", &["enwiki_p"], &["--server-id=2"]);
    let mut world = World::new(Plan {
        first: &source,
        more: &[&copy],
        first_settings: "databases = [\"enwiki_p\"]",
        settings: "max_lag = \"2s\"",
        grants: MONITOR,
        ..Plan::default()
    });
    source.root(
        "create user copier@'%' identified by 'c'; grant replication slave on *.* to copier@'%'",
    );
    let place = source.root("show master status");
    let mut place = place.split('\t');
    copy.root(&format!(
        "change master to master_host='127.0.0.1', master_port={}, master_user='copier', master_password='c', master_log_file='{}', master_log_pos={}, master_delay=1000; start slave",
        source.port,
        place.next().unwrap(),
        place.next().unwrap()
    ));
    let lag = |world: &World| world.status()?.sections["s1"].backends[1].lag_seconds;
    world.until("it copies and is not behind", |world| {
        lag(world).filter(|lag| *lag < 2.0)
    });
    assert_eq!(used(&world), ports(&[&source, &copy]));
    source.root("insert into enwiki_p.actor values (11, 11, 'late')");
    world.until("it is behind", |world| lag(world).filter(|lag| *lag > 2.0));
    assert_eq!(used(&world), ports(&[&source]));
    assert_eq!(
        world
            .client("a", "enwiki_p")
            .value("select count(*) from actor"),
        "11"
    );
    // Far behind is better than nothing.
    drain(&world, &source, true);
    assert_eq!(used(&world), ports(&[&copy]));
    let section = world.status().unwrap().sections["s1"].clone();
    assert!(
        section.lag_seconds.unwrap() > 2.0 && !section.stale,
        "{section:?}"
    );
    copy.root("stop slave");
    let section = world.until("it is told that nothing arrives", |world| {
        let section = world.status()?.sections.remove("s1")?;
        section.stale.then_some(section)
    });
    assert!(section.up && section.lag_seconds.is_none());
    let trouble = section.backends[1].trouble.clone().unwrap();
    assert!(trouble.contains("replication does not run"), "{trouble}");
    assert_eq!(used(&world), ports(&[&copy]));
    drain(&world, &source, false);
    assert_eq!(used(&world), ports(&[&source]));
    let stale = world.status().unwrap().sections["s1"].stale;
    assert!(!stale);
}

#[test]
fn a_server_that_is_emptied_stays_so_over_a_restart_of_the_gateway() {
    let one = Database::start("stays", &["enwiki_p"], &[]);
    let other = Database::start("emptied", &["enwiki_p"], &[]);
    let mut world = World::new(Plan {
        first: &one,
        more: &[&other],
        first_settings: "databases = [\"enwiki_p\"]",
        ..Plan::default()
    });
    let there = || {
        loop {
            let mut client = world.client("a", "enwiki_p");
            if client.value("select @@port") == other.port.to_string() {
                return client;
            }
        }
    };
    let (mut rests, mut pinned) = (there(), there());
    pinned.ask("set @a = 7").unwrap();
    drain(&world, &other, true);
    assert_eq!(used(&world), ports(&[&one]));
    assert_eq!(
        rests.value("select @@port"),
        one.port.to_string(),
        "who leaves nothing behind goes elsewhere"
    );
    assert_eq!(
        pinned.value("select @a"),
        "7",
        "who would lose something stays"
    );
    world.run_again();
    assert_eq!(used(&world), ports(&[&one]));
    assert!(world.status().unwrap().sections["s1"].backends[1].draining);
    drain(&world, &other, false);
    assert_eq!(used(&world), ports(&[&one, &other]));
    world.run_again();
    assert_eq!(used(&world), ports(&[&one, &other]));
    let (status, _) = world.tell(
        "POST",
        "/holt/replicas/draining",
        "{\"address\":\"nowhere:1\",\"draining\":true}",
    );
    assert_eq!(status, 404);
}
