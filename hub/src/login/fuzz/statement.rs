//! Signed statements: a wiki's, and the id_token of OpenID Connect.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use openidconnect::IssuerUrl;
use openidconnect::core::{CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use secrecy::SecretString;
use serde_json::Value;
use sha2::Sha256;

use crate::login::mediawiki::identify::{Expected, is_statement, verify};
use crate::login::oidc::discovery::Proof;
use crate::login::oidc::id_token::Check;

const KEY: &[u8] = b"a key that nobody guesses";
const AUDIENCE: &str = "us";
const ISSUER: &str = "https://wiki.example";
const NONCE: &str = "0123456789abcdef";
const NOW: i64 = 1_795_246_427;
const LEEWAY: i64 = 30;
/// The public half of a key that is kept nowhere.
const KEYS: &str = r#"{"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "one", "e": "AQAB",
    "n": "yM7-4lFQXfvdqXyRRFsIGX7G6yqZq_JBnmTJe1HvPJsLy_0pflDU8DnAgGOb0_yNmY3BmpA7pYac_AmNUBIBq5u30czE8lGY9x34I8WqWVy76si9YbVlQb16nzkD0HaZB-OqPkRja01ZRUWzN2fYfPTaFqdrncUfTQkAjEWKHNzliiCyzMusPNNtP0qYVP2l-2rmxqFIqUPVqKLmzetQpGHiXDnx5KeBWw_Amnm1Dp-9x6f3Hnj6QxAV95kXlbAB3Mgkbed0_4YHwf5ErGO9VoaAoNqiCC-dq50LzmkuKth4MBYhPJItL8pRuENoIeQc3H4AjQ97c9zMFAtcCt8KxQ"}]}"#;

/// Takes an answer's body. As it is, it proves nobody; signed as a payload, it proves somebody only if it says what must be said.
///
/// # Panics
/// When that does not hold.
pub fn statement(bytes: &[u8]) {
    let expected = Expected {
        key: KEY,
        audience: AUDIENCE,
        issuer: ISSUER,
        nonce: NONCE,
        now: NOW,
        leeway: LEEWAY,
    };
    let _ = is_statement(bytes);
    assert!(verify(bytes, &expected).is_err());
    if let Ok(claims) = verify(&signed(bytes), &expected) {
        let said: Value = serde_json::from_slice(bytes).expect("it was read as JSON");
        assert_eq!(claims, said);
        assert_eq!(said["aud"], AUDIENCE);
        assert_eq!(said["nonce"], NONCE);
        let issuer = said["iss"]
            .as_str()
            .and_then(|url| url::Url::parse(url).ok());
        assert!(issuer.is_some_and(|url| url.origin().ascii_serialization() == ISSUER));
        let seconds = |name: &str| said[name].as_f64().expect("a number");
        assert!(seconds("exp") > (NOW - LEEWAY) as f64 && seconds("iat") < (NOW + LEEWAY) as f64);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let check = Check {
            client_id: AUDIENCE,
            nonce: NONCE,
            leeway: Duration::from_secs(30),
        };
        let nothing = SecretString::from("an access token");
        assert!(
            check
                .claims(&proof(), &text.to_owned().into(), &nothing)
                .is_err()
        );
    }
}

/// The bytes as the payload of a statement that is signed with the right key.
fn signed(payload: &[u8]) -> Vec<u8> {
    let head = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"HS256"}"#);
    let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(payload));
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{text}.{signature}").into_bytes()
}

fn proof() -> Proof {
    let keys: CoreJsonWebKeySet = serde_json::from_str(KEYS).expect("a set of keys");
    Proof {
        issuer: IssuerUrl::new(ISSUER.to_owned()).expect("an address"),
        algorithms: vec![CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256],
        keys,
    }
}
