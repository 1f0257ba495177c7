//! The query that a browser comes back with.

use url::form_urlencoded;

use crate::login::mediawiki::Protocol;
use crate::login::mediawiki::callback as wiki;
use crate::login::oidc::callback::CallbackQuery;
use crate::login::provider::CameBack;

/// Takes a query as it stands behind the question mark. A sign-in that is found is named once in it, by letters that are safe in rows
/// and logs; nothing else of the query comes out, except a short word for a refusal.
///
/// # Panics
/// When that does not hold.
pub fn callback(bytes: &[u8]) {
    let query: Vec<(String, String)> = form_urlencoded::parse(bytes).into_owned().collect();
    let values = |name: &str| -> Vec<&str> {
        let of_name = query.iter().filter(|(field, _)| field == name);
        of_name.map(|(_, value)| value.as_str()).collect()
    };
    for (protocol, names, proof) in [
        (Protocol::Oauth1, "oauth_token", "oauth_verifier"),
        (Protocol::Oauth2, "state", "code"),
    ] {
        match wiki::read(protocol, &query) {
            CameBack::With { handle } => {
                is_safe(&handle);
                assert_eq!(values(names), [handle.as_str()]);
                assert!(matches!(values(proof)[..], [one] if !one.is_empty()));
                assert!(protocol == Protocol::Oauth1 || values("error").is_empty());
            }
            CameBack::Denied { handle, error } => {
                assert!(protocol == Protocol::Oauth2 && !values("error").is_empty());
                is_word(&error);
                if let Some(handle) = handle {
                    is_safe(&handle);
                    assert_eq!(values(names), [handle.as_str()]);
                }
            }
            CameBack::Nothing => {}
        }
    }
    match CallbackQuery::read(&query) {
        Some(CallbackQuery::Code {
            state,
            code,
            issuer,
        }) => {
            is_safe(&state);
            assert_eq!(values("state"), [state.as_str()]);
            assert_eq!(values("code"), [code.as_str()]);
            assert!(!code.is_empty() && values("error").is_empty());
            assert_eq!(values("iss"), Vec::from_iter(issuer.as_deref()));
        }
        Some(CallbackQuery::Error { state, word }) => {
            is_word(&word);
            assert!(!word.is_empty() && values("error").len() == 1);
            assert_eq!(values("state"), Vec::from_iter(state.as_deref()));
            state.iter().for_each(|state| is_safe(state));
        }
        None => {}
    }
}

fn is_safe(handle: &str) {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    assert!((1..=128).contains(&handle.len()) && handle.bytes().all(is_letter));
}

fn is_word(word: &str) {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    assert!(word.len() <= 100 && word.bytes().all(is_letter));
}
