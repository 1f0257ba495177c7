//! What counts as use of a route, and what is counted for an operator.

use std::thread::sleep;
use std::time::Duration;

use crate::backend::Backend;
use crate::facts::{Fact, check, check_on, differs, ours, same};
use crate::program::{Program, Running, Start};
use crate::wire::{Client, SILENCE, Told};

/// Times are told in milliseconds: two of them apart are two times.
const APART: Duration = Duration::from_millis(30);

/// A websocket through the proxy.
fn websocket(running: &Running, target: &str) -> Client {
    let mut client = running.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"));
    let _ = client.head();
    client
}

fn last(running: &Running, route: &str) -> String {
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
            same(
                "an answer that takes long counts when it ends",
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

/// The lines of the metrics with this name.
fn metric(running: &Running, name: &str) -> String {
    let mut client = Client::to(running.metrics());
    client.send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    let body = client.answer().body();
    let mut lines: Vec<_> = body
        .lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        })
        .collect();
    lines.sort_unstable();
    lines.join(" | ")
}

fn counted(
    name: &'static str,
    act: impl Fn(&Running) + Sync + 'static,
    value: &'static str,
) -> Fact {
    same(
        &format!("{name} {value}"),
        value,
        move |running: &Running| {
            act(running);
            let _ = crate::wire::eventually(name, || {
                let seen = metric(running, name);
                (seen == value).then_some(()).ok_or(seen)
            });
            metric(running, name)
        },
    )
}

#[test]
fn metrics() {
    let ports = ["--metrics-ip", "127.0.0.1", "--metrics-port", "{metrics}"];
    let asked = |request: &'static str| {
        move |running: &Running| {
            let mut client = Client::to(running.metrics());
            client.send(request);
            client.answer().status()
        }
    };
    check(
        &Start::with(&ports),
        &[
            same(
                "they are text",
                "200 text/plain; *version=0.0.4*",
                |running: &Running| {
                    let mut client = Client::to(running.metrics());
                    client.send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
                    let answer = client.answer();
                    format!("{} {}", answer.status(), answer.header("content-type"))
                },
            ),
            same(
                "at this path only",
                "404",
                asked("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
            ),
            same(
                "not below it",
                "404",
                asked("GET /metrics/x HTTP/1.1\r\nHost: h\r\n\r\n"),
            ),
            same("not on the public side", "404", |running: &Running| {
                running.get("/metrics").status()
            }),
            same("every name is there", "[]", |running: &Running| {
                let mut client = Client::to(running.metrics());
                client.send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
                let body = client.answer().body();
                let missing: Vec<_> = [
                    ("api_route_get", "counter"),
                    ("api_route_add", "counter"),
                    ("api_route_delete", "counter"),
                    ("find_target_for_req", "summary"),
                    ("last_activity_updating", "summary"),
                    ("requests_ws", "counter"),
                    ("requests_web", "counter"),
                    ("requests_proxy", "counter"),
                    ("requests_api", "counter"),
                    ("process_cpu_seconds_total", "counter"),
                    ("process_resident_memory_bytes", "gauge"),
                    ("process_start_time_seconds", "gauge"),
                    ("process_open_fds", "gauge"),
                ]
                .into_iter()
                .filter(|(name, kind)| !body.contains(&format!("# TYPE {name} {kind}\n")))
                .collect();
                format!("{missing:?}")
            }),
            counted(
                "api_route_add",
                |running| running.route("/dead", "http://127.0.0.1:1"),
                "api_route_add 1",
            ),
            counted(
                "api_route_get",
                |running| drop(running.routed("")),
                "api_route_get 1",
            ),
            counted(
                "api_route_get",
                |running| drop(running.routed("/dead")),
                "api_route_get 1",
            ),
            counted(
                "api_route_delete",
                |running| drop(running.api_call("DELETE", "/api/routes/none", "")),
                "api_route_delete 1",
            ),
            counted(
                "requests_api",
                |_| (),
                "requests_api{status=\"200\"} 2 | requests_api{status=\"201\"} 1 | requests_api{status=\"404\"} 1",
            ),
            counted(
                "requests_web",
                |running| drop(running.get("/dead")),
                "requests_web 2",
            ),
            counted(
                "requests_web",
                |running| drop(running.get("/_chp_healthz")),
                "requests_web 2",
            ),
            counted(
                "requests_proxy",
                |_| (),
                "requests_proxy{status=\"404\"} 1 | requests_proxy{status=\"503\"} 1",
            ),
            counted(
                "requests_ws",
                |running| drop(websocket(running, "/dead")),
                "requests_ws 1",
            ),
            same(
                "summaries have sums and counts",
                "true true",
                |running: &Running| {
                    let sum = metric(running, "find_target_for_req_sum");
                    let count = metric(running, "find_target_for_req_count");
                    format!("{} {}", !sum.is_empty(), !count.is_empty())
                },
            ),
            same(
                "without a token",
                "200",
                asked("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"),
            ),
            differs(
                "by any method",
                "200",
                "200",
                asked("POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
            ),
        ],
    );
    check(
        &Start::default(),
        &[same(
            "without the option there are none",
            "true",
            |running: &Running| {
                std::net::TcpStream::connect(running.metrics())
                    .is_err()
                    .to_string()
            },
        )],
    );
}

#[test]
fn routes_survive_a_restart_when_they_are_kept_in_a_file() {
    check_on(
        |program| program,
        &[ours(
            "a killed proxy is back with its routes and what was posted with them",
            "200 true u",
            |program: &Program| {
                let dir = tempfile::tempdir().unwrap();
                let file = format!("file:{}/routes.json", dir.path().display());
                let start = Start::with(&["--storage-backend", &file]);
                let back = Backend::named("back");
                let mut first = start.run(*program);
                let body = format!(r#"{{"target":"{}","user":"u"}}"#, back.url());
                let _ = first.api_call("POST", "/api/routes/user/u", &body);
                let before = last(&first, "/user/u");
                let _ = first.child.kill();
                let _ = first.child.wait();
                let second = start.run(*program);
                let kept = second.routed("/user/u");
                format!(
                    "{} {} {}",
                    second.get("/user/u/x").status(),
                    last(&second, "/user/u") >= before,
                    kept["user"].as_str().unwrap_or_default()
                )
            },
        )],
    );
}
