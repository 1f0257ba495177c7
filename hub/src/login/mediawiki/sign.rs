//! Signatures of OAuth 1.0a (RFC 5849): the base string, HMAC-SHA1 and RSA-SHA1, and the `Authorization` header.
//!
//! Pure: nonce and time are arguments, because every attempt needs new ones; the wiki burns a nonce before it looks at the signature.
//! What is signed is the public address, wherever the request is really sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rsa::PrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha1::Sha1;
use url::Url;

use super::settings::Signature;
use crate::login::provider::LoginError;

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Signs for one consumer. Not `Debug`: it holds keys.
pub(super) struct Signer {
    consumer: String,
    secret: SecretString,
    how: How,
}

enum How {
    HmacSha1,
    RsaSha1(Box<SigningKey<Sha1>>),
}

/// A request token or an access token.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) key: String,
    pub(super) secret: SecretString,
}

/// What makes an attempt the only one of its kind.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    pub(super) nonce: String,
    /// Seconds since 1970.
    pub(super) timestamp: i64,
}

/// A request to be signed.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a Url,
    /// What goes into the header besides the usual: `oauth_callback`, `oauth_verifier`.
    pub(super) more: &'a [(&'a str, &'a str)],
    /// The fields of a form in the body, which are signed too.
    pub(super) form: &'a [(String, String)],
    pub(super) token: Option<&'a Token>,
}

impl Signer {
    /// # Errors
    /// [`LoginError::Operator`] when the private key cannot be read.
    pub(super) fn new(
        consumer: String,
        secret: SecretString,
        signature: &Signature,
    ) -> Result<Self, LoginError> {
        let how = match signature {
            Signature::HmacSha1 => How::HmacSha1,
            Signature::RsaSha1 { private_key } => {
                How::RsaSha1(Box::new(SigningKey::new(read_key(private_key)?)))
            }
        };
        Ok(Self {
            consumer,
            secret,
            how,
        })
    }

    /// The value of the `Authorization` header.
    ///
    /// # Errors
    /// [`LoginError::Operator`] when the private key does not sign.
    pub(super) fn authorization(
        &self,
        call: &Call<'_>,
        stamp: &Stamp,
    ) -> Result<String, LoginError> {
        let timestamp = stamp.timestamp.to_string();
        let mut header = vec![
            ("oauth_consumer_key", self.consumer.as_str()),
            ("oauth_nonce", &stamp.nonce),
            ("oauth_signature_method", self.method()),
            ("oauth_timestamp", &timestamp),
            ("oauth_version", "1.0"),
        ];
        if let Some(token) = call.token {
            header.push(("oauth_token", &token.key));
        }
        header.extend_from_slice(call.more);
        let signature = self.sign(
            &base_string(call.method, call.url, call.form, &header),
            call.token,
        )?;
        header.push(("oauth_signature", &signature));
        let fields: Vec<String> = header
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", encode(value)))
            .collect();
        // The wiki wants the scheme's word written so.
        Ok(format!("OAuth {}", fields.join(", ")))
    }

    fn method(&self) -> &'static str {
        match self.how {
            How::HmacSha1 => "HMAC-SHA1",
            How::RsaSha1(_) => "RSA-SHA1",
        }
    }

    fn sign(&self, base_string: &str, token: Option<&Token>) -> Result<String, LoginError> {
        match &self.how {
            How::HmacSha1 => {
                let token_secret = token.map_or("", |token| token.secret.expose_secret());
                let key = hmac_key(self.secret.expose_secret(), token_secret);
                Ok(hmac_sha1(base_string, &key))
            }
            How::RsaSha1(key) => {
                // Chance only blinds the computation against who measures its time; the signature is always the same.
                let signature = key
                    .try_sign_with_rng(&mut rand::rng(), base_string.as_bytes())
                    .map_err(|_| LoginError::Operator {
                        reason: "the private key does not sign; is it long enough?".to_owned(),
                    })?;
                Ok(STANDARD.encode(signature.to_bytes()))
            }
        }
    }
}

fn read_key(pem: &SecretString) -> Result<PrivateKey, LoginError> {
    let pem = pem.expose_secret();
    PrivateKey::from_pkcs8_pem(pem)
        .or_else(|_| PrivateKey::from_pkcs1_pem(pem))
        .map_err(|_| LoginError::Operator {
            // The reader's own words may quote the key.
            reason: "the private key is no RSA key in PEM without a passphrase".to_owned(),
        })
}

/// RFC 5849, 3.4.1: the method, the address without its query, and all parameters in order.
pub(super) fn base_string(
    method: &str,
    url: &Url,
    form: &[(String, String)],
    header: &[(&str, &str)],
) -> String {
    let mut parameters: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| (encode(&name), encode(&value)))
        .chain(
            form.iter()
                .map(|(name, value)| (encode(name), encode(value))),
        )
        .chain(
            header
                .iter()
                .map(|(name, value)| (encode(name), encode(value))),
        )
        .collect();
    parameters.sort();
    let parameters: Vec<String> = parameters
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let place = format!("{}{}", super::places::origin(url), url.path());
    format!(
        "{}&{}&{}",
        method,
        encode(&place),
        encode(&parameters.join("&"))
    )
}

/// RFC 5849, 3.4.2.
pub(super) fn hmac_key(consumer_secret: &str, token_secret: &str) -> String {
    format!("{}&{}", encode(consumer_secret), encode(token_secret))
}

pub(super) fn hmac_sha1(text: &str, key: &str) -> String {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// RFC 5849, 3.6.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}
