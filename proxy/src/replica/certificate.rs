//! The operator's certificate for clients, read again when its files change; and what is wrong with files of TLS before anything runs.
//!
//! Who renews certificates replaces files one after the other: a pair that does not match is looked at again, and what was shown
//! before is shown until it does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

use super::BACKEND;
use super::settings::{BackendTls, ClientTls, Settings};
use crate::tls::{self, Files, Names, Renewed, Servers, TlsError};

/// Options of TLS for clients, as the settings call them.
const NAMES: Names = Names {
    key: "replicas.tls_key_file",
    cert: "replicas.tls_certificate_file",
    ca: "",
    passphrase: None,
};

/// What shows a certificate, and the files it comes from.
#[derive(Debug)]
pub(super) struct Renewal {
    certificate: PathBuf,
    key: PathBuf,
    renewed: Arc<Renewed>,
}

fn files<'a>(certificate: &'a Path, key: &'a Path) -> Files<'a> {
    Files {
        names: &NAMES,
        key: Some(key),
        cert: Some(certificate),
        ca: None,
        passphrase: None,
    }
}

impl Renewal {
    /// TLS with the certificate of these files.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn of_files(
        certificate: &Path,
        key: &Path,
    ) -> Result<(TlsAcceptor, Self), TlsError> {
        let (acceptor, renewed) = tls::renewed_acceptor(&files(certificate, key))?;
        let renewal = Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            renewed,
        };
        Ok((acceptor, renewal))
    }

    /// Looks at the files again and again. Connections that are open keep what they were shown.
    pub(super) async fn keep_fresh(self, every: Duration, stop: CancellationToken) {
        let mut told = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = stop.cancelled() => return,
            }
            match self
                .renewed
                .read_again(&files(&self.certificate, &self.key))
            {
                Ok(changed) => {
                    told = None;
                    if changed {
                        tracing::info!(path = %self.certificate.display(), "Clients are shown a new certificate");
                    }
                }
                Err(error) => {
                    let words = with_cause(&error);
                    if told.as_ref() != Some(&words) {
                        tracing::warn!(
                            error = words,
                            "The certificate for clients cannot be read again; the one before is shown"
                        );
                        told = Some(words);
                    }
                }
            }
        }
    }
}

fn with_cause(error: &TlsError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// What cannot be used of the files that the settings name, each in words that name the setting.
#[must_use]
pub fn mistakes(settings: &Settings) -> Vec<String> {
    let mut found = Vec::new();
    if let ClientTls::Files { certificate, key } = &settings.tls
        && let Err(error) = tls::renewed_acceptor(&files(certificate, key))
    {
        found.push(with_cause(&error));
    }
    for section in &settings.sections {
        if let BackendTls::Verified(Some(ca)) = &section.tls {
            let files = Files {
                names: &BACKEND,
                key: None,
                cert: None,
                ca: Some(ca),
                passphrase: None,
            };
            if let Err(error) = tls::connector(&files, Servers::Certified, tls::EVERY_VERSION) {
                found.push(format!(
                    "[replica_section.{}]: {}",
                    section.name,
                    with_cause(&error)
                ));
            }
        }
    }
    found
}

/// TLS that does not say it is for HTTP.
pub(super) fn without_http(connector: TlsConnector) -> TlsConnector {
    let mut config = (**connector.config()).clone();
    config.alpn_protocols.clear();
    TlsConnector::from(Arc::new(config))
}
