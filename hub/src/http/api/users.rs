//! Users: list, look, make, change, delete.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::HubState;
use super::super::caller::{ApiCaller, not_here};
use super::super::error::Failure;
use super::{empty, json_body, models};
use crate::access::scopes::Target;
use crate::access::{self};
use crate::servers::ServerState;
use crate::store::users::AdminChange;
use crate::users;

/// The most users in one answer.
const PAGE: u32 = 200;

/// `GET /hub/api/users`, with JupyterHub's filters and pages.
pub(in crate::http) async fn list(
    State(state): State<HubState>,
    caller: ApiCaller,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    caller.require("list:users", Target::Hub)?;
    let field = |name: &str| {
        query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let number = |name: &str| match field(name) {
        None => Ok(None),
        Some(text) => text
            .parse::<i64>()
            .map(|value| Some(u32::try_from(value.unsigned_abs()).unwrap_or(u32::MAX)))
            .map_err(|_| Failure::bad_request(format!("{name} must be a whole number."))),
    };
    let paged = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/jupyterhub-pagination+json"));
    let offset = number("offset")?.unwrap_or(0);
    let limit = number("limit")?
        .unwrap_or(if paged { 50 } else { PAGE })
        .clamp(1, PAGE);
    let include_stopped =
        field("include_stopped_servers").is_some_and(|value| value != "0" && value != "false");
    let wanted: fn(&[ServerState]) -> bool = match field("state") {
        None | Some("") => |_| true,
        Some("active") => |states| states.iter().any(|state| *state != ServerState::Stopped),
        Some("ready") => |states| states.contains(&ServerState::Ready),
        Some("inactive") => |states| states.iter().all(|state| *state == ServerState::Stopped),
        Some(_) => {
            return Err(Failure::bad_request(
                "state must be active, ready or inactive.",
            ));
        }
    };
    let name_filter = field("name_filter").unwrap_or_default().to_lowercase();

    let servers = state.servers.list_all().await?;
    let all = state.store.users(0, u32::MAX).await?;
    let matching: Vec<_> = all
        .iter()
        .filter(|user| name_filter.is_empty() || user.name.to_lowercase().contains(&name_filter))
        .filter(|user| {
            let states: Vec<_> = servers
                .iter()
                .filter(|s| s.user_id == user.id)
                .map(|s| s.state)
                .collect();
            wanted(&states)
        })
        .collect();
    let total = matching.len();
    let items: Vec<Value> = matching
        .into_iter()
        .skip(offset as usize)
        .take(limit as usize)
        .map(|user| {
            let own: Vec<_> = servers
                .iter()
                .filter(|server| server.user_id == user.id)
                .cloned()
                .collect();
            models::user(&state, &caller.0.rights, user, &own, include_stopped)
        })
        .collect();
    if !paged {
        return Ok(Json(items).into_response());
    }
    let following = u64::from(offset) + u64::from(limit);
    let next = (following < total as u64).then(|| {
        json!({
            "offset": following,
            "limit": limit,
            "url": state.settings.full(&format!("/hub/api/users?offset={following}&limit={limit}")),
        })
    });
    let pages = json!({ "offset": offset, "limit": limit, "total": total, "next": next });
    Ok(Json(json!({ "items": items, "_pagination": pages })).into_response())
}

/// `POST /hub/api/users`.
pub(in crate::http) async fn create_many(
    State(state): State<HubState>,
    caller: ApiCaller,
    body: Bytes,
) -> Result<Response, Failure> {
    caller.require("admin:users", Target::Hub)?;
    let body = json_body(&body)?.unwrap_or_default();
    let names = body
        .get("usernames")
        .and_then(Value::as_array)
        .filter(|names| !names.is_empty())
        .ok_or_else(|| {
            Failure::bad_request("Must specify at least one user to create in usernames.")
        })?;
    let admin = admin_field(&body)?.unwrap_or(false);
    let mut clean = Vec::new();
    for name in names {
        let name = name
            .as_str()
            .ok_or_else(|| Failure::bad_request("usernames must be texts."))?;
        clean.push(users::clean_name(name)?);
    }
    let mut made = Vec::new();
    for name in clean {
        match users::create(&state.store, &name, admin).await {
            Ok(user) => made.push(models::user(&state, &caller.0.rights, &user, &[], false)),
            Err(users::UsersError::Taken) => {}
            Err(other) => return Err(other.into()),
        }
    }
    if made.is_empty() {
        return Err(Failure::new(
            StatusCode::CONFLICT,
            "All of these users exist already.",
        ));
    }
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// `GET /hub/api/users/{name}`.
pub(in crate::http) async fn show(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path(name): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let user = caller.user_for(&state, &name, "read:users:name").await?;
    let include_stopped = query
        .iter()
        .any(|(key, value)| key == "include_stopped_servers" && value != "0" && value != "false");
    let servers = state.servers.list(user.id).await?;
    Ok(Json(models::user(
        &state,
        &caller.0.rights,
        &user,
        &servers,
        include_stopped,
    ))
    .into_response())
}

/// `POST /hub/api/users/{name}`.
pub(in crate::http) async fn create(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    caller.require("admin:users", Target::Hub)?;
    let admin = admin_field(&json_body(&body)?.unwrap_or_default())?.unwrap_or(false);
    let user = users::create(&state.store, &name, admin).await?;
    Ok((
        StatusCode::CREATED,
        Json(models::user(&state, &caller.0.rights, &user, &[], false)),
    )
        .into_response())
}

/// `PATCH /hub/api/users/{name}`: name and administration.
pub(in crate::http) async fn change(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    let user = caller.user_for(&state, &name, "admin:users").await?;
    let body = json_body(&body)?.unwrap_or_default();
    let fields = body
        .as_object()
        .ok_or_else(|| Failure::bad_request("The body must be an object."))?;
    if let Some(unknown) = fields.keys().find(|key| *key != "name" && *key != "admin") {
        return Err(Failure::bad_request(format!(
            "{unknown:?} cannot be changed here."
        )));
    }
    let new_name = match fields.get("name") {
        None => None,
        Some(Value::String(name)) => Some(users::clean_name(name)?),
        Some(_) => return Err(Failure::bad_request("name must be a text.")),
    };
    let admin = admin_field(&body)?;
    if let Some(new_name) = new_name {
        users::rename(&state.store, &user, &new_name).await?;
    }
    if let Some(admin) = admin {
        match state.store.set_admin(user.id, admin).await? {
            AdminChange::Done => {}
            AdminChange::NoUser => return Err(not_here()),
            AdminChange::LastAdmin => {
                return Err(Failure::bad_request(
                    "The last administrator must stay one.",
                ));
            }
        }
    }
    let user = state.store.user(user.id).await?.ok_or_else(not_here)?;
    let servers = state.servers.list(user.id).await?;
    Ok(Json(models::user(
        &state,
        &caller.0.rights,
        &user,
        &servers,
        false,
    ))
    .into_response())
}

/// `DELETE /hub/api/users/{name}`: stops their servers first.
pub(in crate::http) async fn delete(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let user = caller.user_for(&state, &name, "delete:users").await?;
    if user.id == caller.0.user.id {
        return Err(Failure::bad_request("Nobody can delete themselves."));
    }
    remove(&state, user.id).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Deletes a user: their credentials at once, their servers as soon as they can be stopped.
pub(in crate::http) async fn remove(state: &HubState, user_id: i64) -> Result<(), Failure> {
    let servers = state.servers.list(user_id).await?;
    let Some(ended) = state.store.delete_user(user_id).await? else {
        return Err(Failure::bad_request(
            "The last administrator cannot be deleted.",
        ));
    };
    access::forget(state.revoke.as_ref(), ended).await;
    for server in servers {
        // The wish is in the row already; this wakes the worker.
        let _ = state.servers.delete(user_id, &server.name).await;
    }
    state.store.purge_users().await?;
    Ok(())
}

fn admin_field(body: &Value) -> Result<Option<bool>, Failure> {
    match body.get("admin") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(admin)) => Ok(Some(*admin)),
        Some(_) => Err(Failure::bad_request("admin must be true or false.")),
    }
}
