//! Reads what the browser came back with. Pure; everything in it was chosen by a stranger.

use super::operator;
use crate::login::provider::{LoginError, Query};

/// Ours have 43 characters.
const STATE_BYTES: usize = 128;
/// The longest codes seen are signed tokens of some kilobytes.
const CODE_BYTES: usize = 8 << 10;
const WORD_BYTES: usize = 100;

/// A callback's query, understood.
pub(crate) enum CallbackQuery {
    Code {
        state: String,
        code: String,
        /// `iss` of RFC 9207.
        issuer: Option<String>,
    },
    Error {
        state: Option<String>,
        /// Of letters, digits, `_` and `-`; never empty.
        word: String,
    },
}

impl CallbackQuery {
    /// `None` for what no provider sends, such as a field that is there twice (RFC 6749, 3.1).
    pub(crate) fn read(query: &Query) -> Option<Self> {
        let state = single(query, "state")?.map(str::to_owned);
        if state.as_deref().is_some_and(|state| !is_ours(state)) {
            return None;
        }
        let error = single(query, "error")?;
        let code = single(query, "code")?.filter(|code| !code.is_empty());
        let issuer = single(query, "iss")?.map(str::to_owned);
        if let Some(error) = error {
            return Some(Self::Error {
                state,
                word: word(error),
            });
        }
        let code = code.filter(|code| code.len() <= CODE_BYTES)?.to_owned();
        Some(Self::Code {
            state: state?,
            code,
            issuer,
        })
    }
}

/// What a provider's refusal in the callback means.
pub(super) fn refusal(word: &str) -> LoginError {
    match word {
        "server_error" | "temporarily_unavailable" => LoginError::Away {
            reason: format!("it sent the browser back with {word}"),
            retry_after: None,
        },
        "invalid_scope" => operator("it refused the scopes (invalid_scope): look at scopes"),
        "redirect_uri_mismatch" => operator(
            "it does not know our callback (redirect_uri_mismatch): register callback_path there with hub.public_url before it",
        ),
        "unauthorized_client"
        | "application_suspended"
        | "invalid_request"
        | "unsupported_response_type"
        | "invalid_client" => LoginError::Operator {
            reason: format!(
                "it refused our client ({word}): look at client_id, and at what the client may do there (authorization code)"
            ),
        },
        // access_denied and its kin, and words that nobody knows: the person is simply not signed in.
        _ => LoginError::Denied,
    }
}

/// What can safely stand in a log and a page.
pub(super) fn word(text: &str) -> String {
    let kept: String = text
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        .take(WORD_BYTES)
        .collect();
    if kept.is_empty() {
        "unnamed".to_owned()
    } else {
        kept
    }
}

fn is_ours(state: &str) -> bool {
    !state.is_empty()
        && state.len() <= STATE_BYTES
        && state
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// The one value of a field, if it is there; `None` when it is there more often.
fn single<'q>(query: &'q Query, name: &str) -> Option<Option<&'q str>> {
    let mut values = query
        .iter()
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value.as_str());
    let first = values.next();
    values.next().is_none().then_some(first)
}
