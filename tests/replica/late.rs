//! A way to a server on which a statement arrives later than the word that ends it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::database::Database;
use crate::world::{Plan, World};

/// Where the way begins, on the server's port.
const HERE: &str = "127.0.0.2";

/// Passes every connection to `HERE` on to the server. What holds `late` waits until the server has answered a KILL QUERY that came
/// after it. Counts those answers.
fn open(server: &Database, late: &'static [u8]) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind((HERE, server.port)).unwrap();
    let port = server.port;
    let killed = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&killed);
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let counts = Arc::clone(&counts);
            std::thread::spawn(move || drop(pass(&client, port, late, &counts)));
        }
    });
    killed
}

fn pass(client: &TcpStream, port: u16, late: &[u8], killed: &AtomicUsize) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", port))?;
    let is_kill = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = copy(&server, client, |_| {
                let asked = is_kill.swap(0, Ordering::SeqCst);
                killed.fetch_add(asked, Ordering::SeqCst);
            });
            let _ = client.shutdown(Shutdown::Both);
        });
        let copied = copy(client, &server, |bytes| {
            if holds(bytes, b"KILL QUERY") {
                is_kill.store(1, Ordering::SeqCst);
            }
            if holds(bytes, late) {
                let before = killed.load(Ordering::SeqCst);
                while killed.load(Ordering::SeqCst) == before {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        });
        let _ = server.shutdown(Shutdown::Both);
        copied
    })
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, before: impl Fn(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        before(&buffer[..count]);
        to.write_all(&buffer[..count])?;
    }
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn a_statement_that_arrives_after_its_end_is_ended() {
    let killed = open(Database::first(), b"sleep(29)");
    let mut world = World::new(Plan {
        host: HERE,
        ..Plan::default()
    });
    let mut client = world.client("a", "enwiki_p");
    let mut again = world.client("a", "enwiki_p");
    client.say("select sleep(29)");
    world.until("it runs", |world| world.statements().statements.pop());
    again.ask(&format!("kill query {}", client.number)).unwrap();
    assert_eq!(client.hear().unwrap_err().code, 1317);
    assert!(killed.load(Ordering::SeqCst) >= 1);
    // The session lives, and nothing ends its next statements.
    for _ in 0..3 {
        assert_eq!(client.value("select sleep(0.7)"), "0");
    }
}
