//! Allowing the hub to act: where the consumer that acts is not the one people sign in by, each person allows it once, and takes it back.
//!
//! The browser goes to the wiki and back as for a sign-in. What is on its way is bound to the session in which it was begun, so nobody
//! finishes it in another browser, or after signing out; and the account that allowed it must be the one that is signed in: another one
//! is refused, and what the wiki gave for it is thrown away.
//!
//! **Invariant:** what a person took back is in no row of any hub from that moment on, and no request begins with it.

use std::time::Duration;

use serde_json::Value;

use super::Broker;
use crate::login::provider::{LoginError, Person, Query, Standing};
use crate::login::sign_in::{Registered, SignInError, auth_state_owner};
use crate::secret;
use crate::store::StoreError;
use crate::store::auth_states::Allowed;

/// Begun by one person within [`WINDOW`]: each is a row, and with OAuth 1.0a a question to the wiki.
const MOST: u32 = 30;
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// The consumer that acts, where it is another than the one people sign in by.
#[derive(Clone)]
pub struct Own {
    /// Its key, by which rows know it: what was allowed an earlier one is none for this.
    pub client_id: String,
    /// How it speaks with the wiki. The name is that of no provider.
    pub registered: Registered,
}

/// How a person's permission stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// Whether it is asked for apart from signing in.
    pub is_apart: bool,
    /// Their account's name at the wiki; `None`: they did not sign in by it.
    pub account: Option<String>,
    /// When they gave it, in milliseconds since 1970; `None` where they did not.
    pub since: Option<i64>,
    /// The wiki's names for what was allowed, or, before that, for what is asked for; empty where only the wiki knows.
    pub rights: Vec<String>,
}

/// Why nothing was allowed.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// There is nothing to allow: the consumer that people sign in by acts.
    #[error("nothing is allowed apart from signing in")]
    NotApart,
    /// Too many were begun; seconds to wait.
    #[error("too many permissions were begun")]
    TooMany(u64),
    /// The way to the wiki and back failed.
    #[error(transparent)]
    Way(#[from] SignInError),
    /// It was allowed as this account, which is not the one that is signed in.
    #[error("it was allowed as another account")]
    Other(String),
    /// The session ended meanwhile, or the account stands badly.
    #[error("the session is over, or the account is locked")]
    SignedOut,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl ConsentError {
    /// Whether this was finished before, or in another session: it may well be given.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(
            self,
            Self::Way(SignInError::NotBegun | SignInError::Login(LoginError::Over))
        )
    }
}

impl Broker {
    /// Begins a permission in a session, by the hash of its cookie, and says where the browser goes.
    ///
    /// # Errors
    /// [`ConsentError`]; nothing is left behind then.
    pub async fn ask(&self, user_id: i64, session: &str) -> Result<String, ConsentError> {
        let own = self.own()?;
        let store = &self.inner.store;
        let key = secret::hash(&format!("permission\0{user_id}"));
        if let Some(seconds) = store.throttled(&key, MOST, WINDOW).await? {
            return Err(ConsentError::TooMany(seconds));
        }
        store.count_try(&[key], WINDOW).await?;
        let sign_in = &self.inner.credentials.sign_in;
        let to = sign_in
            .set_out(store, &own.registered, &bound(session), None)
            .await?;
        Ok(to)
    }

    /// Finishes what was begun in this session, when the browser is back with this query.
    ///
    /// # Errors
    /// [`ConsentError`]. What was begun is over then, unless it was another session's.
    pub async fn allow(
        &self,
        user_id: i64,
        session: &str,
        query: &Query,
    ) -> Result<(), ConsentError> {
        let own = self.own()?;
        let store = &self.inner.store;
        let sign_in = &self.inner.credentials.sign_in;
        let (person, _) = sign_in
            .come_back(store, &own.registered, &bound(session), query)
            .await?;
        let identity = store.identity(&person.issuer, &person.sub).await?;
        if identity.is_none_or(|identity| identity.user_id != user_id) {
            return Err(ConsentError::Other(person.name));
        }
        self.check_standing(&person).await?;
        let owner = auth_state_owner(&person.issuer, &person.sub, &own.client_id);
        let sealed = sign_in.seal.seal(&owner, &person.auth_state.to_string());
        let is_kept = store
            .allow_consumer(Allowed {
                user_id,
                session,
                issuer: &person.issuer,
                sub: &person.sub,
                consumer: &own.client_id,
                sealed: &sealed,
            })
            .await?;
        if is_kept {
            Ok(())
        } else {
            Err(ConsentError::SignedOut)
        }
    }

    /// Forgets what a person allowed, at once and for all hubs; whether there was something.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn withdraw(&self, user_id: i64) -> Result<bool, StoreError> {
        self.inner.store.withdraw_consumers(user_id).await
    }

    /// How a person's permission stands.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn permission(&self, user_id: i64) -> Result<Permission, StoreError> {
        let inner = &self.inner;
        let (store, provider) = (&inner.store, &inner.settings.provider);
        let consumer = inner.credentials.consumer();
        let state = inner.credentials.state_of(user_id).await?;
        let since = match state {
            Some(_) => store.allowed_since(user_id, provider, consumer).await?,
            None => None,
        };
        Ok(Permission {
            is_apart: inner.credentials.own.is_some(),
            account: store.name_at(user_id, provider).await?,
            since,
            rights: match &state {
                Some(state) => rights(state),
                None => inner.settings.asks_for.clone(),
            },
        })
    }

    /// The page of the wiki where people take back what they allowed.
    #[must_use]
    pub fn manage_url(&self) -> &str {
        &self.inner.settings.manage_url
    }

    /// Whether servers also hold the credential itself.
    #[must_use]
    pub fn hands_out(&self) -> bool {
        self.inner.settings.paws_environment
    }

    /// What the provider is called.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.inner.settings.label
    }

    fn own(&self) -> Result<&Own, ConsentError> {
        let own = self.inner.credentials.own.as_deref();
        own.ok_or(ConsentError::NotApart)
    }

    /// Keeps out accounts that are locked or hidden: a profile of OAuth 2.0 does not say it. While that cannot be asked, what the hub last
    /// heard holds, which a row says.
    async fn check_standing(&self, person: &Person) -> Result<(), ConsentError> {
        let inner = &self.inner;
        let provider = &inner.settings.provider;
        match inner
            .credentials
            .sign_in
            .standing(provider, &person.sub)
            .await
        {
            Ok(Some(Standing::Locked | Standing::Missing)) => Err(ConsentError::SignedOut),
            Ok(Some(Standing::Good { .. }) | None) | Err(_) => Ok(()),
        }
    }
}

/// What binds a permission on its way to a session. No browser's own secret for signing in is ever this.
fn bound(session: &str) -> String {
    format!("permission\0{session}")
}

/// The grants that a wiki says it gave: a list, or, as PHP writes lists with holes, an object.
fn rights(state: &Value) -> Vec<String> {
    let said = [
        state.pointer("/MEDIAWIKI_USER_IDENTITY/grants"),
        state.get("scope"),
    ];
    let texts = |value: &Value| -> Vec<String> {
        let list: Vec<&Value> = match value {
            Value::Array(list) => list.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        };
        let texts = list.into_iter().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let mut found = said.into_iter().flatten().map(texts);
    found.find(|list| !list.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn grants_are_read_from_a_list_and_from_what_php_makes_of_one() {
        let profile =
            json!({ "MEDIAWIKI_USER_IDENTITY": { "grants": { "0": "basic", "2": "editpage" } } });
        assert_eq!(rights(&profile), ["basic", "editpage"]);
        let token = json!({ "scope": ["basic"], "MEDIAWIKI_USER_IDENTITY": { "grants": [] } });
        assert_eq!(rights(&token), ["basic"]);
        assert!(rights(&json!({})).is_empty());
    }
}
