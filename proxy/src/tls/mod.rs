//! TLS, out of the files that options name: what our listeners show, and whom our connections believe.
//!
//! The provider (aws-lc-rs) is handed to each configuration, so nothing of the process has to be set up first.
//! **Invariant:** no key and no passphrase gets into an error or the log; errors name the option, the file and what helps.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, SupportedProtocolVersion};
use secrecy::SecretString;

pub(crate) use self::client::{Servers, connector};
pub(crate) use self::server::{Clients, Renewed, acceptor, own_acceptor, renewed_acceptor};

mod client;
mod legacy;
mod pem;
mod server;
#[cfg(test)]
mod tests;

/// Protocol versions that may be spoken.
pub(crate) type Versions = &'static [&'static SupportedProtocolVersion];

/// The options that name the files of one side.
#[derive(Debug)]
pub(crate) struct Names {
    /// The private key.
    pub(crate) key: &'static str,
    /// The certificate, with its chain.
    pub(crate) cert: &'static str,
    /// Whose certificates are believed.
    pub(crate) ca: &'static str,
    /// The variable with the key's passphrase.
    pub(crate) passphrase: Option<&'static str>,
}

/// The public listener.
pub(crate) const PUBLIC: Names = Names {
    key: "--ssl-key",
    cert: "--ssl-cert",
    ca: "--ssl-ca",
    passphrase: Some("CONFIGPROXY_SSL_KEY_PASSPHRASE"),
};

/// The REST API.
pub(crate) const API: Names = Names {
    key: "--api-ssl-key",
    cert: "--api-ssl-cert",
    ca: "--api-ssl-ca",
    passphrase: Some("CONFIGPROXY_API_SSL_KEY_PASSPHRASE"),
};

/// Connections to servers.
pub(crate) const CLIENT: Names = Names {
    key: "--client-ssl-key",
    cert: "--client-ssl-cert",
    ca: "--client-ssl-ca",
    passphrase: None,
};

/// The files of one side.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    /// What its options are called.
    pub(crate) names: &'static Names,
    /// The private key.
    pub(crate) key: Option<&'a Path>,
    /// The certificate, with its chain.
    pub(crate) cert: Option<&'a Path>,
    /// Whose certificates are believed; `None`: the system's list.
    pub(crate) ca: Option<&'a Path>,
    /// The key's passphrase.
    pub(crate) passphrase: Option<&'a SecretString>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// One without the other.
    #[error("{given} needs {missing} beside it")]
    Half {
        /// The option that is there.
        given: &'static str,
        /// The option that is not.
        missing: &'static str,
    },
    /// A file that cannot be read.
    #[error("the file of {option}, {}, cannot be read", .path.display())]
    Read {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file without what it is for.
    #[error("the file of {option}, {}, holds no {wanted}: it must be PEM text with '-----BEGIN'", .path.display())]
    Empty {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
    /// A protected key without a passphrase.
    #[error("the key of {option}, {}, is protected: {}", .path.display(), passphrase_hint(.variable))]
    Locked {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// The variable that would open it.
        variable: Option<&'static str>,
    },
    /// A protected key that the passphrase does not open.
    #[error(
        "the key of {option}, {}, is not opened by the passphrase, or is protected in a way that is not known here; \
         'openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW' makes it one that is",
        .path.display()
    )]
    Unopened {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A key of a kind that cannot be used.
    #[error("the key of {option}, {}, cannot be used", .path.display())]
    Key {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: rustls::Error,
    },
    /// A key that belongs to another certificate.
    #[error("the key of {key} does not belong to the certificate of {cert}")]
    Mismatch {
        /// The key's option.
        key: &'static str,
        /// The certificate's option.
        cert: &'static str,
    },
    /// Nobody whose word would be taken.
    #[error("no certificate authority is known to check clients by: give {option}")]
    NoRoots {
        /// The option.
        option: &'static str,
    },
    /// What should not happen.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

fn passphrase_hint(variable: &Option<&'static str>) -> String {
    match variable {
        Some(variable) => format!("put its passphrase into the environment as {variable}"),
        None => "take its protection away with 'openssl pkey -in OLD -out NEW'".to_owned(),
    }
}

static ONLY_TLS12: [&SupportedProtocolVersion; 1] = [&TLS12];
static ONLY_TLS13: [&SupportedProtocolVersion; 1] = [&TLS13];

/// The versions that OpenSSL's name for a method stands for; `None` when there is none of them here.
pub(crate) fn versions(name: &str) -> Option<Versions> {
    let name = ["_method", "_server", "_client"]
        .iter()
        .fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
    match name {
        "TLSv1_2" => Some(&ONLY_TLS12),
        "TLSv1_3" => Some(&ONLY_TLS13),
        "TLS" | "SSLv23" => Some(ALL_VERSIONS),
        _ => None,
    }
}

/// Every version there is here: TLS 1.2 and 1.3.
pub(crate) const EVERY_VERSION: Versions = ALL_VERSIONS;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
