//! What a wiki's refusals mean to us.
//!
//! OAuth 1.0a refuses with status 200: a text that begins `Error: `, or JSON with `error` and `message`. Texts come in the wiki's own
//! language, so codes and keys are looked at first; the texts matched here come from a library and are always English.
//! **Invariant:** what is quoted has lost every word that is long enough to be a token.

use serde_json::Value;
use url::Url;

use super::places::{Places, origin};
use crate::login::provider::LoginError;
use crate::login::wire::Answer;

/// Characters of a refusal that are quoted, at most.
const QUOTED: usize = 160;
/// A word as long as this may be a token, and is not quoted.
const TOKEN: usize = 20;

/// What is wrong with an answer by its status alone; `None` when it may be read.
pub(super) fn by_status(what: &str, answer: &Answer) -> Option<LoginError> {
    let operator = |reason: String| Some(LoginError::Operator { reason });
    match answer.status {
        200..=299 => None,
        300..=399 => operator(format!(
            "{what} redirects to {}: write index_url as the wiki calls itself",
            led_to(answer.location.as_deref())
        )),
        403 => operator(format!(
            "{what} is forbidden ({}): it may not like our user agent or address",
            answer.sight()
        )),
        408 | 425 | 429 | 500.. => Some(away(what, answer)),
        _ => operator(format!(
            "{what} is not there ({}): is index_url right, and has the wiki Extension:OAuth?",
            answer.sight()
        )),
    }
}

/// An answer that is none of those that the protocol knows.
pub(super) fn away(what: &str, answer: &Answer) -> LoginError {
    LoginError::Away {
        reason: format!("{what}: {}", answer.sight()),
        retry_after: answer.retry_after,
    }
}

/// Only the origin: paths and queries may carry anything.
fn led_to(location: Option<&str>) -> String {
    location
        .and_then(|location| Url::parse(location).ok())
        .map_or_else(
            || "another page of its own".to_owned(),
            |location| origin(&location),
        )
}

/// What an OAuth 1.0a answer refuses; `None` when it refuses nothing in a known form.
pub(super) fn of_oauth1(body: &str, places: &Places) -> Option<LoginError> {
    if let Some(text) = body.strip_prefix("Error: ") {
        return Some(by_text(text, places));
    }
    let refusal: Value = serde_json::from_str(body).ok()?;
    let key = refusal.get("error")?.as_str()?;
    let message = refusal
        .get("message")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Some(by_key(key, message, places))
}

/// Whether a request was taken for one that came before. Every nonce of ours is new, so something on the way repeated it.
pub(super) fn is_replay(body: &str) -> bool {
    body.contains("Nonce already used") && (body.starts_with("Error: ") || body.starts_with('{'))
}

fn by_key(key: &str, message: &str, places: &Places) -> LoginError {
    let refused = |words: &str| LoginError::Refused(words.to_owned());
    match key {
        "mwoauth-invalid-authorization-blocked-user" => {
            refused("This account is locked on the wiki, so it cannot sign in here.")
        }
        "mwoauth-invalid-authorization-invalid-user" => {
            refused("The wiki does not know this account, or hides it, so it cannot sign in here.")
        }
        // Revoked while we were asking, or used up.
        "mwoauth-invalid-authorization" => LoginError::Over,
        "mwoauth-invalid-authorization-not-approved" => operator(
            "the consumer is not approved, or was disabled; see Special:OAuthConsumerRegistration",
        ),
        "mwoauth-invalid-authorization-wrong-wiki" => {
            operator("the consumer is bound to another wiki than the one of index_url")
        }
        "mwoauth-db-readonly" | "readonly" => LoginError::ReadOnly,
        _ if key.starts_with("mwoauthdatastore-")
            && (key.ends_with("-not-found") || key.ends_with("-already-used")) =>
        {
            LoginError::Over
        }
        _ => by_text(&format!("{message} [{key}]"), places),
    }
}

fn by_text(text: &str, places: &Places) -> LoginError {
    match code(text) {
        // Expired, or used before.
        Some("E004" | "E009") => return LoginError::Over,
        Some("E010") => {
            return operator("the consumer is owner-only: nobody else can sign in with it");
        }
        Some("E005" | "E012") => {
            return operator(
                "the consumer is disabled, not approved, or of another version of OAuth",
            );
        }
        _ => {}
    }
    if let Some(ahead) = clock(text) {
        return LoginError::Clock(ahead);
    }
    let says = |words: &str| text.contains(words);
    if says("Nonce already used") {
        return LoginError::Away {
            reason: "it takes our request for one that came before: something on the way repeats requests".to_owned(),
            retry_after: None,
        };
    }
    if says("Invalid signature") {
        return operator(&format!(
            "the wiki refuses our signature: the consumer's secret is wrong, or the wiki does not call itself {} (signed; dialled: {})",
            places.signed(),
            places.dialled
        ));
    }
    if says("Invalid consumer") {
        return operator("the wiki does not know the consumer: is client_id right?");
    }
    if says("verification code provided was not valid") {
        return LoginError::Forged;
    }
    if says("No token was found matching your request") || says("already been completed") {
        return LoginError::Over;
    }
    if says("temporarily locked") {
        return LoginError::ReadOnly;
    }
    if says("invalid IP address") {
        return operator("the consumer may not be used from this machine's address");
    }
    operator(&format!("the wiki refuses: {}", quoted(text)))
}

fn operator(reason: &str) -> LoginError {
    LoginError::Operator {
        reason: reason.to_owned(),
    }
}

/// The code of a page of help, such as `E009`: the last one, since what comes before may hold names.
fn code(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(at) = rest.rfind("#E") {
        let code = rest.get(at + 1..at + 5);
        if code.is_some_and(|code| code[1..].bytes().all(|byte| byte.is_ascii_digit())) {
            return code;
        }
        rest = &rest[..at];
    }
    None
}

/// By how many seconds our clock is ahead, from `Expired timestamp, yours X, ours Y`.
fn clock(text: &str) -> Option<i64> {
    let (_, rest) = text.split_once("Expired timestamp, yours ")?;
    let (yours, rest) = rest.split_once(", ours ")?;
    let digits = rest
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(rest.len());
    let (yours, ours): (i64, i64) = (yours.parse().ok()?, rest[..digits].parse().ok()?);
    yours.checked_sub(ours)
}

/// The beginning of a text, in one line, without anything that could be a secret.
pub(super) fn quoted(text: &str) -> String {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_+/=%.".contains(letter);
    let mut shown = String::new();
    for word in text
        .split_inclusive(|letter: char| !is_part(letter))
        .take(QUOTED)
    {
        let bare = word.trim_end_matches(|letter: char| !is_part(letter));
        // Keys of messages are long too, but hold nothing but small letters.
        let is_key = bare
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        if bare.len() >= TOKEN && !is_key {
            shown.push('…');
        } else {
            shown.push_str(bare);
        }
        shown.extend(
            word[bare.len()..]
                .chars()
                .map(|letter| if letter.is_control() { ' ' } else { letter }),
        );
    }
    shown.chars().take(QUOTED).collect()
}

/// What OAuth 2.0 refuses, by status and body; asked for anything but 200. `error` alone does not tell: versions differ.
pub(super) fn of_oauth2(what: &str, answer: &Answer) -> LoginError {
    let refusal: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| {
        refusal
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (error, hint) = (text("error"), text("hint"));
    let is_refusal = matches!(answer.status, 400 | 401);
    if !is_refusal || error.is_empty() {
        return by_status(what, answer).unwrap_or_else(|| away(what, answer));
    }
    match error {
        "invalid_client" | "unauthorized_client" => operator(
            "the wiki does not take the client: check client_id and its secret, the registered callback and that it is OAuth 2.0",
        ),
        "unsupported_grant_type" | "invalid_scope" => {
            operator(&format!("the wiki refuses {what}: {}", quoted(error)))
        }
        // The token that we have just got: taken back, or a neighbour of the wiki does not know it yet.
        "access_denied" => LoginError::Over,
        _ if hint.contains("revoked") || hint.contains("expired") => LoginError::Over,
        _ if hint.contains("redirect_uri") => {
            operator("the registered callback is not ours, to the letter")
        }
        "invalid_request" | "invalid_grant" => LoginError::Forged,
        _ => operator(&format!(
            "the wiki refuses {what}: {}",
            quoted(&format!("{error} {hint}"))
        )),
    }
}
