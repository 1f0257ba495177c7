//! Many users and few accounts: everybody comes to their turn, and no account works for two at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::world::{Plan, World};

const USERS: i64 = 40;
const CONNECTIONS: usize = 5;
const ROUNDS: usize = 6;

/// One statement as the server saw it.
struct Seen {
    user: i64,
    account: String,
    began: String,
    ended: String,
}

#[test]
fn two_hundred_connections_of_forty_users_share_eight_accounts() {
    let mut world = World::new(Plan {
        accounts: 8,
        log: "info",
        ..Plan::default()
    });
    for user in 0..USERS {
        world.let_in(&format!("m{user}"), 100 + user);
    }
    let began = Instant::now();
    let worked = |user: i64, wiki: &str| {
        let mut client = world.client(&format!("m{user}"), wiki);
        let mut seen = Vec::new();
        for _ in 0..ROUNDS {
            let rows = client.ask("select current_user(), sysdate(6), sleep(0.02), sysdate(6), (select page_title from page where page_id = 9), @@port").unwrap();
            let mut values = rows[0].iter().map(|value| value.clone().unwrap());
            let mut next = || values.next().unwrap();
            let (account, began, _) = (next(), next(), next());
            let ended = next();
            assert_eq!(next(), format!("{wiki}_9"));
            // Each server has accounts of its own.
            let account = format!("{account} {}", next());
            seen.push(Seen {
                user,
                account,
                began,
                ended,
            });
        }
        (client, seen)
    };
    // Nobody leaves before all are done: who rests keeps a connection, and no account.
    let all: Vec<_> = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for user in 0..USERS {
            for wiki in ["enwiki_p", "dewiki_p", "enwiki_p", "dewiki_p", "enwiki_p"] {
                let worked = &worked;
                threads.push(scope.spawn(move || worked(user, wiki)));
            }
        }
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let (clients, seen): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    let seen: Vec<Seen> = seen.into_iter().flatten().collect();
    drop(clients);
    println!("{} statements in {:?}", seen.len(), began.elapsed());
    assert_eq!(seen.len(), ROUNDS * CONNECTIONS * USERS as usize);
    let mut accounts: HashMap<&str, Vec<&Seen>> = HashMap::new();
    for one in &seen {
        accounts.entry(&one.account).or_default().push(one);
    }
    assert_eq!(accounts.len(), 16, "each account worked on both servers");
    for (account, mut of) in accounts {
        of.sort_by(|one, other| one.began.cmp(&other.began));
        let mut until: (&str, i64) = ("", of[0].user);
        for one in of {
            assert!(
                one.user == until.1 || *one.began >= *until.0,
                "{account} worked for {} and {} at once",
                until.1,
                one.user
            );
            if *one.ended > *until.0 {
                until = (&one.ended, one.user);
            }
        }
    }
    let connections = world.until("all have left", |world| {
        let status = world.status()?;
        (status.connections == 0).then_some(status.connections)
    });
    assert_eq!(connections, 0);
}

#[test]
fn who_waits_for_an_account_is_told_when_it_takes_too_long() {
    let world = World::new(Plan {
        accounts: 1,
        settings: "queue_timeout = \"1s\"",
        ..Plan::default()
    });
    let mut one = world.client("a", "enwiki_p");
    let mut again = world.client("a", "dewiki_p");
    one.say("select current_user(), sleep(4)");
    while world.statements().statements.is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    // The same user's other connections go on beside it.
    let account = again.value("select current_user()");
    let mut other = world.client("b", "enwiki_p");
    let began = Instant::now();
    let refused = other.ask("select 1").unwrap_err();
    assert_eq!(refused.code, 1040);
    assert!(refused.words.contains("accounts are in use"), "{refused:?}");
    assert!((900..3000).contains(&began.elapsed().as_millis()));
    assert_eq!(one.hear().unwrap()[0][0].as_deref(), Some(account.as_str()));
    assert_eq!(other.value("select current_user()"), account);
}

#[test]
fn who_rests_gives_the_account_to_who_waits_and_does_not_notice() {
    let world = World::new(Plan {
        accounts: 1,
        settings: "queue_timeout = \"4s\"",
        ..Plan::default()
    });
    let mut one = world.client("a", "enwiki_p");
    let mut again = world.client("a", "dewiki_p");
    one.ask("set time_zone = '+07:00'").unwrap();
    again.value("select 1");
    let mut other = world.client("b", "enwiki_p");
    let began = Instant::now();
    assert_eq!(other.value("select 7"), "7");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(one.value("select @@time_zone"), "+07:00");
    assert_eq!(one.value("select database()"), "enwiki_p");
    assert_eq!(again.value("select database()"), "dewiki_p");
    // What would be lost is not taken away at once, nor kept from others for ever.
    one.ask("set @a = 5").unwrap();
    assert_eq!(one.value("select @a"), "5");
    let began = Instant::now();
    assert_eq!(other.value("select 8"), "8");
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    let ended = one.ask("select @a").unwrap_err();
    assert!(
        ended.code == 0 || ended.words.contains("others waited"),
        "{ended:?}"
    );
    assert_eq!(again.value("select 9"), "9");
}
