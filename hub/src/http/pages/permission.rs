//! Allowing the hub to act on wikis, where that is apart from signing in: to the wiki, back, and taking it back.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::super::HubState;
use super::super::browser::{Browser, SignedPosted, is_navigation};
use super::super::error::Failure;
use super::super::next::with_next;
use super::{Frame, ago, page};
use crate::broker::{Broker, Permission};
use crate::store::StoreError;

const PAGE: &str = "/hub/wiki";

/// How a person's permission stands, in words.
pub(super) struct Card {
    pub(super) is_apart: bool,
    pub(super) account: Option<String>,
    pub(super) since: Option<String>,
    pub(super) rights: Vec<String>,
    pub(super) label: String,
    pub(super) manage_url: String,
    /// Servers hold the credential itself too.
    pub(super) hands_out: bool,
}

#[derive(Template)]
#[template(path = "wiki_away.html")]
struct AwayPage {
    frame: Frame,
    label: String,
    to: String,
}

/// What the page of wiki requests says of it.
pub(super) async fn card(broker: &Broker, user_id: i64, now: i64) -> Result<Card, StoreError> {
    let Permission {
        is_apart,
        account,
        since,
        rights,
    } = broker.permission(user_id).await?;
    Ok(Card {
        is_apart,
        account,
        since: since.map(|at| ago(Some(at), now)),
        rights: rights.iter().map(|right| in_words(right)).collect(),
        label: broker.label().to_owned(),
        manage_url: broker.manage_url().to_owned(),
        hands_out: broker.hands_out(),
    })
}

/// `POST /hub/wiki/permission`: to the wiki. Not by a redirect: a form of ours leads nowhere else, so the page goes on by itself.
pub(in crate::http) async fn ask(
    State(state): State<HubState>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    let (broker, session) = (broker(&state)?, session(&form.who.browser)?);
    let to = broker.ask(form.who.user.id, session).await?;
    let refresh = HeaderValue::from_str(&format!("0; url={to}")).map_err(Failure::internal)?;
    let template = AwayPage {
        frame: Frame::of(&state, &form.who.browser),
        label: broker.label().to_owned(),
        to,
    };
    let mut response = page(&form.who.browser, StatusCode::OK, &template)?;
    response.headers_mut().insert(header::REFRESH, refresh);
    Ok(response)
}

/// `GET /hub/wiki/callback`: back from the wiki. Opened twice, it leads to the page that says how it stands.
pub(in crate::http) async fn back(
    State(state): State<HubState>,
    browser: Browser,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let broker = broker(&state)?;
    let Some(user) = &browser.user else {
        // What the wiki sent stays out of the address that signing in remembers.
        return Ok(Redirect::to(&with_next("/hub/login", PAGE)).into_response());
    };
    if !is_navigation(&headers) {
        return Err(Failure::forbidden(
            "Pages are for people: open them in a tab of their own.",
        ));
    }
    let allowed = broker.allow(user.id, session(&browser)?, &query).await;
    let outcome = if allowed.is_ok() {
        "given"
    } else {
        "not-given"
    };
    tracing::info!(
        user.id = user.id,
        outcome,
        "User {} came back from the wiki; the permission to act is {outcome}",
        user.id
    );
    match allowed {
        Ok(()) => Ok(Redirect::to(PAGE).into_response()),
        Err(error) if error.is_over() && has_it(broker, user.id).await? => {
            Ok(Redirect::to(PAGE).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /hub/wiki/permission/withdraw`. Twice is as once.
pub(in crate::http) async fn withdraw(
    State(state): State<HubState>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    let user = &form.who.user;
    if broker(&state)?.withdraw(user.id).await? {
        tracing::info!(
            user.id = user.id,
            "User {} withdrew the permission to act on wikis",
            user.id
        );
    }
    Ok(Redirect::to(PAGE).into_response())
}

async fn has_it(broker: &Broker, user_id: i64) -> Result<bool, StoreError> {
    Ok(broker.permission(user_id).await?.since.is_some())
}

fn broker(state: &HubState) -> Result<&Broker, Failure> {
    state.broker.as_ref().ok_or_else(Failure::not_found)
}

/// What the session is known by in rows.
fn session(browser: &Browser) -> Result<&str, Failure> {
    browser
        .login_hash
        .as_deref()
        .ok_or_else(|| Failure::forbidden("You are signed out.").advise("Sign in", "/hub/login"))
}

/// What a wiki's name for a right means; its own name where nobody here knows it.
fn in_words(grant: &str) -> String {
    let words = match grant {
        "basic" => "read what you can read, and who you are",
        "highvolume" => "send many requests (bots)",
        "editpage" => "edit pages",
        "editprotected" => "edit protected pages",
        "editmyoptions" => "change your preferences",
        "editmywatchlist" => "edit your watchlist",
        "viewmywatchlist" => "read your watchlist",
        "createeditmovepage" => "create, edit and move pages",
        "uploadfile" => "upload new files",
        "uploadeditmovefile" => "upload, replace and move files",
        "patrol" => "mark changes as patrolled",
        "rollback" => "roll back changes",
        "blockusers" => "block and unblock users",
        "viewdeleted" => "read deleted pages",
        "delete" => "delete pages, revisions and log entries",
        "protect" => "protect pages",
        "sendemail" => "send e-mail to other users",
        "privateinfo" => "read private information",
        "mwoauth-authonly" | "mwoauth-authonlyprivate" => "know who you are, and nothing else",
        other => return other.to_owned(),
    };
    format!("{words} ({grant})")
}
