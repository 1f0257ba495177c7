//! Signing in with name and password, where to go then, and signing out.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::super::HubState;
use super::super::browser::{self, Browser, Unproven};
use super::super::error::{Failure, sentence};
use super::super::next::{with_next, with_some_next};
use super::{Frame, page};
use crate::access;
use crate::login::local::{self, LocalError};
use crate::metrics::LOGINS;
use crate::servers::ServerState;
use crate::store::sessions::Origin;
use crate::store::users::User;
use holt_spec::names::server_prefix;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    /// Buttons that lead to providers: what stands on them, and where they lead.
    buttons: Vec<(String, String)>,
    is_local_on: bool,
    action: String,
    username: String,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutPage {
    frame: Frame,
}

/// `GET /` and `GET /hub`.
pub(in crate::http) async fn to_hub() -> Redirect {
    Redirect::to("/hub/")
}

/// `GET /hub/`: to where this person works.
pub(in crate::http) async fn front(
    State(state): State<HubState>,
    browser: Browser,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Redirect, Failure> {
    let next = browser::asked_next(&state, &query);
    match &browser.user {
        Some(user) => Ok(Redirect::to(&destination(&state, user, next).await?)),
        None => Ok(Redirect::to(&with_some_next("/hub/login", next.as_deref()))),
    }
}

/// `GET /hub/login`.
pub(in crate::http) async fn form(
    State(state): State<HubState>,
    browser: Browser,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let next = browser::asked_next(&state, &query);
    if let Some(user) = &browser.user {
        return Ok(Redirect::to(&destination(&state, user, next).await?).into_response());
    }
    if let ([only], true, false) = (
        state.sign_in.providers.as_slice(),
        state.sign_in.is_auto,
        state.sign_in.is_local_on,
    ) {
        let path = format!("/hub/login/{}", only.name);
        return Ok(Redirect::to(&with_some_next(&path, next.as_deref())).into_response());
    }
    show(&state, &browser, StatusCode::OK, next.as_deref(), "", None)
}

/// `POST /hub/login`.
pub(in crate::http) async fn submit(
    State(state): State<HubState>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    form: Unproven,
) -> Result<Response, Failure> {
    let next = browser::asked_next(&state, &query);
    if !state.sign_in.is_local_on {
        return Err(
            Failure::forbidden("This hub has no names and passwords of its own.")
                .advise("Sign in", with_some_next("/hub/login", next.as_deref())),
        );
    }
    let username = form.fields.text("username");
    if !form.proven {
        let words =
            "This page was open for too long, or your browser keeps no cookies. Please try again."
                .to_owned();
        return show(
            &state,
            &form.browser,
            StatusCode::FORBIDDEN,
            next.as_deref(),
            username,
            Some(words),
        );
    }
    let tried = local::sign_in(
        &state.store,
        username,
        form.fields.text("password"),
        browser::address(&headers),
    )
    .await;
    let user = match tried {
        Ok(user) => user,
        Err(error @ (LocalError::Wrong | LocalError::Wait(_) | LocalError::Busy(_))) => {
            metrics::counter!(LOGINS, "way" => "password", "outcome" => "failure").increment(1);
            // The name may be a password typed into the wrong field: it is not logged.
            tracing::info!("A sign-in with a password failed");
            let words = sentence(&error);
            let failure = Failure::from(error);
            let mut response = show(
                &state,
                &form.browser,
                failure.status,
                next.as_deref(),
                username,
                Some(words),
            )?;
            if let Some(seconds) = failure.retry_after {
                response
                    .headers_mut()
                    .insert(axum::http::header::RETRY_AFTER, seconds.into());
            }
            return Ok(response);
        }
        Err(error @ LocalError::Store(_)) => return Err(error.into()),
    };
    metrics::counter!(LOGINS, "way" => "password", "outcome" => "success").increment(1);
    tracing::info!(
        user.id = user.id,
        "User {} signed in with a password",
        user.id
    );
    let to = destination(&state, &user, next).await?;
    sign_in(&state, &form.browser, "", &user, &to).await
}

/// Ends the browser's session, if it has one, begins a new one, and goes on. The provider's name is empty where there was none.
pub(in crate::http) async fn sign_in(
    state: &HubState,
    browser: &Browser,
    provider: &str,
    user: &User,
    to: &str,
) -> Result<Response, Failure> {
    // A password or a link is no way round a lock; whoever just came by the provider stands well.
    if state.store.is_put_out(user.id).await? {
        return Err(Failure::forbidden(
            "This account is locked or hidden where it comes from, so it cannot be used here. Sign in there again when that is over.",
        )
        .advise("Sign in", "/hub/login"));
    }
    end_session(state, browser).await?;
    let session = access::begin_session(
        &state.store,
        user.id,
        state.settings.session_lifetime,
        Origin {
            provider,
            agent: &browser.agent,
            address: &browser.address.map(|it| it.to_string()).unwrap_or_default(),
        },
    )
    .await?;
    state
        .store
        .note_user_activity(user.id, state.store.now().await?)
        .await?;
    Ok(browser::begin(state, user, &session, to))
}

/// Where somebody goes who signed in: where they wanted to, else to their notebook server or home page.
pub(in crate::http) async fn destination(
    state: &HubState,
    user: &User,
    next: Option<String>,
) -> Result<String, Failure> {
    let to = match next {
        Some(next) => next,
        None if !state.settings.redirect_to_server => "/hub/home".to_owned(),
        None => match state.servers.view(user.id, "").await? {
            Some(server) if server.state == ServerState::Ready => server_prefix(&user.name, ""),
            _ => "/hub/spawn".to_owned(),
        },
    };
    if user.welcomed || user.has_password {
        Ok(to)
    } else {
        Ok(with_next("/hub/welcome", &to))
    }
}

/// `GET /hub/logout`: as JupyterHub has it, without a proof; what somebody could do with it is a nuisance, not a loss.
pub(in crate::http) async fn logout(
    State(state): State<HubState>,
    browser: Browser,
) -> Result<Response, Failure> {
    end_session(&state, &browser).await?;
    let html = LogoutPage {
        frame: Frame::plain(&state),
    };
    let html = askama::Template::render(&html).map_err(Failure::internal)?;
    Ok(browser::end(&state, Html(html).into_response()))
}

async fn end_session(state: &HubState, browser: &Browser) -> Result<(), Failure> {
    if let Some(hash) = &browser.login_hash {
        let ended = state.store.end_session(hash).await?;
        access::forget(state.revoke.as_ref(), ended).await;
    }
    Ok(())
}

fn show(
    state: &HubState,
    browser: &Browser,
    status: StatusCode,
    next: Option<&str>,
    username: &str,
    error: Option<String>,
) -> Result<Response, Failure> {
    let template = LoginPage {
        frame: Frame::of(state, browser),
        buttons: state
            .sign_in
            .providers
            .iter()
            .map(|one| {
                let path = format!("/hub/login/{}", one.name);
                (one.label.clone(), with_some_next(&path, next))
            })
            .collect(),
        is_local_on: state.sign_in.is_local_on,
        action: with_some_next("/hub/login", next),
        username: username.to_owned(),
        error,
    };
    page(browser, status, &template)
}
