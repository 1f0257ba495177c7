//! What counts as use of a route, and what is counted for an operator.

use std::thread::sleep;
use std::time::Duration;

use crate::harness::{
    Backend, Client, Fact, Running, SILENCE, Start, check, differs, ours, same, websocket_request,
};

/// Times are told in milliseconds: two of them apart are two times.
const APART: Duration = Duration::from_millis(30);

/// A websocket through the proxy.
pub(crate) fn websocket(running: &Running, target: &str) -> Client {
    let mut client = running.connect();
    client.send(websocket_request(target, ""));
    let _ = client.head();
    client
}

pub(crate) fn last(running: &Running, route: &str) -> String {
    running.routed(route)["last_activity"]
        .as_str()
        .unwrap_or("none")
        .to_owned()
}

/// Whether a route's time goes on while something is done; waits for it if it should.
fn counts(running: &Running, route: &str, act: impl FnOnce()) -> String {
    let before = last(running, route);
    sleep(APART);
    act();
    let began = std::time::Instant::now();
    while began.elapsed() < SILENCE {
        if last(running, route) > before {
            return "counts".to_owned();
        }
        sleep(Duration::from_millis(10));
    }
    "does not count".to_owned()
}

/// An answer with this status, by a server of its own.
fn answer(name: &str, status: &'static str, expected: &str) -> Fact {
    same(name, expected, move |running: &Running| {
        let back = Backend::answering(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        running.route("/status", &back.url());
        counts(running, "/status", || {
            let _ = running.get("/status/x");
        })
    })
}

#[test]
fn what_counts_as_use() {
    check(
        &Start::default(),
        &[
            same(
                "a new route has been used now",
                "true",
                |running: &Running| {
                    running.route("/new", "http://127.0.0.1:1");
                    (last(running, "/new").as_str() > "2020").to_string()
                },
            ),
            same("adding it again counts", "counts", |running: &Running| {
                counts(running, "/new", || {
                    running.route("/new", "http://127.0.0.1:1")
                })
            }),
            answer("an answer", "200", "counts"),
            answer("an answer without a body", "204", "counts"),
            answer("a redirect", "302", "does not count"),
            answer("not modified", "304", "does not count"),
            answer("a refusal", "403", "does not count"),
            answer("not found", "404", "does not count"),
            answer("a failure", "500", "does not count"),
            same(
                "a server that is not there",
                "does not count",
                |running: &Running| {
                    counts(running, "/new", || {
                        let _ = running.get("/new/x");
                    })
                },
            ),
            same(
                "a request's body, even when it is refused",
                "counts",
                |running: &Running| {
                    let back = Backend::answering("HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n");
                    running.route("/body", &back.url());
                    counts(running, "/body", || {
                        let _ = running
                            .ask("POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
                    })
                },
            ),
            same(
                "reading the table",
                "does not count",
                |running: &Running| {
                    counts(running, "/new", || {
                        let _ = running.routed("/new");
                    })
                },
            ),
            same(
                "only the route that was taken",
                "does not count",
                |running: &Running| {
                    let back = Backend::named("x");
                    running.route("/one", &back.url());
                    running.route("/one/deeper", &back.url());
                    counts(running, "/one", || {
                        let _ = running.get("/one/deeper/x");
                    })
                },
            ),
            // The peer counts only the end. With ours, whoever has the answer finds it counted.
            differs(
                "an answer that takes long counts when it ends",
                "counts, counts",
                "does not count, counts",
                |running: &Running| {
                    let (go, went) = std::sync::mpsc::channel::<()>();
                    let went = std::sync::Mutex::new(went);
                    let back = Backend::doing(move |mut client, _| {
                        let _ = client.head();
                        client.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
                        let _ = went.lock().unwrap().recv();
                        client.send("half");
                        client.rest();
                    });
                    running.route("/long", &back.url());
                    let mut client = running.connect();
                    let first = counts(running, "/long", || {
                        client.send("GET /long HTTP/1.1\r\nHost: h\r\n\r\n");
                        let _ = client.head();
                        let _ = client.exactly(4);
                    });
                    // Ours counts the end of what took a second.
                    sleep(Duration::from_millis(1100));
                    let second = counts(running, "/long", || {
                        let _ = go.send(());
                        let _ = client.exactly(4);
                    });
                    format!("{first}, {second}")
                },
            ),
        ],
    );
}

#[test]
fn use_of_websockets() {
    check(
        &Start::default(),
        &[
            same("opening one", "does not count", |running: &Running| {
                let back = Backend::websocket();
                running.route("/ws", &back.url());
                let mut opened = None;
                counts(running, "/ws", || opened = Some(websocket(running, "/ws")))
            }),
            same("what the client sends", "counts", |running: &Running| {
                let back = Backend::websocket();
                running.route("/ws", &back.url());
                let mut client = websocket(running, "/ws");
                counts(running, "/ws", || {
                    client.send(b"\x81\x82\0\0\0\0hi");
                })
            }),
            same(
                "also what it sends by itself, as an answer to a ping",
                "counts",
                |running: &Running| {
                    let back = Backend::websocket();
                    running.route("/ws", &back.url());
                    let mut client = websocket(running, "/ws");
                    counts(running, "/ws", || {
                        client.send(b"\x8a\x80\0\0\0\0");
                    })
                },
            ),
            same("what the server sends", "does not count", output),
        ],
    );
    check(
        &Start::with(&["--activity-count-output"]),
        &[ours(
            "what the server sends, when that is wished",
            "counts",
            output,
        )],
    );
    let frames = |bytes: &'static [u8]| {
        move |running: &Running| {
            let back = Backend::websocket();
            running.route("/ws", &back.url());
            let mut client = websocket(running, "/ws");
            counts(running, "/ws", || {
                client.send(bytes);
            })
        }
    };
    check(
        &Start::with(&["--activity-ignore-control-frames"]),
        &[
            ours(
                "a pong, when that is not wished",
                "does not count",
                frames(b"\x8a\x80\0\0\0\0"),
            ),
            ours(
                "nor a ping",
                "does not count",
                frames(b"\x89\x84\0\0\0\0ping"),
            ),
            ours("text still does", "counts", frames(b"\x81\x82\0\0\0\0hi")),
            ours(
                "text behind a pong",
                "counts",
                frames(b"\x8a\x80\0\0\0\0\x81\x82\0\0\0\0hi"),
            ),
            ours(
                "bytes of a large frame",
                "counts",
                frames(b"\x82\xff\0\0\0\0\0\x01\0\0\0\0\0\0x"),
            ),
            ours(
                "the rest of a message",
                "counts",
                frames(b"\x80\x82\0\0\0\0hi"),
            ),
        ],
    );
}

/// The server of a websocket sends, and the client only reads.
fn output(running: &Running) -> String {
    let (go, went) = std::sync::mpsc::channel::<()>();
    let went = std::sync::Mutex::new(went);
    let back = Backend::doing(move |mut client, _| {
        let _ = client.head();
        client.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        let _ = went.lock().unwrap().recv();
        client.send(b"\x81\x05hello");
        client.rest();
    });
    running.route("/ws", &back.url());
    let mut client = websocket(running, "/ws");
    counts(running, "/ws", || {
        let _ = go.send(());
        let _ = client.exactly(7);
    })
}
