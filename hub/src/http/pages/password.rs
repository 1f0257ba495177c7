//! Changing one's own password. It ends every other session.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::super::HubState;
use super::super::browser::{self, SignedIn, SignedPosted};
use super::super::error::{Failure, sentence};
use super::{Frame, page};
use crate::login::local::{self, LocalError};
use crate::login::password;
use crate::users;

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    frame: Frame,
    has_password: bool,
    username: String,
    error: Option<String>,
    done: bool,
}

/// `GET /hub/password`.
pub(in crate::http) async fn show(
    State(state): State<HubState>,
    who: SignedIn,
) -> Result<Response, Failure> {
    refuse_others(&state, &who).await?;
    form(&state, &who, None, false)
}

/// `POST /hub/password`.
pub(in crate::http) async fn submit(
    State(state): State<HubState>,
    headers: HeaderMap,
    form_sent: SignedPosted,
) -> Result<Response, Failure> {
    let SignedPosted { who, fields } = form_sent;
    refuse_others(&state, &who).await?;
    let typed = fields.text("password");
    if let Err(error) = users::check_password(typed) {
        return form(&state, &who, Some(sentence(&error)), false);
    }
    if typed != fields.text("password2") {
        return form(
            &state,
            &who,
            Some("The two passwords are not the same.".to_owned()),
            false,
        );
    }
    if who.user.has_password {
        let address = browser::address(&headers);
        match local::sign_in(
            &state.store,
            &who.user.name,
            fields.text("current"),
            address,
        )
        .await
        {
            Ok(_) => {}
            Err(LocalError::Wrong) => {
                return form(
                    &state,
                    &who,
                    Some("The present password is not right.".to_owned()),
                    false,
                );
            }
            Err(other) => return Err(other.into()),
        }
    }
    let kept = password::keep(typed).await?;
    let ended = state
        .store
        .set_password(who.user.id, &kept, Some(&who.browser.session_id))
        .await?;
    crate::access::forget(state.revoke.as_ref(), ended).await;
    state.store.mark_welcomed(who.user.id).await?;
    tracing::info!(
        user.id = who.user.id,
        "User {} changed their password",
        who.user.id
    );
    form(&state, &who, None, true)
}

/// Who comes by a provider has no password of their own choice: it would outlive the provider's locks and the rules for its people.
async fn refuse_others(state: &HubState, who: &SignedIn) -> Result<(), Failure> {
    if who.user.has_password || state.store.identities_of(who.user.id).await?.is_empty() {
        return Ok(());
    }
    Err(
        Failure::forbidden("You sign in by a provider, so there is no password to choose here.")
            .advise("Go to your home page", "/hub/home"),
    )
}

fn form(
    state: &HubState,
    who: &SignedIn,
    error: Option<String>,
    done: bool,
) -> Result<Response, Failure> {
    let status = if error.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let template = PasswordPage {
        frame: Frame::of(state, &who.browser),
        has_password: who.user.has_password || done,
        username: who.user.name.clone(),
        error,
        done,
    };
    page(&who.browser, status, &template)
}
