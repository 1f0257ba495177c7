//! The listener for servers: the hub's API alone, held while no hub answers.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use crate::harness::{
    Answer, Client, Hub, Proxy, eventually, header, table, websocket_request, with_internal,
};

fn connect(proxy: &Proxy, address: SocketAddr) -> Client {
    eventually("the internal listener is open", || {
        let internal = proxy.status().internal.ok_or("not asked for")?;
        match internal.error {
            None if internal.listen == address => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    Client::new(eventually("the internal listener accepts", || {
        TcpStream::connect(address).map_err(|error| error.to_string())
    }))
}

fn ask(proxy: &Proxy, address: SocketAddr, request: &str) -> Answer {
    let mut client = connect(proxy, address);
    client.send(request);
    client.answer()
}

fn get(proxy: &Proxy, address: SocketAddr, path: &str) -> Answer {
    ask(
        proxy,
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"),
    )
}

#[test]
fn only_the_api_is_carried_and_the_hub_is_told() {
    let proxy = Proxy::start();
    let path = proxy.dir.path().join("hub.sock");
    let hub = Hub::start(&path, "hub");
    let base = table(
        1,
        &[Hub::url(&path)],
        &[("/user/a/", None), ("/hub/api/odd/", None)],
    );
    let (table, address) = with_internal(base, "127.0.0.0/8");
    proxy.put(&table);
    let answer = ask(
        &proxy,
        address,
        "GET /hub/%61pi/user?x=1 HTTP/1.1\r\nHost: h\r\nx-holt-listener: public\r\nAuthorization: token t0k\r\n\r\n",
    );
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer.body, "x-holt-listener").unwrap(), "internal");
    assert_eq!(header(&answer.body, "authorization").unwrap(), "token t0k");
    assert_eq!(
        header(&answer.body, "x-forwarded-for").unwrap(),
        "127.0.0.1"
    );
    assert_eq!(
        get(&proxy, address, "/hub/api/odd/x").status(),
        200,
        "routes are not for servers"
    );
    for path in [
        "/",
        "/hub/login",
        "/user/a/",
        "/hub/apis",
        "/hub%2Fapi/x",
        "/metrics",
        "/holt/table",
    ] {
        let answer = get(&proxy, address, path);
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.json()["message"], "only /hub/api is served here");
    }
    assert_eq!(get(&proxy, address, "/hub/api/../login").status(), 400);
    let upgrade = ask(&proxy, address, &websocket_request("/hub/api/events", ""));
    assert_eq!(upgrade.status(), 404);
    assert_eq!(hub.heads.lock().unwrap().len(), 2);
    assert!(!proxy.log().contains("t0k"));
}

#[test]
fn a_request_is_held_until_a_hub_comes_and_sent_once() {
    let proxy = Proxy::start();
    let path = proxy.dir.path().join("hub.sock");
    let (table, address) = with_internal(table(1, &[Hub::url(&path)], &[]), "127.0.0.1/32");
    proxy.put(&table);
    let mut client = connect(&proxy, address);
    client.send("POST /hub/api/oauth2/token HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ncode\r\n0\r\n\r\n");
    eventually("it is held", || {
        let metrics = proxy.control("GET", "/metrics", "").1;
        metrics
            .contains("holt_proxy_waiting_requests 1")
            .then_some(())
            .ok_or(metrics)
    });
    let hub = Hub::start(&path, "hub");
    let answer = client.answer();
    assert_eq!(answer.status(), 200);
    assert!(answer.body.ends_with("\r\n\r\ncode"), "{}", answer.body);
    assert_eq!(header(&answer.body, "content-length").unwrap(), "4");
    assert_eq!(hub.heads.lock().unwrap().len(), 1);
}

#[test]
fn a_hub_that_breaks_off_gets_no_post_twice() {
    let proxy = Proxy::start();
    let breaking = crate::harness::Server::start(|mut client, _| {
        let head = client.head();
        client.body(&head);
    });
    let (table, address) = with_internal(table(1, &[breaking.url()], &[]), "127.0.0.1/32");
    proxy.put(&table);
    let post = "POST /hub/api/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(ask(&proxy, address, post).status(), 502);
    assert_eq!(breaking.connections(), 1);
}

#[test]
fn holding_ends_with_a_sentence_and_is_bounded() {
    let proxy = Proxy::start_with(&["--hold", "300ms"]);
    let (table, address) = with_internal(table(1, &["unix:/nowhere".into()], &[]), "127.0.0.1/32");
    proxy.put(&table);
    let began = Instant::now();
    let answer = get(&proxy, address, "/hub/api/user");
    assert_eq!(answer.status(), 503);
    assert!(began.elapsed().as_millis() >= 250);
    assert_eq!(
        answer.json()["message"],
        "the hub is restarting; notebook servers go on running"
    );
    let mut client = connect(&proxy, address);
    client.send(format!(
        "POST /hub/api/x HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
        2 << 20
    ));
    let _ = client.try_send(vec![b'x'; 2 << 20]);
    assert_eq!(client.answer().status(), 413);
}

#[test]
fn strangers_are_not_answered() {
    let proxy = Proxy::start();
    let (table, address) = with_internal(table(1, &[], &[]), "192.0.2.0/24");
    proxy.put(&table);
    let mut client = connect(&proxy, address);
    let _ = client.try_send("GET /hub/api HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.rest(), "");
}

#[test]
fn the_listener_follows_the_table_and_waits_for_its_address() {
    let proxy = Proxy::start();
    let path = proxy.dir.path().join("hub.sock");
    let _hub = Hub::start(&path, "hub");
    let (mut first, address) = with_internal(table(1, &[Hub::url(&path)], &[]), "127.0.0.1/32");
    let taken = TcpListener::bind(address).unwrap();
    proxy.put(&first);
    eventually("the status says why", || {
        let status = proxy.status().internal.ok_or("none")?;
        status.error.ok_or("no error".to_owned())
    });
    drop(taken);
    assert_eq!(get(&proxy, address, "/hub/api").status(), 200);
    first.generation = 2;
    let (second, other) = with_internal(first, "127.0.0.1/32");
    proxy.put(&second);
    assert_eq!(get(&proxy, other, "/hub/api").status(), 200);
    assert!(
        TcpStream::connect(address).is_err(),
        "the old listener is closed"
    );
    // An address that no interface has yet.
    let mut ahead = second;
    ahead.generation = 3;
    ahead.internal.as_mut().unwrap().listen =
        SocketAddr::new("192.0.2.77".parse().unwrap(), other.port());
    proxy.put(&ahead);
    eventually("it is open ahead of its address", || {
        let status = proxy.status().internal.ok_or("none")?;
        match status.error {
            None if status.listen.ip().to_string() == "192.0.2.77" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}
