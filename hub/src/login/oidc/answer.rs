//! Tells answers of the protocol from those of something that stands before it: maintenance pages, rate limits, moved addresses.
//!
//! **Invariant:** what is told of an answer is its status, type and size, never its text.

use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::Url;

use super::operator;
use crate::login::provider::LoginError;
use crate::login::wire::{Answer, Wire};

/// The media type that is asked for and sent.
pub(super) const JSON: &str = "application/json";

/// Asks for a public document. `what` is what it is called in reasons.
///
/// # Errors
/// [`LoginError::Away`] for all that is not this document, [`LoginError::Operator`] for a redirect.
pub(super) async fn document<T: DeserializeOwned>(
    wire: &Wire,
    url: &Url,
    what: &str,
) -> Result<T, LoginError> {
    let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(JSON))]);
    let answer = wire.send(Method::GET, url, headers, Vec::new()).await?;
    is_of_the_protocol(what, &answer)?;
    if answer.status != 200 {
        return Err(away(what, &answer));
    }
    serde_json::from_slice(&answer.body).map_err(|_| away(what, &answer))
}

/// Asks whose token it is.
///
/// # Errors
/// [`LoginError::Operator`] when the token is not taken there, [`LoginError::Away`] for what is no answer.
pub(super) async fn userinfo(
    wire: &Wire,
    url: &Url,
    access_token: &SecretString,
) -> Result<Map<String, Value>, LoginError> {
    const WHAT: &str = "userinfo";
    let bearer = format!("Bearer {}", access_token.expose_secret());
    let mut bearer = HeaderValue::try_from(bearer).map_err(|_| LoginError::Away {
        reason: "it gave an access token that cannot be sent".to_owned(),
        retry_after: None,
    })?;
    bearer.set_sensitive(true);
    let headers = HeaderMap::from_iter([
        (ACCEPT, HeaderValue::from_static(JSON)),
        (AUTHORIZATION, bearer),
    ]);
    let answer = wire.send(Method::GET, url, headers, Vec::new()).await?;
    is_of_the_protocol(WHAT, &answer)?;
    match answer.status {
        200 if answer.media_type == "application/jwt" => Err(operator(
            "userinfo answers with a signed or encrypted token, which is not read: have it answer plain JSON, or put the claims into the id_token",
        )),
        200 => serde_json::from_slice(&answer.body).map_err(|_| away(WHAT, &answer)),
        400 | 401 | 403 if answer.retry_after.is_none() => Err(LoginError::Operator {
            reason: format!(
                "userinfo does not take the access token (status {}): look at userinfo_url and scopes",
                answer.status
            ),
        }),
        _ => Err(away(WHAT, &answer)),
    }
}

/// Whether an answer can be the provider's own.
///
/// # Errors
/// [`LoginError::Away`] when it is busy or broken, [`LoginError::Operator`] when it is somewhere else.
pub(super) fn is_of_the_protocol(what: &str, answer: &Answer) -> Result<(), LoginError> {
    match answer.status {
        300..=399 => {
            let place = answer
                .location
                .as_deref()
                .and_then(|to| Url::parse(to).ok());
            let place = place.map_or_else(
                || "elsewhere".to_owned(),
                |url| format!("to {}", url.origin().ascii_serialization()),
            );
            Err(LoginError::Operator {
                reason: format!(
                    "{what} redirects {place} (status {}), which is not followed: write the address that it really has",
                    answer.status
                ),
            })
        }
        429 | 500.. => Err(away(what, answer)),
        _ => Ok(()),
    }
}

/// It is not what was asked for.
pub(super) fn away(what: &str, answer: &Answer) -> LoginError {
    LoginError::Away {
        reason: format!("{what} answers with {}", answer.sight()),
        retry_after: answer.retry_after,
    }
}
