//! The answers that the proxy gives by itself: the only place that makes failures into HTTP.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::answer::write_date;
use super::failure::{Failure, Kind, Phase, Retry};
use super::headers::put_length;
use super::settings::Settings;

const PAGE: &str = include_str!("away.html");
const NEXT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Who must understand an answer, and how it has to be put.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reader {
    /// The path of a person's navigation; programs have none.
    pub(crate) person: Option<Box<str>>,
    /// What was asked for, where that is told.
    pub(crate) asked: Option<Asked>,
    /// Whether only the head is wanted.
    pub(crate) head_only: bool,
    /// Whether the client speaks HTTP/1.0.
    pub(crate) old: bool,
    /// Whether it asked for a websocket.
    pub(crate) websocket: bool,
    /// Whether the connection goes on afterwards.
    pub(crate) keep: bool,
}

/// What was asked for: method and target as they came, in one piece of memory, since it is made for every request.
#[derive(Debug, Clone)]
pub(crate) struct Asked(Box<str>);

impl Asked {
    /// Keeps them.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let mut both = String::with_capacity(method.len() + 1 + target.len());
        both.push_str(method);
        both.push(' ');
        both.push_str(target);
        Asked(both.into())
    }

    /// The target as it came.
    pub(crate) fn target(&self) -> &str {
        self.0.split_once(' ').map_or("", |(_, target)| target)
    }

    /// Method and target without its query, which may hold secrets.
    pub(crate) fn shown(&self) -> &str {
        self.0.split('?').next().unwrap_or_default()
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }
}

/// An answer of our own, whole.
#[derive(Debug)]
struct Own<'a> {
    status: u16,
    lines: Vec<(&'static str, &'a str)>,
    kind: Option<&'a str>,
    body: Bytes,
}

/// The status of a failure, and its answer.
pub(crate) async fn failure(
    failure: &Failure,
    reader: &Reader,
    settings: &Settings,
) -> (u16, Vec<u8>) {
    crate::metrics::failure(failure.side.name(), failure.phase.name());
    let status = status(&failure.kind, settings.stand_in);
    let next;
    let page;
    let mut own = Own {
        status,
        lines: vec![("Cache-Control", "no-store")],
        kind: None,
        body: Bytes::new(),
    };
    if failure.retry == Retry::Safe {
        own.lines.push(("Retry-After", "2"));
    }
    match failure.kind {
        Kind::Method => own.lines.push(("Allow", METHODS)),
        Kind::WebsocketVersion => own.lines.push(("Sec-WebSocket-Version", "13")),
        _ => {}
    }
    match (&reader.person, &settings.pages) {
        (Some(path), _) if failure.kind == Kind::Revoked => {
            next = sign_in(path);
            own.status = 302;
            own.lines.push(("Location", &next));
        }
        // Nobody reads a page that a websocket is answered with.
        (_, Some(_)) if reader.websocket => {}
        // What is no request is not worth asking anybody for a page.
        (_, Some(_)) if failure.phase == Phase::Normalize => {}
        (_, Some(pages)) => {
            let asked = reader.asked.as_ref().map_or("", Asked::target);
            page = pages.page(status, asked).await;
            own.kind = page.kind.as_deref();
            own.body = page.body.clone();
            if let Some(encoding) = &page.encoding {
                own.lines.push(("Content-Encoding", encoding));
            }
        }
        (Some(_), None) if status >= 500 => {
            own.kind = Some("text/html; charset=utf-8");
            own.lines.push((
                "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            ));
            own.body = page_of_our_own(failure).into();
        }
        (_, None) => {
            own.kind = Some("application/json");
            own.body = serde_json::json!({ "status": status, "message": failure.to_string() })
                .to_string()
                .into();
        }
    }
    (own.status, own.write(reader))
}

/// The answer of a proxy that is well.
pub(crate) fn health(reader: &Reader) -> Vec<u8> {
    let own = Own {
        status: 200,
        lines: Vec::new(),
        kind: Some("application/json"),
        body: Bytes::from_static(br#"{"status":"OK"}"#),
    };
    own.write(reader)
}

/// The answer to `OPTIONS *`.
pub(crate) fn options(reader: &Reader) -> Vec<u8> {
    let own = Own {
        status: 204,
        lines: vec![("Allow", METHODS)],
        kind: None,
        body: Bytes::new(),
    };
    own.write(reader)
}

/// What a connection is told that may not even ask.
pub(crate) fn too_many_connections() -> &'static [u8] {
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 2\r\nContent-Type: application/json\r\n\
      Content-Length: 69\r\n\r\n{\"status\":503,\"message\":\"too many connections come from this address\"}"
}

impl Own<'_> {
    fn write(&self, reader: &Reader) -> Vec<u8> {
        let mut to = Vec::with_capacity(256 + self.body.len());
        let reason = http::StatusCode::from_u16(self.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Unknown");
        to.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", self.status).as_bytes());
        write_date(&mut to);
        for (name, value) in &self.lines {
            to.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if let Some(kind) = self.kind {
            // Pages of others are copied, but never out of their line.
            let kind: String = kind.chars().filter(|c| !c.is_control()).collect();
            to.extend_from_slice(format!("Content-Type: {kind}\r\n").as_bytes());
        }
        if self.status != 204 {
            put_length(&mut to, self.body.len() as u64);
        }
        if !reader.keep {
            to.extend_from_slice(b"Connection: close\r\n");
        } else if reader.old {
            to.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        to.extend_from_slice(b"\r\n");
        if !reader.head_only {
            to.extend_from_slice(&self.body);
        }
        to
    }
}

/// The status of a failure; in place of configurable-http-proxy everything that an upstream does wrong is 503.
fn status(kind: &Kind, stand_in: bool) -> u16 {
    match kind {
        Kind::Malformed(_) | Kind::BodyLost => 400,
        Kind::HeadTooLarge => 431,
        Kind::LongTarget => 414,
        Kind::Version => 505,
        Kind::Coding => 501,
        Kind::Method => 405,
        Kind::Expectation => 417,
        Kind::WebsocketVersion => 426,
        Kind::Slow => 408,
        Kind::NotTheApi | Kind::NoRoute => 404,
        Kind::TooLarge => 413,
        Kind::Revoked | Kind::Origin => 403,
        Kind::StillStarting
        | Kind::TooManyWaiting
        | Kind::Crowded
        | Kind::HubAway
        | Kind::ServerAway => 503,
        Kind::Broken | Kind::BadAnswer | Kind::Silent if stand_in => 503,
        Kind::NoAddress => 500,
        Kind::Broken | Kind::BadAnswer => 502,
        Kind::Silent => 504,
    }
}

fn page_of_our_own(failure: &Failure) -> String {
    let (title, text) = match failure.kind {
        Kind::HubAway => (
            "The hub is restarting",
            "Your notebook goes on running. This page looks again by itself.",
        ),
        Kind::ServerAway => (
            "Your notebook server does not answer",
            "It may be stopping or starting again. This page looks again by itself.",
        ),
        Kind::StillStarting => (
            "Your notebook server is still starting",
            "This page looks again by itself.",
        ),
        _ => ("That did not work", "This page tries again by itself."),
    };
    PAGE.replace("{{title}}", title).replace("{{text}}", text)
}

/// To the sign-in page, and back again.
fn sign_in(path: &str) -> String {
    format!("/hub/login?next={}", utf8_percent_encode(path, NEXT))
}
