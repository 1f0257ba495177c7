//! The two requests of OAuth 2.0's code flow: the address the browser goes to, and the exchange of the code for tokens.
//!
//! The protocol is crate `oauth2`'s; here stand our limits around it, and what its refusals mean for us.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::http::{self, StatusCode};
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, Scope, StandardRevocableToken, StandardTokenResponse, TokenResponse as _,
    TokenUrl,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use super::discovery::Endpoints;
use super::{Kept, answer, callback, operator};
use crate::login::provider::LoginError;
use crate::login::wire::Wire;

const WHAT: &str = "the token endpoint";

/// Who we are for the provider.
pub(super) struct Client {
    pub(super) id: String,
    pub(super) secret: Option<SecretString>,
    pub(super) scopes: Vec<String>,
}

/// What a code was exchanged for.
pub(super) struct Tokens {
    pub(super) access_token: SecretString,
    refresh_token: Option<SecretString>,
    pub(super) id_token: Option<SecretString>,
    /// Seconds since 1970.
    expires_at: Option<u64>,
    scope: String,
}

/// What OpenID Connect adds to a token response.
#[derive(Debug, Serialize, Deserialize)]
struct More {
    #[serde(skip_serializing)]
    id_token: Option<SecretString>,
}

impl ExtraTokenFields for More {}

type Response = StandardTokenResponse<More, BasicTokenType>;

/// A client of crate `oauth2` that knows where the browser goes and where a code is exchanged.
type Flow = oauth2::Client<
    BasicErrorResponse,
    Response,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

impl Client {
    /// Where the browser goes.
    pub(super) fn address(
        &self,
        endpoints: &Endpoints,
        callback: &str,
        kept: &Kept,
    ) -> Result<String, LoginError> {
        let verifier = PkceCodeVerifier::new(kept.verifier.clone());
        let callback = redirect(callback)?;
        let flow = self.flow(endpoints);
        let mut request = flow
            .authorize_url(|| CsrfToken::new(kept.state.clone()))
            .set_redirect_uri(Cow::Borrowed(&callback))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(self.scopes.iter().cloned().map(Scope::new));
        if endpoints.proof.is_some() {
            request = request.add_extra_param("nonce", kept.nonce.as_str());
        }
        let (url, _) = request.url();
        Ok(url.into())
    }

    /// Exchanges a code.
    pub(super) async fn redeem(
        &self,
        wire: &Wire,
        endpoints: &Endpoints,
        callback: &str,
        code: String,
        verifier: String,
    ) -> Result<Tokens, LoginError> {
        let callback = redirect(callback)?;
        let flow = self.flow(endpoints);
        let response = flow
            .exchange_code(AuthorizationCode::new(code))
            .set_redirect_uri(Cow::Borrowed(&callback))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&|request| send(wire.clone(), request))
            .await
            .map_err(trouble)?;
        if response.access_token().secret().is_empty() {
            return Err(no_tokens());
        }
        let scope = response.scopes().map_or_else(
            || self.scopes.join(" "),
            |scopes| {
                let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
                scopes.join(" ")
            },
        );
        Ok(Tokens {
            access_token: response.access_token().secret().as_str().into(),
            refresh_token: response
                .refresh_token()
                .map(|token| token.secret().as_str().into()),
            id_token: response.extra_fields().id_token.clone(),
            expires_at: response.expires_in().and_then(seconds_from_now),
            scope,
        })
    }

    fn flow(&self, endpoints: &Endpoints) -> Flow {
        let flow = oauth2::Client::new(ClientId::new(self.id.clone()))
            .set_auth_uri(AuthUrl::from_url(endpoints.authorize.clone()))
            .set_token_uri(TokenUrl::from_url(endpoints.token.clone()))
            .set_auth_type(endpoints.auth_type.clone());
        match &self.secret {
            Some(secret) => {
                flow.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()))
            }
            None => flow,
        }
    }
}

impl Tokens {
    /// All of it, to be kept encrypted.
    pub(super) fn auth_state(&self, user: Map<String, Value>) -> Value {
        let text = |token: &Option<SecretString>| {
            token.as_ref().map(|token| token.expose_secret().to_owned())
        };
        json!({
            "access_token": self.access_token.expose_secret(),
            "refresh_token": text(&self.refresh_token),
            "id_token": text(&self.id_token),
            "expires_at": self.expires_at,
            "scope": self.scope,
            "user": user,
        })
    }
}

/// Sends the crate's request over our wire; what comes back is either JSON that it can read, or an error that says what was seen.
async fn send(wire: Wire, request: HttpRequest) -> Result<HttpResponse, LoginError> {
    let (head, body) = request.into_parts();
    let url = Url::parse(&head.uri.to_string())
        .map_err(|_| operator("the token endpoint is no address"))?;
    let answer = wire.send(head.method, &url, head.headers, body).await?;
    answer::is_of_the_protocol(WHAT, &answer)?;
    let Ok(mut fields) = serde_json::from_slice::<Map<String, Value>>(&answer.body) else {
        return Err(if answer.status == 401 && answer.body.is_empty() {
            refusal("invalid_client")
        } else {
            answer::away(WHAT, &answer)
        });
    };
    // GitHub refuses with 200.
    let status = if fields.get("error").is_some_and(|error| !error.is_null()) {
        StatusCode::BAD_REQUEST
    } else if answer.status == 200 {
        soften(&mut fields);
        StatusCode::OK
    } else {
        return Err(answer::away(WHAT, &answer));
    };
    let mut response = http::Response::new(json!(fields).to_string().into_bytes());
    *response.status_mut() = status;
    Ok(response)
}

/// Writes fields as RFC 6749 has them where providers are known not to.
fn soften(fields: &mut Map<String, Value>) {
    fields.retain(|_, value| !value.is_null());
    fields
        .entry("token_type")
        .or_insert_with(|| json!("bearer"));
    let seconds = match fields.get("expires_in") {
        Some(Value::String(text)) => text.parse::<u64>().ok(),
        Some(Value::Number(number)) => number.as_u64(),
        _ => None,
    };
    match seconds {
        Some(seconds) => fields.insert("expires_in".to_owned(), json!(seconds)),
        None => fields.remove("expires_in"),
    };
}

fn trouble(error: RequestTokenError<LoginError, BasicErrorResponse>) -> LoginError {
    match error {
        RequestTokenError::Request(error) => error,
        RequestTokenError::ServerResponse(response) => {
            refusal(&callback::word(response.error().as_ref()))
        }
        // Its words may quote the answer.
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => no_tokens(),
    }
}

/// What the token endpoint's word for an error means.
fn refusal(word: &str) -> LoginError {
    let look_at = match word {
        // The second is GitHub's.
        "invalid_grant" | "bad_verification_code" => return LoginError::Over,
        "access_denied" => return LoginError::Denied,
        "server_error" | "temporarily_unavailable" | "slow_down" => {
            return LoginError::Away {
                reason: format!("{WHAT} answers {word}"),
                retry_after: None,
            };
        }
        "unverified_user_email" => {
            return LoginError::Refused(
                "Your account at the provider needs a confirmed address of e-mail first."
                    .to_owned(),
            );
        }
        "invalid_client" | "incorrect_client_credentials" => {
            "client_id and client_secret_file, and at whether the client has a secret there"
        }
        "unauthorized_client" | "unsupported_grant_type" => {
            "what the client may do there: it needs the authorization code"
        }
        "invalid_scope" => "scopes",
        "redirect_uri_mismatch" => {
            "the callback registered there: it must be hub.public_url with callback_path"
        }
        _ => "the client's registration there: its callback, its secret and its kind",
    };
    LoginError::Operator {
        reason: format!("{WHAT} answers {word}: look at {look_at}"),
    }
}

fn no_tokens() -> LoginError {
    LoginError::Away {
        reason: format!("{WHAT} answers with JSON that holds no tokens"),
        retry_after: None,
    }
}

fn redirect(callback: &str) -> Result<RedirectUrl, LoginError> {
    RedirectUrl::new(callback.to_owned()).map_err(|_| operator("our own callback is no address"))
}

fn seconds_from_now(wait: Duration) -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    now.as_secs().checked_add(wait.as_secs())
}
