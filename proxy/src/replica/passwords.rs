//! Whether a client knows a password, by what the hub told of it and a challenge. Pure.
//!
//! Sources: MySQL's "Native Authentication Method" and "Caching SHA-2 Pluggable Authentication", fast path.

use holt_spec::replicas::Verifier;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::hello::{NATIVE, NONCE, SHA2};

/// What passwords are checked by.
#[derive(Clone)]
pub(crate) struct Verifiers {
    native: [u8; 20],
    sha2: [u8; 32],
}

impl std::fmt::Debug for Verifiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifiers(..)")
    }
}

impl Verifiers {
    /// Reads what the hub said; `None` when it makes no sense.
    pub(crate) fn read(verifier: &Verifier) -> Option<Self> {
        let mut read = Self {
            native: [0; 20],
            sha2: [0; 32],
        };
        hex::decode_to_slice(&verifier.native, &mut read.native).ok()?;
        hex::decode_to_slice(&verifier.sha2, &mut read.sha2).ok()?;
        Some(read)
    }

    /// A password that nobody knows, to take as long for unknown names as for known ones.
    pub(crate) fn nobody() -> Self {
        Self {
            native: nonce_bytes(),
            sha2: nonce_bytes(),
        }
    }

    /// Whether the proof is right for this way of proving and this challenge.
    pub(crate) fn accept(&self, plugin: &[u8], nonce: &[u8; NONCE], proof: &[u8]) -> bool {
        if plugin == NATIVE {
            self.accept_native(nonce, proof)
        } else if plugin == SHA2 {
            self.accept_sha2(nonce, proof)
        } else {
            false
        }
    }

    fn accept_native(&self, nonce: &[u8; NONCE], proof: &[u8]) -> bool {
        let Ok(proof) = <[u8; 20]>::try_from(proof) else {
            return false;
        };
        let mask = Sha1::new()
            .chain_update(nonce)
            .chain_update(self.native)
            .finalize();
        let once: [u8; 20] = std::array::from_fn(|at| proof[at] ^ mask[at]);
        Sha1::digest(once).as_slice().ct_eq(&self.native).into()
    }

    fn accept_sha2(&self, nonce: &[u8; NONCE], proof: &[u8]) -> bool {
        let Ok(proof) = <[u8; 32]>::try_from(proof) else {
            return false;
        };
        let mask = Sha256::new()
            .chain_update(self.sha2)
            .chain_update(nonce)
            .finalize();
        let once: [u8; 32] = std::array::from_fn(|at| proof[at] ^ mask[at]);
        Sha256::digest(once).as_slice().ct_eq(&self.sha2).into()
    }

    /// What tells a MariaDB client of 11.4 or later that the certificate is that of somebody who can check its password.
    ///
    /// Source: MariaDB's "Zero-configuration TLS": SHA-256 of hash, challenge and the certificate's SHA-256, in the last packet.
    pub(crate) fn certificate_proof(&self, nonce: &[u8; NONCE], fingerprint: &[u8]) -> Vec<u8> {
        let hash = Sha256::new()
            .chain_update(self.native)
            .chain_update(nonce)
            .chain_update(fingerprint)
            .finalize();
        let mut info = vec![1];
        info.extend_from_slice(hex::encode_upper(hash).as_bytes());
        info
    }
}

/// A fresh challenge: no zero, as it ends with one on the wire.
pub(crate) fn nonce() -> [u8; NONCE] {
    nonce_bytes::<NONCE>().map(|byte| byte & 0x7F | u8::from(byte & 0x7F == 0))
}

fn nonce_bytes<const N: usize>() -> [u8; N] {
    use rand::Rng as _;
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verifiers(password: &[u8]) -> Verifiers {
        let verifier = Verifier {
            native: hex::encode(Sha1::digest(Sha1::digest(password))),
            sha2: hex::encode(Sha256::digest(Sha256::digest(password))),
        };
        Verifiers::read(&verifier).unwrap()
    }

    #[test]
    fn only_the_password_for_this_challenge_is_accepted() {
        let (one, other) = (nonce(), nonce());
        let known = verifiers(b"secret");
        for plugin in [NATIVE, SHA2] {
            let proof = super::super::backend::proof(plugin, "secret", &one).unwrap();
            assert!(known.accept(plugin, &one, &proof));
            assert!(!known.accept(plugin, &other, &proof), "a replay");
            assert!(!verifiers(b"other").accept(plugin, &one, &proof));
            assert!(!Verifiers::nobody().accept(plugin, &one, &proof));
            assert!(!known.accept(plugin, &one, &[]));
            assert!(!known.accept(b"mysql_clear_password", &one, b"secret\0"));
        }
    }
}
