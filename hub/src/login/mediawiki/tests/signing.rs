//! RSA-SHA1, and what counts as "nobody was reached".

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use reqwest::Method;
use reqwest::header::HeaderMap;
use url::Url;

use super::super::again::is_unreached;
use super::super::settings::Signature;
use super::super::sign::{Call, Signer, Stamp, base_string};
use crate::login::provider::LoginError;
use crate::login::wire::Wire;

fn field<'a>(authorization: &'a str, name: &str) -> &'a str {
    let (_, rest) = authorization.split_once(&format!("{name}=\"")).unwrap();
    rest.split('"').next().unwrap()
}

#[test]
fn rsa_signatures_hold_under_the_public_key() {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let text = STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    );
    let how = Signature::RsaSha1 {
        private_key: pem.into(),
    };
    let signer = Signer::new("key".into(), "secret".into(), &how).unwrap();
    let url = Url::parse("https://wiki.example/w/index.php?title=Special:OAuth/initiate").unwrap();
    let call = Call {
        method: "POST",
        url: &url,
        more: &[("oauth_callback", "oob")],
        form: &[],
        token: None,
    };
    let stamp = Stamp {
        nonce: "n".into(),
        timestamp: 7,
    };
    let authorization = signer.authorization(&call, &stamp).unwrap();
    assert_eq!(field(&authorization, "oauth_signature_method"), "RSA-SHA1");
    let signed = base_string(
        "POST",
        &url,
        &[],
        &[
            ("oauth_consumer_key", "key"),
            ("oauth_nonce", "n"),
            ("oauth_signature_method", "RSA-SHA1"),
            ("oauth_timestamp", "7"),
            ("oauth_version", "1.0"),
            ("oauth_callback", "oob"),
        ],
    );
    let signature = percent_decode_str(field(&authorization, "oauth_signature"))
        .decode_utf8()
        .unwrap();
    let signature = STANDARD.decode(signature.as_bytes()).unwrap();
    let public = UnparsedPublicKey::new(
        &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        pair.public_key().as_ref(),
    );
    public.verify(signed.as_bytes(), &signature).unwrap();
    assert!(public.verify(b"another", &signature).is_err());
    let bad = Signature::RsaSha1 {
        private_key: "no key".into(),
    };
    let error = Signer::new("key".into(), "secret".into(), &bad).err();
    assert!(matches!(error, Some(LoginError::Operator { .. })));
}

#[tokio::test]
async fn a_closed_port_is_nobody_reached_and_a_broken_answer_is_somebody() {
    let wire = Wire::new("Holt/1 (tests)", None).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let hanging_up = tokio::spawn(async move {
        let taken = listener.accept().await;
        drop(taken);
        listener
    });
    let ask = async || match wire
        .send(Method::POST, &url, HeaderMap::new(), b"x".to_vec())
        .await
    {
        Err(LoginError::Away { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let reason = ask().await;
    assert!(!is_unreached(&reason), "{reason}");
    drop(hanging_up.await.unwrap());
    let reason = ask().await;
    assert!(is_unreached(&reason), "{reason}");
}
