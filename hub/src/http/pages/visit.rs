//! The OAuth authorize page: a server sent somebody to us to learn who they are.
//!
//! For one's own servers nothing is asked; whoever visits another's confirms it once.

use askama::Template;
use axum::extract::{OriginalUri, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use holt_spec::names::server_prefix;

use super::super::HubState;
use super::super::browser::{SignedIn, SignedPosted};
use super::super::error::Failure;
use super::{Frame, page};
use crate::oauth_provider::authorize::{self, Asked, AuthorizeError, Query as Wish};

#[derive(Template)]
#[template(path = "visit.html")]
struct VisitPage {
    frame: Frame,
    action: String,
    owner: String,
    server: String,
    user: String,
    url: String,
}

/// `GET /hub/api/oauth2/authorize`.
pub(in crate::http) async fn ask(
    State(state): State<HubState>,
    who: SignedIn,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let asked = match check(&state, &who, &query).await? {
        Ok(asked) => asked,
        Err(elsewhere) => return Ok(elsewhere),
    };
    if !asked.confirm {
        let location = authorize::grant(&state.store, &who.caller(), &asked).await?;
        return Ok(who.browser.answer(go(&location)));
    }
    let template = VisitPage {
        frame: Frame::of(&state, &who.browser),
        action: format!(
            "/hub/api/oauth2/authorize?{}",
            uri.query().unwrap_or_default()
        ),
        url: server_prefix(&asked.client.owner_name, &asked.client.server_name),
        owner: asked.client.owner_name,
        server: asked.client.server_name,
        user: who.user.name.clone(),
    };
    page(&who.browser, StatusCode::OK, &template)
}

/// `POST /hub/api/oauth2/authorize`, with the same query.
pub(in crate::http) async fn confirm(
    State(state): State<HubState>,
    Query(query): Query<Vec<(String, String)>>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    let asked = match check(&state, &form.who, &query).await? {
        Ok(asked) => asked,
        Err(elsewhere) => return Ok(elsewhere),
    };
    if form.fields.has("deny") {
        return Ok(go(&authorize::deny(&asked)));
    }
    let location = authorize::grant(&state.store, &form.who.caller(), &asked).await?;
    Ok(go(&location))
}

async fn check(
    state: &HubState,
    who: &SignedIn,
    query: &[(String, String)],
) -> Result<Result<Asked, Response>, Failure> {
    let wish = Wish::read(
        query
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    )?;
    match authorize::check(&state.store, &who.caller(), &wish).await {
        Ok(asked) => Ok(Ok(asked)),
        Err(AuthorizeError::ToClient { location, .. }) => Ok(Err(go(&location))),
        Err(other) => Err(other.into()),
    }
}

/// JupyterHub answers 302, and the address stays the bare path it is.
fn go(location: &str) -> Response {
    let mut response = Redirect::to(location).into_response();
    *response.status_mut() = StatusCode::FOUND;
    response
}
