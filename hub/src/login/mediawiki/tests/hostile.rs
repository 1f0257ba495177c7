//! Whatever comes: nothing panics, and nobody is let in.

use proptest::prelude::*;
use serde_json::Value;

use super::super::claims::{Claims, is_sub};
use super::super::identify::{Expected, verify};
use super::super::settings::Protocol;
use super::super::{callback, identify};
use crate::login::provider::{CameBack, LoginError};

const EXPECTED: Expected<'static> = Expected {
    key: b"a key that nobody guesses",
    audience: "us",
    issuer: "https://wiki.example",
    nonce: "0123456789abcdef",
    now: 1_795_246_427,
    leeway: 30,
};

/// JSON of any form, with names that matter among the others.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[0-9]{0,20}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("sub".to_owned()),
        Just("username".to_owned()),
        Just("groups".to_owned()),
        Just("registered".to_owned()),
        Just("editcount".to_owned()),
        Just("blocked".to_owned()),
        ".{0,8}",
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

#[test]
fn an_unsigned_statement_is_refused_as_one() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    for (alg, check) in [("none", "alg"), ("HS256", "signature")] {
        let head = URL_SAFE_NO_PAD.encode(format!(r#"{{"typ":"JWT","alg":"{alg}"}}"#));
        let body = format!("{head}.{}.", URL_SAFE_NO_PAD.encode("{}"));
        assert!(identify::is_statement(body.as_bytes()));
        let refusal = verify(body.as_bytes(), &EXPECTED);
        assert_eq!(refusal.err(), Some(LoginError::Unproven(check)));
    }
}

proptest! {
    #[test]
    fn no_bytes_are_a_statement_that_holds(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = identify::is_statement(&body);
        prop_assert!(verify(&body, &EXPECTED).is_err());
    }

    #[test]
    fn nothing_of_the_form_holds_without_the_key(
        head in json(), payload in json(), signature in "[A-Za-z0-9_-]{0,60}",
    ) {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;

        let body = format!(
            "{}.{}.{signature}",
            URL_SAFE_NO_PAD.encode(head.to_string()),
            URL_SAFE_NO_PAD.encode(payload.to_string()),
        );
        prop_assert!(verify(body.as_bytes(), &EXPECTED).is_err());
    }

    #[test]
    fn whoever_is_read_has_a_number_and_a_name(claims in json()) {
        if let Ok(claims) = Claims::read(&claims) {
            prop_assert!(is_sub(&claims.sub), "{claims:?}");
            prop_assert!(!claims.username.is_empty());
        }
    }

    #[test]
    fn no_callback_panics_and_each_names_a_sound_handle(
        query in prop::collection::vec(
            (prop_oneof![
                Just("state".to_owned()), Just("code".to_owned()), Just("error".to_owned()),
                Just("oauth_token".to_owned()), Just("oauth_verifier".to_owned()), ".{0,8}",
            ], ".{0,200}"),
            0..6,
        ),
    ) {
        for protocol in [Protocol::Oauth1, Protocol::Oauth2] {
            let handle = match callback::read(protocol, &query) {
                CameBack::With { handle } => Some(handle),
                CameBack::Denied { handle, error } => {
                    prop_assert!(error.len() <= 100 && error.is_ascii());
                    handle
                }
                CameBack::Nothing => None,
            };
            let is_sound = handle.is_none_or(|handle| {
                (1..=128).contains(&handle.len())
                    && handle.bytes().all(|byte| byte.is_ascii_graphic())
            });
            prop_assert!(is_sound);
        }
    }
}
