//! A server that is on its way.

use std::thread;
use std::time::Instant;

use crate::harness::{Proxy, Server, eventually, table, websocket_request};

/// Waits until the proxy holds a request back.
fn one_waits(proxy: &Proxy) {
    eventually("a request waits", || {
        let metrics = proxy.control("GET", "/metrics", "").1;
        metrics
            .contains("holt_proxy_waiting_requests 1")
            .then_some(())
            .ok_or(metrics)
    });
}

#[test]
fn a_person_is_sent_to_the_hub_at_once() {
    let proxy = Proxy::start();
    let hub = Server::echo("hub");
    proxy.put(&table(1, &[hub.url()], &[("/user/a/", None)]));
    let answer = proxy.navigate("/user/a/lab/tree/x");
    assert!(
        answer.body.starts_with("hub\nGET /user/a/lab/tree/x "),
        "{}",
        answer.body
    );
}

#[test]
fn a_call_waits_until_the_server_is_there() {
    let proxy = Proxy::start();
    let server = Server::echo("server");
    proxy.put(&table(1, &[], &[("/user/a/", None), ("/user/b/", None)]));
    let mut client = proxy.connect();
    client.send("POST /user/a/api HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
    one_waits(&proxy);
    // A change that is of no use to it does not wake it for good.
    proxy.put(&table(2, &[], &[("/user/a/", None)]));
    one_waits(&proxy);
    proxy.put(&table(3, &[], &[("/user/a/", Some(server.address))]));
    let answer = client.answer();
    assert!(
        answer.body.starts_with("server\nPOST /user/a/api ") && answer.body.ends_with("hi"),
        "{}",
        answer.body
    );
}

#[test]
fn a_websocket_waits_too() {
    let proxy = Proxy::start();
    let server = Server::websocket();
    proxy.put(&table(1, &[], &[("/user/a/", None)]));
    let mut client = proxy.connect();
    client.send(websocket_request("/user/a/ws", ""));
    one_waits(&proxy);
    proxy.put(&table(2, &[], &[("/user/a/", Some(server.address))]));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.send("ping");
    assert_eq!(client.exactly(4), "ping");
}

#[test]
fn a_route_that_goes_away_leads_to_the_hub() {
    let proxy = Proxy::start();
    let hub = Server::echo("hub");
    proxy.put(&table(1, &[hub.url()], &[("/user/a/", None)]));
    let mut client = proxy.connect();
    client.send("GET /user/a/api HTTP/1.1\r\nHost: h\r\n\r\n");
    one_waits(&proxy);
    proxy.put(&table(2, &[hub.url()], &[]));
    assert!(client.answer().body.starts_with("hub\nGET /user/a/api "));
}

#[test]
fn patience_ends_with_a_sentence() {
    let proxy = Proxy::start_with(&["--pending-wait", "300ms"]);
    proxy.put(&table(1, &[], &[("/user/a/", None)]));
    let began = Instant::now();
    let answer = proxy.get("/user/a/api");
    assert!(began.elapsed().as_millis() >= 300);
    assert_eq!(answer.status(), 503);
    assert_eq!(
        answer.json()["message"],
        "the notebook server is still starting"
    );
    assert!(answer.header("retry-after").is_some());
}

#[test]
fn a_client_that_leaves_waits_no_more() {
    let proxy = Proxy::start();
    proxy.put(&table(1, &[], &[("/user/a/", None)]));
    let mut client = proxy.connect();
    client.send("GET /user/a/api HTTP/1.1\r\nHost: h\r\n\r\n");
    one_waits(&proxy);
    drop(client);
    eventually("nobody waits", || {
        thread::yield_now();
        let metrics = proxy.control("GET", "/metrics", "").1;
        metrics
            .contains("holt_proxy_waiting_requests 0")
            .then_some(())
            .ok_or(metrics)
    });
}
