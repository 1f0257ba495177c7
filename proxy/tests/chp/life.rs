//! Listeners, environment, signals, log: what an operator sees of a start and of an end.

use std::time::Duration;

use crate::harness::{
    Backend, Nothing, Program, Running, SILENCE, Start, Told, check, check_on, eventually, ours,
    same, websocket_request,
};

const GET: &str = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";

const HEALTH: &str = "GET /_chp_healthz HTTP/1.1\r\nHost: h\r\n\r\n";

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

#[test]
fn the_token_of_a_file() {
    check_on(
        |program| {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("token");
            std::fs::write(&file, "of a file\n".replace(' ', "-")).unwrap();
            let file = file.display().to_string();
            let start = Start::default().open();
            (
                start.env("CONFIGPROXY_AUTH_TOKEN_FILE", &file).run(program),
                dir,
            )
        },
        &[ours(
            "it is needed, and taken without the line's end",
            "403 200",
            |(running, _): &(Running, tempfile::TempDir)| {
                let ask = |header: &str| {
                    let head = format!("GET /api/routes HTTP/1.1\r\nHost: h\r\n{header}\r\n");
                    running.api_raw(&head).status()
                };
                let without = ask("");
                format!("{without} {}", ask("Authorization: token of-a-file\r\n"))
            },
        )],
    );
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
                client.send(websocket_request("/ws", ""));
                let _ = client.head();
                client.patient(SILENCE * 2);
                let early = client.some();
                client.send("hello");
                match (early, client.exactly(5)) {
                    (Err(Nothing::Silent), Ok(text)) => text,
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
