//! Bodies on their way: early answers, interim answers, uploads that break off, servers that break the rules.

use std::sync::Mutex;
use std::sync::mpsc;

use crate::harness::{
    Backend, PATIENCE, Running, SILENCE, Start, Told, check, eventually, ours, same,
};

#[test]
fn bodies_stream_both_ways() {
    check(
        &Start::default(),
        &[
            same(
                "an upload of some MiB arrives whole",
                "200 8388608",
                |running: &Running| {
                    let back = Backend::named("ok");
                    running.route("/up", &back.url());
                    let mut client = running.connect();
                    client.send("POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\n\r\n");
                    let piece = vec![b'x'; 1 << 16];
                    for _ in 0..128 {
                        client.send(&piece);
                    }
                    format!("{} {}", client.answer().status(), back.last().body.len())
                },
            ),
            same(
                "a download of some MiB too",
                "8388608",
                |running: &Running| {
                    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n".to_vec();
                    bytes.extend(std::iter::repeat_n(b'x', 8 << 20));
                    let back = Backend::answering(bytes);
                    running.route("/down", &back.url());
                    running.get("/down").body().len().to_string()
                },
            ),
            same(
                "what a server has said is passed on while it goes on",
                "first then second",
                |running: &Running| {
                    let (go, went) = mpsc::channel::<()>();
                    let went = Mutex::new(went);
                    let back = Backend::doing(move |mut client, _| {
                        let _ = client.head();
                        client.send(
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
                        );
                        let _ = went.lock().unwrap().recv_timeout(PATIENCE);
                        client.send("6\r\nsecond\r\n0\r\n\r\n");
                        client.rest();
                    });
                    running.route("/events", &back.url());
                    let mut client = running.connect();
                    client.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n");
                    let _ = client.head();
                    let first = client.exactly(10).unwrap_or_default();
                    let _ = go.send(());
                    let second = client.exactly(11).unwrap_or_default();
                    format!("{} then {}", &first[3..8], &second[3..9])
                },
            ),
            same(
                "what a client has sent is passed on while it goes on",
                "hi",
                |running: &Running| {
                    let (tell, told) = mpsc::channel();
                    let tell = Mutex::new(tell);
                    let back = Backend::doing(move |mut client, _| {
                        let _ = client.head();
                        let _ = tell
                            .lock()
                            .unwrap()
                            .send(client.exactly(2).unwrap_or_default());
                        client.rest();
                    });
                    running.route("/stream", &back.url());
                    let mut client = running.connect();
                    client
                        .send("POST /stream HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhi");
                    told.recv_timeout(PATIENCE).unwrap_or_default()
                },
            ),
            same(
                "an upload that breaks off ends at the server, as a cut one",
                "cut",
                |running: &Running| {
                    let back = Backend::named("ok");
                    running.route("/cut", &back.url());
                    let mut client = running.connect();
                    client.send("POST /cut HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf");
                    let _ = eventually("the server is asked", || match back.busy() {
                        0 => Err("not yet".to_owned()),
                        _ => Ok(()),
                    });
                    drop(client);
                    let _ = eventually("the server's connection ends", || match back.open() {
                        0 => Ok(()),
                        open => Err(open.to_string()),
                    });
                    if back.last().whole {
                        "whole".to_owned()
                    } else {
                        "cut".to_owned()
                    }
                },
            ),
            same(
                "a reader that goes away lets the server go",
                "0",
                |running: &Running| {
                    let back = Backend::doing(|mut client, _| {
                        let _ = client.head();
                        client.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
                        while client.send(vec![b'x'; 1 << 16]) {}
                    });
                    running.route("/away", &back.url());
                    let mut client = running.connect();
                    client.send("GET /away HTTP/1.1\r\nHost: h\r\n\r\n");
                    let _ = client.exactly(1 << 16);
                    drop(client);
                    let _ = eventually("the server is let go", || match back.open() {
                        0 => Ok(()),
                        open => Err(open.to_string()),
                    });
                    back.open().to_string()
                },
            ),
            same(
                "a slow reader holds the server up",
                "held up",
                |running: &Running| {
                    let (tell, told) = mpsc::channel();
                    let tell = Mutex::new(tell);
                    let back = Backend::doing(move |mut client, _| {
                        let _ = client.head();
                        client.send("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
                        for _ in 0..64 {
                            if !client.send(vec![b'x'; 1 << 20]) {
                                return;
                            }
                        }
                        let _ = tell.lock().unwrap().send(());
                    });
                    running.route("/slow", &back.url());
                    let mut client = running.connect();
                    client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
                    match told.recv_timeout(SILENCE * 2) {
                        Ok(()) => "not held up".to_owned(),
                        Err(_) => "held up".to_owned(),
                    }
                },
            ),
        ],
    );
}

#[test]
fn early_answers() {
    // The server answers before it has read the body.
    let early = |running: &Running| {
        let back = Backend::doing(|mut client, _| {
            let _ = client.head();
            client.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
            client.rest();
        });
        running.route("/early", &back.url());
        back
    };
    check(
        &Start::default(),
        &[
            same(
                "the client gets it before it has sent everything",
                "413 big",
                move |running: &Running| {
                    let _back = early(running);
                    let mut client = running.connect();
                    client.send(
                        "POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nhalf",
                    );
                    client.answer().told()
                },
            ),
            ours(
                "what follows of the body is no request",
                "closed || silent",
                move |running: &Running| {
                    let back = early(running);
                    let mut client = running.connect();
                    client
                        .send("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf");
                    let _ = client.answer();
                    back.take();
                    client.patient(SILENCE);
                    client.send("GET /early HTTP/1.1\r\nHost: h\r\n\r\n");
                    client.answer().told()
                },
            ),
            ours(
                "the server's connection is not used again",
                "200 200",
                |running: &Running| {
                    // A connection on which a body was begun and not ended would take the next request for its rest.
                    let back = Backend::doing(|mut client, number| {
                        while let Ok(head) = client.head() {
                            if number == 0 && head.starts_with("POST") {
                                client.send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
                                client.rest();
                                return;
                            }
                            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                        }
                    });
                    running.route("/reuse", &back.url());
                    let mut client = running.connect();
                    client
                        .send("POST /reuse HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf");
                    let _ = client.answer();
                    format!(
                        "{} {}",
                        running.get("/reuse").status(),
                        running.get("/reuse").status()
                    )
                },
            ),
        ],
    );
}
