//! The home page: my servers, each with start, stop and open.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use holt_spec::names::{check_server_name, escape_segment, server_prefix};

use super::super::HubState;
use super::super::browser::{SignedIn, SignedPosted};
use super::super::error::{Failure, sentence};
use super::mounts::MountLine;
use super::{Frame, ago, page};
use crate::access::scopes::Target;
use crate::servers::{ServerState, ServerView};
use crate::store::users::User;

/// A server as pages show it.
pub(in crate::http) struct Card {
    pub(in crate::http) name: String,
    pub(in crate::http) owner: String,
    pub(in crate::http) state: &'static str,
    pub(in crate::http) words: &'static str,
    pub(in crate::http) url: String,
    pub(in crate::http) start: String,
    pub(in crate::http) pending: String,
    pub(in crate::http) stop: String,
    pub(in crate::http) remove: String,
    pub(in crate::http) used: String,
    pub(in crate::http) failure: Option<String>,
}

impl Card {
    /// Of a server that is or was.
    pub(in crate::http) fn of(view: &ServerView, now: i64) -> Self {
        let (state, words) = match view.state {
            ServerState::Stopped if view.failure.is_some() => ("failed", "Stopped"),
            ServerState::Stopped => ("stopped", "Stopped"),
            ServerState::Queued => ("starting", "Waiting for its turn"),
            ServerState::Starting => ("starting", "Starting"),
            ServerState::Ready => ("ready", "Running"),
            ServerState::Stopping => ("stopping", "Stopping"),
        };
        Self {
            state,
            words,
            used: ago(view.last_activity, now),
            failure: view
                .failure
                .clone()
                .filter(|_| view.state == ServerState::Stopped),
            ..Self::stopped(&view.user, &view.name)
        }
    }

    /// Of a server that never was.
    fn stopped(owner: &str, name: &str) -> Self {
        let path = if name.is_empty() {
            escape_segment(owner)
        } else {
            format!("{}/{}", escape_segment(owner), escape_segment(name))
        };
        Self {
            name: name.to_owned(),
            owner: owner.to_owned(),
            state: "stopped",
            words: "Stopped",
            url: server_prefix(owner, name),
            start: format!("/hub/spawn/{path}"),
            pending: format!("/hub/spawn-pending/{path}"),
            stop: format!("/hub/stop/{path}"),
            remove: format!("/hub/remove/{path}"),
            used: "never".to_owned(),
            failure: None,
        }
    }
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    user: String,
    default: Card,
    named: Vec<Card>,
    named_on: bool,
    /// Whoever comes by a provider needs none.
    offer_password: bool,
    busy: bool,
    mounts: Vec<MountLine>,
}

/// `GET /hub/home`.
pub(in crate::http) async fn show(
    State(state): State<HubState>,
    who: SignedIn,
) -> Result<Response, Failure> {
    let now = state.store.now().await?;
    let servers = state.servers.list(who.user.id).await?;
    let busy = servers
        .iter()
        .any(|server| !matches!(server.state, ServerState::Stopped | ServerState::Ready));
    let default = servers
        .iter()
        .find(|server| server.name.is_empty())
        .map_or_else(
            || Card::stopped(&who.user.name, ""),
            |server| Card::of(server, now),
        );
    let template = HomePage {
        frame: Frame::of(&state, &who.browser),
        user: who.user.name.clone(),
        default,
        named: servers
            .iter()
            .filter(|server| !server.name.is_empty())
            .map(|server| Card::of(server, now))
            .collect(),
        named_on: state.settings.named_servers,
        offer_password: state.sign_in.is_local_on
            && !who.user.has_password
            && state.store.identities_of(who.user.id).await?.is_empty(),
        busy,
        mounts: super::mounts::lines(&state, &who.user).await,
    };
    page(&who.browser, StatusCode::OK, &template)
}

/// `POST /hub/servers`: a new named server, started at once.
pub(in crate::http) async fn add(
    State(state): State<HubState>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    let name = form.fields.text("name").trim();
    if name.is_empty() {
        return Err(Failure::bad_request("The server needs a name.")
            .advise("Back to your home page", "/hub/home"));
    }
    check_server_name(name).map_err(|error| {
        Failure::bad_request(sentence(&error)).advise("Back to your home page", "/hub/home")
    })?;
    let user = &form.who.user;
    state.servers.start(user.id, name, None).await?;
    let path = format!(
        "/hub/spawn-pending/{}/{}",
        escape_segment(&user.name),
        escape_segment(name)
    );
    Ok(Redirect::to(&path).into_response())
}

/// `POST /hub/stop/{user}`.
pub(in crate::http) async fn stop_default(
    State(state): State<HubState>,
    Path(user): Path<String>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    stop(&state, &form, &user, "").await
}

/// `POST /hub/stop/{user}/{server}`.
pub(in crate::http) async fn stop_named(
    State(state): State<HubState>,
    Path((user, server)): Path<(String, String)>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    stop(&state, &form, &user, &server).await
}

async fn stop(
    state: &HubState,
    form: &SignedPosted,
    user: &str,
    server: &str,
) -> Result<Response, Failure> {
    let owner = owner_for(state, &form.who, user, server, "delete:servers").await?;
    state.servers.stop(owner.id, server).await?;
    // Most stops take a moment: wait for that moment rather than show a page that is out of date.
    for _ in 0..4 {
        match state.servers.view(owner.id, server).await? {
            Some(view) if view.state == ServerState::Stopping => {
                state
                    .servers
                    .changed(std::time::Duration::from_millis(500))
                    .await;
            }
            _ => break,
        }
    }
    Ok(back(form))
}

/// `POST /hub/remove/{user}/{server}`.
pub(in crate::http) async fn remove(
    State(state): State<HubState>,
    Path((user, server)): Path<(String, String)>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    let owner = owner_for(&state, &form.who, &user, &server, "delete:servers").await?;
    state.servers.delete(owner.id, &server).await?;
    Ok(back(&form))
}

/// To the page the button stood on.
fn back(form: &SignedPosted) -> Response {
    let to = if form.fields.text("from") == "admin" {
        "/hub/admin"
    } else {
        "/hub/home"
    };
    Redirect::to(to).into_response()
}

/// The owner of a server, if this person may do that to it; strangers' servers do not exist.
pub(in crate::http) async fn owner_for(
    state: &HubState,
    who: &SignedIn,
    user: &str,
    server: &str,
    scope: &str,
) -> Result<User, Failure> {
    // A name that its owner had is theirs until somebody else has it: a page may have been open while it changed.
    let former = if who.user.name == user {
        None
    } else {
        state.store.user_by_former_name(user).await?
    };
    let user = former.as_ref().map_or(user, |owner| owner.name.as_str());
    let target = Target::Server(user, server);
    if !who.caller().rights.allows(scope, target) {
        return Err(Failure::not_found());
    }
    if who.user.name == user {
        return Ok(who.user.clone());
    }
    state
        .store
        .user_by_name(user)
        .await?
        .ok_or_else(Failure::not_found)
}
