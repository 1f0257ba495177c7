//! Running statements at the replica gateway: whose they are decides who sees and ends them.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use holt_spec::replicas::{Statement, Statements};
use serde::Serialize;
use serde_json::json;

use super::super::HubState;
use super::super::caller::{ApiCaller, not_here};
use super::super::error::Failure;
use super::empty;
use crate::access::scopes::{Rights, Target};
use crate::replicas::Replicas;

/// `GET /hub/api/replicas/statements`: the caller's own; those of all for who may read all servers.
pub(in crate::http) async fn list(
    State(state): State<HubState>,
    caller: ApiCaller,
) -> Result<Response, Failure> {
    caller.require("read:servers", Target::User(&caller.0.user.name))?;
    let statements = seen_by(gateway(&state)?, &caller.0.rights).await?;
    Ok(Json(Statements { statements }).into_response())
}

/// `GET /hub/api/replicas/sections`: whether each section takes queries and how far it is behind, for everybody who may come in. Which
/// servers it has is for operators, and not told.
pub(in crate::http) async fn sections(
    State(state): State<HubState>,
    caller: ApiCaller,
) -> Result<Response, Failure> {
    caller.require("read:servers", Target::User(&caller.0.user.name))?;
    let status = gateway(&state)?.status().await?;
    let sections: BTreeMap<String, SectionTold> = status
        .sections
        .into_iter()
        .map(|(name, section)| {
            let told = SectionTold {
                up: section.up,
                lag_seconds: section.lag_seconds,
                stale: section.stale,
            };
            (name, told)
        })
        .collect();
    Ok(Json(json!({ "sections": sections })).into_response())
}

/// What everybody may know of a section.
#[derive(Serialize)]
struct SectionTold {
    up: bool,
    lag_seconds: Option<f64>,
    stale: bool,
}

/// `DELETE /hub/api/replicas/statements/{id}`.
pub(in crate::http) async fn delete(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    caller.require("delete:servers", Target::User(&caller.0.user.name))?;
    if end(gateway(&state)?, &caller.0.rights, &id).await? {
        Ok(empty(StatusCode::NO_CONTENT))
    } else {
        Err(not_here())
    }
}

fn gateway(state: &HubState) -> Result<&Replicas, Failure> {
    state.replicas.as_ref().ok_or_else(|| {
        Failure::new(
            StatusCode::NOT_FOUND,
            "This hub offers no wiki replicas: replicas.accounts_file is not set.",
        )
    })
}

/// The statements that somebody with these rights may see.
pub(in crate::http) async fn seen_by(
    replicas: &Replicas,
    rights: &Rights,
) -> Result<Vec<Statement>, Failure> {
    let mut statements = replicas.statements().await?;
    statements.retain(|statement| may(rights, "read:servers", statement));
    Ok(statements)
}

/// Ends a statement, if it is there and somebody with these rights may end it; whether it was so.
pub(in crate::http) async fn end(
    replicas: &Replicas,
    rights: &Rights,
    id: &str,
) -> Result<bool, Failure> {
    let statements = replicas.statements().await?;
    let Some(statement) = statements.iter().find(|statement| statement.id == id) else {
        return Ok(false);
    };
    if !may(rights, "delete:servers", statement) {
        return Ok(false);
    }
    match replicas.end_statement(id).await {
        Ok(()) => {
            tracing::info!(
                user.id = statement.user,
                statement.id = id,
                age_ms = statement.age_ms,
                "Statement {id} of user {} was stopped by wish",
                statement.user
            );
            Ok(true)
        }
        Err(crate::replicas::GatewayError::Over) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A statement is its server's: what may be done to the one may be done to the other.
fn may(rights: &Rights, scope: &str, statement: &Statement) -> bool {
    rights.allows(scope, Target::Server(&statement.name, &statement.server))
}
