//! Handshakes between our two sides, with certificates made on the spot.

use std::fs;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

/// An authority, and pairs of key and certificate signed by it.
struct Shop {
    dir: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Shop {
    fn open() -> Shop {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let shop = Shop {
            dir: tempfile::tempdir().unwrap(),
            authority,
        };
        shop.write("ca.pem", &shop.authority.pem());
        shop
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn pair(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let cert = params.signed_by(&key, &self.authority).unwrap();
        (
            self.write(&format!("{name}.key"), &key.serialize_pem()),
            self.write(&format!("{name}.crt"), &cert.pem()),
        )
    }
}

fn files<'a>(pair: Option<&'a (PathBuf, PathBuf)>, ca: Option<&'a PathBuf>) -> Files<'a> {
    Files {
        names: &PUBLIC,
        key: pair.map(|pair| pair.0.as_path()),
        cert: pair.map(|pair| pair.1.as_path()),
        ca: ca.map(PathBuf::as_path),
        passphrase: None,
    }
}

/// Whether a byte gets from the client to the server and back.
async fn speaks(server: &tokio_rustls::TlsAcceptor, client: &tokio_rustls::TlsConnector) -> bool {
    let (near, far) = duplex(64 << 10);
    let serve = async {
        let mut stream = server.accept(far).await.ok()?;
        let byte = stream.read_u8().await.ok()?;
        stream.write_u8(byte).await.ok()?;
        stream.flush().await.ok()
    };
    let ask = async {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = client.connect(name, near).await.ok()?;
        stream.write_u8(7).await.ok()?;
        stream.read_u8().await.ok()
    };
    let (_, answer) = tokio::join!(serve, ask);
    answer == Some(7)
}

#[tokio::test]
async fn a_server_is_believed_by_its_authority_alone() {
    let shop = Shop::open();
    let (pair, ca) = (shop.pair("server"), shop.path("ca.pem"));
    let server = acceptor(&files(Some(&pair), None), Clients::Anybody, EVERY_VERSION)
        .unwrap()
        .unwrap();
    let believing = connector(&files(None, Some(&ca)), Servers::Certified, EVERY_VERSION).unwrap();
    assert!(speaks(&server, &believing).await);
    let other = Shop::open().authority.pem();
    let other = shop.write("other.pem", &other);
    let strange = connector(
        &files(None, Some(&other)),
        Servers::Certified,
        EVERY_VERSION,
    )
    .unwrap();
    assert!(!speaks(&server, &strange).await);
    let careless = connector(&files(None, None), Servers::Anybody, EVERY_VERSION).unwrap();
    assert!(speaks(&server, &careless).await);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_asked_for() {
    let shop = Shop::open();
    let (pair, ca) = (shop.pair("both"), shop.path("ca.pem"));
    let asking = files(Some(&pair), Some(&ca));
    let server = acceptor(&asking, Clients::Certified, EVERY_VERSION)
        .unwrap()
        .unwrap();
    let bare = connector(&files(None, Some(&ca)), Servers::Certified, EVERY_VERSION).unwrap();
    assert!(!speaks(&server, &bare).await);
    let known = connector(&asking, Servers::Certified, EVERY_VERSION).unwrap();
    assert!(speaks(&server, &known).await);
}

#[tokio::test]
async fn a_self_made_certificate_is_believed_when_it_is_given_itself() {
    let shop = Shop::open();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let cert = params.self_signed(&key).unwrap();
    let pair = (
        shop.write("self.key", &key.serialize_pem()),
        shop.write("self.crt", &cert.pem()),
    );
    let server = acceptor(&files(Some(&pair), None), Clients::Anybody, EVERY_VERSION)
        .unwrap()
        .unwrap();
    let given = connector(
        &files(None, Some(&pair.1)),
        Servers::Certified,
        EVERY_VERSION,
    )
    .unwrap();
    assert!(speaks(&server, &given).await);
    let other = shop.path("ca.pem");
    let other = connector(
        &files(None, Some(&other)),
        Servers::Certified,
        EVERY_VERSION,
    )
    .unwrap();
    assert!(!speaks(&server, &other).await);
}

#[tokio::test]
async fn the_protocol_can_be_narrowed() {
    let shop = Shop::open();
    let (pair, ca) = (shop.pair("server"), shop.path("ca.pem"));
    let old = versions("TLSv1_2_method").unwrap();
    let new = versions("TLSv1_3").unwrap();
    let server = acceptor(&files(Some(&pair), None), Clients::Anybody, old)
        .unwrap()
        .unwrap();
    let client = connector(&files(None, Some(&ca)), Servers::Certified, new).unwrap();
    assert!(!speaks(&server, &client).await);
    let client = connector(&files(None, Some(&ca)), Servers::Certified, old).unwrap();
    assert!(speaks(&server, &client).await);
    assert!(versions("SSLv3").is_none());
}

#[test]
fn what_is_wrong_is_told_by_option_and_file() {
    let shop = Shop::open();
    let pair = shop.pair("server");
    let other = shop.pair("other");
    let told = |key: &PathBuf, cert: &PathBuf| {
        let pair = (key.clone(), cert.clone());
        acceptor(&files(Some(&pair), None), Clients::Anybody, EVERY_VERSION)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert!(told(&pair.0, &pair.0).contains("holds no certificate"));
    assert!(told(&pair.1, &pair.1).contains("holds no private key"));
    assert!(told(&shop.path("none"), &pair.1).contains("--ssl-key"));
    assert_eq!(
        told(&other.0, &pair.1),
        "the key of --ssl-key does not belong to the certificate of --ssl-cert"
    );
    let half = Files {
        key: None,
        ..files(Some(&pair), None)
    };
    let error = acceptor(&half, Clients::Anybody, EVERY_VERSION).map(|_| ());
    assert_eq!(
        error.unwrap_err().to_string(),
        "--ssl-cert needs --ssl-key beside it"
    );
}

/// Keys made for these tests and protected by `openssl` with the passphrase `sesame`.
const PROTECTED: [(&str, &str); 4] = [
    ("PKCS8", include_str!("tests/pkcs8.pem")),
    ("AES", include_str!("tests/aes.pem")),
    ("3DES", include_str!("tests/des3.pem")),
    ("PKCS1", include_str!("tests/rsa.pem")),
];

#[test]
fn protected_keys_are_opened_by_their_passphrase() {
    let shop = Shop::open();
    let cert = shop.pair("any").1;
    for (kind, text) in PROTECTED {
        let key = shop.write("protected.key", text);
        let told = |passphrase: Option<&str>| {
            let secret = passphrase.map(SecretString::from);
            let pair = (key.clone(), cert.clone());
            let files = Files {
                passphrase: secret.as_ref(),
                ..files(Some(&pair), None)
            };
            acceptor(&files, Clients::Anybody, EVERY_VERSION)
                .map(|_| ())
                .unwrap_err()
        };
        // It was opened when it is found to be the key of another certificate.
        assert!(
            matches!(told(Some("sesame")), TlsError::Mismatch { .. }),
            "{kind}"
        );
        assert!(
            matches!(told(Some("barley")), TlsError::Unopened { .. }),
            "{kind}"
        );
        let locked = told(None).to_string();
        assert!(locked.contains("CONFIGPROXY_SSL_KEY_PASSPHRASE"), "{kind}");
    }
}

#[test]
fn a_passphrase_is_not_in_what_is_shown_of_files() {
    let secret = SecretString::from("sesame");
    let files = Files {
        passphrase: Some(&secret),
        ..files(None, None)
    };
    assert!(!format!("{files:?}").contains("sesame"));
}
