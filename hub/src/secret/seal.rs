//! Sealing what must be kept but not read: AES-256-GCM under the newest of several keys.
//!
//! What an older key sealed is opened as long as that key is given, and sealed anew by a pass; what no key opens is lost, which its
//! owner is told as "sign in again". Each text is bound to what it belongs to, so that rows cannot be exchanged.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Bytes of a key.
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// There is none.
    #[error("there is no key: write at least one, made for example with `openssl rand -hex 32`")]
    None,
    /// One cannot be read; which, counted from 1.
    #[error(
        "key {0} is not 32 bytes in hexadecimal or base64: make one with `openssl rand -hex 32`"
    )]
    Bad(usize),
}

/// Keys, the newest first. Not `Clone`: share it. `Debug` tells no key.
pub struct Seal {
    keys: Vec<(String, RandomizedNonceKey)>,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|(id, _)| id))
            .finish()
    }
}

/// A sealed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which key sealed it: the beginning of the key's hash.
    pub key_id: String,
    /// Nonce and ciphertext, base64.
    pub text: String,
}

impl Seal {
    /// Reads keys, the newest first, parted by line ends or ";"; lines with `#` are comments.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn from_text(text: &str) -> Result<Self, KeysError> {
        let words = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
            .flat_map(|line| line.split(';'))
            .map(str::trim)
            .filter(|word| !word.is_empty());
        let keys = words
            .enumerate()
            .map(|(index, word)| {
                let bytes = decode(word).ok_or(KeysError::Bad(index + 1))?;
                let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes)
                    .map_err(|_| KeysError::Bad(index + 1))?;
                Ok((hex::encode(&Sha256::digest(bytes)[..4]), key))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeysError::None);
        }
        Ok(Self { keys })
    }

    /// A new key as a line of a file.
    #[must_use]
    pub fn new_key() -> String {
        hex::encode(rand::random::<[u8; KEY_BYTES]>())
    }

    /// Which key seals now.
    #[must_use]
    pub fn newest(&self) -> &str {
        &self.keys[0].0
    }

    /// Seals a text that belongs to `owner`.
    #[must_use]
    pub fn seal(&self, owner: &str, text: &str) -> Sealed {
        let (key_id, key) = &self.keys[0];
        let mut bytes = text.as_bytes().to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(owner.as_bytes()), &mut bytes)
            .expect("only texts of many GiB cannot be sealed");
        let mut whole = nonce.as_ref().to_vec();
        whole.append(&mut bytes);
        Sealed {
            key_id: key_id.clone(),
            text: STANDARD.encode(whole),
        }
    }

    /// Opens what was sealed for `owner`; `None` when no key does, or it was changed.
    #[must_use]
    pub fn open(&self, owner: &str, sealed: &Sealed) -> Option<String> {
        let (_, key) = self.keys.iter().find(|(id, _)| *id == sealed.key_id)?;
        let whole = STANDARD.decode(&sealed.text).ok()?;
        let (nonce, rest) = whole.split_at_checked(NONCE_BYTES)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = rest.to_vec();
        let text = key
            .open_in_place(nonce, Aad::from(owner.as_bytes()), &mut bytes)
            .ok()?;
        String::from_utf8(text.to_vec()).ok()
    }
}

fn decode(word: &str) -> Option<[u8; KEY_BYTES]> {
    let bytes = hex::decode(word)
        .ok()
        .or_else(|| STANDARD.decode(word).ok())
        .or_else(|| STANDARD_NO_PAD.decode(word).ok())
        .or_else(|| URL_SAFE.decode(word).ok())
        .or_else(|| URL_SAFE_NO_PAD.decode(word).ok())?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_key_sealed_another_opens_only_if_it_has_the_old_one() -> Result<(), KeysError> {
        let (old, new) = (Seal::new_key(), Seal::new_key());
        let before = Seal::from_text(&old)?;
        let sealed = before.seal("a", "text");
        assert!(!sealed.text.contains("text"));
        assert_eq!(before.open("a", &sealed).as_deref(), Some("text"));
        assert_eq!(before.open("b", &sealed), None);
        let both = Seal::from_text(&format!("# newest first\n{new}\n{old}\n"))?;
        assert_eq!(both.open("a", &sealed).as_deref(), Some("text"));
        assert_ne!(both.newest(), before.newest());
        assert_eq!(both.seal("a", "text").key_id, both.newest());
        let lost = Seal::from_text(&new)?;
        assert_eq!(lost.open("a", &sealed), None);
        assert!(!format!("{both:?}").contains(&new));
        Ok(())
    }

    #[test]
    fn a_changed_text_is_not_opened() -> Result<(), KeysError> {
        let seal = Seal::from_text(&Seal::new_key())?;
        let sealed = seal.seal("a", "text");
        for at in 0..sealed.text.len() {
            let mut bytes = sealed.text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = Sealed {
                text: String::from_utf8(bytes).unwrap_or_default(),
                ..sealed.clone()
            };
            assert_eq!(seal.open("a", &changed), None, "{at}");
        }
        Ok(())
    }

    #[test]
    fn bad_keys_are_told_by_their_place() {
        assert_eq!(Seal::from_text(" \n#x\n").err(), Some(KeysError::None));
        let good = Seal::new_key();
        assert_eq!(
            Seal::from_text(&format!("{good};abc")).err(),
            Some(KeysError::Bad(2))
        );
        assert!(Seal::from_text("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").is_ok());
    }
}
