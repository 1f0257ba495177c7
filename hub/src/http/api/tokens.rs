//! People's own tokens.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::HubState;
use super::super::caller::{ApiCaller, not_here};
use super::super::error::Failure;
use super::{empty, json_body, time_text};
use crate::access::scopes::{self, Rights};
use crate::access::{self};
use crate::secret;
use crate::store::tokens::{Token, TokenKind};
use crate::store::users::{Ended, User};

/// The longest note.
const NOTE_BYTES: usize = 1024;

/// `GET /hub/api/users/{name}/tokens`.
pub(in crate::http) async fn list(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let user = caller.user_for(&state, &name, "read:tokens").await?;
    let tokens = state.store.tokens(user.id).await?;
    let models: Vec<Value> = tokens.iter().map(|token| model(&user, token)).collect();
    Ok(Json(json!({ "api_tokens": models })).into_response())
}

/// `POST /hub/api/users/{name}/tokens`.
pub(in crate::http) async fn create(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    let user = caller.user_for(&state, &name, "tokens").await?;
    let body = json_body(&body)?.unwrap_or_else(|| json!({}));
    let fields = body
        .as_object()
        .ok_or_else(|| Failure::bad_request("The body must be an object."))?;
    let note = match fields.get("note") {
        None | Some(Value::Null) => "Requested via api",
        Some(Value::String(note)) if note.len() <= NOTE_BYTES => note,
        Some(_) => return Err(Failure::bad_request("note must be a short text.")),
    };
    let lifetime = match fields.get("expires_in") {
        None | Some(Value::Null) => None,
        Some(seconds) => match seconds.as_u64() {
            Some(seconds @ 1..=3_153_600_000) => Some(Duration::from_secs(seconds)),
            _ => {
                return Err(Failure::bad_request(
                    "expires_in must be a whole number of seconds, 1 or more.",
                ));
            }
        },
    };
    // Better refused than forgotten: a token without the rights it was asked for fails later, and nobody knows why.
    if fields.get("roles").is_some_and(|roles| {
        !roles.is_null() && roles.as_array().is_none_or(|list| !list.is_empty())
    }) {
        return Err(Failure::bad_request(
            "roles cannot be given to tokens yet: name the scopes in \"scopes\".",
        ));
    }
    let asked = asked_scopes(fields.get("scopes"))?;
    let owner = Rights::of_user(&user.name, user.admin);
    let given = Rights::resolve(&asked, &user.name, user.admin, None);
    // Nobody hands out more than the owner has, nor more than they hold themselves.
    if given.within(&owner) != given || given.within(&caller.0.rights) != given {
        return Err(Failure::bad_request(
            "These scopes are more than this user, or you, may give.",
        ));
    }
    let raw = secret::random_token();
    let id = state
        .store
        .create_api_token(user.id, &secret::hash(&raw), &asked, note, lifetime)
        .await?;
    let tokens = state.store.tokens(user.id).await?;
    let token = tokens
        .iter()
        .find(|token| token.id == id)
        .ok_or_else(not_here)?;
    let mut model = model(&user, token);
    model["token"] = json!(raw);
    Ok((StatusCode::CREATED, Json(model)).into_response())
}

/// `DELETE /hub/api/users/{name}/tokens/{id}`.
pub(in crate::http) async fn delete(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let user = caller.user_for(&state, &name, "tokens").await?;
    let number = id
        .strip_prefix('a')
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(not_here)?;
    let hash = state
        .store
        .delete_token(user.id, number)
        .await?
        .ok_or_else(not_here)?;
    let ended = Ended {
        sessions: Vec::new(),
        token_hashes: vec![hash],
    };
    access::forget(state.revoke.as_ref(), ended).await;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn asked_scopes(value: Option<&Value>) -> Result<Vec<String>, Failure> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(vec!["inherit".to_owned()]);
    };
    let wrong = || Failure::bad_request("scopes must be a list of scopes.");
    let list = value.as_array().ok_or_else(wrong)?;
    if list.is_empty() {
        return Ok(vec!["inherit".to_owned()]);
    }
    list.iter()
        .map(|scope| {
            let text = scope.as_str().ok_or_else(wrong)?;
            let name = text.split('!').next().unwrap_or_default();
            if scopes::exists(name) {
                Ok(text.to_owned())
            } else {
                Err(Failure::bad_request(format!("There is no scope {name:?}.")))
            }
        })
        .collect()
}

fn model(user: &User, token: &Token) -> Value {
    let server = token
        .server
        .as_ref()
        .map(|(owner, name)| (owner.as_str(), name.as_str()));
    let rights = Rights::resolve(&token.scopes, &user.name, user.admin, server)
        .within(&Rights::of_user(&user.name, user.admin));
    let client = match (&token.kind, server) {
        (TokenKind::Oauth, Some((owner, name))) => {
            format!("Server at {}", holt_spec::names::server_prefix(owner, name))
        }
        _ => "JupyterHub".to_owned(),
    };
    json!({
        "kind": "api_token",
        "id": format!("a{}", token.id),
        "user": user.name,
        "roles": [],
        "scopes": rights.texts(),
        "created": time_text(token.created),
        "last_activity": token.last_activity.map(time_text),
        "expires_at": token.expires.map(time_text),
        "note": token.note,
        "session_id": token.session_id,
        "oauth_client": client,
    })
}
