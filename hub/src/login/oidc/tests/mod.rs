//! Sign-ins against servers that speak the real protocol: one like Keycloak, found by discovery, and one like GitHub, by its endpoints.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{Oidc, OidcSettings};
use crate::login::provider::{CameBack, LoginError, Person, Provider};
use crate::secret;

const CALLBACK: &str = "https://hub.example/hub/oauth_callback";

/// How the server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    WrongNonce,
    WrongAudience,
    SecondAudience,
    ForeignParty,
    WrongIssuer,
    Expired,
    FromTheFuture,
    Unsigned,
    SignedWithThePublicKey,
    WrongKey,
    UnknownKey,
    WrongHash,
    ForeignUserinfo,
    NameInUserinfo,
    NoName,
    TokenEndpointFails,
    TokenEndpointIsAPage,
    TokenEndpointIsBusy,
    TokenEndpointRedirects,
    BadClient,
    UsedCode,
}

struct Server {
    base: String,
    mood: Mutex<Mood>,
    key: Mutex<(String, KeyPair)>,
    nonce: Mutex<String>,
    challenge: Mutex<String>,
    /// How often keys were asked for.
    looks: Mutex<usize>,
}

type Shared = Arc<Server>;

fn new_key() -> KeyPair {
    KeyPair::generate(KeySize::Rsa2048).expect("the machine has chance")
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

impl Server {
    async fn start() -> Shared {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Arc::new(Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            mood: Mutex::new(Mood::Well),
            key: Mutex::new(("first".to_owned(), new_key())),
            nonce: Mutex::default(),
            challenge: Mutex::default(),
            looks: Mutex::default(),
        });
        let router = Router::new()
            .route("/realms/x/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo))
            .route("/login/oauth/access_token", post(github_token))
            .route("/user", get(github_user))
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap()
    }

    fn mood(&self) -> Mood {
        *Self::lock(&self.mood)
    }

    /// The key's two numbers, out of `SEQUENCE { INTEGER n, INTEGER 65537 }`.
    fn modulus(key: &KeyPair) -> Vec<u8> {
        let der = key.public_key().as_ref();
        assert_eq!(&der[der.len() - 5..], [2, 3, 1, 0, 1]);
        der[der.len() - 5 - 256..der.len() - 5].to_vec()
    }

    fn id_token(&self, access_token: &str) -> String {
        let mood = self.mood();
        let key = Self::lock(&self.key);
        let alg = match mood {
            Mood::Unsigned => "none",
            Mood::SignedWithThePublicKey => "HS256",
            _ => "RS256",
        };
        let kid = if mood == Mood::UnknownKey {
            "?"
        } else {
            &key.0
        };
        let head = json!({"alg": alg, "kid": kid, "typ": "JWT"});
        let hash = Sha256::digest(if mood == Mood::WrongHash {
            "another"
        } else {
            access_token
        });
        let nonce = Self::lock(&self.nonce).clone();
        let mut claims = json!({
            "iss": if mood == Mood::WrongIssuer { "https://evil.example".into() } else { format!("{}/realms/x", self.base) },
            "sub": "f:1234",
            "aud": match mood {
                Mood::WrongAudience => json!("another"),
                Mood::SecondAudience | Mood::ForeignParty => json!(["hub", "account"]),
                _ => json!("hub"),
            },
            "exp": if mood == Mood::Expired { now() - 400 } else { now() + 60 },
            "iat": if mood == Mood::FromTheFuture { now() + 400 } else { now() },
            "nonce": if mood == Mood::WrongNonce { "another" } else { &nonce },
            "at_hash": URL_SAFE_NO_PAD.encode(&hash[..16]),
            "realm_access": {"roles": ["admins", "readers"]},
        });
        if mood == Mood::ForeignParty {
            claims["azp"] = json!("another");
        }
        if !matches!(
            mood,
            Mood::NoName | Mood::NameInUserinfo | Mood::ForeignUserinfo
        ) {
            claims["preferred_username"] = json!("rook");
        }
        let text = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(head.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = match mood {
            Mood::Unsigned => Vec::new(),
            Mood::SignedWithThePublicKey => {
                let mut mac = Hmac::<Sha256>::new_from_slice(&Self::modulus(&key.1)).unwrap();
                mac.update(text.as_bytes());
                mac.finalize().into_bytes().to_vec()
            }
            Mood::WrongKey => sign(&new_key(), &text),
            _ => sign(&key.1, &text),
        };
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn sign(key: &KeyPair, text: &str) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text.as_bytes(),
        &mut signature,
    )
    .unwrap();
    signature
}

async fn discovery(State(server): State<Shared>) -> Json<Value> {
    let base = &server.base;
    Json(json!({
        "issuer": format!("{base}/realms/x"),
        "authorization_endpoint": format!("{base}/auth"),
        "token_endpoint": format!("{base}/token"),
        "userinfo_endpoint": format!("{base}/userinfo"),
        "jwks_uri": format!("{base}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
    }))
}

async fn keys(State(server): State<Shared>) -> Json<Value> {
    *Server::lock(&server.looks) += 1;
    let key = Server::lock(&server.key);
    Json(json!({"keys": [{
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": key.0, "e": "AQAB",
        "n": URL_SAFE_NO_PAD.encode(Server::modulus(&key.1)),
    }]}))
}

fn fields(body: &Bytes) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields
        .iter()
        .find(|(key, _)| key == name)
        .map_or("", |(_, value)| value)
}

async fn token(State(server): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let refused =
        |status: StatusCode, error: &str| (status, Json(json!({"error": error}))).into_response();
    match server.mood() {
        Mood::TokenEndpointFails => return StatusCode::BAD_GATEWAY.into_response(),
        Mood::TokenEndpointIsAPage => return Html("<p>maintenance").into_response(),
        Mood::TokenEndpointIsBusy => {
            return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "9")]).into_response();
        }
        Mood::TokenEndpointRedirects => {
            return (
                StatusCode::FOUND,
                [(header::LOCATION, "http://evil.example/")],
            )
                .into_response();
        }
        Mood::BadClient => return refused(StatusCode::UNAUTHORIZED, "invalid_client"),
        Mood::UsedCode => return refused(StatusCode::BAD_REQUEST, "invalid_grant"),
        _ => {}
    }
    let fields = fields(&body);
    let verifier = Sha256::digest(field(&fields, "code_verifier"));
    let is_proven =
        headers.contains_key(header::AUTHORIZATION) || field(&fields, "client_secret") == "s";
    let is_sound = is_proven
        && field(&fields, "redirect_uri") == CALLBACK
        && field(&fields, "code") == "c"
        && URL_SAFE_NO_PAD.encode(verifier) == *Server::lock(&server.challenge);
    if !is_sound {
        return refused(StatusCode::BAD_REQUEST, "invalid_grant");
    }
    Json(json!({
        "access_token": "at", "token_type": "Bearer", "expires_in": 60,
        "refresh_token": "rt", "id_token": server.id_token("at"),
    }))
    .into_response()
}

async fn userinfo(State(server): State<Shared>, headers: HeaderMap) -> Response {
    if headers
        .get(header::AUTHORIZATION)
        .is_none_or(|it| it != "Bearer at")
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut claims = json!({"sub": "f:1234"});
    match server.mood() {
        Mood::ForeignUserinfo => {
            claims = json!({"sub": "f:other", "preferred_username": "queen"});
        }
        Mood::NameInUserinfo => claims["preferred_username"] = json!("rook"),
        _ => {}
    }
    Json(claims).into_response()
}

/// GitHub answers in a form unless JSON is asked for, and refuses with 200.
async fn github_token(State(server): State<Shared>, headers: HeaderMap) -> Response {
    if headers
        .get(header::ACCEPT)
        .is_none_or(|it| it != "application/json")
    {
        return "access_token=at&scope=&token_type=bearer".into_response();
    }
    match server.mood() {
        Mood::UsedCode => Json(json!({"error": "bad_verification_code"})).into_response(),
        Mood::BadClient => Json(json!({"error": "incorrect_client_credentials"})).into_response(),
        _ => {
            Json(json!({"access_token": "at", "scope": "", "token_type": "bearer"})).into_response()
        }
    }
}

async fn github_user(State(server): State<Shared>) -> Json<Value> {
    Json(match server.mood() {
        Mood::NoName => json!({"id": 583_231, "login": null}),
        _ => json!({"id": 583_231, "login": "octocat"}),
    })
}

fn settings() -> OidcSettings {
    OidcSettings {
        issuer: None,
        authorize_url: None,
        token_url: None,
        userinfo_url: None,
        client_id: "hub".into(),
        client_secret: Some("s".into()),
        scopes: Vec::new(),
        claim_id: "sub".into(),
        claim_name: "preferred_username".into(),
        claim_groups: Some("realm_access.roles".into()),
        admin_groups: vec!["admins".into()],
        claim_admin: None,
        issuer_name: None,
        user_agent: "Holt/1 (tests)".into(),
        connect_to: None,
        leeway: Duration::from_secs(30),
    }
}

fn keycloak(server: &Server) -> Oidc {
    Oidc::new(OidcSettings {
        issuer: Url::parse(&format!("{}/realms/x", server.base)).ok(),
        ..settings()
    })
    .unwrap()
}

fn github(server: &Server) -> Oidc {
    let at = |path: &str| Url::parse(&format!("{}{path}", server.base)).ok();
    Oidc::new(OidcSettings {
        authorize_url: at("/login/oauth/authorize"),
        token_url: at("/login/oauth/access_token"),
        userinfo_url: at("/user"),
        claim_id: "id".into(),
        claim_name: "login".into(),
        claim_groups: None,
        admin_groups: Vec::new(),
        ..settings()
    })
    .unwrap()
}

/// A whole sign-in, with the query that `change` makes of the right one.
async fn sign_in(
    server: &Server,
    oidc: &Oidc,
    change: impl FnOnce(&mut Vec<(String, String)>),
) -> Result<Person, LoginError> {
    let begun = oidc.begin(CALLBACK).await?;
    let went: Vec<(String, String)> = Url::parse(&begun.go_to)
        .unwrap()
        .query_pairs()
        .into_owned()
        .collect();
    assert_eq!(field(&went, "response_type"), "code");
    assert_eq!(field(&went, "redirect_uri"), CALLBACK);
    assert_eq!(field(&went, "code_challenge_method"), "S256");
    assert_eq!(field(&went, "state"), begun.handle);
    *Server::lock(&server.nonce) = field(&went, "nonce").to_owned();
    *Server::lock(&server.challenge) = field(&went, "code_challenge").to_owned();
    let mut query = vec![
        ("state".to_owned(), begun.handle.clone()),
        ("code".to_owned(), "c".to_owned()),
    ];
    change(&mut query);
    oidc.finish(CALLBACK, &begun.kept, &query).await
}

#[tokio::test]
async fn a_keycloak_says_who_it_is_with_nested_groups() {
    let server = Server::start().await;
    let oidc = keycloak(&server);
    for mood in [Mood::Well, Mood::NameInUserinfo] {
        *Server::lock(&server.mood) = mood;
        let person = sign_in(&server, &oidc, |_| {}).await.unwrap();
        assert_eq!(person.issuer, format!("{}/realms/x", server.base));
        assert_eq!(
            (person.sub.as_str(), person.name.as_str()),
            ("f:1234", "rook")
        );
        assert_eq!(person.groups, ["admins", "readers"]);
        assert!(person.admin);
        assert_eq!(person.auth_state["refresh_token"], "rt");
    }
    assert_eq!(*Server::lock(&server.looks), 1, "keys are kept");
}

#[tokio::test]
async fn every_check_of_a_token_is_made() {
    let server = Server::start().await;
    let oidc = keycloak(&server);
    sign_in(&server, &oidc, |_| {}).await.unwrap();
    let unproven = [
        Mood::WrongNonce,
        Mood::WrongAudience,
        Mood::SecondAudience,
        Mood::ForeignParty,
        Mood::WrongIssuer,
        Mood::Expired,
        Mood::Unsigned,
        Mood::SignedWithThePublicKey,
        Mood::WrongKey,
        Mood::UnknownKey,
        Mood::WrongHash,
        Mood::ForeignUserinfo,
    ];
    for mood in unproven {
        *Server::lock(&server.mood) = mood;
        let error = sign_in(&server, &oidc, |_| {})
            .await
            .expect_err("it is forged");
        assert!(
            matches!(error, LoginError::Unproven(_)),
            "{mood:?}: {error:?}"
        );
    }
    *Server::lock(&server.mood) = Mood::FromTheFuture;
    let error = sign_in(&server, &oidc, |_| {})
        .await
        .expect_err("a clock is wrong");
    assert!(
        matches!(error, LoginError::Clock(ahead) if ahead < -300),
        "{error:?}"
    );
    *Server::lock(&server.mood) = Mood::NoName;
    let error = sign_in(&server, &oidc, |_| {}).await.expect_err("no name");
    assert!(matches!(error, LoginError::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn new_keys_are_found_and_unknown_ones_cause_no_storm() {
    let server = Server::start().await;
    let oidc = keycloak(&server);
    sign_in(&server, &oidc, |_| {}).await.unwrap();
    *Server::lock(&server.key) = ("second".to_owned(), new_key());
    sign_in(&server, &oidc, |_| {}).await.unwrap();
    assert_eq!(*Server::lock(&server.looks), 2);
    *Server::lock(&server.mood) = Mood::UnknownKey;
    for _ in 0..5 {
        sign_in(&server, &oidc, |_| {})
            .await
            .expect_err("nobody has that key");
    }
    assert!(
        *Server::lock(&server.looks) <= 3,
        "{}",
        *Server::lock(&server.looks)
    );
}

#[tokio::test]
async fn troubles_are_told_apart() {
    let server = Server::start().await;
    type Kind = fn(&LoginError) -> bool;
    let cases: [(Mood, Kind); 6] = [
        (Mood::TokenEndpointFails, |e| {
            matches!(e, LoginError::Away { .. })
        }),
        (Mood::TokenEndpointIsAPage, |e| {
            matches!(e, LoginError::Away { .. })
        }),
        (
            Mood::TokenEndpointIsBusy,
            |e| matches!(e, LoginError::Away { retry_after: Some(wait), .. } if wait.as_secs() == 9),
        ),
        (Mood::TokenEndpointRedirects, |e| {
            matches!(e, LoginError::Operator { .. })
        }),
        (Mood::BadClient, |e| {
            matches!(e, LoginError::Operator { .. })
        }),
        (Mood::UsedCode, |e| *e == LoginError::Over),
    ];
    for (mood, is_right) in cases {
        *Server::lock(&server.mood) = mood;
        // Another each time: one that heard of too many requests is silent for a while.
        let oidc = keycloak(&server);
        let error = sign_in(&server, &oidc, |_| {})
            .await
            .expect_err("it does not answer well");
        assert!(is_right(&error), "{mood:?}: {error:?}");
    }
    *Server::lock(&server.mood) = Mood::Well;
    let oidc = keycloak(&server);
    let error = sign_in(&server, &oidc, |query| query[0].1 = secret::random_token())
        .await
        .expect_err("another sign-in's state");
    assert_eq!(error, LoginError::Forged);
    let error = sign_in(&server, &oidc, |query| {
        query.push(("iss".to_owned(), "https://evil.example".to_owned()));
    })
    .await
    .expect_err("another provider's answer (RFC 9207)");
    assert_eq!(error, LoginError::Forged);
    let away = Oidc::new(OidcSettings {
        issuer: Url::parse("http://127.0.0.1:9/").ok(),
        ..settings()
    })
    .unwrap();
    assert!(matches!(
        away.begin(CALLBACK).await,
        Err(LoginError::Away { .. })
    ));
}

#[tokio::test]
async fn a_github_is_spoken_to_by_its_endpoints() {
    let server = Server::start().await;
    let oidc = github(&server);
    let person = sign_in(&server, &oidc, |_| {}).await.unwrap();
    assert_eq!(
        (person.sub.as_str(), person.name.as_str()),
        ("583231", "octocat")
    );
    assert_eq!(
        (person.issuer.as_str(), person.admin),
        (server.base.as_str(), false)
    );
    *Server::lock(&server.mood) = Mood::UsedCode;
    let error = sign_in(&server, &oidc, |_| {}).await.expect_err("used");
    assert_eq!(error, LoginError::Over);
    *Server::lock(&server.mood) = Mood::BadClient;
    let error = sign_in(&server, &oidc, |_| {})
        .await
        .expect_err("bad client");
    assert!(matches!(error, LoginError::Operator { .. }), "{error:?}");
    *Server::lock(&server.mood) = Mood::NoName;
    let error = sign_in(&server, &oidc, |_| {}).await.expect_err("no name");
    assert!(matches!(error, LoginError::Refused(_)), "{error:?}");
}

#[test]
fn a_denial_comes_back_with_and_without_a_state() {
    let oidc = Oidc::new(OidcSettings {
        issuer: Url::parse("https://id.example").ok(),
        ..settings()
    })
    .unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let denied = |handle: Option<&str>| CameBack::Denied {
        handle: handle.map(str::to_owned),
        error: "access_denied".to_owned(),
    };
    let error = pair("error", "access_denied");
    assert_eq!(oidc.came_back(std::slice::from_ref(&error)), denied(None));
    assert_eq!(
        oidc.came_back(&[error, pair("state", "s")]),
        denied(Some("s"))
    );
    assert_eq!(oidc.came_back(&[pair("code", "c")]), CameBack::Nothing);
    assert_eq!(oidc.came_back(&[]), CameBack::Nothing);
}

proptest! {
    #[test]
    fn no_query_panics(query in prop::collection::vec((".{0,12}", ".{0,40}"), 0..6)) {
        let oidc = Oidc::new(OidcSettings {
            issuer: Url::parse("https://id.example").ok(),
            ..settings()
        })
        .unwrap();
        let _ = oidc.came_back(&query);
    }
}
