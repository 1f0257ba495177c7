//! Signatures, clocks and nonces of OAuth 1.0a; and what `identify` states, right and wrong.

use anyhow::Result;
use holt_tests::wiki::{Consumer, Json, Tamper};
use serde_json::json;

use crate::client::*;

const INVALID: &str = "Error: An error occurred in the OAuth protocol: Invalid signature";

fn initiate(wiki: &holt_tests::wiki::Wiki) -> Call {
    Call::new(wiki, "initiate").with("oauth_callback", "oob")
}

#[tokio::test]
async fn the_title_is_signed() -> Result<()> {
    let wiki = wiki()?;
    let mut call = initiate(&wiki);
    call.signs_title = false;
    assert_eq!(call.send(&wiki).await?, INVALID);
    Ok(())
}

#[tokio::test]
async fn the_wiki_signs_its_own_address_whatever_is_dialled() -> Result<()> {
    let wiki = wiki()?;
    wiki.set_server("https://wiki.example:443");
    let mut call = initiate(&wiki);
    assert_eq!(call.send(&wiki).await?, INVALID);
    call = initiate(&wiki);
    call.server = "https://wiki.example".to_owned();
    assert!(call.send(&wiki).await?.starts_with("oauth_token="));
    Ok(())
}

#[tokio::test]
async fn a_nonce_is_burnt_before_the_signature_is_looked_at() -> Result<()> {
    let wiki = wiki()?;
    let mut call = initiate(&wiki);
    call.secret = "wrong".to_owned();
    assert_eq!(call.send(&wiki).await?, INVALID);
    call.secret = SECRET.to_owned();
    let said = call.send(&wiki).await?;
    assert!(
        said.ends_with(&format!("Nonce already used: {}", call.nonce)),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn clocks_may_be_five_minutes_apart() -> Result<()> {
    let wiki = wiki()?;
    wiki.set_clock(1_800_000_000);
    for (apart, passes) in [(-301, false), (-300, true), (300, true), (301, false)] {
        let mut call = initiate(&wiki);
        call.timestamp = 1_800_000_000 + apart;
        let said = call.send(&wiki).await?;
        assert_eq!(said.starts_with("oauth_token="), passes, "{apart}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn other_methods_and_schemes_are_refused_by_name() -> Result<()> {
    let wiki = wiki()?;
    let mut call = initiate(&wiki);
    call.method = "PLAINTEXT".to_owned();
    assert_eq!(
        call.send(&wiki).await?,
        "Error: An error occurred in the OAuth protocol: Signature method &#039;PLAINTEXT&#039; not supported try one of the following: HMAC-SHA1, RSA-SHA1"
    );
    let mut call = initiate(&wiki);
    call.scheme = "oauth";
    let said = call.send(&wiki).await?;
    assert!(said.ends_with("Invalid consumer key"), "{said}");
    Ok(())
}

/// Signed with `openssl dgst -sha1 -sign` by a key made for this test and thrown away.
#[tokio::test]
async fn a_registered_key_signs_by_rsa() -> Result<()> {
    let wiki = wiki()?;
    wiki.consumer(Consumer::oauth1(KEY, SECRET, CALLBACK).with_public_key(PUBLIC_KEY)?);
    wiki.set_server("https://wiki.example");
    wiki.set_clock(1_800_000_000);
    let mut call = initiate(&wiki);
    call.server = "https://wiki.example".to_owned();
    call.method = "RSA-SHA1".to_owned();
    call.nonce = "first".to_owned();
    call.timestamp = 1_800_000_000;
    let said = call.send_signed(&wiki, SIGNATURE).await?;
    assert!(
        said.starts_with("oauth_token="),
        "{said}: {}",
        call.base_string()
    );
    call.nonce = "second".to_owned();
    assert_eq!(call.send_signed(&wiki, SIGNATURE).await?, INVALID);
    Ok(())
}

#[tokio::test]
async fn statements_are_wrong_in_the_way_a_test_wants() -> Result<()> {
    let wiki = wiki()?;
    let access = access(&wiki).await?;
    let truth = part(&identify(&wiki, &access).await?, 1)?;
    assert_eq!(truth["sub"], "7000003");
    assert_eq!(truth["iss"], wiki.url());
    let set = |name: &str, value: &str| Tamper::Set(name.to_owned(), value.into());
    for (tamper, name, value) in [
        (set("aud", "another"), "aud", json!("another")),
        (set("sub", ""), "sub", json!("")),
        (
            Tamper::Remove("username".to_owned()),
            "username",
            json!(null),
        ),
        (
            Tamper::Set("registered".to_owned(), Json::Null),
            "registered",
            json!(null),
        ),
        (Tamper::Fractions, "editcount", json!(0.25)),
        (
            Tamper::Objects,
            "groups",
            json!({"0": "*", "2": "user", "3": "autoconfirmed"}),
        ),
    ] {
        wiki.tamper(tamper);
        let claims = part(&identify(&wiki, &access).await?, 1)?;
        assert_eq!(claims[name], value, "{name}");
        wiki.tell_the_truth();
    }
    wiki.tamper(Tamper::Algorithm("none".to_owned()));
    let jwt = identify(&wiki, &access).await?;
    assert_eq!(part(&jwt, 0)?["alg"], "none");
    assert!(jwt.ends_with('.'));
    Ok(())
}

#[tokio::test]
async fn a_renamed_account_keeps_its_number_and_token() -> Result<()> {
    let wiki = wiki()?;
    let access = access(&wiki).await?;
    wiki.rename(SUB, "Other name");
    let claims = part(&identify(&wiki, &access).await?, 1)?;
    assert_eq!(
        (&claims["sub"], &claims["username"]),
        (&json!("7000003"), &json!("Other name"))
    );
    Ok(())
}

const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsyRoIsa9U6EsxznA6q/J\n\
    uOCjh4IP5XIPH2VJmCwFlwAzI29TrEqpQ802y3yZhAhDYQyjmS8uzeU96T6KNHKG\n\
    nHxUMKKwtWRrZDzTNkn/GN5Uhy3IdqXG+ONnGfSKz2naoVtgYYR8vv4oZ/zBh6Qq\n\
    1656MTdlQAE7cebHMxH4gIIkkjZBYWLJ8KdzZdEALi2vjQgZPcFwGpZuIevSVUey\n\
    Qjam/k7E00+y72M2xymNu4L9n6N78CIffkIMVQEsoRvt2MImZzEvSKa9OtYqgfQ4\n\
    RuWb0caH6defylEn68M1NNyMQ4ZvxbjLai9qI0hwBae8cn3rTa0texRCsHV0zmQE\n\
    +QIDAQAB\n\
    -----END PUBLIC KEY-----\n";

const SIGNATURE: &str = "oe1isDz9HtaNh2nwF6CA//vAdHoP9wSzHH117+rCMp2BPCg4m4EkaG3wS9PU/T/Vn1MR1dr1LltyIdopU6tubFgpWnCfKGQhofCzgeTIW1nRUXHplzd7aAzUj6IA3qBAPLAgRP3UCxZGfATg5mVBVc79JfwP3JINffecyGQnGobUHiWxG27b+8eYanFbO3/f/aH4XBLYA85MdZ3ha2N28bZlpKWvw5C4SlUsOiFqYLv6a5wuE2bklP7EUhBnwaZi9eNI62e66pce3Lc22ZR575KHq5UIXpujSP0jKYpfjUOpvK6ONMyku1DrZUlM3UxXkPOaAMJw8+32oue9pv9MAQ==";
