//! Proves an id_token: OpenID Connect Core 3.1.3.7 and 3.1.3.8, in that order.
//!
//! Signature, `iss`, `aud`, `exp` and `nonce` are crate `openidconnect`'s to check; `azp`, `iat` and `at_hash`, which it leaves to its
//! users, are checked here. **Invariant:** claims come out of [`Check::claims`] only after all of them held.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreIdToken, CoreIdTokenClaims, CoreIdTokenVerifier};
use openidconnect::{
    AccessToken, AccessTokenHash, ClaimsVerificationError, ClientId, Nonce,
    SignatureVerificationError,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::discovery::Proof;
use crate::login::provider::LoginError;
use crate::secret;

/// The failed check that new keys may mend.
pub(super) const NO_KEY: &str = "key of the signature";

/// What a token must agree with.
pub(crate) struct Check<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) leeway: Duration,
}

impl Check<'_> {
    /// Every claim of a token that holds.
    pub(crate) fn claims(
        &self,
        proof: &Proof,
        written: &SecretString,
        access_token: &SecretString,
    ) -> Result<Map<String, Value>, LoginError> {
        let token: CoreIdToken = written
            .expose_secret()
            .parse()
            .map_err(|_| LoginError::Unproven("form of the id_token"))?;
        let leeway = self.leeway;
        let verifier = CoreIdTokenVerifier::new_public_client(
            ClientId::new(self.client_id.to_owned()),
            proof.issuer.clone(),
            proof.keys.clone(),
        )
        .set_allowed_algs(proof.algorithms.iter().cloned())
        // Others may be named beside us where azp says that it was made for us; see is_party.
        .set_other_audience_verifier_fn(|_| true)
        .set_time_fn(move || earlier(SystemTime::now(), leeway).into());
        let claims = token
            .claims(&verifier, &Nonce::new(self.nonce.to_owned()))
            .map_err(|error| LoginError::Unproven(failed(&error)))?;
        if !self.is_party(claims) {
            return Err(LoginError::Unproven("azp"));
        }
        self.is_of_now(claims)?;
        if !is_about(claims, &token, &verifier, access_token) {
            return Err(LoginError::Unproven("at_hash"));
        }
        payload(written).ok_or(LoginError::Unproven("form of the id_token"))
    }

    /// `azp`, where it is said, is us; and with other audiences it must be said.
    fn is_party(&self, claims: &CoreIdTokenClaims) -> bool {
        match claims.authorized_party() {
            Some(party) => party.as_str() == self.client_id,
            None => claims.audiences().len() == 1,
        }
    }

    /// A token that was made in the future tells that a clock is wrong.
    fn is_of_now(&self, claims: &CoreIdTokenClaims) -> Result<(), LoginError> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| {
                i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
            });
        let leeway = i64::try_from(self.leeway.as_secs()).unwrap_or(i64::MAX);
        let ahead = now.saturating_sub(claims.issue_time().timestamp());
        if ahead.saturating_add(leeway) < 0 {
            return Err(LoginError::Clock(ahead));
        }
        Ok(())
    }
}

/// Whether the access token is the one that the id_token was made with, where that is said.
fn is_about(
    claims: &CoreIdTokenClaims,
    token: &CoreIdToken,
    verifier: &CoreIdTokenVerifier<'_>,
    access_token: &SecretString,
) -> bool {
    let Some(said) = claims.access_token_hash() else {
        return true;
    };
    let (Ok(algorithm), Ok(key)) = (token.signing_alg(), token.signing_key(verifier)) else {
        return false;
    };
    let access_token = AccessToken::new(access_token.expose_secret().to_owned());
    AccessTokenHash::from_token(&access_token, algorithm, key)
        .is_ok_and(|hash| secret::same(hash.as_str(), said.as_str()))
}

/// All that the token says; the crate keeps only claims it knows.
fn payload(written: &SecretString) -> Option<Map<String, Value>> {
    let middle = written.expose_secret().split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(middle).ok()?).ok()
}

fn earlier(now: SystemTime, by: Duration) -> SystemTime {
    now.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Which check failed. The crate's own words quote claims.
fn failed(error: &ClaimsVerificationError) -> &'static str {
    use SignatureVerificationError as Signature;
    match error {
        ClaimsVerificationError::Expired(_) => "exp",
        ClaimsVerificationError::InvalidAudience(_) => "aud",
        ClaimsVerificationError::InvalidIssuer(_) => "iss",
        ClaimsVerificationError::InvalidNonce(_) => "nonce",
        ClaimsVerificationError::SignatureVerification(signature) => match signature {
            Signature::NoMatchingKey => NO_KEY,
            Signature::AmbiguousKeyId(_) => "kid: several keys fit",
            Signature::DisallowedAlg(_) | Signature::UnsupportedAlg(_) | Signature::NoSignature => {
                "alg"
            }
            _ => "signature",
        },
        ClaimsVerificationError::Unsupported(_) => "header of the id_token",
        _ => "claims of the id_token",
    }
}
