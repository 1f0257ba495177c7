//! Servers that speak OpenID Connect and OAuth 2.0 as Keycloak and GitHub do, and misbehave on demand.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

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
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::CALLBACK;
/// How the server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
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

pub(super) struct Server {
    pub(super) base: String,
    pub(super) mood: Mutex<Mood>,
    pub(super) key: Mutex<(String, KeyPair)>,
    pub(super) nonce: Mutex<String>,
    pub(super) challenge: Mutex<String>,
    /// How often keys were asked for.
    pub(super) looks: Mutex<usize>,
}

pub(super) type Shared = Arc<Server>;

pub(super) fn new_key() -> KeyPair {
    KeyPair::generate(KeySize::Rsa2048).expect("the machine has chance")
}

pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

impl Server {
    pub(super) async fn start() -> Shared {
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

    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap()
    }

    pub(super) fn mood(&self) -> Mood {
        *Self::lock(&self.mood)
    }

    /// The key's two numbers, out of `SEQUENCE { INTEGER n, INTEGER 65537 }`.
    pub(super) fn modulus(key: &KeyPair) -> Vec<u8> {
        let der = key.public_key().as_ref();
        assert_eq!(&der[der.len() - 5..], [2, 3, 1, 0, 1]);
        der[der.len() - 5 - 256..der.len() - 5].to_vec()
    }

    pub(super) fn id_token(&self, access_token: &str) -> String {
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

pub(super) fn sign(key: &KeyPair, text: &str) -> Vec<u8> {
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

pub(super) async fn discovery(State(server): State<Shared>) -> Json<Value> {
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

pub(super) async fn keys(State(server): State<Shared>) -> Json<Value> {
    *Server::lock(&server.looks) += 1;
    let key = Server::lock(&server.key);
    Json(json!({"keys": [{
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": key.0, "e": "AQAB",
        "n": URL_SAFE_NO_PAD.encode(Server::modulus(&key.1)),
    }]}))
}

pub(super) fn fields(body: &Bytes) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields
        .iter()
        .find(|(key, _)| key == name)
        .map_or("", |(_, value)| value)
}

pub(super) async fn token(
    State(server): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
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

pub(super) async fn userinfo(State(server): State<Shared>, headers: HeaderMap) -> Response {
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
pub(super) async fn github_token(State(server): State<Shared>, headers: HeaderMap) -> Response {
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

pub(super) async fn github_user(State(server): State<Shared>) -> Json<Value> {
    Json(match server.mood() {
        Mood::NoName => json!({"id": 583_231, "login": null}),
        _ => json!({"id": 583_231, "login": "octocat"}),
    })
}
