//! How the gateway comes in at replica servers: with TLS and without, and by each way of proving a password.

use crate::certificates::Authority;
use crate::database::Database;
use crate::world::{Plan, World};

/// A server of the first section that takes nobody without TLS.
fn enciphered(name: &str, authority: &Authority) -> Database {
    let files = authority.certify("localhost");
    Database::start(
        name,
        &["enwiki_p"],
        &[
            &format!("--ssl-cert={}", files.certificate.display()),
            &format!("--ssl-key={}", files.key.display()),
            "--require-secure-transport=ON",
        ],
    )
}

fn cipher(world: &World, launch: &str) -> String {
    let mut client = world.client(launch, "enwiki_p");
    let rows = client.ask("show status like 'Ssl_cipher'").unwrap();
    assert_eq!(
        client.value("select page_title from page where page_id = 2"),
        "enwiki_p_2"
    );
    rows[0][1].clone().unwrap()
}

#[test]
fn a_certificate_is_looked_at_where_the_settings_say_so() {
    let authority = Authority::new("right");
    let other = Authority::new("wrong");
    let server = enciphered("tls", &authority);
    let databases = "databases = [\"enwiki_p\"]";
    let verify = |authority: &Authority| {
        format!(
            "{databases}\ntls = \"verify\"\ntls_ca_file = \"{}\"",
            authority.file().display()
        )
    };
    let plan = |host, first_settings| Plan {
        first: &server,
        host,
        first_settings,
        settings: "queue_timeout = \"1s\"",
        ..Plan::default()
    };
    let right = verify(&authority);
    let world = World::new(plan("localhost", &right));
    // The first account proves its password as MariaDB's own way wants it, the second by the old one.
    assert!(cipher(&world, "a").starts_with("TLS_"));
    assert!(cipher(&world, "b").starts_with("TLS_"));
    drop(world);
    let encrypt = format!("{databases}\ntls = \"encrypt\"");
    let world = World::new(plan("127.0.0.1", &encrypt));
    assert!(cipher(&world, "a").starts_with("TLS_"));
    drop(world);

    let wrong = verify(&other);
    for (host, settings, word) in [
        ("localhost", wrong.as_str(), "invalid peer certificate"),
        ("127.0.0.1", &right, "not valid for name"),
        ("localhost", databases, "Access denied"),
    ] {
        let world = World::new(plan(host, settings));
        let refused = world.client("a", "enwiki_p").ask("select 1").unwrap_err();
        let trouble = world.status().unwrap().sections["s1"].backends[0].clone();
        assert!(!trouble.up, "{trouble:?}");
        let trouble = trouble.trouble.unwrap();
        assert!(trouble.contains(word), "{trouble}");
        assert!(
            refused.words.contains("No replica server of s1"),
            "{refused:?}"
        );
        assert_eq!(world.client("b", "dewiki_p").value("select 1"), "1");
    }
}

#[test]
fn a_server_without_tls_is_not_used_where_the_settings_want_it() {
    let world = World::new(Plan {
        first_settings: "databases = [\"enwiki_p\"]\ntls = \"encrypt\"",
        settings: "queue_timeout = \"1s\"",
        ..Plan::default()
    });
    let refused = world.client("a", "enwiki_p").ask("select 1").unwrap_err();
    assert!(refused.words.contains("does not speak TLS"), "{refused:?}");
}

/// A MySQL server asks by `caching_sha2_password`: whole when it does not know the password yet, quickly when it does.
#[test]
fn a_server_of_mysql_lets_the_gateway_in_with_tls_and_without() {
    let server = Database::mysql("mysql", &[]);
    let mut plugins = server.root("select plugin from mysql.user where user = 'root'");
    plugins.retain(|letter| letter != '\n');
    assert_eq!(plugins, "caching_sha2_password");
    for (tls, is_enciphered) in [("off", false), ("encrypt", true)] {
        let settings = format!("databases = [\"enwiki_p\"]\ntls = \"{tls}\"");
        let world = World::new(Plan {
            first: &server,
            first_settings: &settings,
            ..Plan::default()
        });
        for _ in 0..2 {
            // What it knew of passwords is forgotten.
            server.root("flush privileges");
            for _ in 0..2 {
                assert_eq!(!cipher(&world, "a").is_empty(), is_enciphered);
            }
        }
        // One session, on a MariaDB and on a MySQL.
        let mut client = world.client("b", "dewiki_p");
        assert!(client.value("select version()").contains("MariaDB"));
        client.ask("set time_zone = '+02:00'").unwrap();
        client.ask("use enwiki_p").unwrap();
        assert!(!client.value("select version()").contains("MariaDB"));
        assert_eq!(client.value("select @@time_zone"), "+02:00");
        assert_eq!(client.ask("select * from page").unwrap().len(), 3);
        let refused = client.ask("insert into page values (4, 'x')").unwrap_err();
        assert_eq!(refused.code, 1792);
        client.say("select sleep(30)");
        while world.statements().statements.is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let mut again = world.client("b", "dewiki_p");
        again.ask(&format!("kill query {}", client.number)).unwrap();
        match client.hear() {
            Ok(rows) => assert_eq!(rows[0][0].as_deref(), Some("1")),
            Err(refused) => assert_eq!(refused.code, 1317),
        }
        assert_eq!(client.value("select 5"), "5");
        let backend = world.status().unwrap().sections["s1"].backends[0].clone();
        assert_eq!((backend.up, backend.trouble), (true, None));
    }
}
