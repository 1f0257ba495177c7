//! Signing in by OAuth 1.0a: a request token, the browser's way to the wiki and back, an access token, and who it belongs to.
//!
//! Every attempt is signed anew: the wiki burns a nonce before it looks at the signature, so the same request sent twice is refused.

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::again::{Repeat, ask};
use super::callback::only;
use super::claims::Claims;
use super::identify::{self, Expected};
use super::places::Places;
use super::refusal;
use super::sign::{Call, Signer, Stamp, Token};
use super::{SignedIn, seconds_now};
use crate::login::provider::{Begun, LoginError, Outgoing, Query};
use crate::login::wire::{Answer, Wire};
use crate::secret;

/// The longest key or secret that is taken for one.
const LONGEST: usize = 256;

/// Speaks OAuth 1.0a with one wiki, as one consumer.
pub(super) struct Oauth1 {
    pub(super) wire: Wire,
    pub(super) places: Places,
    pub(super) signer: Signer,
    pub(super) consumer: String,
    /// Also the key of the wiki's statements.
    pub(super) secret: SecretString,
    pub(super) is_callback_oob: bool,
    /// Seconds.
    pub(super) leeway: i64,
}

/// What is kept while the browser is away.
#[derive(Serialize, Deserialize)]
struct Kept {
    token: String,
    token_secret: String,
}

impl Oauth1 {
    pub(super) async fn begin(&self, callback: &str) -> Result<Begun, LoginError> {
        let callback = if self.is_callback_oob {
            "oob"
        } else {
            callback
        };
        let more = [("oauth_callback", callback)];
        let answer = self.send("initiate", &more, None, Repeat::Freely).await?;
        let token = read_token("initiate", &answer, &self.places)?;
        let go_to = self.places.special(
            "authenticate",
            &[
                ("oauth_token", &token.key),
                ("oauth_consumer_key", &self.consumer),
            ],
        );
        let kept = Kept {
            token: token.key.clone(),
            token_secret: token.secret.expose_secret().to_owned(),
        };
        Ok(Begun {
            go_to: go_to.into(),
            handle: token.key,
            kept: super::keep(&kept),
        })
    }

    pub(super) async fn finish(
        &self,
        kept: &SecretString,
        query: &Query,
    ) -> Result<SignedIn, LoginError> {
        let request = self.request_token(kept, query)?;
        let verifier = only(query, "oauth_verifier").ok_or(LoginError::Forged)?;
        let more = [("oauth_verifier", verifier)];
        let answer = self
            .send("token", &more, Some(&request), Repeat::BeforeConnecting)
            .await?;
        let access = read_token("token", &answer, &self.places)?;
        let identity = self.identify(&access).await?;
        Ok(SignedIn {
            claims: Claims::read(&identity)?,
            auth_state: json!({
                "ACCESS_TOKEN_KEY": access.key,
                "ACCESS_TOKEN_SECRET": access.secret.expose_secret(),
                "MEDIAWIKI_USER_IDENTITY": identity,
            }),
        })
    }

    /// Whether the access token still tells the wiki who it is.
    pub(super) async fn renew(&self, auth_state: &Value) -> Result<(), LoginError> {
        self.identify(&access_token(auth_state)?).await.map(|_| ())
    }

    /// The header for one attempt of a request as the token's owner.
    pub(super) fn authorize(
        &self,
        auth_state: &Value,
        request: &Outgoing<'_>,
    ) -> Result<SecretString, LoginError> {
        let access = access_token(auth_state)?;
        let call = Call {
            method: request.method,
            url: request.url,
            more: &[],
            form: request.form,
            token: Some(&access),
        };
        self.signer
            .authorization(&call, &new_stamp())
            .map(SecretString::from)
    }

    /// The four values that sign a request, as PAWS called them.
    pub(super) fn paws_environment(&self, auth_state: &Value) -> Vec<(&'static str, SecretString)> {
        let Ok(access) = access_token(auth_state) else {
            return Vec::new();
        };
        vec![
            ("CLIENT_ID", self.consumer.clone().into()),
            ("CLIENT_SECRET", self.secret.clone()),
            ("ACCESS_KEY", access.key.into()),
            ("ACCESS_SECRET", access.secret),
        ]
    }

    /// The token that this sign-in began with, if the browser is back with it.
    fn request_token(&self, kept: &SecretString, query: &Query) -> Result<Token, LoginError> {
        let kept: Kept = super::kept(kept)?;
        let key = only(query, "oauth_token").ok_or(LoginError::Forged)?;
        if !secret::same(key, &kept.token) {
            return Err(LoginError::Forged);
        }
        Ok(Token {
            key: kept.token,
            secret: kept.token_secret.into(),
        })
    }

    /// Who the token belongs to, as the wiki signs it.
    async fn identify(&self, access: &Token) -> Result<Value, LoginError> {
        let mut stamp = new_stamp();
        let mut answer = self.identify_once(access, &mut stamp).await?;
        if refusal::is_replay(&answer.text()) {
            answer = self.identify_once(access, &mut stamp).await?;
        }
        let expected = Expected {
            key: self.secret.expose_secret().as_bytes(),
            audience: &self.consumer,
            issuer: &self.places.issuer,
            nonce: &stamp.nonce,
            now: seconds_now(),
            leeway: self.leeway,
        };
        read_identity(&answer, &self.places, &expected)
    }

    /// Leaves in `stamp` the nonce of the last attempt, which is the one that the answer repeats.
    async fn identify_once(&self, access: &Token, stamp: &mut Stamp) -> Result<Answer, LoginError> {
        let url = self.places.special("identify", &[]);
        ask(Repeat::Freely, || {
            *stamp = new_stamp();
            self.attempt(&url, &[], Some(access), stamp.clone())
        })
        .await
    }

    /// Sends a signed request to a page of Special:OAuth.
    async fn send(
        &self,
        page: &str,
        more: &[(&str, &str)],
        token: Option<&Token>,
        repeat: Repeat,
    ) -> Result<Answer, LoginError> {
        let url = self.places.special(page, &[]);
        ask(repeat, || self.attempt(&url, more, token, new_stamp())).await
    }

    async fn attempt(
        &self,
        url: &Url,
        more: &[(&str, &str)],
        token: Option<&Token>,
        stamp: Stamp,
    ) -> Result<Answer, LoginError> {
        let call = Call {
            method: "POST",
            url,
            more,
            form: &[],
            token,
        };
        let authorization = self.signer.authorization(&call, &stamp)?;
        let mut value = HeaderValue::from_str(&authorization).map_err(|_| LoginError::Forged)?;
        value.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        self.wire.send(Method::POST, url, headers, Vec::new()).await
    }
}

fn new_stamp() -> Stamp {
    Stamp {
        nonce: secret::random_id(),
        timestamp: seconds_now(),
    }
}

/// The token that `initiate` or `token` answers with.
pub(super) fn read_token(
    what: &str,
    answer: &Answer,
    places: &Places,
) -> Result<Token, LoginError> {
    if let Some(wrong) = refusal::by_status(what, answer) {
        return Err(wrong);
    }
    let body = answer.text();
    if let Some(refusal) = refusal::of_oauth1(&body, places) {
        return Err(refusal);
    }
    let fields: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let field = |name: &str| {
        only(&fields, name).filter(|value| {
            (1..=LONGEST).contains(&value.len())
                && value.bytes().all(|byte| byte.is_ascii_graphic())
        })
    };
    // Says that the way back was fixed before the browser went (RFC 5849, 2.1), so that nobody else can choose it.
    let is_confirmed = field("oauth_callback_confirmed") == Some("true");
    match (field("oauth_token"), field("oauth_token_secret")) {
        (Some(key), Some(secret)) if is_confirmed => Ok(Token {
            key: key.to_owned(),
            secret: secret.into(),
        }),
        _ => Err(refusal::away(what, answer)),
    }
}

/// The access token that an auth state keeps.
fn access_token(auth_state: &Value) -> Result<Token, LoginError> {
    Ok(Token {
        key: super::kept_text(auth_state, "ACCESS_TOKEN_KEY")?.to_owned(),
        secret: super::kept_text(auth_state, "ACCESS_TOKEN_SECRET")?.into(),
    })
}

/// The claims that `identify` answers with, proven.
pub(super) fn read_identity(
    answer: &Answer,
    places: &Places,
    expected: &Expected<'_>,
) -> Result<Value, LoginError> {
    if let Some(wrong) = refusal::by_status("identify", answer) {
        return Err(wrong);
    }
    if identify::is_statement(&answer.body) {
        return identify::verify(&answer.body, expected);
    }
    Err(refusal::of_oauth1(&answer.text(), places)
        .unwrap_or_else(|| refusal::away("identify", answer)))
}
