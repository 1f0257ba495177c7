//! Signing in with an account of a wiki: MediaWiki with Extension:OAuth, by OAuth 1.0a or 2.0, with CentralAuth's locks.
//!
//! A sign-in goes: the wiki is told that somebody comes ([`Provider::begin`]); the browser is back ([`Provider::came_back`]); what it
//! brings becomes a token and the token a person ([`Provider::finish`]), of whom is asked whether they are locked ([`Provider::standing`]).
//! The wiki signs and compares its public address, whatever address is dialled.
//! **Invariant:** a person is known by number and issuer; a name is taken byte for byte and means nothing here.

mod again;
pub(crate) mod callback;
pub(crate) mod claims;
pub(crate) mod identify;
mod oauth1;
mod oauth2;
mod places;
mod refusal;
mod settings;
mod sign;
mod standing;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use self::claims::Claims;
use self::oauth1::Oauth1;
use self::oauth2::Oauth2;
use self::places::Places;
pub use self::settings::{MediawikiSettings, Protocol, Signature};
use self::sign::Signer;
use super::provider::{Begun, CameBack, LoginError, Outgoing, Person, Provider, Query, Standing};
use super::wire::Wire;

/// A wiki whose accounts sign in here.
pub struct Mediawiki {
    wire: Wire,
    issuer: String,
    language: Language,
    lock_check_url: Option<Url>,
    admin_groups: Vec<String>,
}

enum Language {
    Oauth1(Oauth1),
    Oauth2(Oauth2),
}

/// What both protocols end with.
struct SignedIn {
    claims: Claims,
    auth_state: Value,
}

impl std::fmt::Debug for Mediawiki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mediawiki")
            .field("issuer", &self.issuer)
            .field("protocol", &self.protocol())
            .finish_non_exhaustive()
    }
}

impl Mediawiki {
    /// Makes ready; nothing is asked of the wiki.
    ///
    /// # Errors
    /// [`LoginError::Operator`] when these settings cannot work.
    pub fn new(settings: MediawikiSettings) -> Result<Self, LoginError> {
        let operator = |reason: &str| LoginError::Operator {
            reason: reason.to_owned(),
        };
        let places = Places::new(
            &settings.index_url,
            settings.issuer.as_ref(),
            settings.connect_to.as_ref(),
        )?;
        let issuer = places.issuer.clone();
        let wire = Wire::new(&settings.user_agent, settings.connect_to)?;
        if settings.client_id.is_empty() {
            return Err(operator("client_id is empty"));
        }
        // Anybody could sign with an empty one.
        let secret = settings
            .client_secret
            .filter(|secret| !secret.expose_secret().is_empty());
        let language = match settings.protocol {
            Protocol::Oauth1 => {
                let secret = secret.ok_or_else(|| {
                    operator("OAuth 1.0a needs the consumer's secret, with RSA-SHA1 too")
                })?;
                Language::Oauth1(Oauth1 {
                    wire: wire.clone(),
                    places,
                    signer: Signer::new(
                        settings.client_id.clone(),
                        secret.clone(),
                        &settings.signature,
                    )?,
                    consumer: settings.client_id,
                    secret,
                    is_callback_oob: settings.callback_oob,
                    leeway: i64::try_from(settings.leeway.as_secs()).unwrap_or(i64::MAX),
                })
            }
            Protocol::Oauth2 => Language::Oauth2(Oauth2 {
                wire: wire.clone(),
                places,
                client_id: settings.client_id,
                client_secret: secret,
                scopes: settings.scopes,
            }),
        };
        Ok(Self {
            wire,
            issuer,
            language,
            lock_check_url: settings.lock_check_url,
            admin_groups: settings.admin_groups,
        })
    }

    fn protocol(&self) -> Protocol {
        match self.language {
            Language::Oauth1(_) => Protocol::Oauth1,
            Language::Oauth2(_) => Protocol::Oauth2,
        }
    }
}

#[async_trait]
impl Provider for Mediawiki {
    async fn begin(&self, callback: &str) -> Result<Begun, LoginError> {
        match &self.language {
            Language::Oauth1(oauth1) => oauth1.begin(callback).await,
            Language::Oauth2(oauth2) => oauth2.begin(callback),
        }
    }

    fn came_back(&self, query: &Query) -> CameBack {
        callback::read(self.protocol(), query)
    }

    async fn finish(
        &self,
        callback: &str,
        kept: &SecretString,
        query: &Query,
    ) -> Result<Person, LoginError> {
        let SignedIn { claims, auth_state } = match &self.language {
            Language::Oauth1(oauth1) => oauth1.finish(kept, query).await?,
            Language::Oauth2(oauth2) => oauth2.finish(callback, kept, query).await?,
        };
        Ok(claims.person(&self.issuer, &self.admin_groups, auth_state))
    }

    async fn standing(&self, sub: &str) -> Result<Option<Standing>, LoginError> {
        match &self.lock_check_url {
            Some(api) => standing::ask_standing(&self.wire, api, sub).await.map(Some),
            None => Ok(None),
        }
    }

    async fn renew(&self, auth_state: &Value) -> Result<Option<Value>, LoginError> {
        match &self.language {
            Language::Oauth1(oauth1) => oauth1.renew(auth_state).await.map(|()| None),
            Language::Oauth2(oauth2) => oauth2.renew(auth_state).await,
        }
    }

    fn authorize(
        &self,
        auth_state: &Value,
        request: &Outgoing<'_>,
    ) -> Result<SecretString, LoginError> {
        match &self.language {
            Language::Oauth1(oauth1) => oauth1.authorize(auth_state, request),
            Language::Oauth2(_) => Oauth2::authorize(auth_state),
        }
    }

    fn paws_environment(&self, auth_state: &Value) -> Vec<(&'static str, SecretString)> {
        match &self.language {
            Language::Oauth1(oauth1) => oauth1.paws_environment(auth_state),
            Language::Oauth2(_) => Vec::new(),
        }
    }

    fn runs_out(&self, auth_state: &Value, margin: Duration) -> bool {
        let expires_at = auth_state.get("expires_at").and_then(Value::as_i64);
        let margin = i64::try_from(margin.as_secs()).unwrap_or(i64::MAX);
        self.can_renew() && expires_at.is_some_and(|at| at <= seconds_now().saturating_add(margin))
    }

    fn can_renew(&self) -> bool {
        self.protocol() == Protocol::Oauth2
    }

    fn tells_standing(&self) -> bool {
        self.lock_check_url.is_some()
    }
}

fn keep(kept: &impl Serialize) -> SecretString {
    serde_json::to_string(kept)
        .expect("a struct of texts is JSON")
        .into()
}

/// What was kept, if it is ours; a sign-in that cannot be gone on with is over.
fn kept<Kept: DeserializeOwned>(kept: &SecretString) -> Result<Kept, LoginError> {
    serde_json::from_str(kept.expose_secret()).map_err(|_| LoginError::Over)
}

/// A text of an auth state; one without it is none of ours, and its owner signs in again.
fn kept_text<'k>(auth_state: &'k Value, name: &str) -> Result<&'k str, LoginError> {
    auth_state
        .get(name)
        .and_then(Value::as_str)
        .ok_or(LoginError::Over)
}

/// Seconds since 1970.
fn seconds_now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
