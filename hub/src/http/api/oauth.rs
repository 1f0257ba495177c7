//! The token endpoint: fields in, OAuth's own JSON out. (The authorize page is a page.)

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::super::HubState;
use super::super::error::Failure;
use crate::oauth_provider::exchange::{ExchangeError, Request, exchange};

/// `POST /hub/api/oauth2/token`.
pub(in crate::http) async fn token(
    State(state): State<HubState>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = match read(&headers, &body) {
        Ok(request) => request,
        Err(description) => {
            return refusal(StatusCode::BAD_REQUEST, "invalid_request", description);
        }
    };
    match exchange(&state.store, &request, state.settings.session_lifetime).await {
        Ok(granted) => (
            [
                (header::CACHE_CONTROL, "no-store"),
                (header::PRAGMA, "no-cache"),
            ],
            Json(json!({
                "access_token": granted.access_token,
                "token_type": "Bearer",
                "expires_in": granted.lifetime.as_secs(),
                "scope": granted.scopes.join(" "),
            })),
        )
            .into_response(),
        Err(error) => {
            let words = error.to_string();
            match error {
                ExchangeError::Client => {
                    refusal(StatusCode::UNAUTHORIZED, "invalid_client", &words)
                }
                ExchangeError::Missing(_) => {
                    refusal(StatusCode::BAD_REQUEST, "invalid_request", &words)
                }
                ExchangeError::GrantType => {
                    refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type", &words)
                }
                ExchangeError::Grant => refusal(StatusCode::BAD_REQUEST, "invalid_grant", &words),
                ExchangeError::Store(cause) => Failure::from(cause).into_response(),
            }
        }
    }
}

fn refusal(status: StatusCode, error: &str, description: &str) -> Response {
    let body = Json(json!({ "error": error, "error_description": description }));
    (status, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// Reads the form; each field may come once. The client may show itself by HTTP Basic too.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<Request, &'static str> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    if kind.split(';').next().unwrap_or_default().trim() != "application/x-www-form-urlencoded" {
        return Err("The body must be a form.");
    }
    let text = std::str::from_utf8(body).map_err(|_| "The form could not be read.")?;
    let mut request = Request::default();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let slot = match name {
            "grant_type" => &mut request.grant_type,
            "client_id" => &mut request.client_id,
            "client_secret" => &mut request.client_secret,
            "code" => &mut request.code,
            "redirect_uri" => &mut request.redirect_uri,
            "code_verifier" => &mut request.code_verifier,
            _ => continue,
        };
        let value = value.replace('+', " ");
        let value = percent_decode_str(&value)
            .decode_utf8()
            .map_err(|_| "The form could not be read.")?;
        if slot.replace(value.into_owned()).is_some() {
            return Err("A field comes twice.");
        }
    }
    if let (None, Some((id, secret))) = (&request.client_secret, basic(headers)) {
        request.client_id = Some(id);
        request.client_secret = Some(secret);
    }
    Ok(request)
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(
        base64::engine::general_purpose::STANDARD
            .decode(encoded.trim())
            .ok()?,
    )
    .ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |part: &str| Some(percent_decode_str(part).decode_utf8().ok()?.into_owned());
    Some((decode(id)?, decode(secret)?))
}
