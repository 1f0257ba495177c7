//! A start, told while it happens: JupyterHub's stream of `data:` lines, ended by one that says ready or failed.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::HubState;
use super::super::caller::{ApiCaller, not_here};
use super::super::error::Failure;
use crate::servers::{ServerState, ServerView, ServersError};
use crate::store::users::User;
use holt_spec::names::server_prefix;

/// An empty line so often keeps proxies from ending the stream.
const KEEP_ALIVE: Duration = Duration::from_secs(8);
/// How long one look lasts when nothing wakes us.
const LOOK: Duration = Duration::from_millis(500);
/// A stream ends after this time; a start has a far shorter limit.
const LONGEST: Duration = Duration::from_secs(3600);

/// `GET /hub/api/users/{name}/server/progress`.
pub(in crate::http) async fn of_default(
    state: State<HubState>,
    caller: ApiCaller,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    of_named(state, caller, Path((name, String::new()))).await
}

/// `GET /hub/api/users/{name}/servers/{server}/progress`.
pub(in crate::http) async fn of_named(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path((name, server)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let owner = caller
        .owner_for(&state, &name, &server, "read:servers")
        .await?;
    let view = state
        .servers
        .view(owner.id, &server)
        .await?
        .ok_or_else(not_here)?;
    if view.state == ServerState::Stopped && view.failure.is_none() {
        return Err(Failure::bad_request(format!(
            "{}/{server} is not starting",
            owner.name
        )));
    }
    let story = Story {
        said: VecDeque::from([line(
            &json!({ "progress": 0, "message": "Server requested" }),
        )]),
        begun: Instant::now(),
        spoke: Instant::now(),
        state,
        owner,
        server,
        after: 0,
        percent: 0,
        aside: None,
        done: false,
    };
    let body = Body::from_stream(stream::unfold(story, |mut story| async move {
        let text = story.next().await?;
        Some((Ok::<_, std::convert::Infallible>(text), story))
    }));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

struct Story {
    state: HubState,
    owner: User,
    server: String,
    after: i64,
    percent: i64,
    /// What was said last that is no event: place in the queue, image being built.
    aside: Option<String>,
    said: VecDeque<String>,
    begun: Instant,
    spoke: Instant,
    done: bool,
}

impl Story {
    /// The next piece of the stream; `None` at its end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.said.pop_front() {
                self.spoke = Instant::now();
                return Some(text);
            }
            if self.done || self.state.stop.is_cancelled() || self.begun.elapsed() > LONGEST {
                return None;
            }
            if let Err(error) = self.look().await {
                // The browser looks again by itself.
                tracing::warn!(error = %error, "The progress of a start could not be read");
                return None;
            }
            if !self.said.is_empty() || self.done {
                continue;
            }
            if self.spoke.elapsed() > KEEP_ALIVE {
                self.said.push_back("\n\n".to_owned());
                continue;
            }
            tokio::select! {
                () = self.state.servers.changed(LOOK) => {}
                () = self.state.stop.cancelled() => return None,
            }
        }
    }

    async fn look(&mut self) -> Result<(), ServersError> {
        let Some(view) = self.state.servers.view(self.owner.id, &self.server).await? else {
            self.fail("The server was deleted.");
            return Ok(());
        };
        match view.state {
            ServerState::Ready => self.succeed(),
            ServerState::Stopped => {
                let why = view
                    .failure
                    .clone()
                    .unwrap_or_else(|| "It was stopped before it answered.".to_owned());
                self.fail(&why);
            }
            ServerState::Queued | ServerState::Starting | ServerState::Stopping => {
                self.tell(&view).await?
            }
        }
        Ok(())
    }

    async fn tell(&mut self, view: &ServerView) -> Result<(), ServersError> {
        for event in self.state.servers.progress(view.id, self.after).await? {
            self.after = event.id;
            if event.kind == "step" {
                self.percent = event.percent.clamp(self.percent, 99);
                let event = json!({ "progress": self.percent, "message": event.message });
                self.said.push_back(line(&event));
            }
        }
        let aside = waiting_words(&self.state, view.id).await?;
        if aside.is_some() && aside != self.aside {
            let event = json!({ "progress": self.percent, "message": aside });
            self.said.push_back(line(&event));
        }
        self.aside = aside;
        Ok(())
    }

    fn succeed(&mut self) {
        let url = server_prefix(&self.owner.name, &self.server);
        let event = json!({
            "progress": 100,
            "ready": true,
            "message": format!("Server ready at {url}"),
            "html_message": format!("Server ready at <a href=\"{url}\">{url}</a>"),
            "url": url,
        });
        self.said.push_back(line(&event));
        self.done = true;
    }

    fn fail(&mut self, why: &str) {
        let event =
            json!({ "progress": 100, "failed": true, "message": format!("Spawn failed: {why}") });
        self.said.push_back(line(&event));
        self.done = true;
    }
}

/// What somebody waits for who waits for something other than their own server's steps.
pub(in crate::http) async fn waiting_words(
    state: &HubState,
    server_id: i64,
) -> Result<Option<String>, ServersError> {
    if let Some(reason) = state.servers.held() {
        return Ok(Some(reason));
    }
    if let Some(progress) = state.servers.image_progress() {
        let percent = progress
            .percent
            .map_or_else(String::new, |percent| format!(" ({percent} %)"));
        return Ok(Some(format!(
            "Preparing the notebook image{percent}: {}",
            progress.message
        )));
    }
    let place = state.servers.place(server_id).await?;
    Ok(place
        .filter(|place| place.position > 0)
        .map(|place| queue_words(place.position, place.estimate_seconds)))
}

/// A place in the queue, in words.
fn queue_words(position: u32, estimate: Option<u32>) -> String {
    let place = match position {
        1 => "You are next".to_owned(),
        n => format!("You are number {n} in the queue"),
    };
    match estimate {
        None => format!("{place}."),
        Some(seconds) if seconds < 90 => format!("{place}; about {} s.", seconds.max(1)),
        Some(seconds) => format!("{place}; about {} min.", seconds.div_ceil(60)),
    }
}

fn line(event: &Value) -> String {
    format!("data: {event}\n\n")
}
