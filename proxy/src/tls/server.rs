//! What a listener shows, and whether it asks its clients for a certificate.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use tokio_rustls::TlsAcceptor;

use super::{Files, TlsError, Versions, pem, provider};

/// What clients must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clients {
    /// Nothing.
    Anybody,
    /// A certificate of an authority that is believed.
    Certified,
}

/// TLS for a listener; `None` when it has neither key nor certificate.
///
/// # Errors
/// What is wrong with the files.
pub(crate) fn acceptor(
    files: &Files<'_>,
    clients: Clients,
    versions: Versions,
) -> Result<Option<TlsAcceptor>, TlsError> {
    let Some(certified) = pem::certified(files)? else {
        return Ok(None);
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(TlsError::Setup)?;
    let builder = match clients {
        Clients::Anybody => builder.with_no_client_auth(),
        Clients::Certified => {
            let option = files.names.ca;
            let roots = pem::roots(files)?.store;
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(|_| TlsError::NoRoots { option })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let shown = Arc::new(SingleCertAndKey::from(certified));
    let mut config = builder.with_cert_resolver(shown);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
