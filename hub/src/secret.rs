//! Random secrets, and the only form in which they are kept: hexadecimal SHA-256.
//!
//! Every secret made here has 256 bits from the system's generator, so a plain hash is enough; passwords are `login`'s.

pub mod seal;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Longer strings are no secret of ours and are not even hashed.
pub const LONGEST: usize = 64;

/// Characters of [`random_token`].
pub const TOKEN_CHARS: usize = 43;

/// A new secret: 43 URL-safe characters.
#[must_use]
pub fn random_token() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// A new identifier that is not secret: 32 hexadecimal digits.
#[must_use]
pub fn random_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

/// How a secret is kept and looked up.
#[must_use]
pub fn hash(raw: &str) -> String {
    hex::encode(Sha256::digest(raw.as_bytes()))
}

/// PKCE's S256 form of a verifier.
#[must_use]
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// Compares without telling by its time where two texts differ.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    subtle::ConstantTimeEq::ct_eq(one.as_bytes(), other.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_differ() {
        assert_eq!(random_token().len(), 43);
        assert_eq!(TOKEN_CHARS, 43);
        assert_eq!(random_id().len(), 32);
        assert_ne!(random_token(), random_token());
    }

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
