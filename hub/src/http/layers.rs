//! The layers around every request; `mod.rs` has their order and reasons.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use holt_spec::bundle::OUTCOME_HEADER;

use super::HubState;
use super::error::Failure;
use super::pages;
use crate::metrics::{REQUEST_SECONDS, REQUESTS};

/// The longest any request may take until its answer begins; starts and stops answer "under way" long before.
const LONGEST: Duration = Duration::from_secs(45);
/// So many requests at once.
const AT_ONCE: usize = 512;

/// No script, style or frame but our own files.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                           form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// The request's name in logs and on error pages.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

/// What is around every handler. One layer, since each costs a request a copy of all below it.
pub(super) async fn around(
    State(state): State<HubState>,
    request: Request,
    next: Next,
) -> Response {
    // Outermost, so that all else is inside the request's span and its time.
    observe(request, async |request| {
        // Version and policies stand on every answer, failures included.
        add_headers(&state, request, async |request| {
            // Failures become a page or JSON here and nowhere else.
            render_failures(&state, request, next).await
        })
        .await
    })
    .await
}

/// Gives the request its name and span, and counts it.
async fn observe(mut request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    let id = request
        .headers()
        .get("x-request-id")
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=64).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
        .map_or_else(crate::secret::random_id, str::to_owned);
    let begun = Instant::now();
    let method = known_method(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("(none)", MatchedPath::as_str)
        .to_owned();
    request.extensions_mut().insert(RequestId(id.clone()));
    // The path is not logged: links carry secrets in theirs.
    let span =
        tracing::info_span!("request", request.id = %id, http.method = method, http.route = %route);
    let mut response = next(request).instrument(span.clone()).await;
    let (status, took) = (response.status(), begun.elapsed());
    span.in_scope(|| {
        tracing::debug!(
            http.status = status.as_u16(),
            duration_ms = took.as_millis(),
            "Answered"
        )
    });
    metrics::counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status.as_str().to_owned())
        .increment(1);
    metrics::histogram!(REQUEST_SECONDS, "method" => method, "route" => route)
        .record(took.as_secs_f64());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The version and the policies, on every answer.
async fn add_headers(
    state: &HubState,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let is_link = request.uri().path().starts_with("/hub/link/");
    let mut response = next(request).await;
    let headers = response.headers_mut();
    if let Ok(version) = HeaderValue::from_str(&state.settings.announce_version) {
        headers.insert("x-jupyterhub-version", version);
    }
    let html = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let policy = if html { PAGE_POLICY } else { API_POLICY };
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(policy));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    );
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    // Pages and answers are about one person; files bring their own rule.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if is_link {
        headers.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        );
    }
    response
}

/// Gives failures their form: JSON for programs, a page for people.
async fn render_failures(state: &HubState, request: Request, next: Next) -> Response {
    let json = wants_json(request.uri().path(), &request);
    let head = request.method() == Method::HEAD;
    let id = request
        .extensions()
        .get::<RequestId>()
        .map(|id| id.0.clone())
        .unwrap_or_default();
    let response = next.run(request).await;
    let status = response.status();
    let failure = match response.extensions().get::<Failure>() {
        Some(failure) => failure.clone(),
        // What a wiki says is brought as it is.
        None if response.headers().contains_key(OUTCOME_HEADER) => return response,
        None if is_bare_failure(&response) => from_status(status),
        None => return response,
    };
    if let Some(cause) = &failure.cause {
        tracing::error!(http.status = status.as_u16(), error = %crate::error_chain(cause.as_ref()), "A request failed");
    }
    let (mut parts, _) = response.into_parts();
    let body = if json {
        let mut body =
            serde_json::json!({ "status": failure.status.as_u16(), "message": failure.message });
        if let Some(code) = failure.code {
            body["code"] = code.into();
            body["url"] = match &failure.advice {
                Some((_, path)) => state.settings.full(path).into(),
                None => serde_json::Value::Null,
            };
        }
        parts.headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        body.to_string()
    } else {
        parts.headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        pages::error_page(state, &failure, &id)
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(
        parts,
        if head {
            Body::empty()
        } else {
            Body::from(body)
        },
    )
}

/// Answers of the framework itself: unknown URL, wrong method, unreadable path, body too large.
fn is_bare_failure(response: &Response) -> bool {
    let status = response.status();
    let ours = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| !kind.as_bytes().starts_with(b"text/plain"));
    (status.is_client_error() || status.is_server_error()) && !ours
}

fn from_status(status: StatusCode) -> Failure {
    let message = match status {
        StatusCode::NOT_FOUND => return Failure::not_found(),
        StatusCode::METHOD_NOT_ALLOWED => "This address does not take requests of this kind.",
        StatusCode::PAYLOAD_TOO_LARGE => "That is more than may be sent here.",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "The body has a type that is not understood here.",
        StatusCode::FAILED_DEPENDENCY => "The notebook server does not run.",
        status if status.is_client_error() => "The request could not be understood.",
        _ => return Failure::panicked(),
    };
    Failure::new(status, message)
}

fn wants_json(path: &str, request: &Request) -> bool {
    if let Some(rest) = path.strip_prefix("/hub/api") {
        return (rest.is_empty() || rest.starts_with('/')) && rest != "/oauth2/authorize";
    }
    prefers_json(request.headers())
}

/// Whether `Accept` names JSON and puts it before HTML.
pub(super) fn prefers_json(headers: &axum::http::HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match (accept.find("json"), accept.find("text/html")) {
        (Some(json), Some(html)) => json < html,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// Ends what takes too long.
pub(super) async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(LONGEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::warn!(
                duration_s = LONGEST.as_secs(),
                "A request took too long and was ended"
            );
            Failure::busy().into_response()
        }
    }
}

/// The turns of [`limit_number`].
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// Refuses what is too much at once. Streams do not count after their head.
pub(super) async fn limit_number(
    State(turns): State<Turns>,
    request: Request,
    next: Next,
) -> Response {
    match turns.0.try_acquire() {
        Ok(_turn) => next.run(request).await,
        Err(_) => Failure::busy().into_response(),
    }
}

/// What a panic answers; the panic itself is logged by its hook.
pub(super) fn answer_panic(_panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    tracing::error!("A request panicked");
    Failure::panicked().into_response()
}
