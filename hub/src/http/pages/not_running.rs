//! What reaches the hub though it was meant for a notebook server: the server is not there, or not yet.
//!
//! People get a page that starts it; programs (JupyterLab's calls, websockets) get 424 and the reason, which they understand.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Json, RequestExt as _};
use holt_spec::names::{escape_segment, server_prefix, unescape_segment};
use serde_json::json;

use super::super::HubState;
use super::super::browser::{Browser, SignedIn};
use super::super::error::Failure;
use super::super::layers::prefers_json;
use super::super::next::with_next;
use super::spawn::{pending_path, start_path};
use super::{Frame, page};
use crate::access::scopes::{Rights, Target};
use crate::servers::ServerState;
use crate::store::StoreError;

#[derive(Template)]
#[template(path = "not_running.html")]
struct NotRunningPage {
    frame: Frame,
    own: bool,
    owner: String,
    server: String,
    start: String,
}

/// Any path that is not the hub's: what is meant for a server comes here when there is no route to it.
pub(in crate::http) async fn elsewhere(
    State(state): State<HubState>,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    if path.starts_with("/hub/") {
        return Failure::not_found().into_response();
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if path.starts_with("/user/") && (!is_read || is_for_programs(&path, request.headers())) {
        let (user, server) = names(&state, &path).await;
        return not_running(&state, &user, &server);
    }
    if !is_read {
        return Failure::not_found().into_response();
    }
    // Links of old and by hand leave the hub's prefix out.
    if ["/user/", "/user-redirect/", "/spawn/"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
        || [
            "/user",
            "/user-redirect",
            "/spawn",
            "/home",
            "/login",
            "/logout",
            "/admin",
        ]
        .contains(&path.as_str())
    {
        let rest = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        return Redirect::to(&format!("/hub{rest}")).into_response();
    }
    Failure::not_found().into_response()
}

/// `/hub/user/{user}/...`.
pub(in crate::http) async fn show(
    State(state): State<HubState>,
    mut request: Request,
) -> Result<Response, Response> {
    let uri = request.uri().clone();
    let inner = uri
        .path()
        .strip_prefix("/hub")
        .unwrap_or(uri.path())
        .to_owned();
    let (user, server) = names(&state, &inner).await;
    let for_programs = is_for_programs(&inner, request.headers());
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(not_running(&state, &user, &server));
    }
    let who = if for_programs {
        let browser = request
            .extract_parts_with_state::<Browser, _>(&state)
            .await
            .map_err(IntoResponse::into_response)?;
        let user = browser
            .user
            .clone()
            .ok_or_else(|| Failure::forbidden("Missing or invalid credentials.").into_response())?;
        SignedIn { user, browser }
    } else {
        request
            .extract_parts_with_state::<SignedIn, _>(&state)
            .await?
    };
    let query = uri
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    let rights = who.caller().rights;
    if let Some(to) = under_new_name(&state, &rights, &user, &inner)
        .await
        .map_err(|error| Failure::from(error).into_response())?
    {
        return Ok(Redirect::to(&format!("{to}{query}")).into_response());
    }
    let target = Target::Server(&user, &server);
    if !rights.allows("access:servers", target) {
        return Err(Failure::not_found().into_response());
    }
    answer(
        &state,
        &who,
        &user,
        &server,
        &format!("{inner}{query}"),
        for_programs,
    )
    .await
    .map_err(IntoResponse::into_response)
}

/// Where a link under a name that its owner had leads now, for those who may go there.
async fn under_new_name(
    state: &HubState,
    rights: &Rights,
    name: &str,
    path: &str,
) -> Result<Option<String>, StoreError> {
    let Some(owner) = state.store.user_by_former_name(name).await? else {
        return Ok(None);
    };
    if !rights.allows("access:servers", Target::User(&owner.name)) {
        return Ok(None);
    }
    let rest = path
        .trim_start_matches("/user/")
        .split_once('/')
        .map_or("", |(_, rest)| rest);
    Ok(Some(format!("{}{rest}", server_prefix(&owner.name, ""))))
}

async fn answer(
    state: &HubState,
    who: &SignedIn,
    user: &str,
    server: &str,
    wanted: &str,
    for_programs: bool,
) -> Result<Response, Failure> {
    let owner = state
        .store
        .user_by_name(user)
        .await?
        .ok_or_else(Failure::not_found)?;
    let view = state.servers.view(owner.id, server).await?;
    match view.as_ref().map(|view| view.state) {
        Some(ServerState::Ready) => again(wanted).await,
        _ if for_programs => Ok(not_running(state, user, server)),
        Some(ServerState::Queued | ServerState::Starting | ServerState::Stopping) => {
            Ok(Redirect::to(&with_next(&pending_path(user, server), wanted)).into_response())
        }
        _ => offer(
            state,
            who,
            user,
            server,
            wanted,
            StatusCode::FAILED_DEPENDENCY,
        ),
    }
}

/// The server answers and its route is on its way to the proxy: try again, a little later each time, four times.
async fn again(wanted: &str) -> Result<Response, Failure> {
    let (path, query) = wanted.split_once('?').unwrap_or((wanted, ""));
    let mut tries = 0;
    let mut fields: Vec<&str> = Vec::new();
    for field in query.split('&').filter(|field| !field.is_empty()) {
        match field
            .strip_prefix("redirects=")
            .and_then(|count| count.parse::<u32>().ok())
        {
            Some(count) => tries = count,
            None => fields.push(field),
        }
    }
    if tries >= 4 {
        return Err(Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The notebook server runs, but the way to it is not open. Stop it on your home page and start it again.",
        )
        .advise("Go to your home page", "/hub/home"));
    }
    if tries > 0 {
        tokio::time::sleep(Duration::from_secs(1 << tries)).await;
    }
    let count = format!("redirects={}", tries + 1);
    fields.push(&count);
    Ok(Redirect::to(&format!("{path}?{}", fields.join("&"))).into_response())
}

/// The page with the start button, which leads back to `wanted`.
pub(in crate::http) fn offer(
    state: &HubState,
    who: &SignedIn,
    user: &str,
    server: &str,
    wanted: &str,
    status: StatusCode,
) -> Result<Response, Failure> {
    let template = NotRunningPage {
        frame: Frame::of(state, &who.browser),
        own: who.user.name == user,
        owner: user.to_owned(),
        server: server.to_owned(),
        start: with_next(&start_path(user, server), wanted),
    };
    page(&who.browser, status, &template)
}

/// 424, with where to start it: the same for servers that are not there and for names that nobody has.
fn not_running(state: &HubState, user: &str, server: &str) -> Response {
    let url = state.settings.full(&start_path(user, server));
    let body = json!({
        "status": 424,
        "message": format!("{user}'s server{} is not running. Start it at {url}", if server.is_empty() { String::new() } else { format!(" {server}") }),
    });
    (StatusCode::FAILED_DEPENDENCY, Json(body)).into_response()
}

/// `GET /hub/user-redirect/...`: a link that leads everybody to their own server.
pub(in crate::http) async fn redirect_to_own(
    who: SignedIn,
    path: Option<Path<String>>,
    request: Request,
) -> Response {
    let query = request
        .uri()
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    let inner = path
        .and_then(|_| request.uri().path().strip_prefix("/hub/user-redirect/"))
        .unwrap_or_default();
    let wanted = format!("{}{inner}{query}", server_prefix(&who.user.name, ""));
    let start = format!("/hub/spawn/{}", escape_segment(&who.user.name));
    Redirect::to(&with_next(&start, &wanted)).into_response()
}

/// Owner and server that `/user/...` means: the second segment is a server if there is one of that name.
async fn names(state: &HubState, path: &str) -> (String, String) {
    let mut segments = path
        .trim_start_matches("/user/")
        .split('/')
        .map(|s| unescape_segment(s).unwrap_or_default());
    let user = segments.next().unwrap_or_default();
    let second = segments.next().unwrap_or_default();
    if second.is_empty() {
        return (user, String::new());
    }
    let known = match state.store.user_by_name(&user).await {
        Ok(Some(owner)) => matches!(state.servers.view(owner.id, &second).await, Ok(Some(_))),
        _ => false,
    };
    (user, if known { second } else { String::new() })
}

/// Calls that a person does not see: a segment `api`, JSON before HTML, a websocket.
fn is_for_programs(path: &str, headers: &HeaderMap) -> bool {
    path.split('/').skip(3).any(|segment| segment == "api")
        || prefers_json(headers)
        || headers
            .get(header::UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
