//! Slow and many clients, and what only ours does about them.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::{
    Backend, Client, Nothing, SILENCE, Stage, Start, Told, check_on, differs, eventually, ours,
    websocket_request,
};

/// What comes before the connection ends, its status only, and whether it took about so long.
fn ends_with(client: &mut Client, at_least: Duration) -> String {
    let began = Instant::now();
    let (said, how) = client.rest();
    let status = said.split(' ').nth(1).unwrap_or("nothing").to_owned();
    let soon = began.elapsed() + Duration::from_millis(50) < at_least;
    format!(
        "{status} {}{}",
        how.told(),
        if soon { " too soon" } else { "" }
    )
}

#[test]
fn slow_clients() {
    let second = Duration::from_millis(500);
    check_on(
        Stage::set(Start::with(&[
            "--head-timeout",
            "500ms",
            "--stall-timeout",
            "500ms",
        ])),
        &[
            ours(
                "half a head is answered with 408 and the end",
                "408 closed",
                move |stage: &Stage| {
                    let mut client = stage.proxy.connect();
                    client.send("GET / HTTP/1.1\r\nHos");
                    ends_with(&mut client, second)
                },
            ),
            ours(
                "no head at all only with the end",
                "nothing closed",
                move |stage: &Stage| ends_with(&mut stage.proxy.connect(), second),
            ),
            ours(
                "a head that trickles is no better",
                "408 closed",
                |stage: &Stage| {
                    let mut client = stage.proxy.connect();
                    client.send("GET / HTTP/1.1\r\nHost: h\r\nX: ");
                    client.patient(Duration::from_millis(50));
                    let began = Instant::now();
                    let mut said = Vec::new();
                    while began.elapsed() < Duration::from_secs(5) && client.send("x") {
                        match client.some() {
                            Ok(bytes) => said = bytes,
                            Err(Nothing::Closed) => break,
                            Err(Nothing::Silent) => {}
                        }
                    }
                    let status = String::from_utf8_lossy(&said)
                        .split(' ')
                        .nth(1)
                        .unwrap_or("nothing")
                        .to_owned();
                    format!(
                        "{status} {}",
                        if began.elapsed() < Duration::from_secs(4) {
                            "closed"
                        } else {
                            "still open"
                        }
                    )
                },
            ),
            ours(
                "a body that stalls ends, at the server too",
                "408 closed, cut || 400 closed, cut || nothing closed, cut",
                move |stage: &Stage| {
                    stage.back.take();
                    let mut client = stage.proxy.connect();
                    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf");
                    let ended = ends_with(&mut client, second);
                    format!(
                        "{ended}, {}",
                        if stage.back.last().whole {
                            "whole"
                        } else {
                            "cut"
                        }
                    )
                },
            ),
            // More than one, since a timer that is lost is lost by chance.
            ours("readers that stall end", "all ended", |stage: &Stage| {
                let large = Backend::doing(|mut client, _| {
                    let _ = client.head();
                    client.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
                    while client.send(vec![b'x'; 1 << 16]) {}
                });
                stage.proxy.route("/large", &large.url());
                let _clients: Vec<_> = (0..16)
                    .map(|_| {
                        let mut client = stage.proxy.connect();
                        client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
                        client
                    })
                    .collect();
                let ended = eventually("the server is let go", || {
                    match (large.connections(), large.open()) {
                        (16, 0) => Ok("all ended".to_owned()),
                        (_, open) => Err(format!("{open} are still held")),
                    }
                });
                ended.unwrap_or_else(|error| error)
            }),
            ours(
                "a server that takes its time before it answers does not stall",
                "200",
                |stage: &Stage| {
                    let slow = Backend::doing(|mut client, _| {
                        let _ = client.head();
                        std::thread::sleep(Duration::from_millis(900));
                        client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                        client.rest();
                    });
                    stage.proxy.route("/slow", &slow.url());
                    stage.proxy.get("/slow").status()
                },
            ),
            ours(
                "a body that goes on slowly does not stall",
                "200 abcd",
                |stage: &Stage| {
                    let mut client = stage.proxy.connect();
                    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
                    for letter in ["a", "b", "c", "d"] {
                        std::thread::sleep(Duration::from_millis(250));
                        client.send(letter);
                    }
                    let status = client.answer().status();
                    format!(
                        "{status} {}",
                        String::from_utf8_lossy(&stage.back.last().body)
                    )
                },
            ),
            ours("websockets do not stall", "hello", |stage: &Stage| {
                let back = Backend::websocket();
                stage.proxy.route("/ws", &back.url());
                let mut client = stage.proxy.connect();
                client.send(websocket_request("/ws", ""));
                let _ = client.head();
                client.patient(Duration::from_millis(900));
                let _ = client.some();
                client.send("hello");
                client
                    .exactly(5)
                    .unwrap_or_else(|nothing| nothing.told().to_owned())
            }),
        ],
    );
}

#[test]
fn many_clients() {
    check_on(
        Stage::set(Start::with(&["--max-connections-per-address", "3"])),
        &[
            ours(
                "the fourth connection of an address is refused",
                "200 200 200, 503 closed",
                |stage: &Stage| {
                    let mut clients: Vec<_> = (0..3).map(|_| stage.proxy.connect()).collect();
                    let served: Vec<_> = clients
                        .iter_mut()
                        .map(|client| {
                            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
                            client.answer().status()
                        })
                        .collect();
                    let mut fourth = stage.proxy.connect();
                    fourth.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
                    format!(
                        "{}, {}",
                        served.join(" "),
                        ends_with(&mut fourth, Duration::ZERO)
                    )
                },
            ),
            ours(
                "when one has gone there is room again",
                "200",
                |stage: &Stage| {
                    let answered = eventually("there is room", || {
                        match stage.proxy.get("/").status().as_str() {
                            "200" => Ok("200".to_owned()),
                            other => Err(other.to_owned()),
                        }
                    });
                    answered.unwrap_or_else(|error| error)
                },
            ),
        ],
    );
    check_on(
        Stage::set(Start::with(&["--max-connections-per-route", "2"])),
        &[ours(
            "the third request of a route is told to come again, others are served",
            "503 retry true, 200, then 200",
            |stage: &Stage| {
                let (go, went) = std::sync::mpsc::channel::<()>();
                let went = std::sync::Mutex::new(went);
                let back = Backend::doing(move |mut client, _| {
                    while client.head().is_ok() {
                        let _ = went.lock().unwrap().recv();
                        client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                    }
                });
                stage.proxy.route("/busy", &back.url());
                let mut clients: Vec<_> = (0..2).map(|_| stage.proxy.connect()).collect();
                for client in &mut clients {
                    client.send("GET /busy HTTP/1.1\r\nHost: h\r\n\r\n");
                }
                let _ = eventually("both are at the server", || match back.connections() {
                    2 => Ok(()),
                    other => Err(other.to_string()),
                });
                let third = stage.proxy.get("/busy");
                let other = stage.proxy.get("/").status();
                for _ in 0..3 {
                    let _ = go.send(());
                }
                for client in &mut clients {
                    let _ = client.answer();
                }
                let again = stage.proxy.get("/busy").status();
                let retry = third.header("retry-after") != "-";
                format!("{} retry {retry}, {other}, then {again}", third.status())
            },
        )],
    );
}

#[test]
fn who_is_behind_a_load_balancer() {
    let asked = |first: &'static [u8]| {
        move |stage: &Stage| {
            stage.back.take();
            let mut client = stage.proxy.connect();
            client.send(first);
            client.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
            client.patient(SILENCE * 2);
            let status = client.answer().status();
            match status.as_str() {
                "200" => stage.back.last().header("x-forwarded-for"),
                other => format!("{other}, {} asked", stage.back.take().len()),
            }
        }
    };
    const V2: &[u8] =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x10\0\0\x50";
    const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    const V2_TLV: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\x01\x02\x03\x04\x05\x06\x07\x08\x10\0\0\x50\x04\0\x01x";
    const V2_SIX: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x10\0\0\x50";
    check_on(
        Stage::set(Start::with(&["--proxy-protocol", "--trusted-proxies", "127.0.0.0/8"])),
        &[
            ours("the first version tells the address", "1.2.3.4", asked(b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n")),
            ours("of the newer family too", "2001:db8::1", asked(b"PROXY TCP6 2001:db8::1 2001:db8::2 1000 80\r\n")),
            ours("unknown is the balancer itself", "127.0.0.1", asked(b"PROXY UNKNOWN\r\n")),
            ours("the second version tells it", "1.2.3.4", asked(V2)),
            ours("of the newer family", "2001:db8::1", asked(V2_SIX)),
            ours("with more behind it", "1.2.3.4", asked(V2_TLV)),
            ours("a connection of the balancer's own", "127.0.0.1", asked(V2_LOCAL)),
            ours("without the line it is refused", "closed, 0 asked || 400, 0 asked", asked(b"")),
            ours("a line that is none", "closed, 0 asked || 400, 0 asked", asked(b"PROXY TCP4 1.2.3.4 x 1 2\r\n")),
            ours("a line without end", "closed, 0 asked || 400, 0 asked", asked(b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80 0000000000000000000000000000000000000000000000000000000000000000000000000000\r\n")),
        ],
    );
    check_on(
        Stage::set(Start::with(&[
            "--proxy-protocol",
            "--trusted-proxies",
            "10.0.0.0/8",
        ])),
        &[
            ours(
                "from a stranger the line is refused",
                "closed, 0 asked || 400, 0 asked",
                asked(b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n"),
            ),
            ours("without it, a stranger is served", "127.0.0.1", asked(b"")),
        ],
    );
    check_on(
        Stage::set(Start::with(&[])),
        &[differs(
            "without the option the line is refused",
            "400, 0 asked",
            "400, 0 asked",
            asked(b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n"),
        )],
    );
}

#[test]
fn workers_share_a_port() {
    check_on(
        Stage::set(Start::with(&["--workers", "3"])),
        &[
            ours("all are served", "100", |stage: &Stage| {
                let served = (0..100)
                    .filter(|_| stage.proxy.get("/").status() == "200")
                    .count();
                served.to_string()
            }),
            ours(
                "a route is seen by all at once",
                "0 late",
                |stage: &Stage| {
                    let mut late = 0;
                    for number in 0..100 {
                        let path = format!("/r{number}");
                        stage.proxy.route(&path, "http://127.0.0.1:1");
                        late += usize::from(stage.proxy.get(&path).status() != "503");
                    }
                    format!("{late} late")
                },
            ),
            ours(
                "one port is one listener for others",
                "true",
                |stage: &Stage| {
                    (TcpListener::bind(stage.proxy.public()).is_err()
                        && TcpStream::connect(stage.proxy.public()).is_ok())
                    .to_string()
                },
            ),
        ],
    );
}
