//! The proof that a write comes from one of our own pages, in JupyterHub's terms (`_xsrf`).
//!
//! It is a keyed hash over the browser's session, so nothing is kept for it, and it ends with the session.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::secret;

/// Makes and checks proofs.
#[derive(Clone)]
pub struct Xsrf {
    key: Vec<u8>,
}

impl std::fmt::Debug for Xsrf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Xsrf")
    }
}

impl Xsrf {
    /// With the hub's kept key.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self {
            key: key.as_bytes().to_vec(),
        }
    }

    /// The proof for a browser: its `jupyterhub-session-id`, and who is signed in there (empty: nobody).
    ///
    /// # Panics
    /// Never: this keyed hash takes keys of any length.
    #[must_use]
    pub fn token(&self, session_id: &str, cookie_id: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("any length will do");
        mac.update(session_id.as_bytes());
        mac.update(b":");
        mac.update(cookie_id.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Whether `shown` is the proof for this browser.
    #[must_use]
    pub fn is_right(&self, shown: &str, session_id: &str, cookie_id: &str) -> bool {
        secret::same(shown, &self.token(session_id, cookie_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_one_browser_and_one_user() {
        let xsrf = Xsrf::new("k");
        let token = xsrf.token("s", "c");
        assert!(xsrf.is_right(&token, "s", "c"));
        assert!(!xsrf.is_right(&token, "s", ""));
        assert!(!xsrf.is_right(&token, "t", "c"));
        assert!(!xsrf.is_right("", "s", "c"));
        assert!(!Xsrf::new("l").is_right(&token, "s", "c"));
    }
}
