//! Answers' heads: what we tell the client has the status that came, and a body that ends where we say.

use std::sync::LazyLock;

use super::cuts::cuts;
use super::lines::{Body, Plain};
use super::request_head::scan_cut;
use crate::http::Settings;
use crate::http::parsers::{
    Answer, Asked, Framing, HeadKind, Method, ResponseHead, Scan, read_response, space,
    write_answer,
};
use crate::table::Target;

/// Lines that are added to those that came, at most.
const ADDED: usize = 8;
/// Lines of a head, at most.
const LINES: usize = 256;

static TARGET: LazyLock<Target> =
    LazyLock::new(|| Target::parse("http://t:81").expect("it is a target"));
static SETTINGS: LazyLock<[Settings; 2]> = LazyLock::new(|| {
    let rewriting = Settings {
        auto_rewrite: true,
        protocol_rewrite: Some("https".into()),
        ..Settings::chp()
    };
    [Settings::holt(), rewriting]
});

/// Bytes that an upstream sends, the first of which may be an answer's head.
///
/// # Panics
/// When a property is broken.
pub fn response_head(bytes: &[u8]) {
    let found = Scan::default().end(bytes, HeadKind::Response);
    for ends in cuts(bytes) {
        let same = scan_cut(bytes, &ends, HeadKind::Response);
        assert_eq!(same, found, "cut at {ends:?}");
    }
    let Ok(Some(length)) = found else {
        return;
    };
    let mut space = space();
    let Ok(head) = read_response(&bytes[..length], &mut space) else {
        return;
    };
    for way in 0..32 {
        let is = |bit: u32| way & 1 << bit != 0;
        let asked = Asked {
            method: if is(0) { Method::Head } else { Method::Get },
            old: is(1),
            websocket: is(2),
            keep: is(3),
            host: Some("hub.test"),
            target: &TARGET,
        };
        check_told(
            &bytes[..length],
            &head,
            asked,
            &SETTINGS[usize::from(is(4))],
        );
    }
}

fn check_told(bytes: &[u8], head: &ResponseHead<'_, '_>, asked: Asked<'_>, settings: &Settings) {
    let mut written = Vec::new();
    let Ok(answer) = write_answer(&mut written, head, asked, settings) else {
        return;
    };
    let shown = format!("{:?} for {asked:?}", String::from_utf8_lossy(&written));
    let fields = Plain::read_ours(&written);
    let interim = answer.status < 200;
    let came = Plain::read(bytes);
    let wanted = match came.body() {
        _ if asked.method == Method::Head || matches!(answer.status, ..200 | 204 | 304) => {
            Framing::None
        }
        Body::Chunks => Framing::Chunked,
        Body::Length(Some(0)) => Framing::None,
        Body::Length(Some(length)) => Framing::Length(length),
        Body::Length(None) => Framing::UntilClose,
    };
    assert_eq!(answer.comes, wanted, "{shown}");
    let locations = came.count("location");
    assert_eq!(fields.count("location"), locations, "{shown}");
    check_fields(&fields, answer, asked, &shown);
    if fields.len() > LINES - ADDED {
        return;
    }
    let found = Scan::default().end(&written, HeadKind::Response);
    assert_eq!(found, Ok(Some(written.len())), "{shown}");
    let mut space = space();
    let again = read_response(&written, &mut space)
        .unwrap_or_else(|bad| panic!("what is told is refused, {bad}: {shown}"));
    assert_eq!(again.status, head.status, "{shown}");
    assert_eq!(again.status_text, head.status_text, "{shown}");
    // Read as the next proxy would, for a client that takes anything.
    let next = Asked {
        old: false,
        keep: true,
        ..asked
    };
    let read = write_answer(&mut Vec::new(), &again, next, settings)
        .unwrap_or_else(|failure| panic!("what is told is refused, {failure}: {shown}"));
    assert_eq!(read.comes, answer.goes, "the body ends elsewhere: {shown}");
    if !interim {
        assert_eq!(read.reusable, answer.keep, "{shown}");
    }
}

fn check_fields(fields: &Plain, answer: Answer, asked: Asked<'_>, shown: &str) {
    let interim = answer.status < 200;
    let codings = fields.count("transfer-encoding");
    for end in [
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "proxy-authenticate",
    ] {
        assert_eq!(fields.count(end), 0, "{end} ends here: {shown}");
    }
    assert!(
        codings == 0 || !asked.old,
        "HTTP/1.0 has no chunks: {shown}"
    );
    if interim || answer.status == 204 {
        let lengths = fields.count("content-length");
        assert_eq!(codings + lengths, 0, "it has no body: {shown}");
    }
    let goes = match answer.goes {
        Framing::Chunked => codings == 1,
        Framing::Length(length) => fields
            .all("content-length")
            .eq([length.to_string().as_bytes()]),
        Framing::UntilClose => asked.old && !answer.keep,
        Framing::None => true,
    };
    assert!(goes, "{:?} is not said: {shown}", answer.goes);
    if !interim {
        assert!(fields.count("date") >= 1, "{shown}");
        assert!(asked.keep || !answer.keep, "{shown}");
    }
}
