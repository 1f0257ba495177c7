//! Servers that break the rules: what of them reaches a client, and whether it reaches the wrong one.

use crate::harness::{
    Answer, Backend, Fact, Nothing, Running, SILENCE, Start, Told, check, eventually, ours, same,
};

/// Answers a fixed text to a `GET`, and what the connection is good for afterwards.
fn fixed(
    running: &Running,
    method: &str,
    bytes: &'static [u8],
) -> (Result<Answer, Nothing>, &'static str) {
    let back = Backend::answering(bytes);
    running.route("/fixed", &back.url());
    // The probe goes to a server of its own.
    let probe = Backend::named("probe");
    running.route("/probe", &probe.url());
    let mut client = running.connect();
    client.patient(SILENCE * 3);
    client.send(format!("{method} /fixed HTTP/1.1\r\nHost: h\r\n\r\n"));
    let answer = client.answer_to(method);
    let state = if answer.is_ok() { client.state() } else { "-" };
    (answer, state)
}

fn told((answer, state): (Result<Answer, Nothing>, &'static str)) -> String {
    format!("{} {state}", answer.told())
}

/// What a server says, and what ours makes of it.
fn server(name: &str, bytes: &'static [u8], outcome: &str) -> Fact {
    ours(name, outcome, move |running: &Running| {
        told(fixed(running, "GET", bytes))
    })
}

#[test]
fn answers_that_are_no_answers() {
    check(
        &Start::default(),
        &[
            server("two lengths that differ", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", "50*"),
            server("a length and chunks", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "50*"),
            server("a length that is none", b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", "50*"),
            server("a coding that is not known", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "50*"),
            server("a 101 that nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "50*"),
            server("a status that is none", b"HTTP/1.1 20 OK\r\nContent-Length: 3\r\n\r\nabc", "50*"),
            server("another protocol", b"HTTP/2 200 OK\r\nContent-Length: 3\r\n\r\nabc", "50*"),
            server("NUL in a value", b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 3\r\n\r\nabc", "50*"),
            server("a folded line", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 3\r\n\r\nabc", "50*"),
            ours("interim answers without end", "50* || closed*", |running: &Running| {
                let back = Backend::doing(|mut client, _| {
                    let _ = client.head();
                    while client.send(b"HTTP/1.1 102 Processing\r\n\r\n") {}
                });
                running.route("/flood", &back.url());
                let mut client = running.connect();
                client.send("GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");
                let told = client.answer().status();
                drop(client);
                told
            }),
            ours("a head without end", "50*", |running: &Running| {
                let back = Backend::doing(|mut client, _| {
                    let _ = client.head();
                    client.send("HTTP/1.1 200 OK\r\n");
                    while client.send(b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n") {}
                });
                running.route("/endless", &back.url());
                running.get("/endless").status()
            }),
        ],
    );
}

#[test]
fn a_connection_is_used_again_only_when_nothing_is_left_on_it() {
    // After each answer of the first server, a second client asks: what it gets must be its own.
    let next = |name: &str, first: &'static [u8], both: &str| -> Fact {
        same(name, both, move |running: &Running| {
            let back = Backend::doing(move |mut client, number| {
                while let Ok(head) = client.head() {
                    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    if number == 0 && target.ends_with("/first") {
                        client.send(first);
                    } else {
                        client.send(format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}",
                            target.len()
                        ));
                    }
                }
            });
            running.route("/r", &back.url());
            let mut client = running.connect();
            client.send("GET /r/first HTTP/1.1\r\nHost: h\r\n\r\n");
            let _ = client.answer();
            drop(client);
            let mut answers = Vec::new();
            for _ in 0..3 {
                answers.push(running.get("/r/next").told());
            }
            answers.dedup();
            answers.join(" ")
        })
    };
    check(
        &Start::default(),
        &[
            next("bytes behind the body", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "200 /r/next"),
            next("a body behind a 204", b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "200 /r/next"),
            next("a length with a 204", b"HTTP/1.1 204 No Content\r\nContent-Length: 41\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "200 /r/next"),
            next("a body behind a 304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 41\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "200 /r/next"),
            next("bytes behind the last chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "200 /r/next"),
            same("a body behind the answer to HEAD", "200 /r/next", |running: &Running| {
                let back = Backend::doing(move |mut client, _| {
                    while let Ok(head) = client.head() {
                        if head.starts_with("HEAD ") {
                            client.send("HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
                        } else {
                            client.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n/r/next");
                        }
                    }
                });
                running.route("/r", &back.url());
                let mut client = running.connect();
                client.send("HEAD /r/first HTTP/1.1\r\nHost: h\r\n\r\n");
                let _ = client.answer_to("HEAD");
                let mut answers: Vec<_> = (0..3).map(|_| running.get("/r/next").told()).collect();
                answers.dedup();
                answers.join(" ")
            }),
            same("connections are used again", "1", |running: &Running| {
                let back = Backend::named("x");
                running.route("/again", &back.url());
                let mut client = running.connect();
                for _ in 0..10 {
                    client.send("GET /again HTTP/1.1\r\nHost: h\r\n\r\n");
                    let _ = client.answer();
                }
                back.connections().to_string()
            }),
            same("one that the server closed meanwhile is no failure", "200 200 200", |running: &Running| {
                let back = Backend::doing(|mut client, _| {
                    let _ = client.head();
                    client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                });
                running.route("/closes", &back.url());
                let mut said = Vec::new();
                for _ in 0..3 {
                    said.push(running.get("/closes").status());
                    let _ = eventually("it is closed", || match back.open() {
                        0 => Ok(()),
                        open => Err(open.to_string()),
                    });
                }
                said.join(" ")
            }),
        ],
    );
}
