//! What of a request's head reaches the server, and what of an answer's head comes back.

use crate::harness::{Fact, Stage, Start, check_on, differs, ours, same};

pub(crate) fn reaches(
    name: &str,
    headers: &'static str,
    header: &'static str,
    value: &str,
) -> Fact<Stage> {
    same(name, value, move |stage: &Stage| {
        stage.reached(headers, header)
    })
}

fn reaches_by(
    name: &str,
    headers: &'static str,
    header: &'static str,
    ours: &str,
    peer: &str,
) -> Fact<Stage> {
    differs(name, ours, peer, move |stage: &Stage| {
        stage.reached(headers, header)
    })
}

#[test]
fn what_is_about_one_connection_ends_there() {
    check_on(
        Stage::set(Start::default()),
        &[
            reaches(
                "a header of the client's",
                "Host: h\r\nX-Auth: 1\r\n",
                "x-auth",
                "1",
            ),
            reaches_by(
                "named by Connection",
                "Host: h\r\nConnection: X-Auth\r\nX-Auth: 1\r\n",
                "x-auth",
                "-",
                "1",
            ),
            reaches_by(
                "named among others, in other letters",
                "Host: h\r\nConnection: close, x-AUTH\r\nX-Auth: 1\r\n",
                "x-auth",
                "-",
                "1",
            ),
            reaches(
                "Cookie cannot be named",
                "Host: h\r\nConnection: Cookie\r\nCookie: a=b\r\n",
                "cookie",
                "a=b",
            ),
            reaches(
                "nor Authorization",
                "Host: h\r\nConnection: authorization\r\nAuthorization: token x\r\n",
                "authorization",
                "token x",
            ),
            reaches("nor Host", "Host: h\r\nConnection: Host\r\n", "host", "h"),
            reaches(
                "nor X-Forwarded-For",
                "Host: h\r\nConnection: X-Forwarded-For\r\n",
                "x-forwarded-for",
                "127.0.0.1",
            ),
            reaches(
                "nor X-Forwarded-Host",
                "Host: h\r\nConnection: X-Forwarded-Host, X-Forwarded-Proto\r\n",
                "x-forwarded-host",
                "h",
            ),
            reaches_by(
                "Connection itself",
                "Host: h\r\nConnection: X-Auth\r\n",
                "connection",
                "*",
                "X-Auth",
            ),
            ours("names nothing to the server", "false", |stage: &Stage| {
                stage
                    .reached("Host: h\r\nConnection: X-Auth\r\n", "connection")
                    .contains("Auth")
                    .to_string()
            }),
            reaches_by(
                "Keep-Alive",
                "Host: h\r\nKeep-Alive: timeout=9\r\n",
                "keep-alive",
                "-",
                "timeout=9",
            ),
            reaches_by(
                "Proxy-Connection",
                "Host: h\r\nProxy-Connection: keep-alive\r\n",
                "proxy-connection",
                "-",
                "keep-alive",
            ),
            reaches_by(
                "Proxy-Authorization",
                "Host: h\r\nProxy-Authorization: Basic x\r\n",
                "proxy-authorization",
                "-",
                "Basic x",
            ),
            reaches_by("TE", "Host: h\r\nTE: trailers\r\n", "te", "-", "trailers"),
            reaches("Trailer", "Host: h\r\nTrailer: X\r\n", "trailer", "-"),
            reaches_by(
                "Upgrade to something else",
                "Host: h\r\nConnection: Upgrade\r\nUpgrade: foo\r\n",
                "upgrade",
                "-",
                "closed",
            ),
            reaches_by(
                "Transfer_Encoding, which looks like another",
                "Host: h\r\nTransfer_Encoding: chunked\r\n",
                "transfer_encoding",
                "-",
                "chunked",
            ),
            reaches_by(
                "Content_Length",
                "Host: h\r\nContent_Length: 5\r\n",
                "content_length",
                "-",
                "5",
            ),
        ],
    );
}

#[test]
fn everything_else_passes() {
    check_on(
        Stage::set(Start::default()),
        &[
            reaches(
                "cookies",
                "Host: h\r\nCookie: a=1; b=\"x y\"\r\n",
                "cookie",
                "a=1; b=\"x y\"",
            ),
            reaches(
                "a token",
                "Host: h\r\nAuthorization: token x\r\n",
                "authorization",
                "token x",
            ),
            reaches(
                "kinds",
                "Host: h\r\nAccept-Encoding: gzip, br\r\n",
                "accept-encoding",
                "gzip, br",
            ),
            reaches(
                "where from",
                "Host: h\r\nOrigin: https://o\r\n",
                "origin",
                "https://o",
            ),
            reaches(
                "lines of one name",
                "Host: h\r\nX-A: 1\r\nX-A: 2\r\n",
                "x-a",
                "1, 2",
            ),
            reaches("an empty value", "Host: h\r\nX-A:\r\n", "x-a", ""),
            reaches(
                "white space around is nothing",
                "Host: h\r\nX-A: \t b \t\r\n",
                "x-a",
                "b",
            ),
            reaches(
                "letters beyond ASCII",
                "Host: h\r\nX-A: \u{e9}\r\n",
                "x-a",
                "\u{e9}",
            ),
            same(
                "two lines of cookies are one header or two",
                "a=1; b=2",
                |stage: &Stage| {
                    stage
                        .reached("Host: h\r\nCookie: a=1\r\nCookie: b=2\r\n", "cookie")
                        .replace(", ", "; ")
                },
            ),
            differs(
                "names keep their letters",
                "true",
                "false",
                |stage: &Stage| {
                    let _ = stage.proxy.get_with("/x", "Host: h\r\nX-OddCase: 1\r\n");
                    stage.back.last().head.contains("X-OddCase: 1").to_string()
                },
            ),
            same(
                "the server is spoken to in HTTP/1.1",
                "GET /x HTTP/1.1",
                |stage: &Stage| {
                    let _ = stage.proxy.get("/x");
                    stage
                        .back
                        .last()
                        .head
                        .lines()
                        .next()
                        .unwrap_or_default()
                        .to_owned()
                },
            ),
            same(
                "a client of HTTP/1.0 too",
                "GET /x HTTP/1.1 h",
                |stage: &Stage| {
                    let _ = stage.proxy.ask("GET /x HTTP/1.0\r\nHost: h\r\n\r\n");
                    let seen = stage.back.last();
                    format!(
                        "{} {}",
                        seen.head.lines().next().unwrap_or_default(),
                        seen.header("host")
                    )
                },
            ),
            same(
                "without a host it gets the target's",
                "true",
                |stage: &Stage| {
                    let _ = stage.proxy.ask("GET /x HTTP/1.0\r\n\r\n");
                    (stage.back.last().header("host") == stage.back.address.to_string()).to_string()
                },
            ),
        ],
    );
}

#[test]
fn headers_of_the_operator() {
    check_on(
        Stage::set(Start::with(&[
            "--custom-header",
            "X-One: 1",
            "--custom-header",
            "X-Two:a:b",
            "--custom-header",
            "  x-three  :  c d  ",
            "--custom-header",
            "X-Empty:",
        ])),
        &[
            reaches("a header", "Host: h\r\n", "x-one", "1"),
            reaches(
                "in place of the client's",
                "Host: h\r\nX-One: 2\r\nx-one: 3\r\n",
                "x-one",
                "1",
            ),
            reaches("parted at the first colon", "Host: h\r\n", "x-two", "a:b"),
            reaches("without the space around", "Host: h\r\n", "x-three", "c d"),
            reaches("without a value", "Host: h\r\n", "x-empty", ""),
            same("for websockets too", "1", |stage: &Stage| {
                stage.reached("Host: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "x-one")
            }),
            reaches(
                "Connection cannot name it",
                "Host: h\r\nConnection: X-One\r\n",
                "x-one",
                "1",
            ),
        ],
    );
    check_on(
        Stage::set(Start::with(&["--change-origin"])),
        &[
            same("Host becomes the target's", "true", |stage: &Stage| {
                (stage.reached("Host: h\r\n", "host") == stage.back.address.to_string()).to_string()
            }),
            reaches(
                "what the client said is told besides",
                "Host: h\r\n",
                "x-forwarded-host",
                "h",
            ),
        ],
    );
}
