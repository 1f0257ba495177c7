//! OAuth 2.0 as the extension speaks it: codes that count once, PKCE, a profile, and a denial that comes back without its state.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{CLIENT, CLIENT_SECRET, Shared, field, pages, pairs};

#[derive(Debug, Default)]
pub(super) struct Oauth2 {
    codes: BTreeMap<String, Code>,
    access: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Code {
    sub: u64,
    redirect_uri: String,
    challenge: String,
    is_used: bool,
}

/// `rest.php/oauth2/authorize`, in a browser.
pub(super) async fn authorize(
    State(shared): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = pairs(uri.query().unwrap_or_default());
    let fields = pairs(&String::from_utf8_lossy(&body));
    let get = |name: &str| field(&query, name).unwrap_or_default();
    let mut world = shared.world();
    let page = |status, words: &'static str| (status, Html(words)).into_response();
    if get("client_id") != CLIENT {
        return page(StatusCode::UNAUTHORIZED, "Client authentication failed");
    }
    let to = get("redirect_uri");
    if !world.callbacks_of_oauth2.contains(to) {
        return page(StatusCode::UNAUTHORIZED, "Client authentication failed");
    }
    if get("code_challenge_method") != "S256" || get("code_challenge").len() != 43 {
        return page(StatusCode::BAD_REQUEST, "Code challenge must be provided");
    }
    let Some(sub) = world.browser(&headers) else {
        let here = uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string);
        return pages::to_sign_in(&here);
    };
    if field(&fields, "decline").is_some() {
        return pages::back(
            to,
            &[
                ("error", "unauthorized_client"),
                ("error_description", "The client is not authorized"),
            ],
        );
    }
    if field(&fields, "accept").is_none() {
        return pages::question();
    }
    let code = world.random();
    world.oauth2.codes.insert(
        code.clone(),
        Code {
            sub,
            redirect_uri: to.to_owned(),
            challenge: get("code_challenge").to_owned(),
            is_used: false,
        },
    );
    pages::back(to, &[("code", &code), ("state", get("state"))])
}

fn refused(status: StatusCode, error: &str, words: &str, hint: &str) -> Response {
    let body = json!({"error": error, "error_description": words, "hint": hint, "message": words});
    (status, Json(body)).into_response()
}

/// `rest.php/oauth2/access_token`.
pub(super) async fn access_token(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut world = shared.world();
    world.asked.push("access_token".to_owned());
    if headers
        .get(header::CONTENT_TYPE)
        .is_none_or(|kind| kind != "application/x-www-form-urlencoded")
    {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let fields = pairs(&String::from_utf8_lossy(&body));
    let get = |name: &str| field(&fields, name).unwrap_or_default();
    if get("client_id") != CLIENT || get("client_secret") != CLIENT_SECRET {
        return refused(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "Client authentication failed",
            "",
        );
    }
    let missing = "The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed.";
    let token = format!("{}.{}.x", world.random(), world.random());
    let Some(code) = world.oauth2.codes.get_mut(get("code")) else {
        return refused(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            missing,
            "Cannot decrypt the authorization code",
        );
    };
    if code.is_used {
        return refused(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            missing,
            "Authorization code has been revoked",
        );
    }
    if code.redirect_uri != get("redirect_uri") {
        return refused(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            missing,
            "Check the `redirect_uri` parameter",
        );
    }
    let verifier = Sha256::digest(get("code_verifier").as_bytes());
    if URL_SAFE_NO_PAD.encode(verifier) != code.challenge {
        return refused(
            StatusCode::BAD_REQUEST,
            "invalid_grant",
            "Failed to verify `code_verifier`.",
            "",
        );
    }
    code.is_used = true;
    let sub = code.sub;
    world.oauth2.access.insert(token.clone(), sub);
    Json(json!({
        "token_type": "Bearer",
        "expires_in": 3600,
        "access_token": token,
        "refresh_token": world.random(),
    }))
    .into_response()
}

/// `rest.php/oauth2/resource/profile`: it tells nothing of locks.
pub(super) async fn profile(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let mut world = shared.world();
    world.asked.push("profile".to_owned());
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let sub = token.and_then(|token| world.oauth2.access.get(token));
    let account = sub.and_then(|sub| world.accounts.get_key_value(sub));
    match account {
        Some((sub, account)) if !account.revoked => Json(account.claims(*sub)).into_response(),
        _ => refused(
            StatusCode::UNAUTHORIZED,
            "access_denied",
            "The resource owner or authorization server denied the request.",
            "Access token has been revoked",
        ),
    }
}
