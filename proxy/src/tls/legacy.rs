//! Keys as OpenSSL protected them before PKCS#8: a `DEK-Info` line, and a key made of the passphrase by MD5.

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use des::TdesEde3;
use md5::{Digest, Md5};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivateSec1KeyDer};

use super::pem;

/// A part of the initial vector is the salt.
const SALT: usize = 8;

/// A protected key.
#[derive(Debug)]
pub(super) struct Protected<'a> {
    elliptic: bool,
    cipher: &'a str,
    vector: Vec<u8>,
    sealed: Vec<u8>,
}

/// The first such key of a text.
pub(super) fn find(text: &str) -> Option<Protected<'_>> {
    let (elliptic, block) = match pem::block(text, "RSA PRIVATE KEY") {
        Some(block) => (false, block),
        None => (true, pem::block(text, "EC PRIVATE KEY")?),
    };
    let (_, after) = block.split_once("DEK-Info:")?;
    let (info, body) = after.split_once('\n')?;
    let (cipher, vector) = info.trim().split_once(',')?;
    Some(Protected {
        elliptic,
        cipher,
        vector: hex::decode(vector).ok()?,
        sealed: pem::base64_lines(body)?,
    })
}

impl Protected<'_> {
    /// Opens it; `None` when the passphrase is another or the cipher is not known.
    pub(super) fn open(&self, passphrase: &[u8]) -> Option<PrivateKeyDer<'static>> {
        let der = match self.cipher {
            "AES-128-CBC" => self.decrypt::<Decryptor<Aes128>>(passphrase, 16),
            "AES-192-CBC" => self.decrypt::<Decryptor<Aes192>>(passphrase, 24),
            "AES-256-CBC" => self.decrypt::<Decryptor<Aes256>>(passphrase, 32),
            "DES-EDE3-CBC" => self.decrypt::<Decryptor<TdesEde3>>(passphrase, 24),
            _ => None,
        }?;
        Some(if self.elliptic {
            PrivateSec1KeyDer::from(der).into()
        } else {
            PrivatePkcs1KeyDer::from(der).into()
        })
    }

    fn decrypt<C: KeyIvInit + BlockModeDecrypt>(
        &self,
        passphrase: &[u8],
        key_bytes: usize,
    ) -> Option<Vec<u8>> {
        let salt = self.vector.get(..SALT)?;
        let mut key: Vec<u8> = Vec::new();
        let mut round = Vec::new();
        while key.len() < key_bytes {
            let digest = Md5::new().chain_update(&round).chain_update(passphrase);
            round = digest.chain_update(salt).finalize().to_vec();
            key.extend_from_slice(&round);
        }
        let cipher = C::new_from_slices(key.get(..key_bytes)?, &self.vector).ok()?;
        let mut text = self.sealed.clone();
        let length = cipher.decrypt_padded::<Pkcs7>(&mut text).ok()?.len();
        text.truncate(length);
        // Padding is right by chance for one wrong passphrase in 256: a key begins as a sequence.
        (text.first() == Some(&0x30)).then_some(text)
    }
}
