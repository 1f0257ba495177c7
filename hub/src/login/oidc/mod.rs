//! Sign-in by OpenID Connect, found by discovery, or by any OAuth 2.0 provider whose endpoints are given.
//!
//! With discovery the signed id_token says who somebody is, and userinfo only adds claims that it lacks. With given endpoints userinfo
//! says it, and an id_token is not looked at. In both, `state` and PKCE bind what comes back to the browser that was sent.
//! **Invariant:** nothing here logs, and no error carries what was sent or received beyond the provider's own words for errors.

mod answer;
pub(crate) mod callback;
pub(crate) mod claims;
pub(crate) mod discovery;
mod exchange;
pub(crate) mod id_token;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oauth2::AuthType;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use self::callback::CallbackQuery;
use self::claims::Mapping;
use self::discovery::{Discovery, Endpoints};
use self::exchange::{Client, Tokens};
use super::provider::{Begun, CameBack, LoginError, Person, Provider, Query};
use super::wire::Wire;
use crate::secret;

/// What is asked for when nothing else is said.
const USUAL_SCOPES: [&str; 3] = ["openid", "profile", "email"];
/// Without it no id_token is given.
const OPENID: &str = "openid";

/// How to sign in at one provider.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// Where discovery begins. With given endpoints it is only a name, as `issuer_name`.
    pub issuer: Option<Url>,
    /// Where the browser goes. Given together with the other two, or not at all.
    pub authorize_url: Option<Url>,
    /// Where a code becomes a token.
    pub token_url: Option<Url>,
    /// Where the token's owner is told.
    pub userinfo_url: Option<Url>,
    /// Who we are there.
    pub client_id: String,
    /// Proves it; a public client has none.
    pub client_secret: Option<SecretString>,
    /// What is asked for; empty: `openid profile email` with discovery, nothing otherwise.
    pub scopes: Vec<String>,
    /// The claim that is the account's number. As all claims: a path with dots leads into objects, and a claim of that very name wins.
    pub claim_id: String,
    /// The claim that is the name.
    pub claim_name: String,
    /// The claim that lists groups: an array of texts, or one text with blanks or commas between them.
    pub claim_groups: Option<String>,
    /// Members of these administer.
    pub admin_groups: Vec<String>,
    /// The claim that makes an administrator when it is true.
    pub claim_admin: Option<String>,
    /// With given endpoints: who vouches for accounts; none is the origin of `authorize_url`.
    pub issuer_name: Option<String>,
    /// How we call ourselves in requests.
    pub user_agent: String,
    /// An origin that is dialled instead of the public one.
    pub connect_to: Option<Url>,
    /// How far the clocks may be apart.
    pub leeway: Duration,
}

/// One provider.
pub struct Oidc {
    wire: Wire,
    client: Client,
    place: Place,
    mapping: Mapping,
    leeway: Duration,
}

/// Where the provider is.
enum Place {
    Found(Discovery),
    Given(Arc<Endpoints>),
}

/// What is kept while the browser is there.
#[derive(Serialize, Deserialize)]
struct Kept {
    state: String,
    nonce: String,
    verifier: String,
}

impl Oidc {
    /// Takes the settings. Nothing is asked yet.
    ///
    /// # Errors
    /// [`LoginError::Operator`] when they do not go together.
    pub fn new(settings: OidcSettings) -> Result<Self, LoginError> {
        let wire = Wire::new(&settings.user_agent, settings.connect_to.clone())?;
        if settings.client_id.is_empty() {
            return Err(operator("client_id is empty"));
        }
        if !settings.admin_groups.is_empty() && settings.claim_groups.is_none() {
            return Err(operator(
                "admin_groups names groups, but claim_groups does not say where they stand",
            ));
        }
        let endpoints = [
            &settings.authorize_url,
            &settings.token_url,
            &settings.userinfo_url,
        ];
        for url in endpoints.into_iter().chain([&settings.issuer]).flatten() {
            if !is_web(url) {
                return Err(operator("an address begins with neither https nor http"));
            }
        }
        let place = match (endpoints.map(Clone::clone), &settings.issuer) {
            ([Some(authorize), Some(token), userinfo @ Some(_)], issuer) => {
                let issuer = settings
                    .issuer_name
                    .clone()
                    .unwrap_or_else(|| match issuer {
                        Some(issuer) => issuer.as_str().trim_end_matches('/').to_owned(),
                        None => authorize.origin().ascii_serialization(),
                    });
                Place::Given(Arc::new(Endpoints {
                    issuer,
                    authorize,
                    token,
                    userinfo,
                    // More providers of this kind read the body than the header.
                    auth_type: AuthType::RequestBody,
                    proof: None,
                    always_names_itself: false,
                }))
            }
            ([None, None, None], Some(issuer)) => {
                Place::Found(Discovery::new(wire.clone(), issuer.clone())?)
            }
            ([None, None, None], None) => return Err(operator("nothing says where it is")),
            _ => {
                return Err(operator(
                    "authorize_url, token_url and userinfo_url belong together",
                ));
            }
        };
        let scopes = match &place {
            Place::Found(_) if settings.scopes.is_empty() => USUAL_SCOPES.map(str::to_owned).into(),
            Place::Found(_) if !settings.scopes.iter().any(|scope| scope == OPENID) => {
                [vec![OPENID.to_owned()], settings.scopes].concat()
            }
            _ => settings.scopes,
        };
        Ok(Self {
            wire,
            client: Client {
                id: settings.client_id,
                secret: settings.client_secret,
                scopes,
            },
            place,
            mapping: Mapping {
                id: settings.claim_id,
                name: settings.claim_name,
                groups: settings.claim_groups,
                admin_groups: settings.admin_groups,
                admin: settings.claim_admin,
            },
            leeway: settings.leeway,
        })
    }

    async fn endpoints(&self) -> Result<Arc<Endpoints>, LoginError> {
        match &self.place {
            Place::Found(discovery) => discovery.endpoints().await,
            Place::Given(endpoints) => Ok(Arc::clone(endpoints)),
        }
    }

    /// What the provider says of the person whom the tokens are for.
    async fn claims(
        &self,
        endpoints: &Arc<Endpoints>,
        tokens: &Tokens,
        nonce: &str,
    ) -> Result<Map<String, Value>, LoginError> {
        let Place::Found(discovery) = &self.place else {
            return self.userinfo(endpoints, tokens).await;
        };
        let check = id_token::Check {
            client_id: &self.client.id,
            nonce,
            leeway: self.leeway,
        };
        let checked = |endpoints: &Endpoints| match (&endpoints.proof, &tokens.id_token) {
            (Some(proof), Some(written)) => check.claims(proof, written, &tokens.access_token),
            _ => Err(LoginError::Unproven("presence of an id_token")),
        };
        let mut claims = match checked(endpoints) {
            // The provider may have changed its keys since we asked for them.
            Err(LoginError::Unproven(id_token::NO_KEY)) => {
                let newer = discovery.newer_than(endpoints).await?;
                let newer = newer.ok_or(LoginError::Unproven(id_token::NO_KEY))?;
                checked(&newer)?
            }
            checked => checked?,
        };
        if endpoints.userinfo.is_some() && !self.mapping.is_answered_by(&claims) {
            let more = self.userinfo(endpoints, tokens).await?;
            // OpenID Connect Core 5.3.2: the token may have been swapped for another person's.
            if more.get("sub") != claims.get("sub") {
                return Err(LoginError::Unproven("sub of userinfo"));
            }
            for (name, value) in more {
                claims.entry(name).or_insert(value);
            }
        }
        Ok(claims)
    }

    async fn userinfo(
        &self,
        endpoints: &Endpoints,
        tokens: &Tokens,
    ) -> Result<Map<String, Value>, LoginError> {
        let url = endpoints.userinfo.as_ref();
        let url = url.ok_or_else(|| operator("it has no userinfo"))?;
        answer::userinfo(&self.wire, url, &tokens.access_token).await
    }
}

#[async_trait]
impl Provider for Oidc {
    async fn begin(&self, callback: &str) -> Result<Begun, LoginError> {
        let endpoints = self.endpoints().await?;
        let kept = Kept {
            state: secret::random_token(),
            nonce: secret::random_token(),
            verifier: secret::random_token(),
        };
        let go_to = self.client.address(&endpoints, callback, &kept)?;
        Ok(Begun {
            go_to,
            kept: json!(kept).to_string().into(),
            handle: kept.state,
        })
    }

    fn came_back(&self, query: &Query) -> CameBack {
        match CallbackQuery::read(query) {
            Some(CallbackQuery::Code { state, .. }) => CameBack::With { handle: state },
            Some(CallbackQuery::Error { state, word }) => CameBack::Denied {
                handle: state,
                error: word,
            },
            None => CameBack::Nothing,
        }
    }

    async fn finish(
        &self,
        callback: &str,
        kept: &SecretString,
        query: &Query,
    ) -> Result<Person, LoginError> {
        let kept: Kept =
            serde_json::from_str(kept.expose_secret()).map_err(|_| LoginError::Forged)?;
        let (code, named_issuer) = match CallbackQuery::read(query).ok_or(LoginError::Forged)? {
            CallbackQuery::Code {
                state,
                code,
                issuer,
            } if secret::same(&state, &kept.state) => (code, issuer),
            CallbackQuery::Error { state, word }
                if state
                    .as_ref()
                    .is_none_or(|state| secret::same(state, &kept.state)) =>
            {
                return Err(callback::refusal(&word));
            }
            _ => return Err(LoginError::Forged),
        };
        let endpoints = self.endpoints().await?;
        if !endpoints.may_be_named(named_issuer.as_deref()) {
            return Err(LoginError::Forged);
        }
        let tokens = self
            .client
            .redeem(&self.wire, &endpoints, callback, code, kept.verifier)
            .await?;
        let claims = self.claims(&endpoints, &tokens, &kept.nonce).await?;
        let about = self.mapping.read(&claims)?;
        Ok(Person {
            issuer: endpoints.issuer.clone(),
            sub: about.id,
            name: about.name,
            groups: about.groups,
            admin: about.admin,
            confirmed_email: about.confirmed_email,
            registered: None,
            edits: None,
            blocked: false,
            auth_state: tokens.auth_state(claims),
        })
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "https" | "http") && url.has_host()
}

fn operator(reason: &str) -> LoginError {
    LoginError::Operator {
        reason: reason.to_owned(),
    }
}
