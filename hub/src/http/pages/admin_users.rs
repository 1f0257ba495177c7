//! What administrators do about users: invite, let set a new password, make administrator, delete.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::super::HubState;
use super::super::api::users::remove;
use super::super::browser::{SignedIn, SignedPosted};
use super::super::error::Failure;
use super::admin::require_admin;
use super::{Frame, page};
use crate::store::links::LinkKind;
use crate::store::users::{AdminChange, User};

#[derive(Template)]
#[template(path = "admin_link.html")]
struct LinkMadePage {
    frame: Frame,
    user: Option<String>,
    admin: bool,
    url: String,
    days: u64,
}

#[derive(Template)]
#[template(path = "admin_delete.html")]
struct DeletePage {
    frame: Frame,
    id: i64,
    name: String,
    running: usize,
}

/// `POST /hub/admin/invite`: a link for somebody who chooses their own name.
pub(in crate::http) async fn invite(
    State(state): State<HubState>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    require_admin(&form.who)?;
    let admin = form.fields.has("admin");
    show_link(&state, &form.who, LinkKind::Invite, None, admin).await
}

/// `POST /hub/admin/users/{id}/reset`: a link to set a new password.
pub(in crate::http) async fn reset(
    State(state): State<HubState>,
    Path(id): Path<i64>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    require_admin(&form.who)?;
    let user = find(&state, id).await?;
    show_link(&state, &form.who, LinkKind::Reset, Some(user), false).await
}

/// `POST /hub/admin/users/{id}/admin`.
pub(in crate::http) async fn change_admin(
    State(state): State<HubState>,
    Path(id): Path<i64>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    require_admin(&form.who)?;
    let admin = form.fields.text("admin") == "1";
    match state.store.set_admin(id, admin).await? {
        AdminChange::Done => {
            tracing::info!(
                user.id = id,
                by.id = form.who.user.id,
                admin,
                "User {id}'s administration changed"
            );
            Ok(Redirect::to("/hub/admin").into_response())
        }
        AdminChange::NoUser => Err(Failure::not_found()),
        AdminChange::LastAdmin => Err(Failure::bad_request(
            "The last administrator must stay one: make another first.",
        )
        .advise("Back to the users", "/hub/admin")),
    }
}

/// `GET /hub/admin/users/{id}/delete`: asks.
pub(in crate::http) async fn ask_delete(
    State(state): State<HubState>,
    Path(id): Path<i64>,
    who: SignedIn,
) -> Result<Response, Failure> {
    require_admin(&who)?;
    let user = find(&state, id).await?;
    let servers = state.servers.list(id).await?;
    let template = DeletePage {
        frame: Frame::of(&state, &who.browser),
        id,
        name: user.name,
        running: servers
            .iter()
            .filter(|server| server.state != crate::servers::ServerState::Stopped)
            .count(),
    };
    page(&who.browser, StatusCode::OK, &template)
}

/// `POST /hub/admin/users/{id}/delete`: does it.
pub(in crate::http) async fn delete(
    State(state): State<HubState>,
    Path(id): Path<i64>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    require_admin(&form.who)?;
    if id == form.who.user.id {
        return Err(Failure::bad_request("Nobody can delete themselves.")
            .advise("Back to the users", "/hub/admin"));
    }
    find(&state, id).await?;
    remove(&state, id).await?;
    tracing::info!(
        user.id = id,
        by.id = form.who.user.id,
        "User {id} was deleted"
    );
    Ok(Redirect::to("/hub/admin").into_response())
}

async fn find(state: &HubState, id: i64) -> Result<User, Failure> {
    state.store.user(id).await?.ok_or_else(Failure::not_found)
}

/// The link is shown once, in the answer itself, so that it stands in no URL of the administrator's history.
async fn show_link(
    state: &HubState,
    who: &SignedIn,
    kind: LinkKind,
    user: Option<User>,
    admin: bool,
) -> Result<Response, Failure> {
    let lifetime = state.settings.link_lifetime;
    let user_id = user.as_ref().map(|user| user.id);
    let raw = state
        .store
        .make_link(kind, user_id, admin, lifetime, Some(who.user.id))
        .await?;
    let template = LinkMadePage {
        frame: Frame::of(state, &who.browser),
        user: user.map(|user| user.name),
        admin,
        url: state.settings.full(&format!("/hub/link/{raw}")),
        days: lifetime.as_secs().div_ceil(24 * 3600),
    };
    page(&who.browser, StatusCode::OK, &template)
}
