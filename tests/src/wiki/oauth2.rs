//! `rest.php/oauth2/access_token`: codes and refresh tokens become access tokens.
//!
//! The checks stand in the order of the library that the extension uses, since what is checked later does not spend a code.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

use super::answer::Answer;
use super::authorize::is_same_address;
use super::consumers::{Consumer, Kind, Stage, Version};
use super::php::{Json, Letters, decode};
use super::request::Request;
use super::state::{Bearer, Code, Refresh, Release, SHORT, Secret, State, random_hex};

/// An error of OAuth 2.0 as the library writes it.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    status: u16,
    error: &'static str,
    words: &'static str,
    hint: Option<String>,
    challenge: bool,
}

const MALFORMED: &str = "The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed.";
const DENIED: &str = "The resource owner or authorization server denied the request.";
const GRANT: &str = "The provided authorization grant (e.g., authorization code, resource owner credentials) or refresh token is invalid, expired, revoked, does not match the redirection URI used in the authorization request, or was issued to another client.";

impl Failure {
    fn new(status: u16, error: &'static str, words: &'static str, hint: Option<&str>) -> Self {
        Self {
            status,
            error,
            words,
            hint: hint.map(str::to_owned),
            challenge: false,
        }
    }

    fn request(hint: &str) -> Self {
        Self::new(400, "invalid_request", MALFORMED, Some(hint))
    }

    fn missing(parameter: &str) -> Self {
        Self::request(&format!("Check the `{parameter}` parameter"))
    }

    fn client(request: &Request) -> Self {
        let basic = request
            .authorization()
            .is_some_and(|header| header.starts_with("Basic "));
        Self {
            challenge: basic,
            ..Self::new(401, "invalid_client", "Client authentication failed", None)
        }
    }

    fn refresh(release: Release, hint: &str) -> Self {
        let (status, error) = match release {
            Release::Lts143 => (401, "invalid_request"),
            Release::Master => (400, "invalid_grant"),
        };
        Self::new(status, error, "The refresh token is invalid.", Some(hint))
    }

    pub(super) fn denied(hint: Option<&str>) -> Self {
        Self::new(401, "access_denied", DENIED, hint)
    }

    pub(super) fn answer(&self) -> Answer {
        let mut members = vec![
            ("error".to_owned(), self.error.into()),
            ("error_description".to_owned(), self.words.into()),
        ];
        if let Some(hint) = &self.hint {
            members.push(("hint".to_owned(), hint.as_str().into()));
        }
        members.push(("message".to_owned(), self.words.into()));
        let answer = Answer::json(self.status, &Json::Map(members));
        if self.challenge {
            answer.with("www-authenticate", "Basic realm=\"OAuth\"")
        } else {
            answer
        }
    }
}

/// A page for a browser where nothing may be sent back.
pub(super) fn page(status: u16, error: &str, words: &str) -> Box<Answer> {
    let inside = format!("<p class=\"error\" data-error=\"{error}\">{words}</p>");
    Box::new(Answer::page(
        status,
        "Application Connection Error",
        &inside,
    ))
}

/// Whether it can be a challenge or a verifier.
pub(super) fn is_proof(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

pub(super) fn answer(state: &mut State, request: &Request) -> Answer {
    if request.method != "POST" {
        let words = "The requested relative path (/oauth2/access_token) cannot be accessed with the GET method";
        return of_rest(405, "Method Not Allowed", "rest-wrong-method", words)
            .with("allow", "POST");
    }
    if !request.is_form() {
        let words = "Unsupported Content-Type";
        return of_rest(
            415,
            "Unsupported Media Type",
            "rest-unsupported-content-type",
            words,
        );
    }
    let told = match request.form_field("grant_type") {
        Some("authorization_code") => by_code(state, request),
        Some("refresh_token") => by_refresh(state, request),
        Some("client_credentials") => Err(Failure::client(request)),
        _ => Err(Failure::new(
            400,
            "unsupported_grant_type",
            "The authorization grant type is not supported by the authorization server.",
            Some("Check that all required parameters have been provided"),
        )),
    };
    told.unwrap_or_else(|failure| failure.answer())
}

/// Errors of MediaWiki's own REST, which have no member `error`.
pub(super) fn of_rest(status: u16, reason: &str, key: &str, words: &str) -> Answer {
    let body = Json::map([
        ("errorKey", key.into()),
        ("messageTranslations", Json::map([("en", words.into())])),
        ("httpCode", i64::from(status).into()),
        ("httpReason", reason.into()),
    ]);
    Answer::json(status, &body)
}

fn by_code(state: &mut State, request: &Request) -> Result<Answer, Failure> {
    let client = client(state, request, "authorization_code")?;
    let sent = request.form_field("redirect_uri");
    if sent.is_some_and(|sent| !is_same_address(state.release, &client.callback, sent)) {
        return Err(Failure::client(request));
    }
    let key = request
        .form_field("code")
        .ok_or_else(|| Failure::missing("code"))?;
    let code = state
        .codes
        .get(key)
        .cloned()
        .ok_or_else(|| Failure::request("Cannot decrypt the authorization code"))?;
    if code.until < state.now() {
        return Err(Failure::request("Authorization code has expired"));
    }
    if code.spent {
        return Err(Failure::request("Authorization code has been revoked"));
    }
    if code.client != client.key {
        return Err(Failure::request(
            "Authorization code was not issued to this client",
        ));
    }
    match (&code.redirect_uri, sent) {
        (Some(_), None) => return Err(Failure::missing("redirect_uri")),
        (Some(asked), Some(sent)) if asked != sent => {
            return Err(Failure::request("Invalid redirect URI"));
        }
        _ => {}
    }
    check_verifier(state.release, &code, request.form_field("code_verifier"))?;
    if client.stage != Stage::Approved {
        return Err(Failure::denied(None));
    }
    if let Some(known) = state.codes.get_mut(key) {
        known.spent = true;
    }
    Ok(issue(state, &client, code.sub, code.scopes))
}

fn check_verifier(release: Release, code: &Code, verifier: Option<&str>) -> Result<(), Failure> {
    let verifier = verifier.filter(|verifier| !verifier.is_empty());
    match (&code.challenge, verifier) {
        (None, Some(_)) if release == Release::Master => Err(Failure::request(
            "code_verifier received when no code_challenge is present",
        )),
        (None, _) => Ok(()),
        (Some(_), None) => Err(Failure::missing("code_verifier")),
        (Some(_), Some(verifier)) if !is_proof(verifier) => Err(Failure::request(
            "Code Verifier must follow the specifications of RFC-7636.",
        )),
        (Some((method, challenge)), Some(verifier)) => {
            let reckoned = match method.as_str() {
                "S256" => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)),
                _ => verifier.to_owned(),
            };
            if reckoned == *challenge {
                Ok(())
            } else {
                Err(Failure::new(
                    400,
                    "invalid_grant",
                    GRANT,
                    Some("Failed to verify `code_verifier`."),
                ))
            }
        }
    }
}

fn by_refresh(state: &mut State, request: &Request) -> Result<Answer, Failure> {
    let client = client(state, request, "refresh_token")?;
    let key = request
        .form_field("refresh_token")
        .ok_or_else(|| Failure::missing("refresh_token"))?;
    let release = state.release;
    let refused = |hint| Failure::refresh(release, hint);
    let known = state
        .refreshes
        .get(key)
        .cloned()
        .ok_or_else(|| refused("Cannot decrypt the refresh token"))?;
    let now = state.now();
    if known.client != client.key {
        return Err(refused("Token is not linked to client"));
    }
    if known.until < now {
        return Err(refused("Token has expired"));
    }
    // For an answer that was lost.
    let grace = match release {
        Release::Lts143 => -1,
        Release::Master => SHORT,
    };
    if known.spent.is_some_and(|since| now - since > grace) {
        return Err(refused("Token has been revoked"));
    }
    if let Some(refresh) = state.refreshes.get_mut(key) {
        refresh.spent.get_or_insert(now);
    }
    if let Some(bearer) = state.bearers.get_mut(&known.bearer) {
        bearer.revoked = true;
    }
    // Too late for the tokens: they are spent.
    if client.stage != Stage::Approved {
        return Err(Failure::denied(None));
    }
    Ok(issue(state, &client, known.sub, known.scopes))
}

/// Which client this is, and that it is.
fn client(state: &State, request: &Request, grant_type: &str) -> Result<Consumer, Failure> {
    let (id, secret) = credentials(request);
    let client = state
        .consumer(&id)
        .filter(|client| client.version == Version::Two && !client.owner_only)
        .filter(|client| client.grant_types.iter().any(|kind| kind == grant_type))
        .ok_or_else(|| Failure::client(request))?;
    let needs_secret = client.kind == Kind::Confidential
        || (grant_type == "refresh_token" && state.release == Release::Lts143);
    // A public client has no secret that it could say.
    if needs_secret && (secret.is_empty() || secret != client.secret) {
        return Err(Failure::client(request));
    }
    Ok(client.clone())
}

fn credentials(request: &Request) -> (String, String) {
    let basic = request
        .authorization()
        .and_then(|header| header.strip_prefix("Basic "))
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .and_then(|pair| String::from_utf8(pair).ok());
    let pair = basic.as_deref().and_then(|pair| pair.split_once(':'));
    let of_form = |name| request.form_field(name).map(str::to_owned);
    let (id, secret) = pair
        .map(|(id, secret)| (decode(id), decode(secret)))
        .unzip();
    (
        of_form("client_id").or(id).unwrap_or_default(),
        of_form("client_secret").or(secret).unwrap_or_default(),
    )
}

fn issue(state: &mut State, client: &Consumer, sub: u64, scopes: Vec<String>) -> Answer {
    let bearer = match state.given.get_mut(&Secret::Bearer) {
        Some(given) if !given.is_empty() => given.pop_front().unwrap_or_default(),
        _ => opaque(state, client, sub, &scopes),
    };
    let refresh = state.secret(Secret::RefreshToken);
    let now = state.now();
    state.bearers.insert(
        bearer.clone(),
        Bearer {
            client: client.key.clone(),
            sub,
            scopes: scopes.clone(),
            until: now + state.access_token_seconds,
            revoked: false,
        },
    );
    state.refreshes.insert(
        refresh.clone(),
        Refresh {
            client: client.key.clone(),
            sub,
            scopes,
            bearer: bearer.clone(),
            until: now + state.refresh_token_seconds,
            spent: None,
        },
    );
    let body = Json::map([
        ("token_type", "Bearer".into()),
        ("expires_in", state.access_token_seconds.into()),
        ("access_token", bearer.as_str().into()),
        ("refresh_token", refresh.as_str().into()),
    ]);
    Answer::new(
        200,
        "application/json; charset=UTF-8",
        body.write(Letters::Escaped),
    )
}

/// Looks like the real one; its signature is random, since nobody may look into it.
fn opaque(state: &State, client: &Consumer, sub: u64, scopes: &[String]) -> String {
    let issuer = state.canonical.as_ref().unwrap_or(&state.server);
    let sub = match state.release {
        Release::Lts143 => sub.to_string(),
        Release::Master => format!("mw:CentralAuth::{sub}"),
    };
    // Times are far below the numbers that a float cannot hold.
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
    let moment = |seconds: i64| Json::Float(seconds as f64 + 0.434_055);
    let claims = Json::map([
        ("aud", client.key.as_str().into()),
        ("jti", random_hex(40).as_str().into()),
        ("iat", moment(state.now())),
        ("nbf", moment(state.now())),
        ("exp", moment(state.now() + state.access_token_seconds)),
        ("sub", sub.as_str().into()),
        ("iss", issuer.as_str().into()),
        ("scopes", Json::texts(scopes)),
    ]);
    let header = Json::map([("typ", "JWT".into()), ("alg", "RS256".into())]);
    let mut signature = [0; 256];
    rand::rng().fill(&mut signature);
    format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode(header.write(Letters::Escaped)),
        URL_SAFE_NO_PAD.encode(claims.write(Letters::Escaped)),
        URL_SAFE_NO_PAD.encode(signature)
    )
}
