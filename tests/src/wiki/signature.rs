//! Signatures of OAuth 1.0a, looked at in the order in which the extension does: time, nonce, method, signature.
//!
//! **Invariant:** a nonce is burnt before the signature is looked at; the base string is made from the wiki's own `$wgServer`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::signature::Verifier as _;
use sha1::Sha1;

use super::consumers::Consumer;
use super::php::{decode, encode};
use super::refusal::Refusal;
use super::request::Request;
use super::state::State;

/// How far apart clocks may be, and how long a nonce is remembered.
const WINDOW: i64 = 300;

/// All parameters of a request, wherever they came.
#[derive(Debug)]
pub(super) struct Signed {
    parameters: Vec<(String, String)>,
}

/// A token that the request is signed with.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) key: String,
    pub(super) secret: String,
}

impl Signed {
    /// Query, form and header; a later one replaces an earlier one of the same name.
    pub(super) fn of(request: &Request) -> Self {
        let mut parameters: Vec<(String, String)> = Vec::new();
        let header = request.authorization().map(header_parameters);
        let all = request.query.iter().chain(&request.form).cloned();
        for (name, value) in all.chain(header.into_iter().flatten()) {
            parameters.retain(|(known, _)| *known != name);
            parameters.push((name, value));
        }
        Self { parameters }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// What is signed.
    pub(super) fn base_string(&self, request: &Request, server: &str) -> String {
        let mut encoded: Vec<(String, String)> = self
            .parameters
            .iter()
            .filter(|(name, _)| name != "oauth_signature")
            .map(|(name, value)| (encode(name), encode(value)))
            .collect();
        encoded.sort();
        let parameters: Vec<String> = encoded
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!(
            "{}&{}&{}",
            request.method,
            encode(&format!("{}{}", normal_origin(server), request.path)),
            encode(&parameters.join("&"))
        )
    }

    /// Whether the request may be believed.
    pub(super) fn check(
        &self,
        state: &mut State,
        request: &Request,
        consumer: &Consumer,
        token: Option<&Token>,
    ) -> Result<(), Refusal> {
        self.check_time(state.now())?;
        self.check_nonce(state, consumer, token)?;
        let method = self.get("oauth_signature_method").ok_or_else(|| {
            Refusal::protocol("No signature method parameter. This parameter is required")
        })?;
        let base = self.base_string(request, &state.server);
        let signature = STANDARD
            .decode(self.get("oauth_signature").unwrap_or_default())
            .unwrap_or_default();
        let holds = match method {
            "HMAC-SHA1" => {
                let secret = token.map_or("", |token| token.secret.as_str());
                let key = format!("{}&{}", encode(&consumer.secret), encode(secret));
                let mut mac =
                    Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("any length will do");
                mac.update(base.as_bytes());
                mac.verify_slice(&signature).is_ok()
            }
            "RSA-SHA1" => consumer.public_key.as_ref().is_some_and(|key| {
                Signature::try_from(signature.as_slice()).is_ok_and(|signature| {
                    VerifyingKey::<Sha1>::new(key.clone())
                        .verify(base.as_bytes(), &signature)
                        .is_ok()
                })
            }),
            other => {
                return Err(Refusal::protocol(&format!(
                    "Signature method '{other}' not supported try one of the following: HMAC-SHA1, RSA-SHA1"
                )));
            }
        };
        if holds {
            Ok(())
        } else {
            Err(Refusal::protocol("Invalid signature"))
        }
    }

    fn check_time(&self, ours: i64) -> Result<(), Refusal> {
        let yours = self.get("oauth_timestamp").ok_or_else(|| {
            Refusal::protocol("Missing timestamp parameter. The parameter is required")
        })?;
        if (ours - yours.parse::<i64>().unwrap_or_default()).abs() > WINDOW {
            return Err(Refusal::protocol(&format!(
                "Expired timestamp, yours {yours}, ours {ours}"
            )));
        }
        Ok(())
    }

    fn check_nonce(
        &self,
        state: &mut State,
        consumer: &Consumer,
        token: Option<&Token>,
    ) -> Result<(), Refusal> {
        let nonce = self.get("oauth_nonce").ok_or_else(|| {
            Refusal::protocol("Missing nonce parameter. The parameter is required")
        })?;
        let now = state.now();
        if state.swept != now {
            state.swept = now;
            state.nonces.retain(|_, until| *until >= now);
        }
        let key = (
            consumer.key.clone(),
            token.map(|token| token.key.clone()).unwrap_or_default(),
            nonce.to_owned(),
        );
        let stamp = self
            .get("oauth_timestamp")
            .and_then(|stamp| stamp.parse::<i64>().ok())
            .unwrap_or(now);
        let known = state.nonces.insert(key, stamp + WINDOW);
        if known.is_some_and(|until| until >= now) {
            return Err(Refusal::protocol(&format!("Nonce already used: {nonce}")));
        }
        Ok(())
    }
}

/// The `oauth_` parameters of a header; the scheme counts letter by letter, the rest is lenient.
fn header_parameters(header: &str) -> Vec<(String, String)> {
    let Some(mut rest) = header.strip_prefix("OAuth ") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    while let Some(start) = rest.find("oauth_") {
        rest = &rest[start..];
        let Some((name, after)) = rest.split_once('=') else {
            break;
        };
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((name.to_owned(), decode(value)));
        rest = left;
    }
    found
}

/// Without a port that goes without saying.
fn normal_origin(server: &str) -> &str {
    let plain = server
        .strip_suffix(":80")
        .filter(|_| server.starts_with("http:"));
    let secure = server
        .strip_suffix(":443")
        .filter(|_| server.starts_with("https:"));
    plain.or(secure).unwrap_or(server)
}
