//! What a person's notebooks sent to wikis, and the way to stop and allow it.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::super::HubState;
use super::super::browser::{SignedIn, SignedPosted};
use super::super::error::Failure;
use super::permission::{self, Card};
use super::{Frame, ago, page};
use crate::store::broker::{BrokerLaunch, WikiAction};

/// Requests on the page.
const SHOWN: u32 = 100;

#[derive(Template)]
#[template(path = "wiki.html")]
struct WikiPage {
    frame: Frame,
    is_on: bool,
    card: Option<Card>,
    launches: Vec<BrokerLaunch>,
    lines: Vec<Line>,
}

struct Line {
    module: String,
    site: String,
    method: String,
    server: String,
    when: String,
    took: i64,
    dot: &'static str,
    words: String,
}

/// `GET /hub/wiki`.
pub(in crate::http) async fn show(
    State(state): State<HubState>,
    who: SignedIn,
) -> Result<Response, Failure> {
    let now = state.store.now().await?;
    let actions = state.store.wiki_actions(who.user.id, SHOWN).await?;
    let template = WikiPage {
        frame: Frame::of(&state, &who.browser),
        is_on: state.broker.is_some(),
        card: match &state.broker {
            Some(broker) => Some(permission::card(broker, who.user.id, now).await?),
            None => None,
        },
        launches: state.store.broker_launches(who.user.id).await?,
        lines: actions
            .into_iter()
            .map(|action| line(action, now))
            .collect(),
    };
    page(&who.browser, StatusCode::OK, &template)
}

/// `POST /hub/wiki/{launch}/stop`. One that ended is as good.
pub(in crate::http) async fn stop(
    State(state): State<HubState>,
    Path(launch): Path<String>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    halt(&state, &form, &launch, true).await
}

/// `POST /hub/wiki/{launch}/allow`.
pub(in crate::http) async fn allow(
    State(state): State<HubState>,
    Path(launch): Path<String>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    halt(&state, &form, &launch, false).await
}

async fn halt(
    state: &HubState,
    form: &SignedPosted,
    launch: &str,
    halt: bool,
) -> Result<Response, Failure> {
    let user = &form.who.user;
    if state.store.halt_broker(user.id, launch, halt).await? {
        let word = if halt { "stopped" } else { "allowed" };
        tracing::info!(
            user.id = user.id,
            launch.id = launch,
            "Requests of launch {launch} to wikis were {word} by their owner"
        );
    }
    Ok(Redirect::to("/hub/wiki").into_response())
}

fn line(action: WikiAction, now: i64) -> Line {
    let (dot, words) = match (action.outcome.as_str(), action.code.as_str()) {
        ("answered", "") if action.status < 400 => ("ready", "done".to_owned()),
        ("answered", "") => ("failed", format!("the wiki answered {}", action.status)),
        ("answered", code) => ("failed", format!("the wiki said: {code}")),
        ("unknown", "stopped") => (
            "failed",
            "stopped while it was under way; it may have been done: look at the wiki".to_owned(),
        ),
        ("unknown", _) => (
            "failed",
            "no answer; it may have been done: look at the wiki".to_owned(),
        ),
        (_, code) => ("failed", format!("not sent ({code})")),
    };
    let named = |text: String| {
        if text.is_empty() {
            "–".to_owned()
        } else {
            text
        }
    };
    Line {
        module: named(action.module),
        site: named(action.site),
        method: action.method,
        server: action.server,
        when: ago(Some(action.at), now),
        took: action.took,
        dot,
        words,
    }
}
