//! The wiki replicas: how they are, and what of a person's runs there.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use holt_spec::replicas::{Section, Statement, Status};

use super::super::HubState;
use super::super::api::replicas::{end, seen_by};
use super::super::browser::{SignedIn, SignedPosted};
use super::super::error::Failure;
use super::{Frame, page};
use crate::access::scopes::Target;
use crate::replicas::GatewayError;

/// A replica that is less behind than this is called up to date.
const FRESH_SECONDS: f64 = 5.0;
/// What of a statement is shown.
const SHOWN_CHARS: usize = 300;

#[derive(Template)]
#[template(path = "replicas.html")]
struct ReplicasPage {
    frame: Frame,
    gateway: Gateway,
    all: bool,
    lines: Vec<Line>,
    sections: Vec<SectionLine>,
    databases: usize,
}

#[derive(PartialEq, Eq)]
enum Gateway {
    /// The settings have none.
    None,
    /// It does not answer.
    Away,
    Answers,
}

struct Line {
    stop: String,
    user: String,
    server: String,
    place: String,
    text: String,
    age: String,
    size: String,
}

struct SectionLine {
    name: String,
    dot: &'static str,
    words: String,
    /// For operators alone.
    troubles: Vec<String>,
}

/// `GET /hub/replicas`.
pub(in crate::http) async fn show(
    State(state): State<HubState>,
    who: SignedIn,
) -> Result<Response, Failure> {
    let rights = who.caller().rights;
    let all = rights.allows("read:servers", Target::Hub);
    let mut template = ReplicasPage {
        frame: Frame::of(&state, &who.browser),
        gateway: Gateway::None,
        all,
        lines: Vec::new(),
        sections: Vec::new(),
        databases: 0,
    };
    if let Some(replicas) = &state.replicas {
        match replicas.status().await {
            Ok(status) => {
                template.gateway = Gateway::Answers;
                template.databases = status.databases.len();
                template.sections = sections(&status, all);
                let statements = seen_by(replicas, &rights).await?;
                template.lines = statements.into_iter().map(line).collect();
            }
            Err(GatewayError::Away(_)) => template.gateway = Gateway::Away,
            Err(error) => return Err(error.into()),
        }
    }
    page(&who.browser, StatusCode::OK, &template)
}

/// `POST /hub/replicas/statements/{id}/stop`. One that is over already is as good.
pub(in crate::http) async fn stop(
    State(state): State<HubState>,
    Path(id): Path<String>,
    form: SignedPosted,
) -> Result<Response, Failure> {
    if let Some(replicas) = &state.replicas {
        end(replicas, &form.who.caller().rights, &id).await?;
    }
    Ok(Redirect::to("/hub/replicas").into_response())
}

fn line(statement: Statement) -> Line {
    let place = match &statement.database {
        Some(database) => format!("{database} ({})", statement.section),
        None => statement.section.clone(),
    };
    let size = match statement.rows {
        Some(1) => format!("1 row, {}", bytes(statement.bytes)),
        Some(rows) => format!("{rows} rows, {}", bytes(statement.bytes)),
        None => bytes(statement.bytes),
    };
    Line {
        stop: format!(
            "/hub/replicas/statements/{}/stop",
            holt_spec::names::escape_segment(&statement.id)
        ),
        user: statement.name,
        server: statement.server,
        place,
        text: shortened(&statement.text),
        age: duration(statement.age_ms),
        size,
    }
}

fn sections(status: &Status, all: bool) -> Vec<SectionLine> {
    let lines = status.sections.iter().map(|(name, section)| SectionLine {
        name: name.clone(),
        dot: if section.up { "ready" } else { "failed" },
        words: section_words(section),
        troubles: if all { troubles(section) } else { Vec::new() },
    });
    lines.collect()
}

fn section_words(section: &Section) -> String {
    match (section.up, section.lag_seconds) {
        (false, _) => {
            "not reachable at this moment; queries wait or fail with a message".to_owned()
        }
        (true, None) if section.stale => {
            "answers, but nothing new arrives from the wikis: what it shows gets older".to_owned()
        }
        (true, None) => "answers; how far it is behind is not known".to_owned(),
        (true, Some(lag)) if lag < FRESH_SECONDS => "up to date".to_owned(),
        (true, Some(lag)) => {
            let lag = std::time::Duration::try_from_secs_f64(lag).unwrap_or_default();
            let lag = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
            format!("{} behind the wikis", duration(lag))
        }
    }
}

fn troubles(section: &Section) -> Vec<String> {
    let told =
        section
            .backends
            .iter()
            .filter_map(|backend| match (&backend.trouble, backend.draining) {
                (Some(trouble), _) => Some(format!("{}: {trouble}", backend.address)),
                (None, true) => Some(format!("{}: draining", backend.address)),
                (None, false) => None,
            });
    told.collect()
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// A time span, in words.
fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} bytes"),
        1024..1_048_576 => format!("{} KiB", count >> 10),
        _ => format!("{} MiB", count >> 20),
    }
}
