//! Which wiki is where: read from each source, read again, and kept when the source or the gateway is gone.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::certificates::{Authority, Certificate};
use crate::database::Database;
use crate::world::{Plan, World};

/// A web server that gives out a folder's files, by https where it has a certificate.
struct Lists {
    process: Child,
    port: u16,
}

const SERVER: &str = "
import http.server, ssl, sys, os
port, folder, cert, key = int(sys.argv[1]), *sys.argv[2:5]
os.chdir(folder)
server = http.server.ThreadingHTTPServer(('127.0.0.1', port), http.server.SimpleHTTPRequestHandler)
if cert:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
";

impl Lists {
    fn serve(folder: &Path, certificate: Option<&Certificate>, port: u16) -> Self {
        let path = |path: Option<&Path>| path.map(Path::as_os_str).unwrap_or_default().to_owned();
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "python3", "-c", SERVER])
            .arg(port.to_string())
            .arg(folder)
            .arg(path(certificate.map(|files| files.certificate.as_path())))
            .arg(path(certificate.map(|files| files.key.as_path())))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, port }
    }
}

impl Drop for Lists {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write(folder: &Path, section: &str, wikis: &str) {
    std::fs::write(folder.join(format!("{section}.dblist")), wikis).unwrap();
}

fn knows(world: &mut World, database: &str) {
    world.until(&format!("{database} is known"), |world| {
        world
            .status()?
            .databases
            .contains_key(database)
            .then_some(())
    });
}

#[test]
fn lists_are_fetched_by_https_and_kept_when_their_server_is_gone() {
    let authority = Authority::new("lists");
    let files = authority.certify("localhost");
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s1", "enwiki # the largest\nwikidatawiki\n");
    write(folder.path(), "s2", "dewiki\n");
    let port = holt_tests::free_port().unwrap();
    let lists = Lists::serve(folder.path(), Some(&files), port);
    let settings = format!(
        "map = \"dblists\"\ndblists = \"https://localhost:{port}/\"\nmap_refresh = \"200ms\"\n"
    );
    let ca = authority.file().display().to_string();
    let mut world = World::new(Plan {
        settings: &settings,
        first_settings: "",
        env: &[("SSL_CERT_FILE", &ca)],
        ..Plan::default()
    });
    knows(&mut world, "wikidatawiki_p");
    assert_eq!(world.status().unwrap().databases["enwiki_p"], "s1");
    // One list is new; one is not there for a moment, and nobody notices.
    write(folder.path(), "s1", "enwiki\nmeta\nnewwiki\n");
    std::fs::remove_file(folder.path().join("s2.dblist")).unwrap();
    knows(&mut world, "newwiki_p");
    let known = world.status().unwrap().databases;
    assert!(!known.contains_key("wikidatawiki_p") && known["dewiki_p"] == "s2");
    // Nobody answers any more, and the gateway begins anew.
    assert_eq!(lists.port, port);
    drop(lists);
    world.until("it is told that the map is old", |world| {
        world
            .log()
            .contains("The section map cannot be read")
            .then_some(())
    });
    world.run_again();
    let known = world.status().unwrap().databases;
    assert!(
        known.contains_key("newwiki_p") && known["dewiki_p"] == "s2",
        "{known:?}"
    );
    let mut client = world.client("a", "dewiki_p");
    assert_eq!(client.value("select count(*) from page"), "1000");
    // It is back, with news.
    write(folder.path(), "s2", "dewiki\nbackwiki\n");
    let _lists = Lists::serve(folder.path(), Some(&files), port);
    knows(&mut world, "backwiki_p");
}

#[test]
fn lists_of_a_server_that_is_not_believed_are_not_read() {
    let authority = Authority::new("lists of somebody");
    let files = authority.certify("localhost");
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s1", "enwiki\n");
    let port = holt_tests::free_port().unwrap();
    let _lists = Lists::serve(folder.path(), Some(&files), port);
    let settings = format!(
        "map = \"dblists\"\ndblists = \"https://localhost:{port}\"\nmap_refresh = \"200ms\"\n"
    );
    let mut world = World::new(Plan {
        settings: &settings,
        first_settings: "",
        ..Plan::default()
    });
    world.until("it is told why", |world| {
        let log = world.log();
        (log.contains("The section map cannot be read") && log.contains("certificate"))
            .then_some(())
    });
    assert!(!world.status().unwrap().databases.contains_key("enwiki_p"));
    let unknown = world.try_client("a", "enwiki_p").unwrap_err();
    assert_eq!(unknown.code, 1049);
}

#[test]
fn lists_are_fetched_by_http_where_the_settings_say_so_and_nonsense_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s1", "enwiki\n");
    write(folder.path(), "s2", "dewiki\n");
    let port = holt_tests::free_port().unwrap();
    let _lists = Lists::serve(folder.path(), None, port);
    let settings = format!(
        "map = \"dblists\"\ndblists = \"http://127.0.0.1:{port}\"\nmap_refresh = \"200ms\"\n"
    );
    let mut world = World::new(Plan {
        settings: &settings,
        first_settings: "",
        ..Plan::default()
    });
    knows(&mut world, "enwiki_p");
    for nonsense in [
        "<html>\n<body>an error</body>\n".to_owned(),
        "x".repeat(3 << 20),
    ] {
        write(folder.path(), "s1", &nonsense);
        write(folder.path(), "s2", "");
        let read = std::time::Instant::now();
        world.until("it was read again", |_| {
            (read.elapsed() > Duration::from_secs(1)).then_some(())
        });
        let known = world.status().unwrap().databases;
        assert_eq!(
            (known["enwiki_p"].as_str(), known.len()),
            ("s1", 2),
            "{known:?}"
        );
    }
}

#[test]
fn the_table_of_the_replicas_is_read_again_and_kept_when_its_server_is_gone() {
    let server = Database::start("meta", &["enwiki_p", "meta_p"], &[]);
    let mut world = World::new(Plan {
        first: &server,
        settings: "map = \"meta_p\"\nmap_refresh = \"200ms\"\nqueue_timeout = \"1s\"",
        first_settings: "databases = [\"meta_p\"]",
        ..Plan::default()
    });
    knows(&mut world, "dewiki_p");
    server.root("insert into meta_p.wiki values ('frwiki', 'fr', 'Wikipedia', 'wikipedia', 'https://fr.wikipedia.org', 's2.labsdb', 0), ('bad/name', '', '', '', '', 's1.labsdb', 0)");
    knows(&mut world, "frwiki_p");
    server.kill();
    world.run_again();
    let known = world.status().unwrap().databases;
    assert_eq!(known["frwiki_p"], "s2", "{known:?}");
    assert_eq!(
        world
            .client("a", "dewiki_p")
            .value("select count(*) from page"),
        "1000"
    );
    let refused = world.client("a", "enwiki_p").ask("select 1").unwrap_err();
    assert!(
        refused.words.contains("No replica server of s1"),
        "{refused:?}"
    );
}

#[test]
fn a_folder_of_lists_may_go_while_the_gateway_does() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "s1", "enwiki\n");
    let settings = format!(
        "map = \"dblists\"\ndblists = \"{}\"\nmap_refresh = \"200ms\"\n",
        folder.path().display()
    );
    let mut world = World::new(Plan {
        settings: &settings,
        first_settings: "",
        ..Plan::default()
    });
    knows(&mut world, "enwiki_p");
    folder.close().unwrap();
    world.run_again();
    assert_eq!(
        world
            .client("a", "enwiki_p")
            .value("select count(*) from page"),
        "1000"
    );
}

#[test]
fn databases_of_all_sections_are_listed_in_one() {
    let world = World::usual();
    let mut client = world.client("a", "enwiki_p");
    let names = |rows: crate::raw::Rows| -> Vec<String> {
        rows.into_iter()
            .map(|row| row[0].clone().unwrap())
            .collect()
    };
    let all = names(client.ask("show databases").unwrap());
    assert_eq!(
        all,
        [
            "information_schema",
            "dewiki_p",
            "enwiki_p",
            "meta_p",
            "wikidatawiki_p"
        ]
    );
    for statement in [
        "SHOW SCHEMAS LIKE '%wiki\\_p';",
        "show databases like \"%WIKI_p\"",
    ] {
        assert_eq!(
            names(client.ask(statement).unwrap()),
            ["dewiki_p", "enwiki_p", "wikidatawiki_p"]
        );
    }
    assert!(client.ask("show databases like 'x%'").unwrap().is_empty());
    // Other forms are the server's to answer.
    let here = names(
        client
            .ask("show databases where `Database` like '%wiki%'")
            .unwrap(),
    );
    assert!(here.contains(&"enwiki_p".to_owned()), "{here:?}");
    assert_eq!(client.value("select 1"), "1");
}
