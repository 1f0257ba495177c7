//! Who sits at the browser: cookies in, cookies out, and the proof that a form is ours.
//!
//! Three cookies, as JupyterHub names them: `jupyterhub-hub-login` (the session; only under `/hub/`, so that no notebook receives it),
//! `jupyterhub-session-id` (no secret; servers tell browsers apart by it), `_xsrf` (the proof, for people's own scripts).

use std::net::IpAddr;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Form, RequestPartsExt as _};
use holt_spec::control::LISTENER_HEADER;

use super::HubState;
use super::error::Failure;
use super::next::{own_path, with_next};
use crate::access::{Caller, NewSession};
use crate::login::sign_in::PATIENCE;
use crate::secret;
use crate::store::users::User;

const LOGIN: &str = "jupyterhub-hub-login";
const SESSION: &str = "jupyterhub-session-id";
const XSRF: &str = "_xsrf";
/// Binds sign-ins on their way to the browser that began them.
const SIGNING_IN: &str = "holt-sign-in";
/// What is kept of a browser's name.
const AGENT_CHARS: usize = 200;

/// A browser, signed in or not.
#[derive(Debug, Clone)]
pub(super) struct Browser {
    /// Who is signed in.
    pub(super) user: Option<User>,
    /// The hash of the login cookie, when it is good.
    pub(super) login_hash: Option<String>,
    pub(super) session_id: String,
    /// The proof for this browser's forms.
    pub(super) xsrf: String,
    /// The secret that binds sign-ins on their way to this browser, when it has one.
    pub(super) signing_in: Option<String>,
    /// What it calls itself, cut short.
    pub(super) agent: String,
    /// Where it is.
    pub(super) address: Option<IpAddr>,
    /// Cookies the browser does not have yet.
    missing: Vec<HeaderValue>,
}

impl FromRequestParts<HubState> for Browser {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &HubState) -> Result<Self, Failure> {
        // A server's side has no browsers: its cookies mean nothing.
        let internal = parts
            .headers
            .get(LISTENER_HEADER)
            .is_some_and(|value| value == "internal");
        let none = HeaderMap::new();
        let headers = if internal { &none } else { &parts.headers };
        let login = cookie(headers, LOGIN)
            .filter(|raw| raw.len() <= secret::LONGEST)
            .map(|raw| secret::hash(&raw));
        let found = match &login {
            Some(hash) => {
                state
                    .store
                    .session(hash, state.settings.session_idle)
                    .await?
            }
            None => None,
        };
        let shown = cookie(headers, SESSION)
            .filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        let (user, session_id) = match found {
            Some((session, user)) => (Some(user), session.session_id),
            None => (None, shown.clone().unwrap_or_else(secret::random_id)),
        };
        let cookie_id = user.as_ref().map_or("", |user| user.cookie_id.as_str());
        let xsrf = state.xsrf.token(&session_id, cookie_id);
        let mut missing = Vec::new();
        if shown.as_ref() != Some(&session_id) {
            missing.push(set_cookie(state, SESSION, &session_id, "/", None));
        }
        if cookie(headers, XSRF).as_ref() != Some(&xsrf) {
            missing.push(set_cookie(state, XSRF, &xsrf, "/hub/", None));
        }
        Ok(Self {
            login_hash: login.filter(|_| user.is_some()),
            user,
            session_id,
            xsrf,
            signing_in: cookie(headers, SIGNING_IN).filter(|raw| raw.len() == secret::TOKEN_CHARS),
            agent: agent(headers),
            address: address(headers),
            missing,
        })
    }
}

impl Browser {
    /// Adds the cookies that the forms of this page need.
    pub(super) fn answer(&self, page: impl IntoResponse) -> Response {
        let mut response = page.into_response();
        for cookie in &self.missing {
            response
                .headers_mut()
                .append(header::SET_COOKIE, cookie.clone());
        }
        response
    }
}

/// Somebody signed in who opens a page. Others are sent to sign in and come back.
#[derive(Debug, Clone)]
pub(super) struct SignedIn {
    pub(super) user: User,
    pub(super) browser: Browser,
}

impl SignedIn {
    pub(super) fn caller(&self) -> Caller {
        Caller::with_session(self.user.clone(), self.browser.session_id.clone())
    }
}

impl FromRequestParts<HubState> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &HubState) -> Result<Self, Response> {
        let browser = parts
            .extract_with_state::<Browser, _>(state)
            .await
            .map_err(IntoResponse::into_response)?;
        let Some(user) = browser.user.clone() else {
            let here = parts
                .uri
                .path_and_query()
                .map_or("/hub/home", |path| path.as_str());
            return Err(Redirect::to(&with_next("/hub/login", here)).into_response());
        };
        // A script of a notebook has our origin: it may not read pages in the person's name.
        if !is_navigation(&parts.headers) && !shows_proof(parts, &browser) {
            return Err(Failure::forbidden(
                "Pages are for people: open them in a tab of their own.",
            )
            .into_response());
        }
        Ok(Self { user, browser })
    }
}

/// The fields of a form.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The field's text, empty when it is absent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// Whether the field is there, as a ticked box is.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }
}

/// A form of ours from a browser that need not be signed in; `proven` is left to the handler to look at.
#[derive(Debug)]
pub(super) struct Unproven {
    pub(super) browser: Browser,
    pub(super) fields: Fields,
    pub(super) proven: bool,
}

impl FromRequest<HubState> for Unproven {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &HubState) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let browser = parts.extract_with_state::<Browser, _>(state).await?;
        let by_head = shows_proof(&parts, &browser);
        let request = Request::from_parts(parts, body);
        let Form(fields) = Form::<Vec<(String, String)>>::from_request(request, state)
            .await
            .map_err(|rejection| {
                let status = rejection.into_response().status();
                if status == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
                    Failure::new(status, "That is more than may be sent here.")
                } else {
                    Failure::bad_request("The form could not be read.")
                }
            })?;
        let fields = Fields(fields);
        let proven = by_head || secret::same(fields.text(XSRF), &browser.xsrf);
        Ok(Self {
            browser,
            fields,
            proven,
        })
    }
}

/// A form that is certainly ours.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) browser: Browser,
    pub(super) fields: Fields,
}

impl FromRequest<HubState> for Posted {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &HubState) -> Result<Self, Failure> {
        let form = Unproven::from_request(request, state).await?;
        if !form.proven {
            return Err(no_proof(&form.fields, &form.browser));
        }
        Ok(Self {
            browser: form.browser,
            fields: form.fields,
        })
    }
}

/// A form that is certainly ours, from somebody signed in.
#[derive(Debug)]
pub(super) struct SignedPosted {
    pub(super) who: SignedIn,
    pub(super) fields: Fields,
}

impl FromRequest<HubState> for SignedPosted {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &HubState) -> Result<Self, Failure> {
        let Posted { browser, fields } = Posted::from_request(request, state).await?;
        match browser.user.clone() {
            Some(user) => Ok(Self {
                who: SignedIn { user, browser },
                fields,
            }),
            None => Err(Failure::forbidden("You are signed out.").advise("Sign in", "/hub/login")),
        }
    }
}

fn no_proof(fields: &Fields, browser: &Browser) -> Failure {
    let argument = if fields.has(XSRF) {
        "does not match"
    } else {
        "is missing"
    };
    if browser.user.is_none() {
        return Failure::forbidden(format!("You are signed out, or this page is too old ('_xsrf' argument {argument}). Sign in and try again."))
            .advise("Sign in", "/hub/login");
    }
    Failure::forbidden(format!(
        "This form did not come from a page of this hub, or the page is too old ('_xsrf' argument {argument}). Open the page again and repeat."
    ))
    .advise("Go to your home page", "/hub/home")
}

/// Whether header or query carry the proof.
pub(super) fn shows_proof(parts: &Parts, browser: &Browser) -> bool {
    let in_header = ["x-xsrftoken", "x-csrftoken"]
        .into_iter()
        .filter_map(|name| parts.headers.get(name)?.to_str().ok())
        .any(|shown| secret::same(shown, &browser.xsrf));
    let in_query = parts
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|field| field.strip_prefix("_xsrf="))
        .any(|shown| secret::same(shown, &browser.xsrf));
    in_header || in_query
}

/// A person opens a page in a tab, as far as the browser tells: old ones and programs do not.
pub(super) fn is_navigation(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-mode")
        .is_none_or(|mode| mode == "navigate")
        && headers
            .get("sec-fetch-dest")
            .is_none_or(|what| what == "document")
}

/// Whether a request that only reads could be a person's own.
pub(super) fn is_plain_read(parts: &Parts) -> bool {
    matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS)
        && is_navigation(&parts.headers)
}

/// The address the request came from: the proxy adds it last.
pub(super) fn address(headers: &HeaderMap) -> Option<IpAddr> {
    let all = headers
        .get_all("x-forwarded-for")
        .iter()
        .next_back()?
        .to_str()
        .ok()?;
    let last = all.rsplit(',').next()?.trim();
    last.parse().ok()
}

/// The path in the query's `next`, if it is ours.
pub(super) fn asked_next(state: &HubState, query: &[(String, String)]) -> Option<String> {
    let next = query
        .iter()
        .find(|(key, _)| key == "next")
        .map(|(_, value)| value)?;
    own_path(next, &state.settings.public_url)
}

/// What a browser calls itself, without what could mislead in a list.
fn agent(headers: &HeaderMap) -> String {
    headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .chars()
        .filter(|letter| !letter.is_control())
        .take(AGENT_CHARS)
        .collect()
}

/// Sends the browser to a provider, with the cookie that will let it finish there what it began.
pub(super) fn send_away(state: &HubState, signing_in: &str, to: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    let lifetime = Some(PATIENCE.as_secs());
    response.headers_mut().append(
        header::SET_COOKIE,
        set_cookie(state, SIGNING_IN, signing_in, "/hub/", lifetime),
    );
    response
}

/// Sends the browser on with the cookies of its new session.
pub(super) fn begin(state: &HubState, user: &User, session: &NewSession, to: &str) -> Response {
    let lifetime = Some(state.settings.session_lifetime.as_secs());
    let xsrf = state.xsrf.token(&session.session_id, &user.cookie_id);
    let mut response = Redirect::to(to).into_response();
    for cookie in [
        set_cookie(state, LOGIN, &session.login, "/hub/", lifetime),
        set_cookie(state, SESSION, &session.session_id, "/", None),
        set_cookie(state, XSRF, &xsrf, "/hub/", None),
    ] {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Takes all cookies of ours away.
pub(super) fn end(state: &HubState, mut response: Response) -> Response {
    for (name, path) in [(LOGIN, "/hub/"), (SESSION, "/"), (XSRF, "/hub/")] {
        response.headers_mut().append(
            header::SET_COOKIE,
            set_cookie(state, name, "", path, Some(0)),
        );
    }
    response
}

/// The cookie's value. One that comes twice was planted by a page of this origin: it counts as none.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value.trim_matches('"').to_owned());
    let value = found.next()?;
    if found.next().is_some() {
        None
    } else {
        Some(value)
    }
}

fn set_cookie(
    state: &HubState,
    name: &str,
    value: &str,
    path: &str,
    max_age: Option<u64>,
) -> HeaderValue {
    let mut text = format!("{name}={value}; Path={path}; SameSite=Lax");
    // People's scripts read the proof; notebooks' pages cannot, by its path.
    if name != XSRF {
        text.push_str("; HttpOnly");
    }
    if state.settings.is_secure() {
        text.push_str("; Secure");
    }
    if let Some(seconds) = max_age {
        text.push_str(&format!("; Max-Age={seconds}"));
    }
    HeaderValue::from_str(&text).expect("our names, and values of letters and digits")
}
