//! Signing in by a provider: away, and back.

use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use super::super::HubState;
use super::super::browser::{self, Browser};
use super::super::error::Failure;
use super::login::{destination, sign_in};
use super::permission;
use crate::broker::Broker;
use crate::login::sign_in::{Registered, SignInError};
use crate::metrics::LOGINS;
use crate::secret;

/// `GET /hub/login/{provider}`: to the provider.
pub(in crate::http) async fn away(
    State(state): State<HubState>,
    Path(name): Path<String>,
    browser: Browser,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let registered = state.sign_in.named(&name).ok_or_else(Failure::not_found)?;
    send_away(&state, registered, &browser, &query).await
}

/// `GET /hub/oauth_login`, as JupyterHub has it: to the first provider.
pub(in crate::http) async fn away_to_first(
    State(state): State<HubState>,
    browser: Browser,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    match state.sign_in.providers.as_slice() {
        [only] => send_away(&state, only, &browser, &query).await,
        _ => Ok(Redirect::to("/hub/login").into_response()),
    }
}

async fn send_away(
    state: &HubState,
    registered: &Registered,
    browser: &Browser,
    query: &[(String, String)],
) -> Result<Response, Failure> {
    let next = browser::asked_next(state, query);
    if let Some(user) = &browser.user {
        return Ok(Redirect::to(&destination(state, user, next).await?).into_response());
    }
    // One secret for all tabs of a browser: each sign-in on its way has a row of its own.
    let signing_in = browser
        .signing_in
        .clone()
        .unwrap_or_else(secret::random_token);
    let to = state
        .sign_in
        .begin(&state.store, registered, &signing_in, browser.address, next)
        .await
        .map_err(|error| refused(registered, error))?;
    Ok(browser::send_away(state, &signing_in, &to))
}

/// `GET /hub/oauth_callback` and `GET /hub/oauth_callback/{provider}`: back from the provider.
pub(in crate::http) async fn back(
    State(state): State<HubState>,
    OriginalUri(uri): OriginalUri,
    browser: Browser,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    // The consumer that acts may be the one that people signed in by before.
    let acts = state.broker.as_ref().and_then(Broker::callback_path);
    if acts == Some(uri.path()) {
        return permission::back(State(state), browser, headers, Query(query)).await;
    }
    let registered = state
        .sign_in
        .at_path(uri.path())
        .ok_or_else(Failure::not_found)?;
    let Some(signing_in) = &browser.signing_in else {
        return not_begun(&state, registered, &browser).await;
    };
    let finished = state
        .sign_in
        .finish(&state.store, registered, signing_in, &query)
        .await;
    let welcome = match finished {
        Ok(welcome) => welcome,
        Err(SignInError::NotBegun) => return not_begun(&state, registered, &browser).await,
        Err(error) => return Err(refused(registered, error)),
    };
    let user = welcome.user;
    metrics::counter!(LOGINS, "way" => registered.name.clone(), "outcome" => "success")
        .increment(1);
    tracing::info!(
        user.id = user.id,
        provider = registered.name,
        "User {} signed in by {}",
        user.id,
        registered.name
    );
    let to = destination(&state, &user, welcome.next).await?;
    sign_in(&state, &browser, &registered.name, &user, &to).await
}

/// A callback that was opened twice, or that another browser began: whoever is signed in goes on, others begin anew.
async fn not_begun(
    state: &HubState,
    registered: &Registered,
    browser: &Browser,
) -> Result<Response, Failure> {
    match &browser.user {
        Some(user) => Ok(Redirect::to(&destination(state, user, None).await?).into_response()),
        None => Err(refused(registered, SignInError::NotBegun)),
    }
}

/// Counts and logs why nobody is signed in, and says it.
fn refused(registered: &Registered, error: SignInError) -> Failure {
    metrics::counter!(LOGINS, "way" => registered.name.clone(), "outcome" => "failure")
        .increment(1);
    let failure = Failure::from(error);
    let cause = failure
        .cause
        .as_ref()
        .map(|cause| crate::error_chain(cause.as_ref()))
        .unwrap_or_default();
    if failure.status == StatusCode::BAD_GATEWAY {
        tracing::error!(
            provider = registered.name,
            cause,
            "Nobody can sign in by {}: the operator has to mend it",
            registered.name
        );
    } else {
        tracing::info!(
            provider = registered.name,
            status = failure.status.as_u16(),
            cause,
            "A sign-in by {} did not succeed",
            registered.name
        );
    }
    failure
}
