//! Once, after the first sign-in by a link: a name and a password are offered, not demanded.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::super::HubState;
use super::super::browser::{self, SignedIn, SignedPosted};
use super::super::error::{Failure, sentence};
use super::super::next::with_some_next;
use super::login::destination;
use super::{Frame, page};
use crate::login::password;
use crate::store::users::User;
use crate::users::{self, UsersError};

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage {
    frame: Frame,
    action: String,
    username: String,
    error: Option<String>,
}

/// `GET /hub/welcome`.
pub(in crate::http) async fn show(
    State(state): State<HubState>,
    who: SignedIn,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let next = browser::asked_next(&state, &query);
    if who.user.has_password {
        return on(&state, &who.user, next).await;
    }
    let name = who.user.name.clone();
    form(&state, &who, next.as_deref(), name, None)
}

/// `POST /hub/welcome`.
pub(in crate::http) async fn submit(
    State(state): State<HubState>,
    Query(query): Query<Vec<(String, String)>>,
    form_sent: SignedPosted,
) -> Result<Response, Failure> {
    let SignedPosted { who, fields } = form_sent;
    let next = browser::asked_next(&state, &query);
    if !fields.has("skip") {
        // With a password this page is over: `/hub/password` asks for the present one first.
        if who.user.has_password {
            return on(&state, &who.user, next).await;
        }
        let tried = apply(
            &state,
            &who,
            fields.text("username"),
            fields.text("password"),
            fields.text("password2"),
        )
        .await?;
        if let Err(words) = tried {
            return form(
                &state,
                &who,
                next.as_deref(),
                fields.text("username").to_owned(),
                Some(words),
            );
        }
    }
    state.store.mark_welcomed(who.user.id).await?;
    on(&state, &who.user, next).await
}

/// Keeps name and password, or says what is wrong with them.
async fn apply(
    state: &HubState,
    who: &SignedIn,
    username: &str,
    typed: &str,
    again: &str,
) -> Result<Result<(), String>, Failure> {
    if let Err(error) = users::check_password(typed) {
        return Ok(Err(sentence(&error)));
    }
    if typed != again {
        return Ok(Err("The two passwords are not the same.".to_owned()));
    }
    match users::rename(&state.store, &who.user, username).await {
        Ok(_) => {}
        Err(UsersError::Store(cause)) => return Err(cause.into()),
        Err(error) => return Ok(Err(sentence(&error))),
    }
    let kept = password::keep(typed).await?;
    let ended = state
        .store
        .set_password(who.user.id, &kept, Some(&who.browser.session_id))
        .await?;
    crate::access::forget(state.revoke.as_ref(), ended).await;
    Ok(Ok(()))
}

async fn on(state: &HubState, user: &User, next: Option<String>) -> Result<Response, Failure> {
    let user = User {
        welcomed: true,
        ..user.clone()
    };
    Ok(Redirect::to(&destination(state, &user, next).await?).into_response())
}

fn form(
    state: &HubState,
    who: &SignedIn,
    next: Option<&str>,
    username: String,
    error: Option<String>,
) -> Result<Response, Failure> {
    let status = if error.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let template = WelcomePage {
        frame: Frame::of(state, &who.browser),
        action: with_some_next("/hub/welcome", next),
        username,
        error,
    };
    page(&who.browser, status, &template)
}
