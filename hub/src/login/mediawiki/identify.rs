//! The wiki's signed statement about who asked: a JWT under the consumer's secret.
//!
//! Pure. The checks stand in an order: nothing of the claims is believed before the signature, and nobody is looked for before the
//! statement is known to be fresh and an answer to us. **Invariant:** whoever holds the consumer's secret can forge one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use url::Url;

use super::places::origin;
use crate::login::provider::LoginError;
use crate::secret;

/// What a statement must say.
pub(crate) struct Expected<'a> {
    /// The consumer's secret, whose characters are the key.
    pub(crate) key: &'a [u8],
    /// Our consumer's key.
    pub(crate) audience: &'a str,
    /// An origin.
    pub(crate) issuer: &'a str,
    /// The `oauth_nonce` of the request.
    pub(crate) nonce: &'a str,
    /// Seconds since 1970.
    pub(crate) now: i64,
    /// Seconds.
    pub(crate) leeway: i64,
}

/// Whether this is a statement at all: three parts in base64url. Anything else is an error, or a page.
pub(crate) fn is_statement(body: &[u8]) -> bool {
    parts(body).is_some()
}

/// The claims of a statement that holds. Who is meant, the caller reads.
///
/// # Errors
/// [`LoginError::Unproven`] with the check that failed; [`LoginError::Operator`] when it is another wiki's; [`LoginError::Clock`] when it
/// is an answer to this very request, and yet not of this time.
pub(crate) fn verify(body: &[u8], expected: &Expected<'_>) -> Result<Value, LoginError> {
    let [header, payload, signature] = parts(body).ok_or(LoginError::Unproven("form"))?;
    let head = json(header).ok_or(LoginError::Unproven("header"))?;
    // `crit` would name rules that nobody here knows.
    if head.get("alg").and_then(Value::as_str) != Some("HS256") || head.get("crit").is_some() {
        return Err(LoginError::Unproven("alg"));
    }
    check_signature(header, payload, signature, expected.key)?;
    let claims = json(payload).ok_or(LoginError::Unproven("claims"))?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("aud") != expected.audience {
        return Err(LoginError::Unproven("aud"));
    }
    check_issuer(text("iss"), expected.issuer)?;
    let is_ours = secret::same(text("nonce"), expected.nonce) && !expected.nonce.is_empty();
    check_time(&claims, expected, is_ours)?;
    if !is_ours {
        return Err(LoginError::Unproven("nonce"));
    }
    Ok(claims)
}

fn parts(body: &[u8]) -> Option<[&str; 3]> {
    let text = std::str::from_utf8(body).ok()?;
    let is_base64url = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let mut parts = text.split('.');
    let three = [parts.next()?, parts.next()?, parts.next()?];
    // An unsigned one has nothing after its second dot: it is a statement too, and refused as one.
    let [head, payload, signature] = three;
    let is_whole = is_base64url(head)
        && is_base64url(payload)
        && (signature.is_empty() || is_base64url(signature));
    (parts.next().is_none() && is_whole).then_some(three)
}

fn json(part: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    let value: Value = serde_json::from_slice(&bytes).ok()?;
    value.is_object().then_some(value)
}

fn check_signature(
    header: &str,
    payload: &str,
    signature: &str,
    key: &[u8],
) -> Result<(), LoginError> {
    let wrong = LoginError::Unproven("signature");
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
        return Err(wrong);
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(header.as_bytes());
    mac.update(b".");
    mac.update(payload.as_bytes());
    // Takes the same time wherever they differ.
    mac.verify_slice(&signature).map_err(|_| wrong)
}

/// The whole origin is compared: scheme, host and port.
fn check_issuer(issuer: &str, expected: &str) -> Result<(), LoginError> {
    let said = Url::parse(issuer).ok().map(|url| origin(&url));
    if said.as_deref() == Some(expected) {
        return Ok(());
    }
    let said = said.unwrap_or_else(|| "something that is no address".to_owned());
    Err(LoginError::Operator {
        reason: format!(
            "the wiki calls itself {said}, while {expected} is expected: set index_url or issuer to the wiki's own address, and connect_to to the one that is dialled"
        ),
    })
}

fn check_time(claims: &Value, expected: &Expected<'_>, is_ours: bool) -> Result<(), LoginError> {
    let seconds = |name: &'static str| whole(claims.get(name)).ok_or(LoginError::Unproven(name));
    let (expires, issued) = (seconds("exp")?, seconds("iat")?);
    let failed = if expires <= expected.now.saturating_sub(expected.leeway) {
        "exp"
    } else if issued >= expected.now.saturating_add(expected.leeway) {
        "iat"
    } else {
        return Ok(());
    };
    // It was made just now for this very request, so one of the two clocks is wrong.
    Err(if is_ours {
        LoginError::Clock(expected.now.saturating_sub(issued))
    } else {
        LoginError::Unproven(failed)
    })
}

/// Seconds, also when they come as a float.
fn whole(value: Option<&Value>) -> Option<i64> {
    let number = value?.as_number()?;
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        // Exact in this range, and far beyond any time that is meant.
        (-9e15..=9e15).contains(&float).then_some(float as i64)
    })
}
