//! Single-use links: a sign-in link signs in when a person opens it; invitation and reset show a form and are used by it.
//!
//! Programs that look at links before people do (mail scanners, chat previews) must not use them up: `HEAD` and what does not look
//! like a person's browser get a page with a button instead.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;

use super::super::HubState;
use super::super::browser::{Browser, Posted};
use super::super::error::{Failure, sentence};
use super::login::{destination, sign_in};
use super::{Frame, page};
use crate::access;
use crate::login::password;
use crate::metrics::LOGINS;
use crate::store::StoreError;
use crate::store::links::{Link, LinkKind, LinkState};
use crate::users::{self, UsersError};

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage {
    frame: Frame,
    kind: &'static str,
    user: String,
    admin: bool,
    username: String,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "link_over.html")]
struct LinkOverPage {
    frame: Frame,
    reason: &'static str,
    advice: &'static str,
}

/// `GET /hub/link/{token}`.
pub(in crate::http) async fn open(
    State(state): State<HubState>,
    browser: Browser,
    method: Method,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let link = match fresh(&state, &browser, &token).await? {
        Ok(link) => link,
        Err(page) => return Ok(page),
    };
    if link.kind == LinkKind::Signin && method == Method::GET && is_a_person(&headers) {
        return use_signin(&state, &browser, &token).await;
    }
    show(&state, &browser, &link, StatusCode::OK, "", None)
}

/// `POST /hub/link/{token}`.
pub(in crate::http) async fn submit(
    State(state): State<HubState>,
    Path(token): Path<String>,
    form: Posted,
) -> Result<Response, Failure> {
    let Posted { browser, fields } = form;
    let link = match fresh(&state, &browser, &token).await? {
        Ok(link) => link,
        Err(page) => return Ok(page),
    };
    if link.kind == LinkKind::Signin {
        return use_signin(&state, &browser, &token).await;
    }
    let (username, typed) = (fields.text("username"), fields.text("password"));
    let checked = check(&link, username, typed, fields.text("password2"));
    let name = match checked {
        Ok(name) => name,
        Err(words) => {
            return show(
                &state,
                &browser,
                &link,
                StatusCode::BAD_REQUEST,
                username,
                Some(words),
            );
        }
    };
    let kept = password::keep(typed).await?;
    let user = if link.kind == LinkKind::Invite {
        match state.store.use_invite_link(&token, &name, &kept).await {
            Ok(user) => user,
            Err(StoreError::Taken) => {
                let words = sentence(&UsersError::Taken);
                return show(
                    &state,
                    &browser,
                    &link,
                    StatusCode::CONFLICT,
                    username,
                    Some(words),
                );
            }
            Err(other) => return Err(other.into()),
        }
    } else {
        match state.store.use_reset_link(&token, &kept).await? {
            Some((user_id, ended)) => {
                access::forget(state.revoke.as_ref(), ended).await;
                state.store.user(user_id).await?
            }
            None => None,
        }
    };
    let Some(user) = user else {
        return over(&state, &browser, Some(LinkState::Used), link.kind);
    };
    metrics::counter!(LOGINS, "way" => "link", "outcome" => "success").increment(1);
    let to = destination(&state, &user, None).await?;
    sign_in(&state, &browser, "", &user, &to).await
}

async fn use_signin(state: &HubState, browser: &Browser, token: &str) -> Result<Response, Failure> {
    let user = match state.store.use_signin_link(token).await? {
        Some(user_id) => state.store.user(user_id).await?,
        None => None,
    };
    let Some(user) = user else {
        return over(state, browser, Some(LinkState::Used), LinkKind::Signin);
    };
    metrics::counter!(LOGINS, "way" => "link", "outcome" => "success").increment(1);
    tracing::info!(user.id = user.id, "User {} signed in with a link", user.id);
    let to = destination(state, &user, None).await?;
    sign_in(state, browser, "", &user, &to).await
}

/// The link if it can be used, else the page that says why not.
async fn fresh(
    state: &HubState,
    browser: &Browser,
    token: &str,
) -> Result<Result<Link, Response>, Failure> {
    match state.store.link(token).await? {
        Some(link) if link.state == LinkState::Fresh => Ok(Ok(link)),
        Some(link) => Ok(Err(over(state, browser, Some(link.state), link.kind)?)),
        None => Ok(Err(over(state, browser, None, LinkKind::Invite)?)),
    }
}

/// The name to use, or what is wrong with what was typed.
fn check(link: &Link, username: &str, typed: &str, again: &str) -> Result<String, String> {
    let name = match (link.kind, &link.user) {
        (LinkKind::Invite, _) => users::clean_name(username).map_err(|error| sentence(&error))?,
        (_, user) => user.clone().unwrap_or_default(),
    };
    users::check_password(typed).map_err(|error| sentence(&error))?;
    if typed != again {
        return Err("The two passwords are not the same.".to_owned());
    }
    Ok(name)
}

/// A browser that opens a page for a person. Browsers say so on encrypted or local connections; on others we go by their name.
fn is_a_person(headers: &HeaderMap) -> bool {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    if text("sec-purpose").contains("prefetch")
        || text("purpose") == "prefetch"
        || text("x-moz") == "prefetch"
    {
        return false;
    }
    match text("sec-fetch-mode") {
        "navigate" => text("sec-fetch-dest").is_empty() || text("sec-fetch-dest") == "document",
        "" => {
            let agent = text(header::USER_AGENT.as_str()).to_ascii_lowercase();
            let machine = ["bot", "preview", "crawl", "spider", "fetch", "scan", "http"];
            agent.starts_with("mozilla/5.0") && !machine.iter().any(|word| agent.contains(word))
        }
        _ => false,
    }
}

fn over(
    state: &HubState,
    browser: &Browser,
    why: Option<LinkState>,
    kind: LinkKind,
) -> Result<Response, Failure> {
    let reason = match why {
        Some(LinkState::Used) => "It was used already: each link works once.",
        Some(LinkState::Expired) => "It is too old to be used.",
        Some(LinkState::Fresh) | None => {
            "There is no such link. Maybe a part of it got lost while copying."
        }
    };
    let advice = match kind {
        LinkKind::Signin => {
            "On the machine Holt runs on, `holt user link` prints a new one; `holt up` prints one too while no password is set."
        }
        LinkKind::Invite | LinkKind::Reset => {
            "Ask the administrator who gave it to you for a new one."
        }
    };
    let template = LinkOverPage {
        frame: Frame::of(state, browser),
        reason,
        advice,
    };
    page(browser, StatusCode::GONE, &template)
}

fn show(
    state: &HubState,
    browser: &Browser,
    link: &Link,
    status: StatusCode,
    username: &str,
    error: Option<String>,
) -> Result<Response, Failure> {
    let template = LinkPage {
        frame: Frame {
            user: None,
            ..Frame::of(state, browser)
        },
        kind: match link.kind {
            LinkKind::Signin => "signin",
            LinkKind::Invite => "invite",
            LinkKind::Reset => "reset",
        },
        user: link.user.clone().unwrap_or_default(),
        admin: link.admin,
        username: username.to_owned(),
        error,
    };
    page(browser, status, &template)
}
