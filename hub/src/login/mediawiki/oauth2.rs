//! Signing in by OAuth 2.0: the browser's way to the wiki and back with a code, a token for the code, and the token's profile.
//!
//! The whole address for the way back is always sent, to both endpoints: without it a refusal would never come back. PKCE always goes
//! along, for confidential clients too. The access token is opaque: who it belongs to, only the profile says.
//! **Invariant:** a profile says nothing about locks.

use oauth2::basic::{BasicClient, BasicErrorResponse, BasicTokenResponse};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RefreshToken, RequestTokenError, Scope, TokenResponse as _, TokenUrl,
};
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::again::{Repeat, ask};
use super::callback::only;
use super::claims::{Claims, count};
use super::places::Places;
use super::refusal;
use super::{SignedIn, seconds_now};
use crate::login::provider::{Begun, LoginError, Query};
use crate::login::wire::{Answer, Wire};
use crate::secret;

const TOKEN: &str = "oauth2/access_token";
const PROFILE: &str = "oauth2/resource/profile";

type Client = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// Speaks OAuth 2.0 with one wiki, as one client.
pub(super) struct Oauth2 {
    pub(super) wire: Wire,
    pub(super) places: Places,
    pub(super) client_id: String,
    /// `None` is a public client.
    pub(super) client_secret: Option<SecretString>,
    pub(super) scopes: Vec<String>,
}

/// What is kept while the browser is away.
#[derive(Serialize, Deserialize)]
struct Kept {
    state: String,
    verifier: String,
}

impl Oauth2 {
    pub(super) fn begin(&self, callback: &str) -> Result<Begun, LoginError> {
        let state = secret::random_token();
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (go_to, state) = self
            .client()?
            .set_redirect_uri(to_us(callback)?)
            .authorize_url(|| CsrfToken::new(state))
            .set_pkce_challenge(challenge)
            .add_scopes(self.scopes.iter().cloned().map(Scope::new))
            .url();
        let kept = Kept {
            state: state.secret().clone(),
            verifier: verifier.secret().clone(),
        };
        Ok(Begun {
            go_to: go_to.into(),
            handle: state.into_secret(),
            kept: super::keep(&kept),
        })
    }

    pub(super) async fn finish(
        &self,
        callback: &str,
        kept: &SecretString,
        query: &Query,
    ) -> Result<SignedIn, LoginError> {
        let kept: Kept = super::kept(kept)?;
        if query.iter().any(|(name, _)| name == "error") {
            return Err(LoginError::Denied);
        }
        let state = only(query, "state").ok_or(LoginError::Forged)?;
        if !secret::same(state, &kept.state) {
            return Err(LoginError::Forged);
        }
        let code = only(query, "code").ok_or(LoginError::Forged)?;
        let asked_at = seconds_now();
        let wire = self.wire.clone();
        let http = move |request: HttpRequest| carry(wire.clone(), request);
        let client = self.client()?.set_redirect_uri(to_us(callback)?);
        let token = redeem(&client, code, kept.verifier, &http).await?;
        let identity = self.profile(token.access_token().secret()).await?;
        Ok(SignedIn {
            claims: Claims::read(&identity)?,
            auth_state: self.auth_state(&token, asked_at, identity),
        })
    }

    /// Asks with the access token, and has it renewed when the wiki takes it no more.
    pub(super) async fn renew(&self, auth_state: &Value) -> Result<Option<Value>, LoginError> {
        match self
            .profile(super::kept_text(auth_state, "access_token")?)
            .await
        {
            Ok(_) => return Ok(None),
            Err(LoginError::Over) => {}
            Err(error) => return Err(error),
        }
        let refresh_token = super::kept_text(auth_state, "refresh_token")?;
        let asked_at = seconds_now();
        let token = match self.refresh(refresh_token).await {
            // It may be done, and the answer lost: some releases still take the old token then.
            Err(LoginError::Away {
                retry_after: None, ..
            }) => self.refresh(refresh_token).await?,
            other => other?,
        };
        let identity = self.profile(token.access_token().secret()).await?;
        let mut renewed = self.auth_state(&token, asked_at, identity);
        // Who gives no new one leaves the old one valid (RFC 6749, 6).
        if token.refresh_token().is_none() {
            renewed["refresh_token"] = refresh_token.into();
        }
        Ok(Some(renewed))
    }

    /// The header for a request as the token's owner.
    pub(super) fn authorize(auth_state: &Value) -> Result<SecretString, LoginError> {
        let token = super::kept_text(auth_state, "access_token")?;
        Ok(format!("Bearer {token}").into())
    }

    async fn refresh(&self, refresh_token: &str) -> Result<BasicTokenResponse, LoginError> {
        let wire = self.wire.clone();
        let http = move |request: HttpRequest| carry(wire.clone(), request);
        self.client()?
            .exchange_refresh_token(&RefreshToken::new(refresh_token.to_owned()))
            .request_async(&http)
            .await
            .map_err(unread)
            // Whatever is wrong with it, another one comes only of another sign-in.
            .map_err(|error| match error {
                LoginError::Forged => LoginError::Over,
                other => other,
            })
    }

    /// The client of the library.
    pub(super) fn client(&self) -> Result<Client, LoginError> {
        let client = BasicClient::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(self.places.rest("oauth2/authorize")))
            .set_token_uri(TokenUrl::from_url(self.places.rest(TOKEN)))
            // Basic authorisation would be one more thing that proxies on the way may take out.
            .set_auth_type(AuthType::RequestBody);
        Ok(match &self.client_secret {
            Some(secret) => {
                client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()))
            }
            None => client,
        })
    }

    async fn profile(&self, access_token: &str) -> Result<Value, LoginError> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {access_token}"))
            .map_err(|_| LoginError::Unproven("access_token"))?;
        bearer.set_sensitive(true);
        let url = self.places.rest(PROFILE);
        let answer = ask(Repeat::Freely, || {
            let headers = HeaderMap::from_iter([
                (AUTHORIZATION, bearer.clone()),
                (ACCEPT, HeaderValue::from_static("application/json")),
            ]);
            self.wire.send(Method::GET, &url, headers, Vec::new())
        })
        .await?;
        read_profile(&answer)
    }

    fn auth_state(&self, token: &BasicTokenResponse, asked_at: i64, identity: Value) -> Value {
        let expires_at = token.expires_in().map(|lasts| {
            asked_at.saturating_add(i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX))
        });
        // What is not said is as it was asked for (RFC 6749, 5.1).
        let scope: Vec<&str> = match token.scopes() {
            Some(scopes) => scopes.iter().map(|scope| scope.as_str()).collect(),
            None => self.scopes.iter().map(String::as_str).collect(),
        };
        json!({
            "access_token": token.access_token().secret(),
            "refresh_token": token.refresh_token().map(|token| token.secret()),
            "expires_at": expires_at,
            "scope": scope,
            "MEDIAWIKI_USER_IDENTITY": identity,
        })
    }
}

/// A token for a code.
pub(super) async fn redeem<'http, Http>(
    client: &'http Client,
    code: &str,
    verifier: String,
    http: &'http Http,
) -> Result<BasicTokenResponse, LoginError>
where
    Http: AsyncHttpClient<'http, Error = LoginError>,
{
    client
        .exchange_code(AuthorizationCode::new(code.to_owned()))
        .set_pkce_verifier(PkceCodeVerifier::new(verifier))
        .request_async(http)
        .await
        .map_err(unread)
}

/// Our own address, where browsers come back.
pub(super) fn to_us(callback: &str) -> Result<RedirectUrl, LoginError> {
    RedirectUrl::new(callback.to_owned()).map_err(|_| LoginError::Operator {
        reason: "our own address is none that a browser could come back to".to_owned(),
    })
}

fn unread(error: RequestTokenError<LoginError, BasicErrorResponse>) -> LoginError {
    match error {
        RequestTokenError::Request(error) => error,
        // The others' words hold the body, which holds a token.
        _ => LoginError::Away {
            reason: format!("{TOKEN}: its answer cannot be read"),
            retry_after: None,
        },
    }
}

/// Carries the library's request over our wire. A code is spent by asking, so nothing is repeated once somebody was reached.
async fn carry(wire: Wire, request: HttpRequest) -> Result<HttpResponse, LoginError> {
    let (parts, body) = request.into_parts();
    let url = Url::parse(&parts.uri.to_string()).map_err(|_| LoginError::Operator {
        reason: "the address of rest.php cannot be used".to_owned(),
    })?;
    let answer = ask(Repeat::BeforeConnecting, || {
        wire.send(
            parts.method.clone(),
            &url,
            parts.headers.clone(),
            body.clone(),
        )
    })
    .await?;
    read_token_answer(&answer)
}

/// What the library may read: an answer with a token in JSON. All others are errors already.
pub(super) fn read_token_answer(answer: &Answer) -> Result<HttpResponse, LoginError> {
    if answer.status != 200 {
        return Err(refusal::of_oauth2(TOKEN, answer));
    }
    let Ok(mut token @ Value::Object(_)) = serde_json::from_slice::<Value>(&answer.body) else {
        return Err(refusal::away(TOKEN, answer));
    };
    // The library wants whole seconds.
    if let Some(expires_in) = token.get_mut("expires_in") {
        *expires_in = count(expires_in).into();
    }
    http::Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .body(token.to_string().into_bytes())
        .map_err(|_| refusal::away(TOKEN, answer))
}

/// The profile that an answer holds.
pub(super) fn read_profile(answer: &Answer) -> Result<Value, LoginError> {
    if answer.status != 200 {
        return Err(refusal::of_oauth2(PROFILE, answer));
    }
    match serde_json::from_slice(&answer.body) {
        Ok(profile @ Value::Object(_)) => Ok(profile),
        _ => Err(refusal::away(PROFILE, answer)),
    }
}
