//! Starting a server, and the page of those who wait for it.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use holt_spec::names::{escape_segment, server_prefix};

use super::super::HubState;
use super::super::api::models::progress_path;
use super::super::api::progress::waiting_words;
use super::super::browser::{self, SignedIn, SignedPosted};
use super::super::error::Failure;
use super::super::next::with_some_next;
use super::home::{Card, owner_for};
use super::{Frame, page};
use crate::servers::{ServerState, ServerView};

type Fields = Query<Vec<(String, String)>>;

#[derive(Template)]
#[template(path = "spawn_pending.html")]
struct PendingPage {
    frame: Frame,
    card: Card,
    own: bool,
    progress_url: String,
    to: String,
    percent: i64,
    message: String,
    log: Vec<String>,
    stopping: bool,
    retry: String,
}

#[derive(Template)]
#[template(path = "spawn_failed.html")]
struct FailedPage {
    frame: Frame,
    own: bool,
    owner: String,
    retry: String,
    reason: String,
    log: Vec<String>,
}

/// `GET /hub/spawn`.
pub(in crate::http) async fn own(
    State(state): State<HubState>,
    who: SignedIn,
    query: Fields,
) -> Result<Response, Failure> {
    let user = who.user.name.clone();
    start(&state, &who, &user, "", &query).await
}

/// `GET /hub/spawn/{user}`.
pub(in crate::http) async fn default(
    State(state): State<HubState>,
    who: SignedIn,
    Path(user): Path<String>,
    query: Fields,
) -> Result<Response, Failure> {
    start(&state, &who, &user, "", &query).await
}

/// `GET /hub/spawn/{user}/{server}`.
pub(in crate::http) async fn named(
    State(state): State<HubState>,
    who: SignedIn,
    Path((user, server)): Path<(String, String)>,
    query: Fields,
) -> Result<Response, Failure> {
    start(&state, &who, &user, &server, &query).await
}

/// `POST /hub/spawn`.
pub(in crate::http) async fn start_own(
    State(state): State<HubState>,
    query: Fields,
    form: SignedPosted,
) -> Result<Response, Failure> {
    let user = form.who.user.name.clone();
    start(&state, &form.who, &user, "", &query).await
}

/// `POST /hub/spawn/{user}`.
pub(in crate::http) async fn start_default(
    State(state): State<HubState>,
    Path(user): Path<String>,
    query: Fields,
    form: SignedPosted,
) -> Result<Response, Failure> {
    start(&state, &form.who, &user, "", &query).await
}

/// `POST /hub/spawn/{user}/{server}`.
pub(in crate::http) async fn start_named(
    State(state): State<HubState>,
    Path((user, server)): Path<(String, String)>,
    query: Fields,
    form: SignedPosted,
) -> Result<Response, Failure> {
    start(&state, &form.who, &user, &server, &query).await
}

/// An explicit visit is consent: it starts what does not run, even if the last start failed.
async fn start(
    state: &HubState,
    who: &SignedIn,
    user: &str,
    server: &str,
    query: &[(String, String)],
) -> Result<Response, Failure> {
    let owner = owner_for(state, who, user, server, "servers").await?;
    let user = owner.name.as_str();
    let next = browser::asked_next(state, query);
    let view = state.servers.view(owner.id, server).await?;
    if view.is_some_and(|view| view.state == ServerState::Ready) {
        let to = next.unwrap_or_else(|| server_prefix(user, server));
        return Ok(Redirect::to(&to).into_response());
    }
    state.servers.start(owner.id, server, None).await?;
    // Another name is taken over now, and a link under the old one leads on from there.
    let present = state.store.user(owner.id).await?;
    let user = present.map_or_else(|| user.to_owned(), |owner| owner.name);
    Ok(Redirect::to(&with_some_next(
        &pending_path(&user, server),
        next.as_deref(),
    ))
    .into_response())
}

/// `GET /hub/spawn-pending/{user}`.
pub(in crate::http) async fn pending_default(
    State(state): State<HubState>,
    who: SignedIn,
    Path(user): Path<String>,
    query: Fields,
) -> Result<Response, Failure> {
    pending(&state, &who, &user, "", &query).await
}

/// `GET /hub/spawn-pending/{user}/{server}`.
pub(in crate::http) async fn pending_named(
    State(state): State<HubState>,
    who: SignedIn,
    Path((user, server)): Path<(String, String)>,
    query: Fields,
) -> Result<Response, Failure> {
    pending(&state, &who, &user, &server, &query).await
}

/// Never starts anything.
async fn pending(
    state: &HubState,
    who: &SignedIn,
    user: &str,
    server: &str,
    query: &[(String, String)],
) -> Result<Response, Failure> {
    let owner = owner_for(state, who, user, server, "read:servers").await?;
    let user = owner.name.as_str();
    let next = browser::asked_next(state, query);
    let to = next.clone().unwrap_or_else(|| server_prefix(user, server));
    let view = state.servers.view(owner.id, server).await?;
    let events = match &view {
        Some(view) => state.servers.progress(view.id, 0).await?,
        None => Vec::new(),
    };
    let mut log: Vec<String> = events
        .iter()
        .filter(|event| event.kind == "step")
        .map(|event| event.message.clone())
        .collect();
    let retry = with_some_next(&start_path(user, server), next.as_deref());
    let own = owner.id == who.user.id;
    match view {
        Some(view) if view.state == ServerState::Ready => Ok(Redirect::to(&to).into_response()),
        Some(view) if view.state != ServerState::Stopped => {
            let (percent, message) = how_far(state, &view, &events).await?;
            log.dedup();
            let template = PendingPage {
                frame: Frame::of(state, &who.browser),
                card: Card::of(&view, state.store.now().await?),
                own,
                progress_url: progress_path(user, server),
                to,
                percent,
                message,
                log,
                stopping: view.state == ServerState::Stopping,
                retry,
            };
            page(&who.browser, StatusCode::OK, &template)
        }
        Some(ServerView {
            failure: Some(reason),
            ..
        }) => {
            let template = FailedPage {
                frame: Frame::of(state, &who.browser),
                own,
                owner: user.to_owned(),
                retry,
                reason,
                log,
            };
            page(&who.browser, StatusCode::INTERNAL_SERVER_ERROR, &template)
        }
        _ => super::not_running::offer(state, who, user, server, &to, StatusCode::OK),
    }
}

/// How far a start is: percent and a sentence.
async fn how_far(
    state: &HubState,
    view: &ServerView,
    events: &[crate::servers::ProgressEvent],
) -> Result<(i64, String), Failure> {
    let percent = events
        .iter()
        .map(|event| event.percent)
        .max()
        .unwrap_or(0)
        .clamp(0, 99);
    if view.state == ServerState::Stopping {
        return Ok((0, "The server is being stopped.".to_owned()));
    }
    if let Some(words) = waiting_words(state, view.id).await? {
        return Ok((percent, words));
    }
    let message = events
        .last()
        .map_or("Server requested", |event| event.message.as_str());
    Ok((percent, message.to_owned()))
}

/// Path of the start of a server.
pub(in crate::http) fn start_path(user: &str, server: &str) -> String {
    if server.is_empty() {
        format!("/hub/spawn/{}", escape_segment(user))
    } else {
        format!(
            "/hub/spawn/{}/{}",
            escape_segment(user),
            escape_segment(server)
        )
    }
}

/// Path of the waiting page of a server.
pub(in crate::http) fn pending_path(user: &str, server: &str) -> String {
    start_path(user, server).replacen("/hub/spawn/", "/hub/spawn-pending/", 1)
}
