//! Requests' heads: what we forward means to ourselves what it meant when it came.

use std::sync::{Arc, LazyLock};

use super::cuts::cuts;
use super::lines::{Body, Plain};
use crate::http::parsers::{
    BadHead, Changes, Framing, HeadKind, RequestHead, Scan, Visit, normalize, read_request, space,
    write_request,
};
use crate::http::{Client, Forwarded, Listener, Settings};
use crate::table::{Leaf, Target};

/// Lines that are added to those that came, at most.
const ADDED: usize = 12;
/// Lines of a head, at most.
const LINES: usize = 256;

/// One way to forward.
struct Face {
    settings: Settings,
    client: Client,
    trusted: bool,
    to: Option<(Leaf, Target)>,
}

static FACES: LazyLock<[Face; 6]> = LazyLock::new(|| {
    let face = |settings, trusted, to: Option<(&str, usize)>| Face {
        settings,
        client: Client::new(([192, 0, 2, 1], 5).into(), Listener::Public, trusted),
        trusted,
        to: to.map(|(url, depth)| {
            let leaf = Leaf::new(None, Arc::default(), depth);
            (leaf, Target::parse(url).expect("it is a target"))
        }),
    };
    let silent = Settings {
        forwarded: Forwarded::Off,
        ..Settings::chp()
    };
    let custom = |name: &str, value: &str| (name.into(), value.into());
    let set = Settings {
        custom_headers: vec![
            custom("Host", "set.test"),
            custom("X-Forwarded-For", "set"),
            custom("X-Request-Id", "set"),
            custom("X-Team", "set"),
        ],
        ..Settings::holt()
    };
    let stripped = Settings {
        include_prefix: false,
        change_origin: true,
        ..Settings::chp()
    };
    [
        face(silent, false, None),
        face(Settings::holt(), false, Some(("http://t:81", 2))),
        face(Settings::holt(), true, None),
        face(Settings::chp(), false, Some(("http://t:81/base?z=1", 2))),
        face(stripped, false, Some(("http://t:81", 2))),
        face(set, true, None),
    ]
});

/// What a request means, as far as its next hop acts on it.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    method: String,
    target: String,
    host: Option<String>,
    framing: Framing,
    websocket: bool,
}

fn meaning(head: &RequestHead<'_, '_>, visit: &Visit<'_>) -> Meaning {
    Meaning {
        method: head.method_name.to_owned(),
        target: visit.target.to_owned(),
        host: visit.host.map(str::to_owned),
        framing: visit.said.of_request(),
        websocket: visit.websocket,
    }
}

/// Bytes that a client sends, the first of which may be a request's head.
///
/// # Panics
/// When a property is broken.
pub fn request_head(bytes: &[u8]) {
    let found = Scan::default().end(bytes, HeadKind::Request);
    for ends in cuts(bytes) {
        let same = scan_cut(bytes, &ends, HeadKind::Request);
        // A line that is too long is told before its end; whole, it is looked at by its parts, and refused for one of them.
        assert!(
            same == found || same == Err(BadHead::LongTarget),
            "cut at {ends:?} it is {same:?}, whole {found:?}"
        );
    }
    let Ok(Some(length)) = found else {
        return;
    };
    let bytes = &bytes[..length];
    assert_eq!(
        Scan::default().end(bytes, HeadKind::Request),
        found,
        "what follows decides"
    );
    let mut space = space();
    let Ok(head) = read_request(bytes, &mut space) else {
        return;
    };
    let Ok(visit) = normalize(&head) else {
        return;
    };
    let wanted = match Plain::read(bytes.trim_ascii_start()).body() {
        Body::Chunks => Framing::Chunked,
        Body::Length(Some(0) | None) => Framing::None,
        Body::Length(Some(length)) => Framing::Length(length),
    };
    assert_eq!(visit.said.of_request(), wanted);
    // That one is answered here.
    if visit.target == "*" {
        return;
    }
    for face in FACES.iter() {
        check_forwarded(&head, &visit, face);
    }
}

/// What a scan comes to when the bytes come in pieces.
pub(super) fn scan_cut(
    bytes: &[u8],
    ends: &[usize],
    kind: HeadKind,
) -> Result<Option<usize>, BadHead> {
    let mut scan = Scan::default();
    let mut found = Ok(None);
    for end in ends {
        found = scan.end(&bytes[..*end], kind);
        if found != Ok(None) {
            break;
        }
    }
    found
}

fn write(head: &RequestHead<'_, '_>, visit: &Visit<'_>, face: &Face) -> Vec<u8> {
    let changes = Changes {
        to: face.to.as_ref().map(|(leaf, target)| (leaf, target)),
        cookies: None,
        held: false,
    };
    let mut written = Vec::new();
    write_request(
        &mut written,
        head,
        visit,
        &changes,
        &face.client,
        &face.settings,
    );
    written
}

fn check_forwarded(head: &RequestHead<'_, '_>, visit: &Visit<'_>, face: &Face) {
    let written = write(head, visit, face);
    let shown = String::from_utf8_lossy(&written);
    let fields = Plain::read_ours(&written);
    assert_eq!(fields.count("host"), 1, "{shown:?}");
    for end in [
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "proxy-authorization",
    ] {
        assert_eq!(fields.count(end), 0, "{end} ends here: {shown:?}");
    }
    let custom = &face.settings.custom_headers;
    for (name, value) in custom {
        let name = name.to_lowercase();
        let told = fields.all(&name);
        assert!(told.eq([value.as_bytes()]), "{name} is set: {shown:?}");
    }
    if face.settings.marks && custom.is_empty() {
        check_claims(&fields, face.trusted, &shown);
    }
    if fields.len() > LINES - ADDED {
        // With our own lines it may be more than we take from others.
        return;
    }
    let found = Scan::default().end(&written, HeadKind::Request);
    assert_eq!(found, Ok(Some(written.len())), "{shown:?}");
    let mut space = space();
    let again = read_request(&written, &mut space)
        .unwrap_or_else(|bad| panic!("what is forwarded is refused, {bad}: {shown:?}"));
    let visit_again = normalize(&again)
        .unwrap_or_else(|failure| panic!("what is forwarded is refused, {failure}: {shown:?}"));
    let mut wanted = meaning(head, visit);
    let got = meaning(&again, &visit_again);
    let authority = face
        .to
        .as_ref()
        .map(|(_, target)| target.authority.to_string());
    if face.settings.change_origin || wanted.host.is_none() {
        wanted.host = Some(authority.unwrap_or_else(|| "localhost".to_owned()));
    }
    if let Some((_, host)) = custom.iter().find(|(name, _)| &**name == "Host") {
        wanted.host = Some(host.to_string());
    }
    if !face.settings.include_prefix {
        assert!(wanted.target.len() + 1 >= got.target.len(), "{shown:?}");
        wanted.target.clone_from(&got.target);
    }
    if let Some((_, target)) = &face.to
        && !target.path.is_empty()
    {
        let path = format!("{}{}?{}", target.path, visit.path, target.query);
        assert!(got.target.starts_with(&path), "{path} in {shown:?}");
        wanted.target.clone_from(&got.target);
    }
    assert_eq!(got, wanted, "{shown:?}");
    if face.settings.forwarded == Forwarded::Off && face.to.is_none() {
        let twice = write(&again, &visit_again, face);
        assert_eq!(String::from_utf8_lossy(&twice), shown, "once more");
    }
}

/// Who asked is our word, or that of somebody we trust.
fn check_claims(fields: &Plain, trusted: bool, shown: &str) {
    assert!(fields.all("x-holt-listener").eq([b"public"]), "{shown:?}");
    assert_eq!(fields.count("x-request-id"), 1, "{shown:?}");
    assert_eq!(fields.count("x-forwarded-for"), 1, "{shown:?}");
    if !trusted {
        let mut told = fields.all("x-forwarded-for");
        assert_eq!(told.next(), Some(b"192.0.2.1".as_slice()), "{shown:?}");
        for claim in [
            "forwarded",
            "x-real-ip",
            "client-ip",
            "x-scheme",
            "x-forwarded-prefix",
        ] {
            assert_eq!(fields.count(claim), 0, "{shown:?}");
        }
        assert!(fields.all("x-forwarded-proto").eq([b"http"]), "{shown:?}");
        assert!(fields.count("x-forwarded-host") <= 1, "{shown:?}");
        assert_eq!(fields.count("x-forwarded-port"), 1, "{shown:?}");
    }
}
