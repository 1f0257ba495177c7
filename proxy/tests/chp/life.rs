//! Listeners, environment, signals, log: what an operator sees of a start and of an end.

use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::backend::Backend;
use crate::facts::{Fact, check, check_on, differs, ours, same};
use crate::program::{Program, Running, Start, plain};
use crate::wire::{Client, SILENCE, Told, eventually};

const GET: &str = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";
const HEALTH: &str = "GET /_chp_healthz HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn listeners() {
    let api = |address: SocketAddr, running: &Running| {
        let mut client = Client::to(address);
        client.send(format!(
            "GET /api/routes HTTP/1.1\r\nHost: h\r\nAuthorization: token {}\r\n\r\n",
            running.token
        ));
        client.answer().told()
    };
    check(
        &Start::bare(&["--ip=", "--api-ip=127.0.0.1", "--port", "{public}"]),
        &[
            same(
                "an empty address is every address, of both families",
                "200",
                |running: &Running| {
                    let address = if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
                        SocketAddr::from((Ipv6Addr::LOCALHOST, running.ports.public))
                    } else {
                        running.public()
                    };
                    let mut client = Client::to(address);
                    client.send(HEALTH);
                    client.answer().status()
                },
            ),
            same("and of the older family", "200", |running: &Running| {
                running.get("/_chp_healthz").status()
            }),
            same(
                "the API's port is the next one",
                "200 {}",
                move |running: &Running| api(running.api(), running),
            ),
        ],
    );
    check(
        &Start::bare(&["--ip", "*", "--api-ip=127.0.0.1", "--port", "{public}"]),
        &[
            same("a star is every address", "200", |running: &Running| {
                running.get("/_chp_healthz").status()
            }),
            same("with a warning", "true", |running: &Running| {
                running
                    .says("warn: Interpreting ip='*' as all-interfaces")
                    .to_string()
            }),
        ],
    );
    check(
        &Start::bare(&["--ip=127.0.0.1", "--port", "{public}"]),
        &[same(
            "the API listens on loopback only",
            "200 {}",
            move |running: &Running| api(running.api(), running),
        )],
    );
}

#[test]
fn sockets() {
    let start = Start::bare(&[
        "--socket",
        "{dir}/public.sock",
        "--api-socket",
        "{dir}/api.sock",
        "--metrics-socket",
        "{dir}/metrics.sock",
    ]);
    check(
        &start,
        &[
            same(
                "the public socket serves",
                "200 {\"status\":\"OK\"}",
                |running: &Running| {
                    let mut client = Client::to_socket(&running.path.join("public.sock"));
                    client.send(HEALTH);
                    client.answer().told()
                },
            ),
            same("the API's socket serves", "200 {}", |running: &Running| {
                let mut client = Client::to_socket(&running.path.join("api.sock"));
                client.send(format!(
                    "GET /api/routes HTTP/1.1\r\nHost: h\r\nAuthorization: token {}\r\n\r\n",
                    running.token
                ));
                client.answer().told()
            }),
            same("the metrics' socket serves", "200", |running: &Running| {
                let mut client = Client::to_socket(&running.path.join("metrics.sock"));
                client.send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
                client.answer().status()
            }),
        ],
    );
    check(
        &Start::bare(&[
            "--ip=127.0.0.1",
            "--port={public}",
            "--api-socket={dir}/api.sock",
            "--api-port={api}",
        ]),
        &[same(
            "an API socket goes before an API port",
            "true false",
            |running: &Running| {
                let socket = running.path.join("api.sock").exists();
                format!("{socket} {}", TcpStream::connect(running.api()).is_ok())
            },
        )],
    );
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    check_on(
        |program| program,
        &[differs(
            "a taken port",
            "ended with 1, naming it: true",
            "goes on, naming it: true",
            move |program: &Program| {
                let dir = tempfile::tempdir().unwrap();
                let log = dir.path().join("log");
                let out = std::fs::File::create(&log).unwrap();
                let mut child = program
                    .command()
                    .args(["--ip=127.0.0.1", "--port", &port, "--api-ip=127.0.0.1"])
                    .args(["--api-port", &crate::program::free_ports(1).to_string()])
                    .stderr(out.try_clone().unwrap())
                    .stdout(out)
                    .spawn()
                    .unwrap();
                let names = eventually("it names the port", || {
                    let log = std::fs::read_to_string(&log).unwrap();
                    let named = log.contains("ddress already in use") && log.contains(&port);
                    named.then_some(()).ok_or(log)
                });
                std::thread::sleep(SILENCE);
                let end = match child.try_wait().unwrap() {
                    Some(status) => format!("ended with {}", status.code().unwrap_or(-1)),
                    None => "goes on".to_owned(),
                };
                let _ = child.kill();
                let _ = child.wait();
                format!("{end}, naming it: {}", names.is_ok())
            },
        )],
    );
}

#[test]
fn ends() {
    let start = Start::with(&[
        "--pid-file",
        "{dir}/pid",
        "--default-target",
        "http://127.0.0.1:1",
    ]);
    let end = |signal: &'static str| {
        let start = start.clone();
        move |program: &Program| {
            let mut running = start.run(*program);
            let file = running.path.join("pid");
            let named = eventually("the file is written", || {
                let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
                (text == running.child.id().to_string())
                    .then_some(())
                    .ok_or(text)
            });
            running.signal(signal);
            let status = running.end().map(|status| status.code());
            format!(
                "{status:?}, pid file {}, then {}",
                named.is_ok(),
                file.exists()
            )
        }
    };
    check_on(
        |program| program,
        &[
            same(
                "SIGTERM ends it with 2, and its pid file is gone",
                "Ok(Some(2)), pid file true, then false",
                end("TERM"),
            ),
            same(
                "SIGINT ends it with 2, and its pid file is gone",
                "Ok(Some(2)), pid file true, then false",
                end("INT"),
            ),
        ],
    );
}

#[test]
fn the_token() {
    let look = |header: &'static str| {
        move |running: &Running| {
            running
                .api_raw(&format!(
                    "GET /api/routes HTTP/1.1\r\nHost: h\r\n{header}\r\n"
                ))
                .status()
        }
    };
    check(
        &Start::default().open(),
        &[
            same("without a token the API is open", "200", look("")),
            same("and says so", "true", |running: &Running| {
                running
                    .says("warn: REST API is not authenticated.")
                    .to_string()
            }),
        ],
    );
    check(
        &Start::default()
            .open()
            .env("CONFIGPROXY_AUTH_TOKEN", "two words"),
        &[same(
            "a token with a space fits nobody",
            "403",
            look("Authorization: token two words\r\n"),
        )],
    );
    check(
        &Start::default()
            .open()
            .env("CONFIGPROXY_AUTH_TOKEN", "secret"),
        &[
            same("token", "200", look("Authorization: token secret\r\n")),
            same(
                "more than one space",
                "200",
                look("Authorization: token   secret\r\n"),
            ),
            same(
                "words before it",
                "200",
                look("Authorization: my token secret\r\n"),
            ),
            same(
                "letters before it",
                "200",
                look("Authorization: xxtoken secret\r\n"),
            ),
            same(
                "words after it",
                "200",
                look("Authorization: token secret more\r\n"),
            ),
            same("Bearer", "403", look("Authorization: Bearer secret\r\n")),
            same(
                "Token with a capital",
                "403",
                look("Authorization: Token secret\r\n"),
            ),
            same("no header", "403", look("")),
            same(
                "another token",
                "403",
                look("Authorization: token secreT\r\n"),
            ),
            same(
                "a longer token",
                "403",
                look("Authorization: token secretsecret\r\n"),
            ),
            same(
                "no token behind the word",
                "403",
                look("Authorization: token \r\n"),
            ),
            same("a refusal has no body", "403", |running: &Running| {
                running
                    .api_raw("GET /api/routes HTTP/1.1\r\nHost: h\r\n\r\n")
                    .told()
            }),
            same(
                "a token in the query is none",
                "403",
                |running: &Running| {
                    running
                        .api_raw("GET /api/routes?token=secret HTTP/1.1\r\nHost: h\r\n\r\n")
                        .told()
                },
            ),
            same(
                "the token is not in the log",
                "false",
                |running: &Running| running.log().contains("secret").to_string(),
            ),
        ],
    );
}

/// Lines of the log with these words, without time and colour.
fn lines(running: &Running, words: &str) -> String {
    let _ = running.says(words);
    let log = plain(&running.log());
    let found: Vec<_> = log.lines().filter(|line| line.contains(words)).collect();
    found.join("\n")
}

#[test]
fn log() {
    let line = |words: &'static str| move |running: &Running| lines(running, words);
    let levels = |running: &Running| {
        running.route("/x", "http://127.0.0.1:1");
        let _ = running.api_call("GET", "/api/routes/none?secret=1", "");
        let _ = running.get("/x?secret=1");
        let _ = running.get("/x/again");
    };
    check(
        &Start::with(&[
            "--default-target",
            "http://127.0.0.1:1",
            "--log-level",
            "debug",
        ]),
        &[
            same(
                "lines have time, label and level",
                "20*-*-*T*:*:*.*Z [ConfigProxy] info: Route added / -> http://127.0.0.1:1",
                line("Route added /"),
            ),
            same(
                "the banner names what is proxied to",
                "*info: Proxying http://*127.0.0.1* to http://127.0.0.1:1",
                line("Proxying "),
            ),
            same(
                "and where the API is",
                "*info: Proxy API at http://*127.0.0.1*/api/routes",
                line("Proxy API at"),
            ),
            same(
                "calls of the API are told without their query",
                "true",
                move |running: &Running| {
                    levels(running);
                    running.says("GET /api/routes/none").to_string()
                },
            ),
            same(
                "a call that did well is info",
                "*info: 201 POST /api/routes/x *",
                line("201 POST"),
            ),
            same(
                "a call that did not is a warning",
                "*warn: 404 GET /api/routes/none *",
                line("404 GET /api"),
            ),
            same(
                "a server that does not answer is an error",
                "*error: 503 GET /x *",
                line("503 GET /x "),
            ),
            same(
                "a request is told at debug",
                "*debug: PROXY WEB /x to http://127.0.0.1:1",
                line("PROXY WEB /x to"),
            ),
            same("no query is in the log", "false", |running: &Running| {
                running.log().contains("secret").to_string()
            }),
        ],
    );
    let said = |level: &str| -> Vec<Fact> {
        let expected = match level {
            "info" => "info 201 true, 404 true, debug false",
            "warn" => "info 201 false, 404 true, debug false",
            _ => "info 201 false, 404 false, debug false",
        };
        vec![same(level, expected, move |running: &Running| {
            levels(running);
            let _ = running.says("503 GET /x/again");
            let log = running.log();
            format!(
                "info 201 {}, 404 {}, debug {}",
                log.contains("201 POST"),
                log.contains("404 GET"),
                log.contains("PROXY WEB")
            )
        })]
    };
    for level in ["info", "warn", "error"] {
        check(&Start::with(&["--log-level", level]), &said(level));
    }
    check(&Start::with(&["--log-level", "WARN"]), &said("warn"));
}

#[test]
fn what_was_removed_is_taken_with_a_warning() {
    check(
        &Start::with(&[
            "--statsd-host",
            "h",
            "--statsd-port",
            "1",
            "--statsd-prefix",
            "p",
        ]),
        &[ours("statsd", "200 true", |running: &Running| {
            let answer = running.get("/_chp_healthz").status();
            format!("{answer} {}", running.says("statsd"))
        })],
    );
}

#[test]
fn keep_alive_and_timeouts() {
    let idle = |running: &Running| {
        let mut client = running.connect();
        client.send(HEALTH);
        let _ = client.answer();
        client.patient(Duration::from_secs(3));
        client.rest().1.told().to_owned()
    };
    check(
        &Start::with(&["--keep-alive-timeout", "300"]),
        &[same(
            "an idle connection ends after the time that was asked for",
            "closed",
            idle,
        )],
    );
    check(
        &Start::with(&["--timeout", "300"]),
        &[same(
            "a client that waits too long is let go",
            "closed",
            |running: &Running| {
                let mute = Backend::doing(|mut client, _| {
                    let _ = client.head();
                    client.rest();
                });
                running.route("/", &mute.url());
                running.get("/").status()
            },
        )],
    );
    check(
        &Start::with(&["--proxy-timeout", "300"]),
        &[
            same(
                "a server that says nothing is given up",
                "503",
                |running: &Running| {
                    let mute = Backend::doing(|mut client, _| {
                        let _ = client.head();
                        client.rest();
                    });
                    running.route("/mute", &mute.url());
                    running.get("/mute").status()
                },
            ),
            same("but not a websocket", "hello", |running: &Running| {
                let back = Backend::websocket();
                running.route("/ws", &back.url());
                let mut client = running.connect();
                client.send("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
                let _ = client.head();
                client.patient(SILENCE * 2);
                let early = client.some();
                client.send("hello");
                match (early, client.exactly(5)) {
                    (Err(crate::wire::Nothing::Silent), Ok(text)) => text,
                    other => format!("{other:?}"),
                }
            }),
        ],
    );
    check(
        &Start::default(),
        &[same(
            "without timeouts a slow server is waited for",
            "200",
            |running: &Running| {
                let slow = Backend::doing(|mut client, _| {
                    let _ = client.head();
                    std::thread::sleep(SILENCE);
                    client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                    client.rest();
                });
                running.route("/", &slow.url());
                running.ask(GET).status()
            },
        )],
    );
}
