//! Where clients come in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::certificate::Renewal;
use super::door::Door;
use super::packet::SqlError;
use super::session::Talk;
use super::settings::ClientTls;
use super::{Gateway, login, metrics};
use crate::http::{PlainSocket, Socket};
use crate::tls;

/// Who knocks must say who it is within so long.
pub(super) const LOGIN: Duration = Duration::from_secs(10);
/// Between two tries to listen where the hub wants it.
const AGAIN: Duration = Duration::from_secs(1);

/// TLS for clients; the certificate's SHA-256 where it is our own; and what reads it again where it is the operator's.
type ClientDoor = (Option<TlsAcceptor>, Option<[u8; 32]>, Option<Renewal>);

/// What clients are shown, with the certificate's SHA-256 where it is our own.
pub(super) fn client_tls(wanted: &ClientTls) -> anyhow::Result<ClientDoor> {
    match wanted {
        ClientTls::Off => Ok((None, None, None)),
        ClientTls::Files { certificate, key } => {
            let (acceptor, renewal) = Renewal::of_files(certificate, key)?;
            Ok((Some(acceptor), None, Some(renewal)))
        }
        ClientTls::Own => {
            let key = KeyPair::generate().context("no key can be made")?;
            let params =
                CertificateParams::new(vec!["holt-replicas".to_owned(), "localhost".to_owned()])
                    .context("no certificate can be made")?;
            let made = params
                .self_signed(&key)
                .context("no certificate can be made")?;
            let der: CertificateDer<'static> = made.der().clone();
            let fingerprint = Sha256::digest(&der).into();
            let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
            let acceptor = tls::own_acceptor(der, key)?;
            Ok((Some(acceptor), Some(fingerprint), None))
        }
    }
}

/// Opens what the settings say.
pub(super) fn open(gateway: &Gateway) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in &gateway.settings.listen {
        let listener = crate::listen::open_alone(*address)
            .and_then(TcpListener::from_std)
            .with_context(|| format!("the replica gateway cannot listen on {address}"))?;
        add(gateway, listener.local_addr()?);
        listeners.push(listener);
    }
    Ok(listeners)
}

fn add(gateway: &Gateway, address: SocketAddr) {
    gateway
        .listening
        .lock()
        .expect("no panic under this lock")
        .push(address);
}

/// Keeps a listener where the hub wants one, from when it can be opened.
pub(super) async fn keep_wanted(gateway: Arc<Gateway>) {
    let mut changed = gateway.wanted.subscribe();
    loop {
        let wanted = *changed.borrow_and_update();
        let serving = async {
            let Some(address) = wanted else {
                return std::future::pending().await;
            };
            if gateway.listening().contains(&address) {
                return std::future::pending().await;
            }
            let mut told = false;
            loop {
                match crate::listen::open_ahead(address).and_then(TcpListener::from_std) {
                    Ok(listener) => {
                        tracing::info!(%address, "The replica gateway listens where the hub wants it");
                        add(&gateway, address);
                        return accept(Arc::clone(&gateway), listener).await;
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut told, true) {
                            tracing::warn!(%address, %error, "The replica gateway cannot listen where the hub wants it, and tries again");
                        }
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
        };
        tokio::select! {
            // Before all else: what serves ends with it too.
            biased;
            () = gateway.stop.cancelled() => return,
            () = serving => {}
            _ = changed.changed() => {}
        }
        if let Some(address) = wanted
            && !gateway.settings.listen.contains(&address)
        {
            gateway
                .listening
                .lock()
                .expect("no panic under this lock")
                .retain(|is| *is != address);
        }
    }
}

/// Takes clients in until the gateway ends.
pub(super) async fn accept(gateway: Arc<Gateway>, listener: TcpListener) {
    let door = Arc::new(Door::default());
    let mut full = Vec::new();
    SqlError::new(
        1040,
        b"08004",
        "Too many connections from here that did not say who they are; try again in a moment",
    )
    .write(&mut full, 0);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = gateway.stop.cancelled() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "A client could not be taken in");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Too many at the door: who comes now is told so and not waited for, so that those who are there get through.
        let Some(standing) = door.stand(peer.ip()) else {
            let _ = stream.try_write(&full);
            continue;
        };
        let gateway = Arc::clone(&gateway);
        let tasks = gateway.tasks.clone();
        tasks.spawn(async move {
            let socket = Socket::from(PlainSocket::tcp(stream));
            // Boxed: a client that rests does not hold what its handshake needed.
            let entering = Box::pin(timeout(LOGIN, login::enter(&gateway, socket, peer.ip())));
            let entered = entering.await;
            drop(standing);
            match entered {
                Ok(Ok(entered)) => Talk::new(gateway, entered, peer.ip()).serve().await,
                Ok(Err(error)) => {
                    metrics::refused();
                    tracing::debug!(%peer, %error, "A client was not let in");
                }
                Err(_) => tracing::debug!(%peer, "A client did not say who it is in time"),
            }
        });
    }
}
