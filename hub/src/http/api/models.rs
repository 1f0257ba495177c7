//! Users and servers as the API writes them: a field shows when a scope that gives it reaches the object.

use serde_json::{Map, Value, json};

use super::super::HubState;
use super::time_text;
use crate::access::scopes::{Rights, Target};
use crate::servers::{ServerState, ServerView};
use crate::store::users::User;
use holt_spec::names::{escape_segment, server_prefix};

/// A user.
pub(in crate::http) fn user(
    state: &HubState,
    rights: &Rights,
    user: &User,
    servers: &[ServerView],
    include_stopped: bool,
) -> Value {
    let target = Target::User(&user.name);
    let holds = |scopes: &[&str]| scopes.iter().any(|scope| rights.allows(scope, target));
    let mut model = Map::new();
    if holds(&[
        "read:users",
        "read:users:name",
        "read:users:groups",
        "read:users:activity",
        "read:servers",
        "read:roles:users",
    ]) {
        model.insert("kind".into(), json!("user"));
        model.insert("name".into(), json!(user.name));
    }
    if holds(&["read:users", "read:users:name", "read:roles:users"]) {
        model.insert("admin".into(), json!(user.admin));
    }
    if holds(&["read:users", "read:roles:users"]) {
        model.insert(
            "roles".into(),
            if user.admin {
                json!(["admin", "user"])
            } else {
                json!(["user"])
            },
        );
    }
    if holds(&["read:users", "read:users:groups"]) {
        model.insert("groups".into(), json!([]));
    }
    if holds(&["read:users", "read:users:activity"]) {
        model.insert(
            "last_activity".into(),
            json!(user.last_activity.map(time_text)),
        );
    }
    if holds(&["read:users"]) {
        let default = servers.iter().find(|server| server.name.is_empty());
        let url = default
            .filter(|server| server.state == ServerState::Ready)
            .map(|server| server_prefix(&server.user, ""));
        model.insert("server".into(), json!(url));
        model.insert(
            "pending".into(),
            json!(default.and_then(|server| server.state.pending())),
        );
        model.insert("created".into(), json!(time_text(user.created)));
    }
    let mut readable = servers
        .iter()
        .filter(|server| rights.allows("read:servers", Target::Server(&user.name, &server.name)))
        .peekable();
    if readable.peek().is_some() || holds(&["read:servers"]) {
        let servers: Map<String, Value> = readable
            .filter(|view| include_stopped || view.state != ServerState::Stopped)
            .map(|view| (view.name.clone(), server(state, view)))
            .collect();
        model.insert("servers".into(), Value::Object(servers));
    }
    Value::Object(model)
}

/// A server.
pub(in crate::http) fn server(state: &HubState, view: &ServerView) -> Value {
    let url = server_prefix(&view.user, &view.name);
    let progress = progress_path(&view.user, &view.name);
    json!({
        "name": view.name,
        "full_name": format!("{}/{}", view.user, view.name),
        "last_activity": view.last_activity.map(time_text),
        "started": view.started.map(time_text),
        "pending": view.state.pending(),
        "ready": view.state == ServerState::Ready,
        "stopped": view.state == ServerState::Stopped,
        "url": url,
        "full_url": state.settings.full(&url),
        "progress_url": progress,
        "full_progress_url": state.settings.full(&progress),
        "user_options": view.options.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_else(|| json!({})),
        "state": {},
    })
}

/// The path of a start's progress.
pub(in crate::http) fn progress_path(user: &str, server: &str) -> String {
    let user = escape_segment(user);
    if server.is_empty() {
        format!("/hub/api/users/{user}/server/progress")
    } else {
        format!(
            "/hub/api/users/{user}/servers/{}/progress",
            escape_segment(server)
        )
    }
}
