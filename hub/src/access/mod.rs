//! Who may do what: sessions of browsers, tokens, and the scopes of both.
//!
//! `scopes` and `xsrf` are pure; this file begins and ends what rows remember.
//! **Invariant:** a wrong credential is never the same as none.

pub mod scopes;
pub mod xsrf;

use std::time::Duration;

use async_trait::async_trait;

use self::scopes::Rights;
use crate::secret;
use crate::store::sessions::Origin;
use crate::store::tokens::{Token, TokenKind};
use crate::store::users::{Ended, User};
use crate::store::{Store, StoreError};

/// Tells the proxy what it must no longer let through.
#[async_trait]
pub trait Revoke: Send + Sync {
    /// Both are hashes: of values of `jupyterhub-session-id`, and of access tokens.
    /// Returns when the proxy refuses them, or soon after when it cannot be reached: the rows are already gone.
    async fn revoke(&self, sessions: Vec<String>, tokens: Vec<String>);
}

/// Revokes nothing: for tests and for a hub without a proxy.
#[derive(Debug, Clone, Copy, Default)]
pub struct RevokeNothing;

#[async_trait]
impl Revoke for RevokeNothing {
    async fn revoke(&self, _sessions: Vec<String>, _tokens: Vec<String>) {}
}

/// Passes on what ended.
pub async fn forget(revoke: &dyn Revoke, ended: Ended) {
    if ended.sessions.is_empty() && ended.token_hashes.is_empty() {
        return;
    }
    let sessions = ended
        .sessions
        .iter()
        .map(|session| secret::hash(session))
        .collect();
    revoke.revoke(sessions, ended.token_hashes).await;
}

/// The two cookies of a new session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Value of `jupyterhub-hub-login`, which nobody keeps.
    pub login: String,
    /// Value of `jupyterhub-session-id`.
    pub session_id: String,
}

/// Begins a session. Both values are new each time, so that nobody can plant one.
///
/// # Errors
/// When the database does not answer.
pub async fn begin_session(
    store: &Store,
    user_id: i64,
    lifetime: Duration,
    origin: Origin<'_>,
) -> Result<NewSession, StoreError> {
    let session = NewSession {
        login: secret::random_token(),
        session_id: secret::random_id(),
    };
    store
        .create_session(
            user_id,
            &secret::hash(&session.login),
            &session.session_id,
            lifetime,
            origin,
        )
        .await?;
    Ok(session)
}

/// Somebody who showed a good credential.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub user: User,
    /// What they may do with this credential.
    pub rights: Rights,
    /// The browser session behind the credential.
    pub session_id: Option<String>,
    /// The token, when it was one.
    pub token: Option<Token>,
}

impl Caller {
    /// Somebody with a session: all that the user may do.
    #[must_use]
    pub fn with_session(user: User, session_id: String) -> Self {
        Self {
            rights: Rights::of_user(&user.name, user.admin),
            user,
            session_id: Some(session_id),
            token: None,
        }
    }

    fn with_token(user: User, token: Token) -> Self {
        let server = token
            .server
            .as_ref()
            .map(|(owner, name)| (owner.as_str(), name.as_str()));
        let asked = Rights::resolve(&token.scopes, &user.name, user.admin, server);
        let rights = match token.kind {
            // A server's token is the server's, not a share of its owner's rights.
            TokenKind::Server => asked,
            TokenKind::Oauth | TokenKind::Api => {
                asked.within(&Rights::of_user(&user.name, user.admin))
            }
        };
        Self {
            rights,
            session_id: token.session_id.clone(),
            user,
            token: Some(token),
        }
    }
}

/// Who shows this token; `None` when it is no good one.
///
/// # Errors
/// When the database does not answer.
pub async fn token_caller(store: &Store, raw: &str) -> Result<Option<Caller>, StoreError> {
    if raw.is_empty() || raw.len() > secret::LONGEST {
        return Ok(None);
    }
    let found = store.token(&secret::hash(raw)).await?;
    Ok(found.map(|(token, user)| Caller::with_token(user, token)))
}
