//! What a listener shows, and whether it asks its clients for a certificate.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
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
            let roots = pem::roots(files)?;
            let usual = WebPkiClientVerifier::builder_with_provider(roots.store, provider())
                .build()
                .map_err(|_| TlsError::NoRoots { option })?;
            builder.with_client_cert_verifier(Arc::new(Verified {
                usual,
                given: roots.given,
            }))
        }
    };
    let shown = Arc::new(SingleCertAndKey::from(certified));
    let mut config = builder.with_cert_resolver(shown);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// TLS for a listener with a certificate that was made here.
///
/// # Errors
/// When key and certificate do not make a pair.
pub(crate) fn own_acceptor(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, TlsError> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(TlsError::Setup)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A certificate that is shown until a newer one is read.
#[derive(Debug)]
pub(crate) struct Renewed {
    shown: ArcSwap<CertifiedKey>,
}

impl Renewed {
    /// Shows what the files hold now; whether that is something new.
    ///
    /// # Errors
    /// What is wrong with the files; then what was shown is shown.
    pub(crate) fn read_again(&self, files: &Files<'_>) -> Result<bool, TlsError> {
        let read = whole(files)?;
        if read.cert == self.shown.load().cert {
            return Ok(false);
        }
        self.shown.store(Arc::new(read));
        Ok(true)
    }
}

impl ResolvesServerCert for Renewed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.load_full())
    }
}

fn whole(files: &Files<'_>) -> Result<CertifiedKey, TlsError> {
    pem::certified(files)?.ok_or(TlsError::Half {
        given: files.names.key,
        missing: files.names.cert,
    })
}

/// TLS for a listener whose certificate may be renewed while it listens. It asks its clients for none, and names no protocol.
///
/// # Errors
/// What is wrong with the files.
pub(crate) fn renewed_acceptor(files: &Files<'_>) -> Result<(TlsAcceptor, Arc<Renewed>), TlsError> {
    let renewed = Arc::new(Renewed {
        shown: ArcSwap::from_pointee(whole(files)?),
    });
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&renewed) as Arc<dyn ResolvesServerCert>);
    Ok((TlsAcceptor::from(Arc::new(config)), renewed))
}

/// The usual rules, and one more, as for servers: a certificate that stands in the file of authorities itself is believed.
#[derive(Debug)]
struct Verified {
    usual: Arc<dyn ClientCertVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl ClientCertVerifier for Verified {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.usual.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self
            .usual
            .verify_client_cert(end_entity, intermediates, now)
        {
            Err(error) if pem::is_itself_given(&self.given, end_entity, &error) => {
                Ok(ClientCertVerified::assertion())
            }
            usual => usual,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
