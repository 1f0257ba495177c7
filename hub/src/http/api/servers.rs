//! Servers: start, stop, forget, look.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::super::HubState;
use super::super::caller::{ApiCaller, not_here};
use super::super::error::Failure;
use super::{empty, json_body, models};
use crate::servers::{ServerState, StartOutcome};
use crate::store::users::User;

/// The largest options of a start.
const OPTIONS_BYTES: usize = 64 << 10;

/// `POST /hub/api/users/{name}/server`.
pub(in crate::http) async fn start_default(
    state: State<HubState>,
    caller: ApiCaller,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    start(state, caller, Path((name, String::new())), body).await
}

/// `POST /hub/api/users/{name}/servers/{server}`: 201 when it answers, 202 while it is on its way.
pub(in crate::http) async fn start(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path((name, server)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Failure> {
    let owner = caller
        .owner_for(&state, &name, &server, "start:servers")
        .await?;
    let options = options(&body)?;
    match state.servers.start(owner.id, &server, options).await? {
        StartOutcome::AlreadyReady => {
            return Err(Failure::bad_request(format!(
                "{} is already running",
                full_name(&owner, &server)
            )));
        }
        StartOutcome::AlreadyStarting => return Ok(empty(StatusCode::ACCEPTED)),
        StartOutcome::Accepted | StartOutcome::AfterStop => {}
    }
    let view = state
        .servers
        .view(owner.id, &server)
        .await?
        .ok_or_else(not_here)?;
    let seen = state
        .servers
        .wait_ready(view.id, state.settings.slow_start)
        .await?;
    Ok(match seen {
        ServerState::Ready => empty(StatusCode::CREATED),
        ServerState::Queued | ServerState::Starting | ServerState::Stopping => {
            empty(StatusCode::ACCEPTED)
        }
        ServerState::Stopped => {
            let view = state.servers.view(owner.id, &server).await?;
            let why = view
                .and_then(|view| view.failure)
                .unwrap_or_else(|| "It was stopped before it answered.".to_owned());
            return Err(Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("{} failed to start: {why}", full_name(&owner, &server)),
            ));
        }
    })
}

/// `DELETE /hub/api/users/{name}/server`.
pub(in crate::http) async fn stop_default(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    let owner = caller
        .owner_for(&state, &name, "", "delete:servers")
        .await?;
    if wants_removal(&body)? {
        return Err(Failure::bad_request(
            "The default server cannot be removed, only stopped.",
        ));
    }
    stop(&state, &owner, "").await
}

/// `DELETE /hub/api/users/{name}/servers/{server}`: 204 when it is stopped, 202 while it is stopping.
pub(in crate::http) async fn stop_named(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path((name, server)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Failure> {
    let owner = caller
        .owner_for(&state, &name, &server, "delete:servers")
        .await?;
    state
        .servers
        .view(owner.id, &server)
        .await?
        .ok_or_else(not_here)?;
    if wants_removal(&body)? {
        state.servers.delete(owner.id, &server).await?;
        let gone = state.servers.view(owner.id, &server).await?.is_none();
        return Ok(empty(if gone {
            StatusCode::NO_CONTENT
        } else {
            StatusCode::ACCEPTED
        }));
    }
    stop(&state, &owner, &server).await
}

/// `GET /hub/api/users/{name}/servers/{server}`.
pub(in crate::http) async fn show(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path((name, server)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let owner = caller
        .owner_for(&state, &name, &server, "read:servers")
        .await?;
    let view = state
        .servers
        .view(owner.id, &server)
        .await?
        .ok_or_else(not_here)?;
    Ok(Json(models::server(&state, &view)).into_response())
}

async fn stop(state: &HubState, owner: &User, server: &str) -> Result<Response, Failure> {
    if state.servers.view(owner.id, server).await?.is_none() {
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let deadline = tokio::time::Instant::now() + state.settings.slow_start;
    let mut seen = state.servers.stop(owner.id, server).await?;
    while seen != ServerState::Stopped && tokio::time::Instant::now() < deadline {
        state
            .servers
            .changed(std::time::Duration::from_millis(500))
            .await;
        let Some(view) = state.servers.view(owner.id, server).await? else {
            break;
        };
        seen = view.state;
        // Somebody started it again meanwhile: this stop is over.
        if matches!(
            seen,
            ServerState::Queued | ServerState::Starting | ServerState::Ready
        ) {
            break;
        }
    }
    Ok(empty(if seen == ServerState::Stopping {
        StatusCode::ACCEPTED
    } else {
        StatusCode::NO_CONTENT
    }))
}

fn wants_removal(body: &Bytes) -> Result<bool, Failure> {
    match json_body(body)? {
        None => Ok(false),
        Some(Value::Object(fields)) => match fields.get("remove") {
            None => Ok(false),
            Some(Value::Bool(remove)) => Ok(*remove),
            Some(_) => Err(Failure::bad_request("remove must be true or false.")),
        },
        Some(_) => Err(Failure::bad_request("The body must be an object.")),
    }
}

/// Options of a start, as JSON text: the whole object, or what is under `user_options`.
fn options(body: &Bytes) -> Result<Option<String>, Failure> {
    let Some(body) = json_body(body)? else {
        return Ok(None);
    };
    let Value::Object(fields) = body else {
        return if body.is_null() {
            Ok(None)
        } else {
            Err(Failure::bad_request("The body must be an object."))
        };
    };
    let chosen = match fields.get("user_options") {
        Some(options @ (Value::Object(_) | Value::Null)) => options.clone(),
        Some(_) => return Err(Failure::bad_request("user_options must be an object.")),
        None if fields.contains_key("display_name") || fields.is_empty() => return Ok(None),
        None => Value::Object(fields),
    };
    // The prefix marked encoded bytes in JupyterHub's database; taken from outside it could only do harm.
    let reserved = chosen
        .as_object()
        .is_some_and(|map| map.keys().any(|key| key.starts_with("__jupyterhub_")));
    if reserved {
        return Err(Failure::bad_request(
            "Options must not begin with __jupyterhub_.",
        ));
    }
    let text = chosen.to_string();
    if text.len() > OPTIONS_BYTES {
        return Err(Failure::bad_request("The options are too long."));
    }
    Ok(Some(text))
}

fn full_name(owner: &User, server: &str) -> String {
    format!("{}/{server}", owner.name)
}
