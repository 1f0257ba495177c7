//! Forgetting is quick.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::harness::{Proxy, Server, header, table, websocket_request};

fn revoke(proxy: &Proxy, kind: &str, word: &str) {
    let hash = hex::encode(Sha256::digest(word));
    let body = format!(r#"{{"{kind}":["{hash}"],"keep_seconds":600}}"#);
    let (code, text) = proxy.control("POST", "/holt/revocations", &body);
    assert_eq!(code, 204, "{text}");
}

fn ask(proxy: &Proxy, path: &str, more: &str) -> u16 {
    proxy
        .ask(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n{more}\r\n"))
        .status()
}

#[test]
fn a_revoked_credential_is_refused_wherever_it_stands() {
    let proxy = Proxy::start();
    let server = Server::echo("server");
    proxy.put(&table(
        1,
        &[server.url()],
        &[("/user/a/", Some(server.address))],
    ));
    let signed = "Cookie: x=1; jupyterhub-user-a=\"2|1:0|10:1700000000|17:jupyterhub-user-a|4:dDBr|0123abcd\"\r\n";
    let ways = [
        ("/user/a/x", "Authorization: token t0k\r\n"),
        ("/user/a/x", "Authorization: Bearer t0k\r\n"),
        ("/user/a/x?token=t0k", ""),
    ];
    let session = "Cookie: jupyterhub-session-id=s1\r\n";
    let with_cookie = format!("GET /user/a/x HTTP/1.1\r\nHost: h\r\n{signed}\r\n");
    assert!(proxy.ask(&with_cookie).body.contains("jupyterhub-user-a="));
    for (path, more) in ways {
        assert_eq!(ask(&proxy, path, more), 200, "{path} {more}");
    }
    assert_eq!(ask(&proxy, "/user/a/x", session), 200);
    revoke(&proxy, "tokens", "t0k");
    for (path, more) in ways {
        assert_eq!(ask(&proxy, path, more), 403, "{path} {more}");
    }
    // A server's own cookie outlives the server: it is taken out, so that the next one asks the hub who comes.
    let without = proxy.ask(&with_cookie);
    assert_eq!(without.status(), 200);
    let echoed = without.body;
    assert!(
        echoed.contains("x=1") && !echoed.contains("jupyterhub-user-a="),
        "{echoed}"
    );
    assert_eq!(ask(&proxy, "/user/a/x", session), 200);
    revoke(&proxy, "sessions", "s1");
    assert_eq!(ask(&proxy, "/user/a/x", session), 403);
    assert_eq!(
        ask(&proxy, "/user/a/x", "Authorization: token other\r\n"),
        200
    );
    assert_eq!(
        ask(&proxy, "/hub/home", session),
        200,
        "the hub decides for itself"
    );
    // A person is sent to sign in, and back.
    let page = proxy.ask(&format!(
        "GET /user/a/lab/x%20y?token=t0k HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n{session}\r\n"
    ));
    assert_eq!(page.status(), 302);
    assert_eq!(
        page.header("location").unwrap(),
        "/hub/login?next=%2Fuser%2Fa%2Flab%2Fx%2520y"
    );
    // They hold after a kill as well.
    let dir = proxy.kill();
    let again = Proxy::start_in(dir, &[]);
    assert_eq!(ask(&again, "/user/a/x", session), 403);
    let written = std::fs::read_to_string(again.dir.path().join("revocations.json")).unwrap();
    assert!(!written.contains("t0k"));
}

#[test]
fn open_websockets_of_a_revoked_session_are_closed_within_a_second() {
    let proxy = Proxy::start();
    let server = Server::websocket();
    proxy.put(&table(1, &[], &[("/user/a/", Some(server.address))]));
    let open = |more: &str| {
        let mut client = proxy.connect();
        client.send(websocket_request("/user/a/ws", more));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(header(&head, "connection").unwrap(), "Upgrade");
        client.send("1");
        client.exactly(1);
        client
    };
    let mut revoked = open("Cookie: jupyterhub-session-id=s1\r\n");
    let mut other = open("Cookie: jupyterhub-session-id=s2\r\n");
    let began = Instant::now();
    revoke(&proxy, "sessions", "s1");
    assert_eq!(proxy.status().websockets, 1, "204 means that it is closed");
    assert_eq!(revoked.rest(), "");
    assert!(began.elapsed() < Duration::from_secs(1));
    other.send("2");
    assert_eq!(other.exactly(1), "2");
    let mut again = proxy.connect();
    again.send(websocket_request(
        "/user/a/ws",
        "Cookie: jupyterhub-session-id=s1\r\n",
    ));
    assert_eq!(again.answer().status(), 403);
}
