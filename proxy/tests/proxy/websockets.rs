//! Websockets: raw bytes after the upstream's own 101, and never before.

use std::sync::mpsc;

use crate::harness::{
    Client, PATIENCE, Proxy, Server, eventually, header, table, websocket_request,
};

fn open(proxy: &Proxy, path: &str, more: &str) -> (Client, String) {
    let mut client = proxy.connect();
    client.send(websocket_request(path, more));
    let head = client.head();
    (client, head)
}

#[test]
fn bytes_go_both_ways_after_the_101() {
    let proxy = Proxy::start();
    let server = Server::websocket();
    proxy.put(&table(1, &[], &[("/user/a/", Some(server.address))]));
    let (mut client, head) = open(&proxy, "/user/a/ws", "");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(header(&head, "upgrade").unwrap(), "websocket");
    assert_eq!(header(&head, "sec-websocket-accept").unwrap(), "x");
    for size in [1, 100, 100_000] {
        let text = "w".repeat(size);
        client.send(&text);
        assert_eq!(client.exactly(size), text);
    }
    assert_eq!(proxy.status().websockets, 1);
    let activity = proxy.control("GET", "/holt/activity", "").1;
    assert!(activity.contains("/user/a/"), "{activity}");
    drop(client);
    eventually("the websocket is gone", || {
        match proxy.status().websockets {
            0 => Ok(()),
            open => Err(format!("{open} are open")),
        }
    });
}

#[test]
fn bytes_in_the_packet_of_the_101_are_not_lost() {
    let proxy = Proxy::start();
    let server = Server::start(|mut client, _| {
        client.head();
        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly");
        assert_eq!(client.exactly(5), "eager");
        client.send("late");
        client.rest();
    });
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    client.send(websocket_request("/", "") + "eager");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.exactly(9), "earlylate");
}

#[test]
fn without_a_101_there_is_no_tunnel() {
    // 1. A client asks for a websocket, with a second request in the same packet.
    // 2. The server answers the first with 403: the second is a request of its own, not bytes of a tunnel.
    let proxy = Proxy::start();
    let refusing = Server::start(|mut client, _| {
        while !client.head().is_empty() {
            client.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        }
    });
    let hub = Server::echo("hub");
    proxy.put(&table(
        1,
        &[hub.url()],
        &[("/user/a/", Some(refusing.address))],
    ));
    let mut client = proxy.connect();
    client.send(
        websocket_request("/user/a/ws", "") + "GET /hub/x HTTP/1.1\r\nHost: hub.test\r\n\r\n",
    );
    let first = client.answer();
    assert_eq!((first.status(), first.body.as_str()), (403, "no"));
    let second = client.answer();
    assert!(
        second.body.starts_with("hub\nGET /hub/x "),
        "{}",
        second.body
    );
    assert_eq!(proxy.status().websockets, 0);
}

#[test]
fn an_end_is_passed_on_and_the_other_direction_goes_on() {
    let proxy = Proxy::start();
    let (tell, told) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let server = Server::start(move |mut client, _| {
        client.head();
        client.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        tell.lock().unwrap().send(client.rest()).unwrap();
        client.send("goodbye");
    });
    proxy.put(&table(1, &[server.url()], &[]));
    let (mut client, _) = open(&proxy, "/", "");
    client.send("last words");
    client.end();
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), "last words");
    assert_eq!(client.rest(), "goodbye");
}

#[test]
fn a_server_that_dies_ends_its_websockets() {
    let proxy = Proxy::start();
    let server = Server::start(|mut client, _| {
        client.head();
        client.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        client.exactly(1);
    });
    proxy.put(&table(1, &[server.url()], &[]));
    let (mut client, _) = open(&proxy, "/", "");
    client.send("x");
    assert_eq!(client.rest(), "");
    client.end();
    eventually("the websocket is gone", || {
        match proxy.status().websockets {
            0 => Ok(()),
            open => Err(format!("{open} are open")),
        }
    });
}

#[test]
fn a_slow_reader_holds_no_memory() {
    let proxy = Proxy::start();
    let (tell, told) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let server = Server::start(move |mut client, _| {
        client.head();
        client.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..64 {
            client.send(&piece);
        }
        tell.lock().unwrap().send(()).unwrap();
        client.rest();
    });
    proxy.put(&table(1, &[server.url()], &[]));
    let (mut client, _) = open(&proxy, "/", "");
    let held = told.recv_timeout(std::time::Duration::from_millis(700));
    assert!(held.is_err(), "the server is not held up");
    assert_eq!(client.skip(64 << 20), 64 << 20);
    told.recv_timeout(PATIENCE).unwrap();
    assert!(proxy.peak_kib() < 64 << 10, "{} KiB", proxy.peak_kib());
}

#[test]
fn other_upgrades_are_plain_requests() {
    let proxy = Proxy::start();
    let server = Server::echo("server");
    proxy.put(&table(1, &[server.url()], &[]));
    let answer = proxy.ask(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
    );
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer.body, "upgrade"), None);
    assert_eq!(header(&answer.body, "http2-settings"), None);
}
