//! The page of administrators: who is there, and who runs what.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::HubState;
use super::super::browser::SignedIn;
use super::super::error::Failure;
use super::home::Card;
use super::{Frame, ago, page};
use crate::access::scopes::Target;

/// Users on one page.
const PAGE: usize = 100;

struct Row {
    id: i64,
    name: String,
    admin: bool,
    has_password: bool,
    me: bool,
    seen: String,
    servers: Vec<Card>,
}

#[derive(Template)]
#[template(path = "admin.html")]
struct AdminPage {
    frame: Frame,
    rows: Vec<Row>,
    total: usize,
    running: usize,
    filter: String,
    previous: Option<String>,
    next: Option<String>,
}

/// `GET /hub/admin`.
pub(in crate::http) async fn show(
    State(state): State<HubState>,
    who: SignedIn,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    require_admin(&who)?;
    let field = |name: &str| {
        query
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value.as_str())
    };
    let filter = field("q").trim().to_owned();
    let from: usize = field("from").parse().unwrap_or(0);
    let now = state.store.now().await?;
    let servers = state.servers.list_all().await?;
    let users = state.store.users(0, u32::MAX).await?;
    let wanted = filter.to_lowercase();
    let matching: Vec<_> = users
        .into_iter()
        .filter(|user| user.name.to_lowercase().contains(&wanted))
        .collect();
    let total = matching.len();
    let rows: Vec<Row> = matching
        .into_iter()
        .skip(from)
        .take(PAGE)
        .map(|user| Row {
            servers: servers
                .iter()
                .filter(|server| server.user_id == user.id)
                .map(|server| Card::of(server, now))
                .collect(),
            id: user.id,
            admin: user.admin,
            has_password: user.has_password,
            me: user.id == who.user.id,
            seen: ago(user.last_activity, now),
            name: user.name,
        })
        .collect();
    let at = |from: usize| {
        super::super::next::own_path(
            &format!(
                "/hub/admin?q={}&from={from}",
                holt_spec::names::escape_segment(&filter)
            ),
            "",
        )
    };
    let template = AdminPage {
        frame: Frame::of(&state, &who.browser),
        running: servers
            .iter()
            .filter(|server| server.state == crate::servers::ServerState::Ready)
            .count(),
        previous: (from > 0).then(|| at(from.saturating_sub(PAGE))).flatten(),
        next: (from + rows.len() < total)
            .then(|| at(from + PAGE))
            .flatten(),
        rows,
        total,
        filter,
    };
    page(&who.browser, StatusCode::OK, &template)
}

/// Only administrators see these pages; to others they are forbidden.
pub(super) fn require_admin(who: &SignedIn) -> Result<(), Failure> {
    if who.caller().rights.allows("admin-ui", Target::Hub) {
        Ok(())
    } else {
        Err(Failure::forbidden("This page is for administrators.")
            .advise("Go to your home page", "/hub/home"))
    }
}
