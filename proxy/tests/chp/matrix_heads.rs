//! Heads that two programs could read differently: lines, hosts, targets, connections.

use crate::harness::{Stage, Start, Told, check_on, differs, ours, same};
use crate::matrix::{R, both, only_ours, row};

#[test]
fn lines_and_values() {
    check_on(
        Stage::set(Start::default()),
        &[
            both("LF alone ends a line", b"GET / HTTP/1.1\nHost: h\n\n", R),
            both(
                "LF alone ends a header",
                b"GET / HTTP/1.1\r\nHost: h\nX: 1\r\n\r\n",
                R,
            ),
            both(
                "LF alone ends the head",
                b"GET / HTTP/1.1\r\nHost: h\r\n\n",
                R,
            ),
            both(
                "CR alone in a value",
                b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
                R,
            ),
            both(
                "NUL in a value",
                b"GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
                R,
            ),
            both(
                "another control character",
                b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x01b\r\n\r\n",
                R,
            ),
            both("DEL", b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x7fb\r\n\r\n", R),
            both(
                "letters beyond ASCII",
                b"GET / HTTP/1.1\r\nHost: h\r\nX: \xc3\xa9\r\n\r\n",
                "200 open, GET / HTTP/1.1 [x: \u{e9}]",
            ),
            both(
                "a name that is empty",
                b"GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n",
                R,
            ),
            both(
                "a name with a control character",
                b"GET / HTTP/1.1\r\nHost: h\r\nX\x01: x\r\n\r\n",
                R,
            ),
            both(
                "a name with a space",
                b"GET / HTTP/1.1\r\nHost: h\r\nX Y: x\r\n\r\n",
                R,
            ),
            both(
                "a name with letters beyond ASCII",
                b"GET / HTTP/1.1\r\nHost: h\r\nX\xc3\xa9: x\r\n\r\n",
                R,
            ),
            both(
                "a line without a colon",
                b"GET / HTTP/1.1\r\nHost: h\r\nnothing\r\n\r\n",
                R,
            ),
            same("150 headers", "200 open", |stage: &Stage| {
                let many: String = (0..150)
                    .map(|number| format!("X-{number}: 1\r\n"))
                    .collect();
                stage
                    .outcome(format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n").as_bytes())
                    .chars()
                    .take(8)
                    .collect()
            }),
            differs(
                "300 headers",
                "431 closed, nothing",
                "200 open*",
                |stage: &Stage| {
                    let many: String = (0..300)
                        .map(|number| format!("X-{number}: 1\r\n"))
                        .collect();
                    stage.outcome(format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n").as_bytes())
                },
            ),
            differs(
                "a header of 17 KiB",
                "200 open",
                "431 clo",
                |stage: &Stage| {
                    let long = "x".repeat(17 * 1024);
                    stage
                        .outcome(
                            format!("GET / HTTP/1.1\r\nHost: h\r\nX: {long}\r\n\r\n").as_bytes(),
                        )
                        .chars()
                        .take(8)
                        .collect::<String>()
                        .trim_end_matches('s')
                        .to_owned()
                },
            ),
            differs(
                "a header of 70 KiB",
                "431 closed, nothing",
                "431 closed, nothing || closed, nothing",
                |stage: &Stage| {
                    let long = "x".repeat(70 * 1024);
                    stage.outcome(
                        format!("GET / HTTP/1.1\r\nHost: h\r\nX: {long}\r\n\r\n").as_bytes(),
                    )
                },
            ),
            differs(
                "headers of 70 KiB",
                "431 closed, nothing",
                "431 closed, nothing || closed, nothing",
                |stage: &Stage| {
                    let many: String = (0..70)
                        .map(|number| format!("X-{number}: {}\r\n", "x".repeat(1024)))
                        .collect();
                    stage.outcome(format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n").as_bytes())
                },
            ),
            same("a target of 9 KiB", "200 open", |stage: &Stage| {
                let long = "x".repeat(9 * 1024);
                stage
                    .outcome(format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes())
                    .chars()
                    .take(8)
                    .collect()
            }),
            differs(
                "a target of 33 KiB",
                "414 closed, nothing",
                "431 closed, nothing",
                |stage: &Stage| {
                    let long = "x".repeat(33 * 1024);
                    stage.outcome(format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes())
                },
            ),
            differs(
                "a target of 70 KiB",
                "414 closed, nothing",
                "431 closed, nothing || closed, nothing",
                |stage: &Stage| {
                    let long = "x".repeat(70 * 1024);
                    stage.outcome(format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes())
                },
            ),
        ],
    );
}

#[test]
fn hosts() {
    check_on(
        Stage::set(Start::default()),
        &[
            row(
                "two",
                b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
                R,
                "200 open, GET / HTTP/1.1",
            ),
            row(
                "two alike",
                b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
                R,
                "200 open, GET / HTTP/1.1",
            ),
            row(
                "with a space",
                b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
                R,
                "200 open, GET / HTTP/1.1 [host: a b]",
            ),
            row(
                "with a path",
                b"GET / HTTP/1.1\r\nHost: a/b?c\r\n\r\n",
                R,
                "200 open, GET / HTTP/1.1 [host: a/b?c]",
            ),
            row(
                "with a user",
                b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
                R,
                "200 open, GET / HTTP/1.1 [host: a@b]",
            ),
            row(
                "with a comma",
                b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
                R,
                "200 open, GET / HTTP/1.1 [host: a,b]",
            ),
            row(
                "a port that is none",
                b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
                R,
                "200 open, GET / HTTP/1.1 [host: a:b]",
            ),
            row(
                "a port that is too large",
                b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
                R,
                "200 open, GET / HTTP/1.1 [host: a:99999]",
            ),
            row(
                "letters beyond ASCII",
                b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n",
                R,
                "200 open, GET / HTTP/1.1 [host: *]",
            ),
            both("none", b"GET / HTTP/1.1\r\n\r\n", R),
            row(
                "empty",
                b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
                R,
                "200 open, GET / HTTP/1.1 [host: 127.0.0.1:*]",
            ),
            both(
                "an address",
                b"GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n",
                "200 open, GET / HTTP/1.1 [host: [::1]:8000]",
            ),
            row(
                "another than the target's",
                b"GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n",
                R,
                "200 open, GET /x HTTP/1.1 [host: b]",
            ),
            both(
                "the target's",
                b"GET http://h/x?y HTTP/1.1\r\nHost: h\r\n\r\n",
                "200 open, GET /x?y HTTP/1.1",
            ),
            both(
                "the target's, of https",
                b"GET https://h/x HTTP/1.1\r\nHost: h\r\n\r\n",
                "200 open, GET /x HTTP/1.1",
            ),
            both(
                "a target without a path",
                b"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n",
                "200 open, GET / HTTP/1.1",
            ),
        ],
    );
}

#[test]
fn request_lines() {
    check_on(
        Stage::set(Start::default()),
        &[
            both("a target that is an authority", b"GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", R),
            row("GET *", b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", R, "200 open, GET /* HTTP/1.1"),
            row("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "2* open, nothing", "200 open, OPTIONS /* HTTP/1.1*"),
            row("CONNECT", b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", "405 closed, nothing", "closed, nothing"),
            ours("CONNECT is told what would do", "*GET*", |stage: &Stage| {
                stage.proxy.ask("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n").header("allow")
            }),
            row("TRACE", b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", "405 closed, nothing", "200 open, TRACE / HTTP/1.1"),
            row("a method in small letters", b"get / HTTP/1.1\r\nHost: h\r\n\r\n", "400 closed, nothing || 200 open, get / HTTP/1.1", R),
            only_ours("a method that is no token", b"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", R),
            only_ours("a method of a later day", b"QUERY / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", "200 open, QUERY / HTTP/1.1 [content-length: 1] x"),
            only_ours("HTTP/0.9", b"GET /\r\n\r\n", "400 closed, nothing || 505 closed, nothing"),
            row("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: h\r\n\r\n", "505 closed, nothing", R),
            row("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505 closed, nothing", "200 *, GET / HTTP/1.1"),
            row("HTTP/3.0", b"GET / HTTP/3.0\r\nHost: h\r\n\r\n", "505 closed, nothing || 400 closed, nothing", R),
            both("a version in small letters", b"GET / http/1.1\r\nHost: h\r\n\r\n", R),
            row("another protocol", b"GET / RTSP/1.0\r\nHost: h\r\n\r\n", "400 closed, nothing || 505 closed, nothing", "200 closed, GET / HTTP/1.1"),
            row("two spaces", b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", R, "200 open, GET / HTTP/1.1"),
            both("tabs", b"GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n", R),
            both("a space at the end", b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", R),
            row("a fragment", b"GET /x#y HTTP/1.1\r\nHost: h\r\n\r\n", R, "200 open, GET /x HTTP/1.1"),
            row("a broken escape", b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", R, "500 open, nothing"),
            row("NUL, escaped", b"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", R, "200 open, GET /%00 HTTP/1.1"),
            both("letters beyond ASCII", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", R),
            both("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400 closed, nothing || 505 closed, nothing"),
            both("a PROXY line", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", R),
            both("a PROXY header", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x01\0\x02GET / HTTP/1.1\r\nHost: h\r\n\r\n", R),
            both("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", R),
            both("two empty lines before", b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "200 open, GET / HTTP/1.1"),
            both("nonsense", b"nonsense\r\n\r\n", R),
        ],
    );
}

#[test]
fn connections_expectations_and_upgrades() {
    check_on(
        Stage::set(Start::default()),
        &[
            row("a header named by Connection", b"GET / HTTP/1.1\r\nHost: h\r\nConnection: X-Auth\r\nX-Auth: 1\r\n\r\n", "200 open, GET / HTTP/1.1", "200 *, GET / HTTP/1.1 [connection: x-auth, x-auth: 1]"),
            both("close", b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "200 closed, GET / HTTP/1.1"),
            both("HTTP/1.0", b"GET / HTTP/1.0\r\nHost: h\r\n\r\n", "200 closed, GET / HTTP/1.1"),
            both("HTTP/1.0 that wishes to go on", b"GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", "200 *, GET / HTTP/1.1"),
            row("Upgrade: h2c", b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", "200 open, GET / HTTP/1.1", "closed, nothing"),
            row("Upgrade: foo, and a second request", b"GET /1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", "200 open, GET /1 HTTP/1.1 and GET /2 HTTP/1.1", "closed, nothing"),
            row("Upgrade: websocket, a second request, and an answer that is none", b"GET /1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", "200 open, GET /1 HTTP/1.1 [connection: upgrade, *upgrade: websocket] and GET /2 HTTP/1.1", "200 closed, GET /1 HTTP/1.1 *"),
            row("Sec-WebSocket-Version: 1337", b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 1337\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", "426 *, nothing || 200 *, GET / HTTP/1.1 *", "200 closed, GET / *"),
            only_ours("a websocket by POST", b"POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n", "400 closed, nothing"),
            only_ours("a websocket with a body", b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nContent-Length: 3\r\n\r\nabc", "400 closed, nothing"),
            only_ours("a websocket in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", "200 closed, GET / HTTP/1.1*"),
            only_ours("Upgrade that Connection does not name", b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", "200 open, GET / HTTP/1.1 [sec-websocket-version: 13]"),
            row("Expect: foo", b"POST / HTTP/1.1\r\nHost: h\r\nExpect: foo\r\nContent-Length: 3\r\n\r\nabc", "417 closed, nothing", "417 *, nothing"),
        ],
    );
}
