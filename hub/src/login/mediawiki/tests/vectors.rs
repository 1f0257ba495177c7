//! Every recorded exchange with a real wiki: what the server saw is what we sign, and what it answered is read as what it means.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

use super::super::claims::{self, Claims};
use super::super::identify::Expected;
use super::super::places::Places;
use super::super::settings::{Protocol, Signature};
use super::super::sign::{self, Call, Signer, Stamp, Token};
use super::super::{callback, oauth1, oauth2, standing};
use crate::login::provider::{CameBack, LoginError, Standing};
use crate::login::wire::Answer;

/// What an exchange has to mean.
enum Means {
    /// `initiate` or `token`: a token.
    Token,
    /// The same: refused.
    NoToken(fn(&LoginError) -> bool),
    /// `identify`: this account.
    Person(&'static str),
    /// The same: refused.
    Nobody(fn(&LoginError) -> bool),
    /// A callback of 1.0a, of 2.0, and one that refuses.
    Back(Protocol),
    Denied(&'static str),
    /// `access_token`: a token, or refused.
    Redeemed,
    NotRedeemed(fn(&LoginError) -> bool),
    /// `resource/profile`: this account, or refused.
    Profile(&'static str),
    NoProfile(fn(&LoginError) -> bool),
    /// A list that may have come as an object.
    Scopes(usize),
    /// `globaluserinfo`, asked for this number.
    Stands(&'static str, Result<Standing, ()>),
    /// Nothing of ours reads it: only its signature is compared.
    SignatureOnly,
}

fn operator(error: &LoginError) -> bool {
    matches!(error, LoginError::Operator { .. })
}

fn over(error: &LoginError) -> bool {
    *error == LoginError::Over
}

fn refused(error: &LoginError) -> bool {
    matches!(error, LoginError::Refused(words) if words.ends_with('.'))
}

/// Names both origins, which is what an operator has to compare.
fn bad_signature(error: &LoginError) -> bool {
    matches!(error, LoginError::Operator { reason }
        if reason.contains("http://127.0.0.1:8181 (signed; dialled: http://wiki.internal)"))
}

fn good(name: &str) -> Result<Standing, ()> {
    Ok(Standing::Good {
        name: name.to_owned(),
    })
}

fn table() -> Vec<(&'static str, Means)> {
    use Means::*;
    vec![
        ("oauth1 initiate", Token),
        ("oauth1 browser comes back", Back(Protocol::Oauth1)),
        ("oauth1 token", Token),
        ("oauth1 identify", Person("Ordinary user")),
        ("token replayed", NoToken(over)),
        ("identify, wrong token secret", Nobody(bad_signature)),
        ("identify, extra parameters", Person("Ordinary user")),
        ("api userinfo", SignatureOnly),
        ("oauth1_authonly initiate", Token),
        ("oauth1_authonly browser comes back", Back(Protocol::Oauth1)),
        ("oauth1_authonly token", Token),
        ("oauth1_authonly identify", Person("汉字用户")),
        ("oauth1_private initiate", Token),
        ("oauth1_private browser comes back", Back(Protocol::Oauth1)),
        ("oauth1_private token", Token),
        ("oauth1_private identify", Person("O'Brien (WMF)")),
        ("oauth1_prefix initiate", Token),
        ("oauth1_prefix browser comes back", Back(Protocol::Oauth1)),
        ("oauth1_prefix token", Token),
        ("oauth1_prefix identify", Person("🦀 Crab")),
        ("initiate, wrong secret", NoToken(bad_signature)),
        (
            "initiate, skew",
            NoToken(|error| *error == LoginError::Clock(-400)),
        ),
        ("initiate, unknown consumer", NoToken(operator)),
        ("initiate, ip restricted", NoToken(operator)),
        ("initiate, owner only", NoToken(operator)),
        ("identify, globally locked", Nobody(refused)),
        ("identify, suppressed account", Nobody(refused)),
        ("identify, consumer disabled", Nobody(operator)),
        ("identify, grant revoked", Nobody(over)),
        ("oauth2 browser comes back", Back(Protocol::Oauth2)),
        ("oauth2 token", Redeemed),
        ("oauth2 profile", Profile("Other user")),
        ("oauth2 scopes", Scopes(5)),
        ("oauth2 code again", NotRedeemed(over)),
        ("refresh", Redeemed),
        ("refresh again", NotRedeemed(over)),
        ("old access token", NoProfile(over)),
        ("bad secret", NotRedeemed(operator)),
        ("oauth2_public browser comes back", Back(Protocol::Oauth2)),
        ("oauth2_public token", Redeemed),
        ("oauth2_public profile", Profile("Other user")),
        ("oauth2_public scopes", Scopes(5)),
        ("oauth2_public code again", NotRedeemed(over)),
        ("denied, browser comes back", Denied("unauthorized_client")),
        ("bad scope", Denied("invalid_scope")),
        (
            "globaluserinfo Ordinary user",
            Stands("7000003", good("Ordinary user")),
        ),
        (
            "globaluserinfo Locked user",
            Stands("7000005", Ok(Standing::Locked)),
        ),
        (
            "globaluserinfo Nobody here",
            Stands("1", Ok(Standing::Missing)),
        ),
        ("globaluserinfo Bad#name", Stands("1", Err(()))),
        ("globaluserinfo by id", Stands("7000009", good("Alice"))),
    ]
}

fn exchanges() -> Vec<Value> {
    let file = include_str!("../../../../../spec/golden/mediawiki-oauth.json");
    let file: Value = serde_json::from_str(file).unwrap();
    file["exchanges"].as_array().unwrap().clone()
}

fn places() -> Places {
    let url = |text: &str| Url::parse(text).unwrap();
    let index = url("http://127.0.0.1:8181/w/index.php");
    Places::new(&index, None, Some(&url("http://wiki.internal/"))).unwrap()
}

fn answer(exchange: &Value) -> Answer {
    let response = &exchange["response"];
    Answer {
        status: response["status"].as_u64().unwrap().try_into().unwrap(),
        media_type: String::new(),
        retry_after: None,
        location: None,
        body: response["body"].as_str().unwrap().into(),
    }
}

fn query(exchange: &Value) -> Vec<(String, String)> {
    let location = exchange
        .get("location")
        .unwrap_or(&exchange["response"]["location"]);
    let location = Url::parse(location.as_str().unwrap()).unwrap();
    location.query_pairs().into_owned().collect()
}

/// The fields of the `Authorization` header that the recorded client sent.
fn header(exchange: &Value) -> BTreeMap<String, String> {
    let header = exchange["request"]["headers"]["Authorization"]
        .as_str()
        .unwrap();
    let fields = header.strip_prefix("OAuth ").unwrap();
    fields
        .split(", ")
        .map(|field| {
            let (name, value) = field.split_once('=').unwrap();
            let value = percent_decode_str(value.trim_matches('"'))
                .decode_utf8()
                .unwrap();
            (name.to_owned(), value.into_owned())
        })
        .collect()
}

fn identify(exchange: &Value) -> Result<Claims, LoginError> {
    let fields = header(exchange);
    let secrets: BTreeMap<String, String> = exchanges()
        .iter()
        .filter_map(|exchange| {
            let text = |name: &str| Some(exchange.get(name)?.as_str()?.to_owned());
            Some((text("consumer_key")?, text("consumer_secret")?))
        })
        .collect();
    let now = fields["oauth_timestamp"].parse().unwrap();
    let expected = Expected {
        key: secrets[&fields["oauth_consumer_key"]].as_bytes(),
        audience: &fields["oauth_consumer_key"],
        issuer: "http://127.0.0.1:8181",
        nonce: &fields["oauth_nonce"],
        now,
        leeway: 30,
    };
    let identity = oauth1::read_identity(&answer(exchange), &places(), &expected)?;
    if let Some(claims) = exchange.get("claims") {
        assert_eq!(&identity, claims);
    }
    Claims::read(&identity)
}

fn check(exchange: &Value, means: Means) {
    let token = |exchange| oauth1::read_token("it", &answer(exchange), &places()).err();
    match means {
        Means::Token => assert_eq!(token(exchange), None),
        Means::NoToken(is_right) => assert!(token(exchange).is_some_and(|error| is_right(&error))),
        Means::Person(name) => {
            let person = identify(exchange).unwrap();
            assert_eq!(person.username, name);
            assert_eq!(person.groups, ["*", "user", "autoconfirmed"]);
            assert!(person.registered.unwrap() > 1_795_000_000_000);
            assert_eq!(
                (person.edits, person.confirmed_email),
                (Some(0), Some(true))
            );
        }
        Means::Nobody(is_right) => {
            let error = identify(exchange).unwrap_err();
            assert!(is_right(&error), "{error}");
        }
        Means::Back(protocol) => {
            let back = callback::read(protocol, &query(exchange));
            assert!(matches!(back, CameBack::With { .. }), "{back:?}");
        }
        Means::Denied(error) => {
            let denied = CameBack::Denied {
                handle: None,
                error: error.to_owned(),
            };
            assert_eq!(callback::read(Protocol::Oauth2, &query(exchange)), denied);
        }
        Means::Redeemed => assert!(oauth2::read_token_answer(&answer(exchange)).is_ok()),
        Means::NotRedeemed(is_right) => {
            let error = oauth2::read_token_answer(&answer(exchange)).unwrap_err();
            assert!(is_right(&error), "{error}");
        }
        Means::Profile(name) => {
            let profile = oauth2::read_profile(&answer(exchange)).unwrap();
            assert_eq!(Claims::read(&profile).unwrap().username, name);
        }
        Means::NoProfile(is_right) => {
            assert!(is_right(
                &oauth2::read_profile(&answer(exchange)).unwrap_err()
            ));
        }
        Means::Scopes(count) => {
            let body: Value = serde_json::from_slice(&answer(exchange).body).unwrap();
            assert_eq!(claims::list(&body["scopes"]).len(), count);
        }
        Means::Stands(sub, stands) => {
            assert_eq!(standing::read(&answer(exchange), sub).map_err(drop), stands);
        }
        Means::SignatureOnly => {}
    }
}

#[test]
fn every_answer_is_read_as_what_it_means() {
    let mut table: BTreeMap<_, _> = table().into_iter().collect();
    for exchange in exchanges() {
        let name = exchange["name"].as_str().unwrap().to_owned();
        println!("{name}");
        let means = table.remove(name.as_str());
        check(&exchange, means.expect("the table names every exchange"));
    }
    assert!(table.is_empty(), "{:?} is not recorded", table.keys());
}

#[test]
fn we_sign_what_the_server_saw() {
    // In these two the recorded client signed with a wrong secret on purpose: the server's signature is ours, and not the client's.
    let wrong = ["initiate, wrong secret", "identify, wrong token secret"];
    let mut compared = 0;
    for exchange in exchanges() {
        let (Some(name), Some(saw)) = (exchange["name"].as_str(), exchange.get("server_saw"))
        else {
            continue;
        };
        let text = |field: &str| saw[field].as_str().unwrap();
        let request = &exchange["request"];
        let method = request["method"].as_str().unwrap();
        let url = Url::parse(request["url"].as_str().unwrap()).unwrap();
        let mut fields = header(&exchange);
        let sent = fields.remove("oauth_signature").unwrap();
        let pairs: Vec<_> = fields
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            sign::base_string(method, &url, &[], &pairs),
            text("base_string"),
            "{name}"
        );

        let (consumer_secret, token_secret) = text("hmac_key").split_once('&').unwrap();
        assert_eq!(
            sign::hmac_key(consumer_secret, token_secret),
            text("hmac_key")
        );
        let signer = Signer::new(
            fields["oauth_consumer_key"].clone(),
            consumer_secret.into(),
            &Signature::HmacSha1,
        )
        .unwrap();
        let token = fields.get("oauth_token").map(|key| Token {
            key: key.clone(),
            secret: token_secret.into(),
        });
        let more: Vec<_> = pairs
            .iter()
            .filter(|(name, _)| ["oauth_callback", "oauth_verifier"].contains(name))
            .copied()
            .collect();
        let stamp = Stamp {
            nonce: fields["oauth_nonce"].clone(),
            timestamp: fields["oauth_timestamp"].parse().unwrap(),
        };
        let call = Call {
            method,
            url: &url,
            more: &more,
            form: &[],
            token: token.as_ref(),
        };
        let ours = signer.authorization(&call, &stamp).unwrap();
        let signature = format!("oauth_signature=\"{}\"", sign::encode(text("signature")));
        assert!(ours.ends_with(&signature), "{name}");
        assert_eq!(sent == text("signature"), !wrong.contains(&name), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 19);
}

/// A good statement with its key, nonce and time.
fn statement() -> (Value, String) {
    let exchange = exchanges().swap_remove(3);
    let body = exchange["response"]["body"].as_str().unwrap().to_owned();
    (exchange, body)
}

fn expected<'a>(exchange: &'a Value, key: &'a SecretString, nonce: &'a str) -> Expected<'a> {
    Expected {
        key: key.expose_secret().as_bytes(),
        audience: exchange["claims"]["aud"].as_str().unwrap(),
        issuer: "http://127.0.0.1:8181",
        nonce,
        now: exchange["claims"]["iat"].as_i64().unwrap(),
        leeway: 30,
    }
}

#[test]
fn a_statement_with_any_byte_changed_is_refused() {
    use super::super::identify::verify;
    let (exchange, body) = statement();
    let key = exchanges()[0]["consumer_secret"].as_str().unwrap().into();
    let nonce = exchange["claims"]["nonce"].as_str().unwrap();
    let expected = expected(&exchange, &key, nonce);
    assert!(verify(body.as_bytes(), &expected).is_ok());
    for at in 0..body.len() {
        for bit in 0..8 {
            let mut changed = body.clone().into_bytes();
            changed[at] ^= 1 << bit;
            assert!(verify(&changed, &expected).is_err(), "byte {at}, bit {bit}");
        }
    }
    let (rest, _) = body.rsplit_once('.').unwrap();
    let (_, payload) = rest.split_once('.').unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let unsigned = format!("{none}.{payload}.AA");
    assert_eq!(
        verify(unsigned.as_bytes(), &expected),
        Err(LoginError::Unproven("alg"))
    );
}

#[test]
fn each_check_of_a_statement_is_made() {
    use super::super::identify::verify;
    let (exchange, body) = statement();
    let key: SecretString = exchanges()[0]["consumer_secret"].as_str().unwrap().into();
    let nonce = exchange["claims"]["nonce"].as_str().unwrap();
    let with = |change: &dyn Fn(&mut Expected<'_>)| {
        let mut expected = expected(&exchange, &key, nonce);
        change(&mut expected);
        verify(body.as_bytes(), &expected).unwrap_err()
    };
    let unproven = LoginError::Unproven;
    assert_eq!(
        with(&|expected| expected.audience = "other"),
        unproven("aud")
    );
    assert_eq!(
        with(&|expected| expected.nonce = "other"),
        unproven("nonce")
    );
    assert_eq!(with(&|expected| expected.nonce = ""), unproven("nonce"));
    assert_eq!(
        with(&|expected| expected.key = b"other"),
        unproven("signature")
    );
    assert_eq!(
        with(&|expected| expected.now += 130),
        LoginError::Clock(130)
    );
    assert_eq!(with(&|expected| expected.now -= 30), LoginError::Clock(-30));
    let late = with(&|expected| {
        expected.now += 130;
        expected.nonce = "other";
    });
    assert_eq!(late, unproven("exp"));
    let elsewhere = with(&|expected| expected.issuer = "https://other.example");
    assert!(matches!(elsewhere, LoginError::Operator { reason }
        if reason.contains("127.0.0.1:8181") && reason.contains("other.example")));
}
