//! OAuth 1.0a as the extension speaks it. What is refused is 200; nonces are burnt before the signature is looked at; the signature is
//! made over the wiki's own address, whatever was dialled.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{HeaderMap, Method, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;

use super::{CONSUMER, CONSUMER_SECRET, Fault, Shared, World, field, pages};

/// How far clocks may be apart, in seconds.
const SKEW: i64 = 300;
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[derive(Debug, Default)]
pub(super) struct Oauth1 {
    requests: BTreeMap<String, RequestToken>,
    /// By key; one for each account.
    access: BTreeMap<String, (String, u64)>,
    nonces: BTreeSet<String>,
}

#[derive(Debug)]
struct RequestToken {
    secret: String,
    callback: String,
    verifier: Option<(String, u64)>,
    is_used: bool,
}

/// `initiate`, `token` and `identify`.
pub(super) fn answer(
    shared: &Shared,
    method: &Method,
    query: &[(String, String)],
    headers: &HeaderMap,
    title: &str,
) -> Response {
    let mut world = shared.world();
    let page = title.trim_start_matches("Special:OAuth/");
    world.asked.push(page.to_owned());
    let answered =
        signed(&mut world, &shared.base, method, query, headers).and_then(|call| match page {
            "initiate" => initiate(&mut world, &call),
            "token" => token(&mut world, &call),
            _ => identify(&mut world, &shared.base, &call),
        });
    match answered {
        Ok(body) if page == "identify" => {
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Ok(body) => plain(body),
        Err((key, words)) if page == "identify" => (
            [(header::CONTENT_TYPE, "application/json")],
            json!({"error": key, "message": words}).to_string(),
        )
            .into_response(),
        Err((_, words)) => plain(format!("Error: {words}")),
    }
}

fn plain(body: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain;charset=UTF-8")], body).into_response()
}

/// The key of a message, and its words.
type Refusal = (&'static str, String);

fn protocol(words: impl std::fmt::Display) -> Refusal {
    (
        "mwoauth-oauth-exception",
        format!("An error occurred in the OAuth protocol: {words}"),
    )
}

/// The parameters of the header, once they are proven.
fn signed(
    world: &mut World,
    base: &str,
    method: &Method,
    query: &[(String, String)],
    headers: &HeaderMap,
) -> Result<Vec<(String, String)>, Refusal> {
    let line = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("OAuth "))
        .ok_or_else(|| protocol("Invalid consumer key"))?;
    let call: Vec<(String, String)> = line
        .split(',')
        .filter_map(|pair| pair.trim().split_once('='))
        .map(|(name, value)| (decode(name), decode(value.trim_matches('"'))))
        .collect();
    let get = |name: &str| field(&call, name).unwrap_or_default();
    if get("oauth_consumer_key") != CONSUMER {
        return Err(protocol("Invalid consumer"));
    }
    if get("oauth_signature_method") != "HMAC-SHA1" {
        return Err(protocol("Signature method not supported"));
    }
    let (theirs, ours) = (
        get("oauth_timestamp").parse::<i64>().unwrap_or(0),
        world.now(),
    );
    if (theirs - ours).abs() > SKEW {
        return Err(protocol(format!(
            "Expired timestamp, yours {theirs}, ours {ours}"
        )));
    }
    let key = get("oauth_token");
    let nonce = format!("{key} {}", get("oauth_nonce"));
    if !world.oauth1.nonces.insert(nonce) {
        return Err(protocol(format!(
            "Nonce already used: {}",
            get("oauth_nonce")
        )));
    }
    let secret = if key.is_empty() {
        String::new()
    } else if let Some(request) = world.oauth1.requests.get(key) {
        request.secret.clone()
    } else if let Some((secret, _)) = world.oauth1.access.get(key) {
        secret.clone()
    } else {
        return Err((
            "mwoauthdatastore-access-token-not-found",
            "No approved grant was found for that authorization token.".to_owned(),
        ));
    };
    let text = base_string(method.as_str(), base, query, &call);
    let mut mac = Hmac::<Sha1>::new_from_slice(format!("{CONSUMER_SECRET}&{secret}").as_bytes())
        .expect("any length will do");
    mac.update(text.as_bytes());
    if STANDARD.encode(mac.finalize().into_bytes()) != get("oauth_signature") {
        return Err(protocol("Invalid signature"));
    }
    Ok(call)
}

fn base_string(
    method: &str,
    base: &str,
    query: &[(String, String)],
    call: &[(String, String)],
) -> String {
    let mut all: Vec<String> = query
        .iter()
        .chain(call.iter().filter(|(name, _)| name != "oauth_signature"))
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    all.sort();
    format!(
        "{method}&{}&{}",
        encode(&format!("{base}/w/index.php")),
        encode(&all.join("&"))
    )
}

fn initiate(world: &mut World, call: &[(String, String)]) -> Result<String, Refusal> {
    if world.fault == Fault::ReadOnly {
        return Err((
            "mwoauth-db-readonly",
            "The OAuth database is temporarily locked. Please try again in a few minutes."
                .to_owned(),
        ));
    }
    let asked = field(call, "oauth_callback").unwrap_or_default();
    let callback = if asked == "oob" {
        world.callback.clone()
    } else if world.is_callback_prefix && asked.starts_with(&world.callback) {
        asked.to_owned()
    } else {
        return Err(protocol(
            "oauth_callback must be set, and must be set to &quot;oob&quot; (case-sensitive)",
        ));
    };
    let (key, secret) = (world.random(), world.random());
    world.oauth1.requests.insert(
        key.clone(),
        RequestToken {
            secret: secret.clone(),
            callback,
            verifier: None,
            is_used: false,
        },
    );
    Ok(format!(
        "oauth_token={key}&oauth_token_secret={secret}&oauth_callback_confirmed=true"
    ))
}

fn token(world: &mut World, call: &[(String, String)]) -> Result<String, Refusal> {
    let key = field(call, "oauth_token").unwrap_or_default().to_owned();
    let fresh = (world.random(), format!("{}{}", world.random(), "01234567"));
    let Some(request) = world.oauth1.requests.get_mut(&key) else {
        return Err((
            "mwoauthdatastore-request-token-not-found",
            "The OAuth token not found, E004".to_owned(),
        ));
    };
    if request.is_used {
        return Err((
            "mwoauthdatastore-request-token-already-used",
            "This request has already been completed and cannot be resubmitted.\nGo back to the application and try to connect your account again, or contact the application author.\n\nOAuth token already used, E009".to_owned(),
        ));
    }
    let Some((verifier, sub)) = &request.verifier else {
        return Err((
            "mwoauthdatastore-bad-verifier",
            "No token was found matching your request.".to_owned(),
        ));
    };
    if field(call, "oauth_verifier") != Some(verifier) {
        return Err((
            "mwoauthdatastore-bad-verifier",
            "The verification code provided was not valid.".to_owned(),
        ));
    }
    let sub = *sub;
    request.is_used = true;
    let known = world
        .oauth1
        .access
        .iter()
        .find(|(_, (_, of))| *of == sub)
        .map(|(key, (secret, _))| (key.clone(), secret.clone()));
    let (key, secret) = known.unwrap_or(fresh);
    world
        .oauth1
        .access
        .insert(key.clone(), (secret.clone(), sub));
    Ok(format!(
        "oauth_token={key}&oauth_token_secret={secret}&oauth_callback_confirmed=true"
    ))
}

fn identify(world: &mut World, base: &str, call: &[(String, String)]) -> Result<String, Refusal> {
    let key = field(call, "oauth_token").unwrap_or_default();
    let sub = world.oauth1.access.get(key).map(|(_, sub)| *sub);
    let account = sub.and_then(|sub| world.accounts.get(&sub));
    let (Some(sub), Some(account)) = (sub, account) else {
        return Err((
            "mwoauthdatastore-access-token-not-found",
            "No approved grant was found for that authorization token.".to_owned(),
        ));
    };
    if account.revoked {
        return Err((
            "mwoauthdatastore-access-token-not-found",
            "No approved grant was found for that authorization token.".to_owned(),
        ));
    }
    if account.locked {
        return Err((
            "mwoauth-invalid-authorization-blocked-user",
            "The authorization headers in your request are for a user who is blocked".to_owned(),
        ));
    }
    let now = world.now();
    let mut claims = account.claims(sub);
    let nonce = field(call, "oauth_nonce").unwrap_or_default();
    let more = json!({
        "iss": base,
        "aud": if world.fault == Fault::WrongAudience { "another" } else { CONSUMER },
        "iat": now - if world.fault == Fault::Expired { 4000 } else { 0 },
        "exp": now + if world.fault == Fault::Expired { -3900 } else { 100 },
        "nonce": if world.fault == Fault::WrongNonce { "0".repeat(32) } else { nonce.to_owned() },
    });
    if let (Value::Object(claims), Value::Object(more)) = (&mut claims, more) {
        claims.extend(more);
    }
    Ok(jwt(&claims, world.fault))
}

fn jwt(claims: &Value, fault: Fault) -> String {
    let alg = if fault == Fault::Unsigned {
        "none"
    } else {
        "HS256"
    };
    let head = URL_SAFE_NO_PAD.encode(json!({"typ": "JWT", "alg": alg}).to_string());
    let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
    let key = if fault == Fault::WrongKey {
        "another"
    } else {
        CONSUMER_SECRET
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("any length will do");
    mac.update(format!("{head}.{payload}").as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{head}.{payload}.{signature}")
}

/// `authenticate` and `authorize`, in a browser.
pub(super) fn dialog(
    shared: &Shared,
    query: &[(String, String)],
    headers: &HeaderMap,
    fields: &[(String, String)],
) -> Response {
    let mut world = shared.world();
    let key = field(query, "oauth_token").unwrap_or_default().to_owned();
    let verifier = world.random();
    let Some(sub) = world.browser(headers) else {
        let here = format!("/w/index.php?title=Special:OAuth/authenticate&oauth_token={key}");
        return pages::to_sign_in(&here);
    };
    let Some(request) = world.oauth1.requests.get_mut(&key) else {
        return Html("The token was not found, E004").into_response();
    };
    if field(fields, "decline").is_some() {
        // Nobody is told: the browser stays here.
        return Html("You declined.").into_response();
    }
    if field(fields, "accept").is_none() {
        return pages::question();
    }
    request.verifier = Some((verifier.clone(), sub));
    let callback = request.callback.clone();
    pages::back(
        &callback,
        &[("oauth_verifier", &verifier), ("oauth_token", &key)],
    )
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
