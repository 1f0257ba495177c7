//! Where somebody is signed in: one page to see it and to end it.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::super::HubState;
use super::super::browser::{self, SignedIn, SignedPosted};
use super::super::error::Failure;
use super::{Frame, ago, page};
use crate::access;
use crate::store::sessions::SessionRow;

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    frame: Frame,
    sessions: Vec<Line>,
}

struct Line {
    id: i64,
    is_this: bool,
    browser: String,
    way: String,
    address: String,
    began: String,
    used: String,
}

/// `GET /hub/sessions`.
pub(in crate::http) async fn show(
    State(state): State<HubState>,
    who: SignedIn,
) -> Result<Response, Failure> {
    let now = state.store.now().await?;
    let sessions = state.store.sessions_of(who.user.id).await?;
    let template = SessionsPage {
        frame: Frame::of(&state, &who.browser),
        sessions: sessions
            .into_iter()
            .map(|session| line(&state, &who, session, now))
            .collect(),
    };
    page(&who.browser, StatusCode::OK, &template)
}

fn line(state: &HubState, who: &SignedIn, session: SessionRow, now: i64) -> Line {
    let way = match state.sign_in.named(&session.provider) {
        Some(registered) => registered.label.clone(),
        None if session.provider.is_empty() => "this hub".to_owned(),
        None => session.provider.clone(),
    };
    Line {
        id: session.id,
        is_this: session.session_id == who.browser.session_id,
        browser: browser_name(&session.agent),
        way,
        address: session.address,
        began: ago(Some(session.created), now),
        used: ago(Some(session.seen), now),
    }
}

/// `POST /hub/sessions/{id}/end`: signs one browser out. One that is over already is as good.
pub(in crate::http) async fn end(
    State(state): State<HubState>,
    Path(id): Path<i64>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    let ended = state.store.end_session_of(form.who.user.id, id).await?;
    let is_this = ended.sessions.contains(&form.who.browser.session_id);
    access::forget(state.revoke.as_ref(), ended).await;
    if is_this {
        return Ok(browser::end(
            &state,
            Redirect::to("/hub/login").into_response(),
        ));
    }
    Ok(Redirect::to("/hub/sessions").into_response())
}

/// `POST /hub/sessions/end-others`: signs every other browser out.
pub(in crate::http) async fn end_others(
    State(state): State<HubState>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    let keep = Some(form.who.browser.session_id.as_str());
    let ended = state.store.end_sessions_of(form.who.user.id, keep).await?;
    access::forget(state.revoke.as_ref(), ended).await;
    Ok(Redirect::to("/hub/sessions").into_response())
}

/// `POST /hub/sessions/end`: signs every browser out, this one too, and ends their servers.
pub(in crate::http) async fn end_all(
    State(state): State<HubState>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    let ended = state.store.sign_out_everywhere(form.who.user.id).await?;
    access::forget(state.revoke.as_ref(), ended).await;
    Ok(browser::end(
        &state,
        Redirect::to("/hub/login").into_response(),
    ))
}

/// A browser as a person calls it. What browsers say of themselves names their forebears too, so the order matters.
fn browser_name(agent: &str) -> String {
    let browser = [
        ("Edg", "Edge"),
        ("OPR", "Opera"),
        ("Firefox", "Firefox"),
        ("Chrom", "Chrome"),
        ("Safari", "Safari"),
        ("curl", "curl"),
        ("python", "A Python program"),
    ];
    let system = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    let find = |table: &[(&str, &'static str)]| {
        table
            .iter()
            .find(|(mark, _)| agent.contains(mark))
            .map(|(_, name)| *name)
    };
    match (find(&browser), find(&system)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, Some(system)) => format!("A browser on {system}"),
        (None, None) => "A browser".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_called_as_people_call_them() {
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36 Edg/120.0";
        assert_eq!(browser_name(edge), "Edge on Windows");
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Mobile/15E148 Safari/604.1";
        assert_eq!(browser_name(phone), "Safari on iPhone");
        assert_eq!(browser_name(""), "A browser");
    }
}
