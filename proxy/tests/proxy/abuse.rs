//! Who wants more than a share: places, memory, time.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use holt_spec::control::Route;

use crate::harness::{
    Client, Proxy, Server, control, eventually, free_address, table, websocket_request,
    with_internal,
};

#[test]
fn one_server_cannot_take_all_places_at_the_internal_listener() {
    // 1. A container opens many connections, and sends a body that does not end.
    // 2. It gets a handful of them; a pending route's request waits for its server, as ever.
    let proxy = Proxy::start();
    let server = Server::echo("server");
    let pending = [("/user/a/", None)];
    let (first, address) = with_internal(table(1, &[], &pending), "127.0.0.0/8");
    proxy.put(&first);
    let open = || {
        eventually("the internal listener accepts", || {
            TcpStream::connect(address).map_err(|error| error.to_string())
        })
    };
    let mut greedy: Vec<Client> = (0..100).map(|_| Client::new(open())).collect();
    for client in &mut greedy {
        let begun = "POST /hub/api/x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\na";
        // The ones over the limit may be closed already.
        let _ = client.try_send(begun);
    }
    let refused = greedy
        .iter_mut()
        .rev()
        .take(36)
        .map(Client::rest_is_refusal)
        .filter(|refusal| *refusal)
        .count();
    assert_eq!(refused, 36);
    let mut waiting = proxy.connect();
    waiting.send("GET /user/a/api HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut second = first.clone();
    second.generation = 2;
    let url = server.url();
    second
        .routes
        .insert("/user/a/".into(), Route::Target { url });
    proxy.put(&second);
    assert_eq!(waiting.answer().status(), 200);
}

#[test]
fn a_held_body_must_come_in_one_time() {
    let proxy = Proxy::start_with(&["--head-timeout", "1s"]);
    let (first, address) = with_internal(table(1, &[], &[]), "127.0.0.0/8");
    proxy.put(&first);
    let mut client = Client::new(eventually("the internal listener accepts", || {
        TcpStream::connect(address).map_err(|error| error.to_string())
    }));
    client.send("POST /hub/api/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\na");
    assert_eq!(client.answer().status(), 408);
}

#[test]
fn a_table_with_a_bottomless_prefix_is_refused() {
    let proxy = Proxy::start();
    let deep = format!("/{}", "a/".repeat(20_000));
    let body = serde_json::to_string(&table(1, &[], &[(&deep, None)])).unwrap();
    let (code, words) = control(proxy.dir.path(), "PUT", "/holt/table", &body).unwrap();
    assert_eq!(code, 400, "{words}");
    assert!(words.contains("64 segments"), "{words}");
    assert_eq!(proxy.status().generation, 0);
}

#[test]
fn a_websocket_of_which_one_side_ended_is_not_held_for_ever() {
    // 1. The client ends its side; the server takes no notice and keeps its own open.
    // 2. After a while without a byte both are let go.
    let proxy = Proxy::start();
    let server = Server::start(|mut client, _| {
        client.head();
        client.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        );
        // Reads the end, and ends nothing.
        client.rest();
        std::thread::park_timeout(Duration::from_secs(120));
    });
    proxy.put(&table(1, &[], &[("/user/a/", Some(server.address))]));
    let mut client = proxy.connect();
    client.send(websocket_request("/user/a/ws", ""));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    drop(client);
    let began = Instant::now();
    while proxy.status().websockets > 0 {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it is still held"
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_client_that_left_while_its_server_was_on_its_way_is_not_carried_on() {
    // 1. It sends more ahead than is read, and leaves: nobody can tell by reading.
    // 2. The server comes. What it gets is only the request of who is still there.
    let proxy = Proxy::start();
    let server = Server::echo("server");
    proxy.put(&table(1, &[], &[("/user/a/", None)]));
    let mut gone = proxy.connect();
    gone.send("DELETE /user/a/api HTTP/1.1\r\nHost: h\r\n\r\n");
    gone.send("x".repeat(80_000));
    eventually("it waits", || {
        let metrics = proxy.control("GET", "/metrics", "").1;
        metrics
            .contains("holt_proxy_waiting_requests 1")
            .then_some(())
            .ok_or(metrics)
    });
    drop(gone);
    let mut there = proxy.connect();
    there.send("GET /user/a/there HTTP/1.1\r\nHost: h\r\n\r\n");
    proxy.put(&table(2, &[], &[("/user/a/", Some(server.address))]));
    assert!(
        there
            .answer()
            .body
            .starts_with("server\nGET /user/a/there ")
    );
    eventually("nobody waits", || {
        let metrics = proxy.control("GET", "/metrics", "").1;
        metrics
            .contains("holt_proxy_waiting_requests 0")
            .then_some(())
            .ok_or(metrics)
    });
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_head_that_began_with_the_request_before_is_due_as_soon() {
    let proxy = Proxy::start_with(&["--head-timeout", "1s"]);
    let server = Server::echo("server");
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    client.send("GET /one HTTP/1.1\r\nHost: h\r\n\r\nGET /two HTT");
    assert_eq!(client.answer().status(), 200);
    let began = Instant::now();
    assert_eq!(client.answer().status(), 408);
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_server_that_refused_is_asked_again_soon() {
    // A refusal is remembered for a moment, so that the tabs of a dead server do not storm; and only for a moment.
    let proxy = Proxy::start();
    let address = free_address();
    proxy.put(&table(1, &[], &[("/user/a/", Some(address))]));
    let answer = proxy.get("/user/a/");
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.header("retry-after").as_deref(), Some("2"));
    let listener = std::net::TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut client = Client::new(stream);
            client.head();
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    eventually("it is asked again", || {
        match proxy.get("/user/a/").status() {
            200 => Ok(()),
            status => Err(status.to_string()),
        }
    });
}
