//! Who calls the API: by token, or by a browser's session with its proof.
//!
//! A token that is shown and wrong is a refusal, never a reason to look at cookies.

use axum::RequestPartsExt as _;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, header};

use super::HubState;
use super::browser::{Browser, is_plain_read, shows_proof};
use super::error::Failure;
use crate::access::scopes::{Target, Verdict};
use crate::access::{self, Caller};
use crate::store::users::User;

/// A caller of the API.
#[derive(Debug)]
pub(super) struct ApiCaller(pub(super) Caller);

impl FromRequestParts<HubState> for ApiCaller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &HubState) -> Result<Self, Failure> {
        if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            let raw = value.to_str().ok().and_then(bearer).ok_or_else(nobody)?;
            return access::token_caller(&state.store, raw)
                .await?
                .map(Self)
                .ok_or_else(nobody);
        }
        let browser = parts.extract_with_state::<Browser, _>(state).await?;
        let user = browser.user.clone().ok_or_else(nobody)?;
        if !is_plain_read(parts) && parts.method != Method::HEAD && !shows_proof(parts, &browser) {
            return Err(Failure::forbidden(
                "'_xsrf' argument missing or not matching: send the cookie's value in the header X-XSRFToken.",
            ));
        }
        if parts.method == Method::POST && !is_json_or_nothing(parts) {
            return Err(nobody());
        }
        Ok(Self(Caller::with_session(user, browser.session_id)))
    }
}

impl ApiCaller {
    /// Whether this may be done to that, with JupyterHub's two refusals.
    pub(super) fn require(&self, scope: &str, target: Target<'_>) -> Result<(), Failure> {
        match self.0.rights.may(scope, target) {
            Verdict::Allowed => Ok(()),
            Verdict::NotHeld => Err(Failure::forbidden(format!(
                "Action is not authorized with current scopes; requires any of [{scope}]"
            ))),
            Verdict::OutOfReach => Err(not_here()),
        }
    }

    /// The user of this name, if the caller holds the scope for them.
    pub(super) async fn user_for(
        &self,
        state: &HubState,
        name: &str,
        scope: &str,
    ) -> Result<User, Failure> {
        self.require(scope, Target::User(name))?;
        state.store.user_by_name(name).await?.ok_or_else(not_here)
    }

    /// The owner of this server, if the caller holds the scope for it.
    pub(super) async fn owner_for(
        &self,
        state: &HubState,
        name: &str,
        server: &str,
        scope: &str,
    ) -> Result<User, Failure> {
        self.require(scope, Target::Server(name, server))?;
        state.store.user_by_name(name).await?.ok_or_else(not_here)
    }
}

/// The token of an `Authorization` header.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer"))
        .then(|| token.trim())
}

fn is_json_or_nothing(parts: &Parts) -> bool {
    parts.headers.get(header::CONTENT_TYPE).is_none_or(|kind| {
        kind.to_str().is_ok_and(|kind| {
            kind.split(';').next().unwrap_or_default().trim() == "application/json"
        })
    })
}

fn nobody() -> Failure {
    Failure::forbidden("Missing or invalid credentials.")
}

pub(super) fn not_here() -> Failure {
    Failure::new(
        axum::http::StatusCode::NOT_FOUND,
        "No access to resources or resources not found",
    )
}
