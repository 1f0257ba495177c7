//! The default route, and what is said when nobody is there.

use crate::harness::{Hub, Proxy, Server, free_address, table};

#[test]
fn the_next_hub_is_tried_when_one_does_not_connect() {
    let proxy = Proxy::start();
    let second = Server::echo("second");
    let hubs = [
        "unix:/nowhere/hub.sock".to_owned(),
        format!("http://{}", free_address()),
        second.url(),
    ];
    proxy.put(&table(1, &hubs, &[]));
    let mut client = proxy.connect();
    client.send("POST /hub/login HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=b");
    let answer = client.answer();
    assert!(
        answer.body.starts_with("second\nPOST /hub/login ") && answer.body.ends_with("a=b"),
        "{}",
        answer.body
    );
}

#[test]
fn a_hub_on_a_socket_file_may_die_and_come_back() {
    let proxy = Proxy::start();
    let path = proxy.dir.path().join("hub.sock");
    proxy.put(&table(1, &[Hub::url(&path)], &[]));
    assert_eq!(proxy.get("/hub/").status(), 503);
    let hub = Hub::start(&path, "hub");
    assert!(proxy.get("/hub/").body.starts_with("hub\n"));
    std::fs::remove_file(&hub.path).unwrap();
    let _again = Hub::start(&path, "again");
    assert_eq!(proxy.get("/hub/").status(), 200);
}

#[test]
fn a_person_reads_that_the_hub_is_restarting() {
    let proxy = Proxy::start();
    proxy.put(&table(1, &["unix:/nowhere/hub.sock".to_owned()], &[]));
    let page = proxy.navigate("/hub/home");
    assert_eq!(page.status(), 503);
    assert!(page.header("retry-after").is_some());
    assert_eq!(page.header("cache-control").unwrap(), "no-store");
    assert!(page.body.contains("The hub is restarting"));
    assert!(page.body.contains("Your notebook goes on running"));
    assert!(page.body.contains("http-equiv=\"refresh\""));
    assert!(!page.body.contains("<script"));
    let call = proxy.get("/hub/api/users");
    assert_eq!(call.status(), 503);
    assert_eq!(
        call.json()["message"],
        "the hub is restarting; notebook servers go on running"
    );
}

#[test]
fn a_proxy_without_a_table_says_so_too() {
    let proxy = Proxy::start();
    assert_eq!(proxy.get("/").status(), 503);
}
