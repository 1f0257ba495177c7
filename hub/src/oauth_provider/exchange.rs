//! A code for a token: the client's secret, then the code, then PKCE, then the address, in this order.

use std::time::Duration;

use crate::secret;
use crate::store::{Store, StoreError};

/// The form of a token request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `grant_type`.
    pub grant_type: Option<String>,
    /// `client_id`.
    pub client_id: Option<String>,
    /// `client_secret`.
    pub client_secret: Option<String>,
    /// `code`.
    pub code: Option<String>,
    /// `redirect_uri`.
    pub redirect_uri: Option<String>,
    /// `code_verifier`.
    pub code_verifier: Option<String>,
}

/// The answer. Not `Debug`: the token is secret.
pub struct Granted {
    /// The token.
    pub access_token: String,
    /// How long it lasts.
    pub lifetime: Duration,
    /// Its scopes, as they were asked for.
    pub scopes: Vec<String>,
}

/// Why there is no token. `Display` is for the visitor, to whom the server shows it.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The client is not known or its secret is wrong.
    #[error(
        "This server is not known to the hub any more. Stop it and start it again from the hub's home page."
    )]
    Client,
    /// A field is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Not `authorization_code`.
    #[error("Only authorization_code is supported")]
    GrantType,
    /// The code is not one, was used, is too old, or its companions do not fit.
    #[error("This sign-in was used already or took too long. Open the page again.")]
    Grant,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Exchanges a code.
///
/// # Errors
/// [`ExchangeError`]. A code that was shown with the right secret is gone whatever comes of it.
pub async fn exchange(
    store: &Store,
    request: &Request,
    lifetime: Duration,
) -> Result<Granted, ExchangeError> {
    let (Some(id), Some(shown)) = (&request.client_id, &request.client_secret) else {
        return Err(ExchangeError::Client);
    };
    let client = store.client(id).await?.ok_or(ExchangeError::Client)?;
    if shown.len() > secret::LONGEST || !secret::same(&secret::hash(shown), &client.secret_hash) {
        return Err(ExchangeError::Client);
    }
    match request.grant_type.as_deref() {
        Some("authorization_code") => {}
        Some(_) => return Err(ExchangeError::GrantType),
        None => return Err(ExchangeError::Missing("grant_type")),
    }
    let code = request
        .code
        .as_deref()
        .ok_or(ExchangeError::Missing("code"))?;
    if code.len() > secret::LONGEST {
        return Err(ExchangeError::Grant);
    }
    let taken = store
        .take_code(&secret::hash(code), &client.id)
        .await?
        .ok_or(ExchangeError::Grant)?;
    match (&taken.challenge, &request.code_verifier) {
        (None, None) => {}
        (Some(challenge), Some(verifier))
            if secret::same(&secret::challenge(verifier), challenge) => {}
        (Some(_), None) => return Err(ExchangeError::Missing("code_verifier")),
        // A verifier for a code without a challenge: somebody took the challenge out on the way.
        (Some(_) | None, Some(_)) => return Err(ExchangeError::Grant),
    }
    if request
        .redirect_uri
        .as_ref()
        .is_some_and(|uri| *uri != taken.redirect_uri)
    {
        return Err(ExchangeError::Grant);
    }
    let access_token = secret::random_token();
    if !store
        .create_oauth_token(&secret::hash(&access_token), &taken, lifetime)
        .await?
    {
        return Err(ExchangeError::Grant);
    }
    let scopes: Vec<String> = serde_json::from_str(&taken.scopes)
        .map_err(|_| StoreError::Corrupt("oauth_codes.scopes"))?;
    Ok(Granted {
        access_token,
        lifetime,
        scopes: scopes
            .into_iter()
            .map(|scope| match scope.as_str() {
                "access:servers!server" => format!(
                    "access:servers!server={}/{}",
                    client.owner_name, client.server_name
                ),
                _ => scope,
            })
            .collect(),
    })
}
