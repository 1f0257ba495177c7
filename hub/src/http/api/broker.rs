//! The door of the broker, for notebooks alone: `POST /hub/api/broker` says what shall be sent to a wiki, and is answered by the wiki.
//! Beside it, for people's programs: what was sent, and stopping it.
//!
//! The method and the address are headers, the body is the body. What became of it is said in a header of its own, in every case.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use holt_spec::bundle::OUTCOME_HEADER;
use holt_spec::control::LISTENER_HEADER;
use serde_json::{Value, json};

use super::super::HubState;
use super::super::browser::address;
use super::super::caller::{ApiCaller, not_here};
use super::super::error::Failure;
use super::{empty, time_text};
use crate::access::scopes::Target;
use crate::broker::{Asked, Bad, Broker, BrokerError, Outcome};
use crate::login::provider::LoginError;
use crate::store::broker::{KEPT_ACTIONS, WikiAction};

/// `POST /hub/api/broker`.
pub(in crate::http) async fn send(State(state): State<HubState>, request: Request) -> Response {
    let Some(broker) = state
        .broker
        .as_ref()
        .filter(|_| is_internal(request.headers()))
    else {
        return Failure::not_found().into_response();
    };
    match pass(broker, request).await {
        Ok(response) => response,
        Err(error) => refuse(&state, error),
    }
}

/// `GET /hub/api/broker/requests`: the caller's last requests, newest first.
pub(in crate::http) async fn list(
    State(state): State<HubState>,
    caller: ApiCaller,
) -> Result<Response, Failure> {
    caller.require("read:servers", Target::User(&caller.0.user.name))?;
    let actions = state
        .store
        .wiki_actions(caller.0.user.id, KEPT_ACTIONS)
        .await?;
    let launches = state.store.broker_launches(caller.0.user.id).await?;
    let requests: Vec<Value> = actions.into_iter().map(told).collect();
    let launches: Vec<Value> = launches
        .into_iter()
        .map(|one| json!({ "launch": one.launch, "server": one.server, "halted": one.halted }))
        .collect();
    Ok(Json(json!({ "launches": launches, "requests": requests })).into_response())
}

fn told(action: WikiAction) -> Value {
    json!({
        "launch": action.launch,
        "server": action.server,
        "site": action.site,
        "method": action.method,
        "module": action.module,
        "at": time_text(action.at),
        "took_ms": action.took,
        "outcome": action.outcome,
        "status": (action.status > 0).then_some(action.status),
        "code": (!action.code.is_empty()).then_some(action.code),
    })
}

/// `PUT /hub/api/broker/halts/{launch}`: nothing more is sent for this launch of the caller's. Twice is as once.
pub(in crate::http) async fn halt(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path(launch): Path<String>,
) -> Result<Response, Failure> {
    set_halt(&state, &caller, &launch, true).await
}

/// `DELETE /hub/api/broker/halts/{launch}`: it may send again.
pub(in crate::http) async fn allow(
    State(state): State<HubState>,
    caller: ApiCaller,
    Path(launch): Path<String>,
) -> Result<Response, Failure> {
    set_halt(&state, &caller, &launch, false).await
}

async fn set_halt(
    state: &HubState,
    caller: &ApiCaller,
    launch: &str,
    halt: bool,
) -> Result<Response, Failure> {
    // No server's own token holds it: a notebook that was stopped does not allow itself again.
    caller.require("delete:servers", Target::User(&caller.0.user.name))?;
    if state
        .store
        .halt_broker(caller.0.user.id, launch, halt)
        .await?
    {
        Ok(empty(StatusCode::NO_CONTENT))
    } else {
        Err(not_here())
    }
}

async fn pass(broker: &Broker, request: Request) -> Result<Response, BrokerError> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let token = text(headers, "authorization")
        .and_then(|value| value.strip_prefix("Bearer "))
        // Which is nobody's, and counted as that.
        .unwrap_or_default();
    let asked = Asked {
        token,
        from: address(headers),
        // What is not there is refused as no method, and as no address.
        method: text(headers, "holt-method").unwrap_or_default(),
        url: text(headers, "holt-url").unwrap_or_default(),
        headers,
    };
    let is_head = asked.method == "HEAD";
    let mut answer = broker.send(asked, body).await?;
    if is_head {
        // The length of what does not come: this answer is one to a POST.
        answer.headers.remove(header::CONTENT_LENGTH);
    }
    let mut response = Response::new(Body::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    say(&mut response, Outcome::Answered);
    Ok(response)
}

/// The proxy says by which listener a request came; only servers reach the internal one.
fn is_internal(headers: &HeaderMap) -> bool {
    headers
        .get(LISTENER_HEADER)
        .is_some_and(|listener| listener == "internal")
}

/// A header that comes once.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(only), None) => only.to_str().ok(),
        _ => None,
    }
}

fn say(response: &mut Response, outcome: Outcome) {
    let word = HeaderValue::from_static(outcome.word());
    response.headers_mut().insert(OUTCOME_HEADER, word);
}

fn refuse(state: &HubState, error: BrokerError) -> Response {
    let outcome = error.outcome();
    let mut response = failure(state, error).into_response();
    if response.status() == StatusCode::TOO_MANY_REQUESTS
        || response.status() == StatusCode::SERVICE_UNAVAILABLE
    {
        response
            .headers_mut()
            .entry(header::RETRY_AFTER)
            .or_insert(HeaderValue::from_static("5"));
    }
    say(&mut response, outcome);
    response
}

fn failure(state: &HubState, error: BrokerError) -> Failure {
    match error {
        BrokerError::NoCaller => Failure::forbidden(
            "This token sends nothing to wikis: its server is ending, or it is shown from elsewhere.",
        ),
        BrokerError::Halted => Failure::forbidden(
            "You stopped this server's requests to wikis. They go on when you allow them again on the hub's page \"Wiki requests\".",
        ),
        BrokerError::Bad(Bad::TooLarge) => {
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, Bad::TooLarge.to_string())
        }
        BrokerError::Bad(Bad::Slow) => {
            Failure::new(StatusCode::REQUEST_TIMEOUT, Bad::Slow.to_string())
        }
        BrokerError::Bad(bad) => Failure::bad_request(bad.to_string()),
        BrokerError::NoCredential => Failure::forbidden(
            "The hub has no permission of the wiki to act for you: sign in at the hub again, with the wiki, and allow it there.",
        ),
        BrokerError::NeedsGrant => Failure::forbidden(format!(
            "You have not allowed the hub to act on wikis for you, or took it back. Allow it here, and try again: {}",
            state.settings.full("/hub/wiki")
        ))
        .called("needs_grant")
        .advise("Allow it", "/hub/wiki"),
        BrokerError::TooMany(seconds) => Failure {
            retry_after: Some(seconds),
            ..Failure::new(
                StatusCode::TOO_MANY_REQUESTS,
                "You send more requests to wikis than one person may. Wait a little.",
            )
        },
        BrokerError::Busy(seconds) => Failure {
            retry_after: Some(seconds),
            ..Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The hub carries so many large forms of all its users that there is no room for this one. Nothing was sent. Try again in some seconds.",
            )
        },
        BrokerError::Away(_) => Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The wiki was not reached, so nothing was done there. Try again in some seconds.",
        ),
        BrokerError::Unknown(_) => Failure::new(
            StatusCode::GATEWAY_TIMEOUT,
            "The wiki did not answer. It may have done what was asked: look there before you ask again.",
        ),
        BrokerError::Stopped(_) => Failure::forbidden(
            "This request was broken off on its way to the wiki: its server is ending, or you stopped its requests or took the permission back. The wiki may have done what was asked: look there.",
        ),
        BrokerError::Provider(LoginError::ReadOnly) => Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The wiki is read-only for the moment. Try again later.",
        ),
        BrokerError::Provider(error) => Failure::internal(error),
        BrokerError::Store(error) => Failure::internal(error),
    }
}
