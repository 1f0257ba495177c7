//! For whoever watches the hub: alive, ready, and its numbers.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics::gauge;

use super::super::HubState;
use super::super::caller::ApiCaller;
use super::super::error::Failure;
use crate::access::scopes::Target;
use crate::metrics::{QUEUE, SERVERS, USERS};
use crate::servers::ServerState;

/// `GET /hub/health`: this process answers.
pub(in crate::http) async fn alive() -> StatusCode {
    StatusCode::OK
}

/// `GET /hub/ready`: the database takes writes, and the hub is not ending.
/// While the image is being made or starts are held back, the answer says so; people can sign in all the same.
pub(in crate::http) async fn ready(State(state): State<HubState>) -> Response {
    let mut reasons = Vec::new();
    if state.stop.is_cancelled() {
        reasons.push("the hub is ending".to_owned());
    }
    match tokio::time::timeout(std::time::Duration::from_secs(3), state.store.probe()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = %crate::error_chain(&error), "The database takes no writes");
            reasons.push("the database takes no writes".to_owned());
        }
        Err(_) => reasons.push("the database does not answer".to_owned()),
    }
    let ready = reasons.is_empty();
    let image = state.servers.image_progress().map(
        |progress| serde_json::json!({ "percent": progress.percent, "message": progress.message }),
    );
    let body = axum::Json(serde_json::json!({
        "ready": ready,
        "reasons": reasons,
        "held": state.servers.held(),
        "image": image,
        "image_problem": state.servers.image_problem(),
    }));
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, body).into_response()
}

/// `GET /hub/metrics`, for holders of `read:metrics` unless opened by setting.
pub(in crate::http) async fn metrics(
    State(state): State<HubState>,
    caller: Result<ApiCaller, Failure>,
) -> Result<Response, Failure> {
    if !state.settings.metrics_open {
        caller?.require("read:metrics", Target::Hub)?;
    }
    let handle = state.metrics.as_ref().ok_or_else(Failure::not_found)?;
    #[expect(clippy::cast_precision_loss, reason = "nobody has that many users")]
    gauge!(USERS).set(state.store.count_users().await? as f64);
    let servers = state.servers.list_all().await?;
    for (name, wanted) in [
        ("stopped", ServerState::Stopped),
        ("queued", ServerState::Queued),
        ("starting", ServerState::Starting),
        ("ready", ServerState::Ready),
        ("stopping", ServerState::Stopping),
    ] {
        #[expect(clippy::cast_precision_loss, reason = "nobody has that many servers")]
        gauge!(SERVERS, "state" => name).set(
            servers
                .iter()
                .filter(|server| server.state == wanted)
                .count() as f64,
        );
    }
    #[expect(clippy::cast_precision_loss, reason = "nobody has that many servers")]
    gauge!(QUEUE).set(
        servers
            .iter()
            .filter(|server| server.state == ServerState::Queued)
            .count() as f64,
    );
    super::mounts::count(&state).await;
    let headers = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    Ok((headers, handle.render()).into_response())
}
