//! The answers that the proxy gives by itself: the only place that makes failures into HTTP.

use http::{HeaderValue, Response, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::body::AnswerBody;
use super::failure::{Failure, Kind, Retry};

const PAGE: &str = include_str!("away.html");
const NEXT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Who must understand the answer.
#[derive(Debug, Clone)]
pub(crate) enum Reader {
    /// A person, who was on the way to this path (without query).
    Person(String),
    /// A program.
    Program,
}

/// The answer to a request that could not be carried.
pub(crate) fn failure(failure: &Failure, reader: &Reader) -> Response<AnswerBody> {
    crate::metrics::failure(failure.side.name(), failure.phase.name());
    let status = status(&failure.kind);
    let mut response = match (reader, &failure.kind) {
        (Reader::Person(path), Kind::Revoked) => return sign_in(path),
        (Reader::Person(_), _) if status.is_server_error() => page(status, failure),
        _ => json(status, failure),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if failure.retry == Retry::Safe {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    if failure.kind == Kind::Method {
        headers.insert(
            header::ALLOW,
            HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        );
    }
    if closes(&failure.kind) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn status(kind: &Kind) -> StatusCode {
    match kind {
        Kind::Malformed(_) | Kind::BodyLost => StatusCode::BAD_REQUEST,
        Kind::Method => StatusCode::METHOD_NOT_ALLOWED,
        Kind::Expectation => StatusCode::EXPECTATION_FAILED,
        Kind::NotTheApi => StatusCode::NOT_FOUND,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Revoked => StatusCode::FORBIDDEN,
        Kind::StillStarting | Kind::TooManyWaiting | Kind::HubAway | Kind::ServerAway => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Kind::Broken => StatusCode::BAD_GATEWAY,
    }
}

/// What has no single meaning may be followed by more of the same.
fn closes(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Malformed(_) | Kind::Method | Kind::Expectation | Kind::TooLarge | Kind::BodyLost
    )
}

fn json(status: StatusCode, failure: &Failure) -> Response<AnswerBody> {
    let text = serde_json::json!({ "status": status.as_u16(), "message": failure.to_string() })
        .to_string();
    let mut response = Response::new(AnswerBody::own(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn page(status: StatusCode, failure: &Failure) -> Response<AnswerBody> {
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
    let text = PAGE.replace("{{title}}", title).replace("{{text}}", text);
    let mut response = Response::new(AnswerBody::own(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
    );
    response
}

/// To the sign-in page, and back again.
fn sign_in(path: &str) -> Response<AnswerBody> {
    let to = format!("/hub/login?next={}", utf8_percent_encode(path, NEXT));
    let mut response = Response::new(AnswerBody::own(""));
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::LOCATION,
        HeaderValue::try_from(to).unwrap_or_else(|_| HeaderValue::from_static("/hub/login")),
    );
    response
}
