//! Certificates and keys out of PEM files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys};
use secrecy::{ExposeSecret, SecretString};

use super::{Files, TlsError, legacy, provider};

const PROTECTED: &str = "ENCRYPTED PRIVATE KEY";

/// All certificates of a file.
pub(super) fn certificates(
    option: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(option, path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .filter_map(Result::ok)
        .collect();
    if found.is_empty() {
        return Err(TlsError::Empty {
            option,
            path: path.to_path_buf(),
            wanted: "certificate",
        });
    }
    Ok(found)
}

/// Whom a side believes: the file's certificates, else the system's.
pub(super) fn roots(files: &Files<'_>) -> Result<Roots, TlsError> {
    let given = match files.ca {
        Some(path) => certificates(files.names.ca, path)?,
        None => Vec::new(),
    };
    let system = if files.ca.is_none() {
        let loaded = rustls_native_certs::load_native_certs();
        for error in &loaded.errors {
            tracing::warn!(%error, "Some of the system's certificate authorities cannot be read");
        }
        loaded.certs
    } else {
        Vec::new()
    };
    let mut store = RootCertStore::empty();
    let (_, unusable) = store.add_parsable_certificates(given.iter().chain(&system).cloned());
    if unusable > 0 {
        tracing::warn!(
            unusable,
            "Some certificate authorities make no sense and are not believed"
        );
    }
    Ok(Roots {
        store: Arc::new(store),
        given,
    })
}

/// Whom a side believes.
#[derive(Debug)]
pub(super) struct Roots {
    /// As anchors.
    pub(super) store: Arc<RootCertStore>,
    /// As they stand in the file of the option.
    pub(super) given: Vec<CertificateDer<'static>>,
}

/// Whether a certificate that was refused is one of the authorities themselves, and was refused for its form alone.
///
/// webpki looks at the time before it looks at the form, so the time is right where the error is another.
pub(super) fn is_itself_given(
    given: &[CertificateDer<'static>],
    refused: &CertificateDer<'_>,
    error: &Error,
) -> bool {
    let about_time = matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        )
    );
    !about_time && given.contains(refused)
}

/// The certificate that a side shows, and its key; `None` when it has none.
pub(super) fn certified(files: &Files<'_>) -> Result<Option<CertifiedKey>, TlsError> {
    let names = files.names;
    let half = |given, missing| Err(TlsError::Half { given, missing });
    let (key_path, cert_path) = match (files.key, files.cert) {
        (None, None) => return Ok(None),
        (Some(_), None) => return half(names.key, names.cert),
        (None, Some(_)) => return half(names.cert, names.key),
        (Some(key), Some(cert)) => (key, cert),
    };
    let chain = certificates(names.cert, cert_path)?;
    let key = private_key(files, key_path)?;
    let key = provider()
        .key_provider
        .load_private_key(key)
        .map_err(|cause| TlsError::Key {
            option: names.key,
            path: key_path.to_path_buf(),
            cause,
        })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(TlsError::Mismatch {
            key: names.key,
            cert: names.cert,
        }),
        // A certificate of an old form is shown as it is: whether it will do is for the other side to say.
        Ok(()) | Err(_) => Ok(Some(certified)),
    }
}

fn private_key(files: &Files<'_>, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let option = files.names.key;
    let bytes = read(option, path)?;
    let text = String::from_utf8_lossy(&bytes);
    let protected = block(&text, PROTECTED);
    let legacy = legacy::find(&text);
    if protected.is_none() && legacy.is_none() {
        return PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| TlsError::Empty {
            option,
            path: path.to_path_buf(),
            wanted: "private key",
        });
    }
    let passphrase = files.passphrase.ok_or_else(|| TlsError::Locked {
        option,
        path: path.to_path_buf(),
        variable: files.names.passphrase,
    })?;
    protected
        .and_then(|block| open(block, passphrase))
        .or_else(|| legacy.and_then(|key| key.open(passphrase.expose_secret().as_bytes())))
        .ok_or_else(|| TlsError::Unopened {
            option,
            path: path.to_path_buf(),
        })
}

/// Opens a PKCS#8 key.
fn open(block: &str, passphrase: &SecretString) -> Option<PrivateKeyDer<'static>> {
    let der = base64_lines(block)?;
    let key = EncryptedPrivateKeyInfoRef::try_from(der.as_slice())
        .ok()?
        .decrypt(passphrase.expose_secret().as_bytes())
        .ok()?;
    Some(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// What stands between the first BEGIN line of a label and its END line.
pub(super) fn block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (inner, _) = rest.split_once(&format!("-----END {label}-----"))?;
    Some(inner)
}

/// Base64 text, however it is broken into lines.
pub(super) fn base64_lines(text: &str) -> Option<Vec<u8>> {
    let joined: String = text.split_ascii_whitespace().collect();
    base64::engine::general_purpose::STANDARD
        .decode(joined)
        .ok()
}

fn read(option: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|cause| TlsError::Read {
        option,
        path: path.to_path_buf(),
        cause,
    })
}
