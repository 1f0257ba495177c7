//! The hub about itself.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::super::HubState;
use super::super::caller::ApiCaller;
use super::super::error::Failure;
use super::models;
use crate::access::scopes::Target;

/// `GET /hub/api`: for anybody, from anywhere.
pub(in crate::http) async fn version(State(state): State<HubState>) -> Response {
    let mut response = Json(json!({ "version": state.settings.announce_version })).into_response();
    response.headers_mut().insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        axum::http::HeaderValue::from_static("*"),
    );
    response
}

/// `GET /hub/api/info`.
pub(in crate::http) async fn info(
    State(state): State<HubState>,
    caller: ApiCaller,
) -> Result<Response, Failure> {
    caller.require("read:hub", Target::Hub)?;
    Ok(Json(json!({
        "version": state.settings.announce_version,
        "python": null,
        "sys_executable": null,
        "spawner": { "class": "holt", "version": env!("CARGO_PKG_VERSION") },
        "authenticator": { "class": "holt.local", "version": env!("CARGO_PKG_VERSION") },
    }))
    .into_response())
}

/// `GET /hub/api/user`: whose credential this is.
pub(in crate::http) async fn whoami(
    State(state): State<HubState>,
    caller: ApiCaller,
) -> Result<Response, Failure> {
    let caller = caller.0;
    let servers = state.servers.list(caller.user.id).await?;
    let mut model = models::user(&state, &caller.rights, &caller.user, &servers, false);
    let fields = model.as_object_mut().expect("a user's model is an object");
    // A token without any scope may still ask whose it is.
    fields.insert("kind".to_owned(), json!("user"));
    fields.insert("name".to_owned(), json!(caller.user.name));
    fields.entry("groups").or_insert_with(|| json!([]));
    fields
        .entry("admin")
        .or_insert_with(|| json!(caller.user.admin));
    fields.insert("session_id".to_owned(), json!(caller.session_id));
    fields.insert(
        "token_id".to_owned(),
        json!(caller.token.as_ref().map(|token| format!("a{}", token.id))),
    );
    fields.insert("scopes".to_owned(), json!(caller.rights.texts()));
    Ok(Json(model).into_response())
}

/// Every `OPTIONS`.
pub(in crate::http) async fn options() -> Response {
    super::empty(axum::http::StatusCode::OK)
}
