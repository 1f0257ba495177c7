//! Requests that two programs could read differently: each a row, with what came of it and what reached the server.
//!
//! `400 closed, nothing` is: refused, connection ended, not a byte to the server.

use crate::backend::Backend;
use crate::facts::{Fact, check_on, differs, ours, same};
use crate::program::{Program, Running, Start};
use crate::wire::{SILENCE, Told};

/// A proxy before a server that writes down what comes.
pub(crate) struct Stage {
    pub(crate) proxy: Running,
    pub(crate) back: Backend,
}

impl Stage {
    pub(crate) fn set(program: Program) -> Self {
        let proxy = Start::default().run(program);
        let back = Backend::named("ok");
        proxy.route("/", &back.url());
        Stage { proxy, back }
    }

    /// What comes of a request: status, whether the connection goes on, and what reached the server.
    pub(crate) fn outcome(&self, request: &[u8]) -> String {
        self.back.take();
        let mut client = self.proxy.connect();
        client.send(request);
        client.patient(SILENCE * 2);
        let answer = client.answer();
        let state = match answer {
            Ok(_) => format!("{} {}", answer.status(), client.state()),
            Err(nothing) => nothing.told().to_owned(),
        };
        drop(client);
        let seen: Vec<_> = self
            .back
            .take()
            .iter()
            .filter(|seen| seen.target() != "/probe")
            .map(crate::backend::Seen::told)
            .collect();
        if seen.is_empty() {
            format!("{state}, nothing")
        } else {
            format!("{state}, {}", seen.join(" and "))
        }
    }
}

/// Refused by both.
pub(crate) const R: &str = "400 closed, nothing";

pub(crate) fn row(name: &str, request: &'static [u8], ours: &str, peer: &str) -> Fact<Stage> {
    differs(name, ours, peer, move |stage: &Stage| {
        stage.outcome(request)
    })
}

pub(crate) fn both(name: &str, request: &'static [u8], outcome: &str) -> Fact<Stage> {
    same(name, outcome, move |stage: &Stage| stage.outcome(request))
}

/// A row whose outcome at the peer is left to chance.
fn only_ours(name: &str, request: &'static [u8], outcome: &str) -> Fact<Stage> {
    ours(name, outcome, move |stage: &Stage| stage.outcome(request))
}

const CHUNKED: &str =
    "200 open, POST / HTTP/1.1 [transfer-encoding: chunked] 3\\r\\nabc\\r\\n0\\r\\n\\r\\n";
/// Refused while the head may already be on its way: then the server sees a cut request.
const CUT: &str =
    "400 closed, nothing || 400 closed, POST / HTTP/1.1 [transfer-encoding: chunked]*(cut)";
/// The same, where no answer but the end is given.
const CUT_PEER: &str =
    "400 closed, nothing || 400 closed, POST / HTTP/1.1 [transfer-encoding: chunked]*(cut)";

#[test]
fn what_frames_a_body() {
    check_on(
        Stage::set,
        &[
            both("CL, then TE", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", R),
            both("TE, then CL", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", R),
            both("chunked", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", CHUNKED),
            both("chunked in capitals", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "200 open, POST / HTTP/1.1 [transfer-encoding: chunked] 3\\r\\nabc\\r\\n0\\r\\n\\r\\n"),
            row("TE: xchunked with CL", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: xchunked\r\n\r\nabc", "400 closed, nothing || 501 closed, nothing", R),
            row("TE: xchunked", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400 closed, nothing || 501 closed, nothing", R),
            row("TE: ,chunked", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", R, "200 open, POST / HTTP/1.1 [transfer-encoding: ,chunked] 0\\r\\n\\r\\n"),
            both("TE: chunked,", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", R),
            both("two TE: chunked", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", R),
            both("TE: chunked, chunked", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", R),
            row("TE: chunked, identity", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "400 closed, nothing || 501 closed, nothing", R),
            row("TE: identity", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", "400 closed, nothing || 501 closed, nothing", R),
            row("TE: gzip, chunked", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "501 closed, nothing", "200 *, POST / HTTP/1.1 [transfer-encoding: gzip, chunked]*"),
            both("TE: chunked with a non-breaking space", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n", R),
            only_ours("TE: empty", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n", R),
            both("a space before TE's colon", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", R),
            both("a tab before TE's value", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\tchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", CHUNKED),
            row("Transfer_Encoding", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer_Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", "200 open, POST / HTTP/1.1 [content-length: 3] abc", "200 open, POST / HTTP/1.1 [content-length: 3, transfer_encoding: chunked] abc"),
            both("TE folded", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", R),
            both("another header folded", b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", R),
            both("a space before the first header", b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", R),
            row("TE in HTTP/1.0", b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", R, "200 closed, POST / HTTP/1.1 [transfer-encoding: chunked] 3\\r\\nabc\\r\\n0\\r\\n\\r\\n"),
            both("two CL that differ", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", R),
            both("two CL alike", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", R),
            both("CL: 3, 3", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc", R),
            both("CL: +3", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc", R),
            both("CL: -1", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\nabc", R),
            both("CL: 0x3", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\nabc", R),
            both("CL: empty", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", R),
            both("CL: 1_0", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1_0\r\n\r\nabcdefghij", R),
            both("CL: 3 3", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3 3\r\n\r\nabc", R),
            row("CL: 003", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 003\r\n\r\nabc", "200 open, POST / HTTP/1.1 [content-length: 3] abc", "200 open, POST / HTTP/1.1 [content-length: 003] abc"),
            both("CL: 2^64", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551616\r\n\r\nabc", R),
            both("CL: 2^64 + 3", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551619\r\n\r\nabc", R),
            both("GET with a body", b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "200 open, GET / HTTP/1.1 [content-length: 3] abc"),
            both("GET with a chunked body", b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "200 open, GET / HTTP/1.1 [transfer-encoding: chunked] 3\\r\\nabc\\r\\n0\\r\\n\\r\\n"),
            both("POST without a body", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "200 open, POST / HTTP/1.1 [content-length: 0]"),
            both("DELETE with a body", b"DELETE / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "200 open, DELETE / HTTP/1.1 [content-length: 3] abc"),
            both("two requests in one packet", b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", "200 open, POST /1 HTTP/1.1 [content-length: 3] abc and GET /2 HTTP/1.1"),
        ],
    );
}

#[test]
fn a_chunked_delete_is_forwarded_whole() {
    // 1. The peer announces an empty body for it, and still writes the body to a connection that is kept.
    // 2. There it is the beginning of the next request: CVE-2026-29057.
    let smuggled = |name: &str, request: &'static [u8], forwarded: &str| -> Fact<Stage> {
        differs(
            name,
            &format!("200 open, {forwarded}"),
            "*[content-length: 0]*GET /smuggled*",
            move |stage: &Stage| stage.outcome(request),
        )
    };
    check_on(
        Stage::set,
        &[
            smuggled(
                "DELETE",
                b"DELETE / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1e\r\nGET /smuggled HTTP/1.1\r\nHost: \r\n0\r\n\r\n",
                "DELETE / HTTP/1.1 [transfer-encoding: chunked] 1e\\r\\nGET /smuggled HTTP/1.1\\r\\nHost: \\r\\n0\\r\\n\\r\\n",
            ),
            smuggled(
                "OPTIONS",
                b"OPTIONS / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1e\r\nGET /smuggled HTTP/1.1\r\nHost: \r\n0\r\n\r\n",
                "OPTIONS / HTTP/1.1 [transfer-encoding: chunked] 1e\\r\\nGET /smuggled HTTP/1.1\\r\\nHost: \\r\\n0\\r\\n\\r\\n",
            ),
        ],
    );
}

#[test]
fn chunks() {
    check_on(
        Stage::set,
        &[
            row("size 0x3", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("size -1", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("size +3", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("size 3_", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3_\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("no size", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("a size of 2^64 and more", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("a space before the size", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            only_ours("a space behind the size", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", &format!("{CUT} || {CHUNKED}")),
            both("zeros before the size", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n003\r\nabc\r\n00\r\n\r\n", CHUNKED),
            both("an extension", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0;c\r\n\r\n", CHUNKED),
            row("an extension with a bare LF", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("a size line that ends with LF", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("data that ends with LF", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", CUT, CUT_PEER),
            row("an extension with a bare CR", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a\rb\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("data that ends with something else", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n", CUT, CUT_PEER),
            row("data that is longer than its size", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("a trailer that is a length", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n", CHUNKED, CUT_PEER),
            both("a trailer that is an address", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n", CHUNKED),
            both("a trailer that is announced", b"POST / HTTP/1.1\r\nHost: h\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", CHUNKED),
            row("a trailer that is none", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nnone\r\n\r\n", CUT, CUT_PEER),
            ours("an extension of more than 1 KiB", CUT, |stage: &Stage| {
                let long = "x".repeat(2000);
                stage.outcome(format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;{long}\r\nabc\r\n0\r\n\r\n").as_bytes())
            }),
            same("chunks of one byte", "200 open, POST / HTTP/1.1 [transfer-encoding: chunked]*", |stage: &Stage| {
                let many = "1\r\nx\r\n".repeat(5_000);
                stage.outcome(format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{many}0\r\n\r\n").as_bytes())
            }),
        ],
    );
}

#[test]
fn lines_and_values() {
    check_on(
        Stage::set,
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
        Stage::set,
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
        Stage::set,
        &[
            both("a target that is an authority", b"GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", R),
            row("GET *", b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", R, "200 open, GET /* HTTP/1.1"),
            row("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "20? open, nothing || 200 open, nothing || 204 open, nothing", "200 open, OPTIONS /* HTTP/1.1*"),
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
        Stage::set,
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
