//! Requests that two programs could read differently: each a row, with what came of it and what reached the server.
//!
//! `400 closed, nothing` is: refused, connection ended, not a byte to the server.

use crate::harness::{Fact, Stage, Start, check_on, differs, ours, same};

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
pub(crate) fn only_ours(name: &str, request: &'static [u8], outcome: &str) -> Fact<Stage> {
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
        Stage::set(Start::default()),
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
        Stage::set(Start::default()),
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
        Stage::set(Start::default()),
        &[
            row("size 0x3", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("size -1", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("size +3", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("size 3_", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3_\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("no size", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("a size of 2^64 and more", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            row("a space before the size", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n", CUT, CUT_PEER),
            only_ours("a space behind the size", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", &format!("{CUT} || {CHUNKED}")),
            ours("a size of many zeros", CUT, |stage: &Stage| {
                let zeros = "0".repeat(5_000);
                stage.outcome(format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{zeros}3\r\nabc\r\n0\r\n\r\n").as_bytes())
            }),
            row("zeros before the size", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n003\r\nabc\r\n00\r\n\r\n", &format!("{CHUNKED} || {CUT}"), CHUNKED),
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
