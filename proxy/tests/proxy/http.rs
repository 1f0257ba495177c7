//! Requests and answers on their way.

use std::sync::mpsc;

use crate::harness::{Proxy, Server, free_address, header, table};

#[test]
fn the_head_is_forwarded_as_it_was_but_for_what_ends_at_a_hop() {
    let proxy = Proxy::start();
    let server = Server::echo("server");
    proxy.put(&table(1, &[], &[("/user/a%20b/", Some(server.address))]));
    let answer = proxy.ask(concat!(
        "GET /user/%61%20b/x%2Fy;z//w?token=1&a=%zz HTTP/1.1\r\nHost: Hub.Test:8000\r\nX-OddCase: 1\r\nCookie: a=b\r\n",
        "Connection: X-Private, keep-alive\r\nX-Private: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\n",
        "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nx-holt-listener: internal\r\n\r\n"
    ));
    assert_eq!(answer.status(), 200);
    let (first, head) = answer.body.split_once('\n').unwrap();
    assert_eq!(first, "server");
    assert!(
        head.starts_with("GET /user/%61%20b/x%2Fy;z//w?token=1&a=%zz HTTP/1.1\r\n"),
        "{head}"
    );
    for (name, value) in [
        ("host", Some("Hub.Test:8000")),
        ("cookie", Some("a=b")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("Hub.Test:8000")),
        ("x-forwarded-port", Some("8000")),
        ("x-holt-listener", Some("public")),
        ("connection", None),
        ("x-private", None),
        ("keep-alive", None),
        ("te", None),
        ("upgrade", None),
    ] {
        assert_eq!(header(head, name).as_deref(), value, "{name} in {head}");
    }
    assert!(head.contains("X-OddCase: 1"), "{head}");
    assert_eq!(header(head, "x-request-id").unwrap().len(), 16);
    assert!(!proxy.log().contains("token=1"));
}

#[test]
fn a_trusted_proxy_in_front_is_believed() {
    let proxy = Proxy::start_with(&["--trusted-proxies", "127.0.0.0/8,::1/128"]);
    let server = Server::echo("server");
    proxy.put(&table(1, &[server.url()], &[]));
    let answer = proxy.ask(
        "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Request-Id: abc\r\n\r\n",
    );
    assert_eq!(
        header(&answer.body, "x-forwarded-for").unwrap(),
        "6.6.6.6, 127.0.0.1"
    );
    assert_eq!(header(&answer.body, "x-forwarded-proto").unwrap(), "https");
    assert_eq!(header(&answer.body, "x-request-id").unwrap(), "abc");
}

#[test]
fn an_answers_hop_by_hop_headers_end_here() {
    let proxy = Proxy::start();
    let server = Server::start(|mut client, _| {
        client.head();
        client.send("HTTP/1.1 207 Odd Words\r\nConnection: X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-CaSe: 1\r\nContent-Length: 2\r\n\r\nok");
        client.rest();
    });
    proxy.put(&table(1, &[server.url()], &[]));
    let answer = proxy.get("/");
    assert!(
        answer.head.starts_with("HTTP/1.1 207 Odd Words\r\n"),
        "{}",
        answer.head
    );
    assert_eq!(answer.header("x-private"), None);
    assert_eq!(answer.header("keep-alive"), None);
    assert_eq!(answer.head.to_lowercase().matches("set-cookie").count(), 2);
    assert!(answer.head.contains("X-CaSe: 1"), "{}", answer.head);
    assert_eq!(answer.body, "ok");
}

#[test]
fn connections_are_kept_on_both_sides() {
    let proxy = Proxy::start();
    let server = Server::echo("server");
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    for number in 0..5 {
        client.send(format!(
            "POST /{number} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n{number}"
        ));
        let answer = client.answer();
        assert!(
            answer.body.ends_with(&number.to_string()),
            "{}",
            answer.body
        );
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn an_old_connection_that_dies_is_not_the_clients_trouble() {
    // 1. The server answers one request, and ends the connection when the next one comes.
    // 2. The proxy sends the next GET again, on a new connection.
    // Each worker keeps connections of its own, and which one takes the client is the system's choice: so there is one.
    let proxy = Proxy::start_with(&["--workers", "1"]);
    let server = Server::start(|mut client, _| {
        client.head();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        client.head();
    });
    proxy.put(&table(1, &[server.url()], &[]));
    for _ in 0..3 {
        assert_eq!(proxy.get("/").body, "ok");
    }
    assert_eq!(server.connections(), 3);
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.answer().status(), 502, "a POST is sent once");
}

#[test]
fn head_has_the_length_and_no_body() {
    let proxy = Proxy::start();
    let server = Server::start(|mut client, _| {
        while !client.head().is_empty() {
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
        }
    });
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(header(&client.head(), "content-length").unwrap(), "12345");
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_chunked_body_arrives_whatever_the_method() {
    let proxy = Proxy::start();
    let server = Server::echo("server");
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    for method in ["DELETE", "OPTIONS", "GET", "POST"] {
        client.send(format!(
            "{method} /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n"
        ));
        let answer = client.answer();
        assert!(
            answer.body.ends_with("\r\n\r\nhello"),
            "{method}: {}",
            answer.body
        );
        assert_eq!(header(&answer.body, "content-length"), None);
    }
}

#[test]
fn a_client_that_expects_100_is_told_to_continue_by_the_server() {
    let proxy = Proxy::start();
    let server = Server::start(|mut client, _| {
        let head = client.head();
        assert_eq!(header(&head, "expect").as_deref(), Some("100-continue"));
        client.send("HTTP/1.1 100 Continue\r\n\r\n");
        let body = client.body(&head);
        client.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}"
        ));
    });
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    client.send("PUT /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.send("hi");
    assert!(client.answer().body.ends_with("hi"));
}

#[test]
fn events_are_passed_on_one_by_one() {
    let proxy = Proxy::start();
    let (go, went) = mpsc::channel::<()>();
    let went = std::sync::Mutex::new(went);
    let server = Server::start(move |mut client, _| {
        client.head();
        client.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        for number in 0..3 {
            client.send(format!("9\r\ndata: {number}\n\n\r\n"));
            // The next event is sent only after the client had this one.
            if went.lock().unwrap().recv().is_err() {
                return;
            }
        }
        client.send("0\r\n\r\n");
        client.rest();
    });
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    client.send("GET /events HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n");
    client.head();
    for number in 0..3 {
        assert_eq!(client.chunk(), format!("data: {number}\n\n"));
        go.send(()).unwrap();
    }
    assert_eq!(client.chunk(), "");
}

#[test]
fn large_bodies_stream_in_little_memory() {
    const SIZE: u64 = 256 << 20;
    let proxy = Proxy::start();
    let server = Server::start(|mut client, _| {
        loop {
            let head = client.head();
            if head.is_empty() {
                return;
            }
            if head.starts_with("PUT") {
                let read = client.skip(SIZE);
                client.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{read}"
                ));
                continue;
            }
            client.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..SIZE >> 20 {
                client.send(&piece);
            }
        }
    });
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
    client.head();
    assert_eq!(client.skip(SIZE), SIZE);
    client.send(format!(
        "PUT /large HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n"
    ));
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..SIZE >> 20 {
        client.send(&piece);
    }
    assert_eq!(client.answer().body, SIZE.to_string());
    assert!(proxy.peak_kib() < 64 << 10, "{} KiB", proxy.peak_kib());
}

#[test]
fn a_slow_reader_slows_the_server() {
    let proxy = Proxy::start();
    let (tell, told) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let server = Server::start(move |mut client, _| {
        client.head();
        client.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            1_u64 << 40
        ));
        let piece = vec![b'x'; 1 << 20];
        while client.try_send(&piece).is_ok() {
            tell.lock().unwrap().send(()).unwrap();
        }
    });
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client.head();
    // Sockets buffer some megabytes; then the server must be held up.
    let mut taken = 0;
    while told
        .recv_timeout(std::time::Duration::from_millis(700))
        .is_ok()
    {
        taken += 1;
        assert!(taken < 64, "the server is not held up");
    }
    assert!(proxy.peak_kib() < 64 << 10, "{} KiB", proxy.peak_kib());
    drop(client);
}

#[test]
fn an_answer_cut_short_is_seen_as_such() {
    let proxy = Proxy::start();
    let server = Server::start(|mut client, _| {
        client.head();
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    });
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client.head();
    assert_eq!(
        client.rest(),
        "5\r\nhello\r\n",
        "no end of the body is made up"
    );
}

#[test]
fn a_client_that_leaves_ends_its_request_upstream() {
    let proxy = Proxy::start();
    let (tell, told) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let server = Server::start(move |mut client, _| {
        client.head();
        tell.lock().unwrap().send("asked").unwrap();
        client.rest();
        tell.lock().unwrap().send("ended").unwrap();
    });
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    client.send("GET /long HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(told.recv().unwrap(), "asked");
    drop(client);
    assert_eq!(
        told.recv_timeout(crate::harness::PATIENCE).unwrap(),
        "ended"
    );
}

#[test]
fn a_dead_server_gets_a_sentence() {
    let proxy = Proxy::start();
    proxy.put(&table(1, &[], &[("/user/a/", Some(free_address()))]));
    let answer = proxy.get("/user/a/api/status");
    assert_eq!(answer.status(), 503);
    assert_eq!(
        answer.json()["message"],
        "the notebook server does not answer"
    );
    assert!(answer.header("retry-after").is_some());
    let page = proxy.navigate("/user/a/lab");
    assert_eq!(page.status(), 503);
    assert_eq!(
        page.header("content-type").unwrap(),
        "text/html; charset=utf-8"
    );
    assert!(page.body.contains("Your notebook server does not answer"));
    assert!(!page.body.contains("<script"));
}

#[test]
fn http_1_0_is_served() {
    let proxy = Proxy::start();
    let server = Server::echo("server");
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status(), 200);
    assert!(answer.body.contains("GET / HTTP/1.1"));
    assert_eq!(client.rest(), "");
}
