//! What servers tell about their use. Times only ever move forward, and not past the present by more than clocks may differ.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;

use super::super::HubState;
use super::super::caller::ApiCaller;
use super::super::error::Failure;
use super::{empty, json_body};

/// A clock may be ahead by so much.
const AHEAD_MS: i64 = 59 * 60 * 1000;

/// `POST /hub/api/users/{name}/activity`.
pub(in crate::http) async fn post(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    let user = caller.user_for(&state, &name, "users:activity").await?;
    let body = json_body(&body)?;
    let fields = body
        .as_ref()
        .and_then(Value::as_object)
        .ok_or_else(|| Failure::bad_request("The body must be an object."))?;
    let now = state.store.now().await?;
    let own = fields
        .get("last_activity")
        .map(|at| parse(at, now))
        .transpose()?;
    let servers = match fields.get("servers") {
        None => Vec::new(),
        Some(Value::Object(servers)) => read_servers(servers, now)?,
        Some(_) => return Err(Failure::bad_request("servers must be an object.")),
    };
    if own.is_none() && !fields.contains_key("servers") {
        return Err(Failure::bad_request(
            "Give at least one of last_activity and servers.",
        ));
    }
    let known = state.servers.list(user.id).await?;
    if let Some((unknown, _)) = servers
        .iter()
        .find(|(name, _)| known.iter().all(|server| server.name != **name))
    {
        return Err(Failure::bad_request(format!(
            "No such server '{unknown}' for user {}.",
            user.name
        )));
    }
    if let Some(at) = own {
        state.store.note_user_activity(user.id, at).await?;
    }
    for (server, at) in servers {
        state.servers.note_activity(user.id, server, at).await?;
    }
    Ok(empty(StatusCode::OK))
}

fn read_servers(
    servers: &serde_json::Map<String, Value>,
    now: i64,
) -> Result<Vec<(&String, i64)>, Failure> {
    servers
        .iter()
        .map(|(name, info)| {
            let at = info.get("last_activity").ok_or_else(|| {
                Failure::bad_request(format!("servers[{name:?}] has no last_activity."))
            })?;
            Ok((name, parse(at, now)?))
        })
        .collect()
}

/// A time as milliseconds since 1970; without a zone it is UTC.
fn parse(value: &Value, now: i64) -> Result<i64, Failure> {
    let text = value
        .as_str()
        .ok_or_else(|| Failure::bad_request("last_activity must be a time."))?;
    let at = OffsetDateTime::parse(text, &Iso8601::DEFAULT)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Iso8601::DEFAULT))
        .map_err(|_| Failure::bad_request("last_activity is no time as ISO 8601 writes it."))?;
    let at = i64::try_from(at.unix_timestamp_nanos() / 1_000_000)
        .map_err(|_| Failure::bad_request("last_activity is too far away."))?;
    if at > now + AHEAD_MS {
        return Err(Failure::bad_request(
            "last_activity is in the future: check this machine's clock.",
        ));
    }
    if at < 0 {
        return Err(Failure::bad_request("last_activity is too long ago."));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_read_as_servers_write_them() {
        for text in [
            "2026-01-02T03:04:05.678901Z",
            "2026-01-02T03:04:05.678901",
            "2026-01-02T04:04:05.678+01:00",
        ] {
            assert_eq!(
                parse(&json!(text), 1_800_000_000_000).ok(),
                Some(1_767_323_045_678),
                "{text}"
            );
        }
        for bad in [
            json!("yesterday"),
            json!(5),
            json!("2031-01-01T00:00:00Z"),
            json!("1931-01-01T00:00:00Z"),
        ] {
            assert!(parse(&bad, 1_800_000_000_000).is_err(), "{bad}");
        }
    }
}
