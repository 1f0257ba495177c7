//! What a browser brings back from the wiki. Pure; nothing of it is proven.
//!
//! A field that comes twice is as good as missing: nobody could say which is meant.

use super::settings::Protocol;
use crate::login::provider::{CameBack, Query};

/// The longest handle of a sign-in; ours and the wiki's are shorter.
const HANDLE: usize = 128;
/// The longest word for a refusal that is passed on.
const WORD: usize = 100;

/// What the query of a callback says.
pub(crate) fn read(protocol: Protocol, query: &Query) -> CameBack {
    match protocol {
        Protocol::Oauth1 => oauth1(query),
        Protocol::Oauth2 => oauth2(query),
    }
}

/// The only field of this name.
pub(super) fn only<'q>(query: &'q Query, name: &str) -> Option<&'q str> {
    let mut found = query.iter().filter(|(field, _)| field == name);
    let (_, value) = found.next()?;
    found.next().is_none().then_some(value.as_str())
}

/// A refusal never comes back here: the browser stays on the wiki.
fn oauth1(query: &Query) -> CameBack {
    let verifier = only(query, "oauth_verifier").filter(|verifier| !verifier.is_empty());
    match (handle(query, "oauth_token"), verifier) {
        (Some(handle), Some(_)) => CameBack::With { handle },
        _ => CameBack::Nothing,
    }
}

/// A refusal comes with an `error`, and mostly without `state`.
fn oauth2(query: &Query) -> CameBack {
    let handle = handle(query, "state");
    if let Some((_, error)) = query.iter().find(|(name, _)| name == "error") {
        return CameBack::Denied {
            handle,
            error: word(error),
        };
    }
    let code = only(query, "code").filter(|code| !code.is_empty());
    match (handle, code) {
        (Some(handle), Some(_)) => CameBack::With { handle },
        _ => CameBack::Nothing,
    }
}

fn handle(query: &Query, name: &str) -> Option<String> {
    let handle = only(query, name)?;
    let is_sound = (1..=HANDLE).contains(&handle.len())
        && handle
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    is_sound.then(|| handle.to_owned())
}

fn word(error: &str) -> String {
    error
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || "_-".contains(*letter))
        .take(WORD)
        .collect()
}
