//! JupyterHub's REST API, one file per resource.

pub(super) mod activity;
pub(super) mod broker;
pub(super) mod hub;
pub(super) mod models;
pub(super) mod oauth;
pub(super) mod progress;
pub(super) mod replicas;
pub(super) mod servers;
pub(super) mod tokens;
pub(super) mod users;

use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::error::Failure;

/// A JSON body; `None` when there is none.
fn json_body(body: &Bytes) -> Result<Option<Value>, Failure> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    serde_json::from_slice(body)
        .map(Some)
        .map_err(|_| Failure::bad_request("The body is not valid JSON."))
}

/// An answer without a body, but with its length, so that a client can use the connection again.
fn empty(status: axum::http::StatusCode) -> Response {
    let mut response = status.into_response();
    if status != axum::http::StatusCode::NO_CONTENT {
        response.headers_mut().insert(
            axum::http::header::CONTENT_LENGTH,
            axum::http::HeaderValue::from_static("0"),
        );
    }
    response
}

/// Milliseconds since 1970 as the API writes times.
fn time_text(at_ms: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000)
        .ok()
        .and_then(|at| {
            at.format(time::macros::format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z"
            ))
            .ok()
        })
        .unwrap_or_default()
}
