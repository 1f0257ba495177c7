//! What has no single meaning is refused, and nothing of it reaches a server.

use crate::harness::{Proxy, Server, table};

#[test]
fn malformed_requests_are_refused_and_the_connection_ends() {
    let proxy = Proxy::start();
    let server = Server::echo("server");
    proxy.put(&table(
        1,
        &[server.url()],
        &[("/user/a/", Some(server.address))],
    ));
    for (request, code) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /user/a/../b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /user/a/%2e%2e/b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /user/a%2f..%2fb/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET //x/user/a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /user/%zz/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /user/%00/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /user/%ff/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /user/\u{e9}/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n",
            417,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
            400,
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400),
    ] {
        let mut client = proxy.connect();
        client.send(request);
        let head = client.head();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {code} ")),
            "{request:?}: {head:?}"
        );
        client.rest();
    }
    let many: String = (0..300)
        .map(|number| format!("X-{number}: 1\r\n"))
        .collect();
    assert_eq!(
        proxy
            .ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"))
            .status(),
        431
    );
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_chunk_that_lies_reaches_nobody_as_a_second_request() {
    // 1. A client sends a chunked body with a broken size line, and behind it what looks like another request.
    // 2. The connection ends; the server sees at most the beginning of the first.
    let proxy = Proxy::start();
    let server = Server::echo("server");
    proxy.put(&table(1, &[server.url()], &[]));
    let mut client = proxy.connect();
    client.send("DELETE /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\nGET /stolen HTTP/1.1\r\nHost: a\r\n\r\n");
    let rest = client.rest();
    assert!(!rest.contains("stolen"), "{rest}");
    assert!(!rest.contains("200 OK"), "{rest}");
}
