//! Websockets: bytes both ways after the server's own 101, and never before.

use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::mpsc;

use crate::harness::{
    Backend, Client, Fact, Nothing, PATIENCE, Running, SILENCE, Stage, Start, Told, check,
    check_on, differs, eventually, header, ours, same, websocket_request,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn open(running: &Running, target: &str, more: &str) -> (Client, String) {
    let mut client = running.connect();
    client.send(websocket_request(target, more));
    let head = client.head().unwrap_or_default();
    (client, head)
}

/// A header that reached the server.
fn reached(stage: &Stage, more: &str, name: &str) -> String {
    stage.back.take();
    let _ = open(&stage.proxy, "/x", more);
    stage.back.last().header(name)
}

fn reaches(name: &str, more: &'static str, header: &'static str, value: &str) -> Fact<Stage> {
    same(name, value, move |stage: &Stage| {
        reached(stage, more, header)
    })
}

#[test]
fn a_websocket_opens_and_carries_bytes() {
    check_on(
        Stage::before(Start::default(), Backend::websocket),
        &[
            same(
                "bytes come back",
                "101 websocket x hello",
                |stage: &Stage| {
                    let (mut client, head) = open(&stage.proxy, "/x", "");
                    client.send("hello");
                    format!(
                        "{} {} {} {}",
                        head.split(' ').nth(1).unwrap_or("-"),
                        header(&head, "upgrade").unwrap_or_default(),
                        header(&head, "sec-websocket-accept").unwrap_or_default(),
                        client
                            .exactly(5)
                            .unwrap_or_else(|nothing| nothing.told().to_owned())
                    )
                },
            ),
            same("many bytes, whatever they are", "true", |stage: &Stage| {
                let (mut client, _) = open(&stage.proxy, "/x", "");
                let sent: Vec<u8> = (0..300_000_u32)
                    .map(|number| (number % 251) as u8)
                    .collect();
                client.send(&sent);
                (client.up_to(sent.len()).0 == sent).to_string()
            }),
            differs(
                "bytes that come with the request are not lost",
                "eager",
                "silent",
                |stage: &Stage| {
                    let mut client = stage.proxy.connect();
                    client.send(websocket_request("/x", "") + "eager");
                    let _ = client.head();
                    client.patient(SILENCE);
                    client
                        .exactly(5)
                        .unwrap_or_else(|nothing| nothing.told().to_owned())
                },
            ),
            reaches("the key", "", "sec-websocket-key", KEY),
            reaches("the version", "", "sec-websocket-version", "13"),
            reaches(
                "the protocols",
                "Sec-WebSocket-Protocol: v1.kernel.websocket.jupyter.org, other\r\n",
                "sec-websocket-protocol",
                "v1.kernel.websocket.jupyter.org, other",
            ),
            reaches(
                "the extensions",
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
                "sec-websocket-extensions",
                "permessage-deflate; client_max_window_bits",
            ),
            reaches(
                "the page it comes from, of whatever origin",
                "Origin: https://evil.example\r\n",
                "origin",
                "https://evil.example",
            ),
            reaches("cookies", "Cookie: a=b\r\n", "cookie", "a=b"),
            reaches("who asks", "", "x-forwarded-for", "127.0.0.1"),
            reaches("by which scheme", "", "x-forwarded-proto", "ws"),
            reaches("at which port", "", "x-forwarded-port", "80"),
            reaches("Upgrade", "", "upgrade", "websocket"),
            same("Connection", "true", |stage: &Stage| {
                reached(stage, "", "connection")
                    .to_lowercase()
                    .contains("upgrade")
                    .to_string()
            }),
            reaches("the host is not", "", "x-forwarded-host", "-"),
            same(
                "an open one survives the removal of its route",
                "hello",
                |stage: &Stage| {
                    let back = Backend::websocket();
                    stage.proxy.route("/gone", &back.url());
                    let (mut client, _) = open(&stage.proxy, "/gone", "");
                    let _ = stage.proxy.api_call("DELETE", "/api/routes/gone", "");
                    client.send("hello");
                    client
                        .exactly(5)
                        .unwrap_or_else(|nothing| nothing.told().to_owned())
                },
            ),
        ],
    );
}

#[test]
fn what_the_server_says_first() {
    let server = |bytes: &'static str| {
        Backend::doing(move |mut client, _| {
            let _ = client.head();
            client.send(bytes);
            client.rest();
        })
    };
    check(
        &Start::default(),
        &[
            same(
                "bytes in the packet of the 101 are not lost",
                "early",
                move |running: &Running| {
                    let back = server(
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly",
                    );
                    running.route("/early", &back.url());
                    let (mut client, _) = open(running, "/early", "");
                    client
                        .exactly(5)
                        .unwrap_or_else(|nothing| nothing.told().to_owned())
                },
            ),
            same(
                "the names of the 101 keep their letters",
                "true",
                move |running: &Running| {
                    let back = server(
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: v1\r\nX-OddCase: 1\r\n\r\n",
                    );
                    running.route("/odd", &back.url());
                    let (_, head) = open(running, "/odd", "");
                    head.to_lowercase()
                        .contains("sec-websocket-protocol: v1\r\n")
                        .to_string()
                },
            ),
            same(
                "a body instead is passed on",
                "200 page",
                move |running: &Running| {
                    let back = server("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage");
                    running.route("/page", &back.url());
                    let mut client = running.connect();
                    client.send(websocket_request("/page", ""));
                    client.answer().told()
                },
            ),
            same(
                "chunks instead too",
                "404 page",
                move |running: &Running| {
                    let back = server(
                        "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npage\r\n0\r\n\r\n",
                    );
                    running.route("/chunks", &back.url());
                    let mut client = running.connect();
                    client.send(websocket_request("/chunks", ""));
                    client.answer().told()
                },
            ),
            ours(
                "a 101 to something else is none",
                "50*",
                move |running: &Running| {
                    let back = server(
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
                    );
                    running.route("/h2c", &back.url());
                    let mut client = running.connect();
                    client.send(websocket_request("/h2c", ""));
                    client
                        .head()
                        .unwrap_or_else(|nothing| nothing.told().to_owned())
                        .split(' ')
                        .nth(1)
                        .unwrap_or("-")
                        .to_owned()
                },
            ),
            ours(
                "without a 101 what follows is a request, not bytes of a tunnel",
                "403 200, 1 connection asked twice",
                |running: &Running| {
                    let back =
                        Backend::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
                    let hub = Backend::named("hub");
                    running.route("/ws", &back.url());
                    running.route("/hub", &hub.url());
                    let mut client = running.connect();
                    client.send(
                        websocket_request("/ws", "") + "GET /hub/x HTTP/1.1\r\nHost: h\r\n\r\n",
                    );
                    let first = client.answer().status();
                    let second = client.answer().status();
                    let asked = back.take().len() + hub.take().len();
                    format!(
                        "{first} {second}, {} connection asked {}",
                        back.connections(),
                        if asked == 2 { "twice" } else { "otherwise" }
                    )
                },
            ),
        ],
    );
}

#[test]
fn ends() {
    check(
        &Start::default(),
        &[
            same(
                "a client that is gone is gone for the server",
                "0",
                |running: &Running| {
                    let back = Backend::websocket();
                    running.route("/a", &back.url());
                    let (client, _) = open(running, "/a", "");
                    drop(client);
                    let _ = eventually("it is gone", || match back.open() {
                        0 => Ok(()),
                        open => Err(open.to_string()),
                    });
                    back.open().to_string()
                },
            ),
            same(
                "a server that is gone is gone for the client",
                "closed",
                |running: &Running| {
                    let back = Backend::doing(|mut client, _| {
                        let _ = client.head();
                        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
                        let _ = client.exactly(1);
                    });
                    running.route("/b", &back.url());
                    let (mut client, _) = open(running, "/b", "");
                    client.send("x");
                    client.rest().1.told().to_owned()
                },
            ),
            ours(
                "half an end is passed on, and the other half goes on",
                "last words, goodbye",
                |running: &Running| {
                    let (tell, told) = mpsc::channel();
                    let tell = Mutex::new(tell);
                    let back = Backend::doing(move |mut client, _| {
                        let _ = client.head();
                        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
                        let _ = tell.lock().unwrap().send(client.rest().0);
                        client.send("goodbye");
                    });
                    running.route("/c", &back.url());
                    let (mut client, _) = open(running, "/c", "");
                    client.send("last words");
                    client.end();
                    let heard = told.recv_timeout(PATIENCE).unwrap_or_default();
                    format!("{heard}, {}", client.rest().0)
                },
            ),
            ours(
                "a client that is gone before the answer",
                "0",
                |running: &Running| {
                    let back = Backend::doing(|mut client, _| {
                        let _ = client.head();
                        client.rest();
                    });
                    running.route("/d", &back.url());
                    let stream = std::net::TcpStream::connect(running.public()).unwrap();
                    let mut client = Client::over(stream.try_clone().unwrap());
                    client.send(websocket_request("/d", ""));
                    let _ = eventually("the server is asked", || match back.open() {
                        0 => Err("not yet".to_owned()),
                        _ => Ok(()),
                    });
                    let _ = stream.shutdown(Shutdown::Both);
                    drop(client);
                    let _ = eventually("it is gone", || match back.open() {
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
                        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
                        let piece = vec![b'x'; 1 << 20];
                        for _ in 0..64 {
                            if !client.send(&piece) {
                                return;
                            }
                        }
                        let _ = tell.lock().unwrap().send(());
                        client.rest();
                    });
                    running.route("/slow", &back.url());
                    let (_client, _) = open(running, "/slow", "");
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
fn silence_is_no_end() {
    check_on(
        Stage::before(Start::default(), Backend::websocket),
        &[same(
            "an idle websocket stays",
            "silent, then hello",
            |stage: &Stage| {
                let (mut client, _) = open(&stage.proxy, "/x", "");
                client.patient(SILENCE);
                let idle = match client.some() {
                    Err(nothing) => nothing,
                    Ok(_) => Nothing::Closed,
                };
                client.patient(PATIENCE);
                client.send("hello");
                format!(
                    "{}, then {}",
                    idle.told(),
                    client.exactly(5).unwrap_or_default()
                )
            },
        )],
    );
}
