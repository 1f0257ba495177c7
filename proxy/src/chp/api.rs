//! The REST API: `/api/routes`, and below it each route.
//!
//! The token comes first: nothing of a stranger's request is read but its head.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;
use subtle::ConstantTimeEq;
use tokio::time::timeout;

use super::log::TARGET;
use super::metrics::Counts;
use super::path::{Asked, asked};
use super::routes::{Fields, Refused, Routes};
use super::serve::{Answer, Service, empty, reason, text};
use super::time::read_moment;

/// The largest body: a route with whatever its owner wants to remember.
const LARGEST: u64 = 1 << 20;
/// A body is whole in so long.
const BODY: Duration = Duration::from_secs(15);

/// The API.
#[derive(Debug)]
pub(super) struct Api {
    /// The table.
    pub(super) routes: Arc<Routes>,
    /// What callers must know; `None`: nothing.
    pub(super) token: Option<SecretString>,
    /// What is counted.
    pub(super) counts: Arc<Counts>,
}

/// Why there is no usual answer: the words are for the caller and for the log.
struct Trouble(StatusCode, String);

impl Trouble {
    fn bad(words: impl ToString) -> Self {
        Trouble(StatusCode::BAD_REQUEST, words.to_string())
    }
}

impl Service for Api {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let (answer, words) = match self.handle(request).await {
            Ok(answer) => (answer, String::new()),
            Err(Trouble(status, words)) => {
                let mut answer = match words.as_str() {
                    "" => empty(status),
                    _ => text(status, words.clone()),
                };
                if matches!(
                    status,
                    StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
                ) {
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(header::CONNECTION, close);
                }
                (answer, words)
            }
        };
        let status = answer.status().as_u16();
        self.counts.api_request(status);
        let line = format!("{status} {method} {path} {words}");
        let line = line.trim_end();
        match status {
            ..400 => tracing::info!(target: TARGET, "{line}"),
            400..500 => tracing::warn!(target: TARGET, "{line}"),
            _ => tracing::error!(target: TARGET, "{line}"),
        }
        answer
    }
}

impl Api {
    async fn handle(&self, request: Request<Incoming>) -> Result<Answer, Trouble> {
        let target = request
            .uri()
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let asked = asked(target).map_err(Trouble::bad)?;
        if asked == Asked::Nothing {
            let status = StatusCode::NOT_FOUND;
            return Ok(text(status, reason(status)));
        }
        let method = request.method().clone();
        if ![Method::GET, Method::POST, Method::DELETE].contains(&method) {
            let words = "Method not supported".to_owned();
            return Err(Trouble(StatusCode::METHOD_NOT_ALLOWED, words));
        }
        if !self.may_call(request.headers()) {
            return Ok(empty(StatusCode::FORBIDDEN));
        }
        let key = match &asked {
            Asked::Route(key) => key,
            Asked::Table | Asked::Nothing => "/",
        };
        match (method, &asked) {
            (Method::POST, _) => self.add(key, request).await,
            (Method::DELETE, _) => self.remove(key).await,
            (_, Asked::Route(key)) => Ok(match self.routes.one(key) {
                Some(route) => json(route),
                None => empty(StatusCode::NOT_FOUND),
            }),
            _ => self.list(request.uri().query()),
        }
    }

    fn may_call(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let said = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| token_in(value.as_bytes()))
            .unwrap_or_default();
        said.ct_eq(token.expose_secret().as_bytes()).into()
    }

    fn list(&self, query: Option<&str>) -> Result<Answer, Trouble> {
        let query = query.unwrap_or_default();
        let said = |wanted: &str| {
            url::form_urlencoded::parse(query.as_bytes())
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.into_owned())
                .filter(|value| !value.is_empty())
        };
        let before = said("inactiveSince")
            .or_else(|| said("inactive_since"))
            .map(|moment| {
                read_moment(&moment).ok_or_else(|| {
                    Trouble::bad(format!("Invalid datestamp '{moment}' must be ISO8601."))
                })
            })
            .transpose()?;
        let listing = self.routes.all(before);
        self.counts.route_get();
        Ok(json(listing))
    }

    async fn add(&self, key: &str, request: Request<Incoming>) -> Result<Answer, Trouble> {
        let body = read(request.into_body()).await?;
        let fields = fields(&body)?;
        let target = self.routes.add(key, fields).map_err(Trouble::bad)?;
        tracing::info!(target: TARGET, "Adding route {key} -> {target}");
        self.keep().await?;
        tracing::info!(target: TARGET, "Route added {key} -> {target}");
        self.counts.route_add();
        Ok(empty(StatusCode::CREATED))
    }

    async fn remove(&self, key: &str) -> Result<Answer, Trouble> {
        let removed = self.routes.remove(key);
        let status = if removed {
            tracing::info!(target: TARGET, "Removing route {key}");
            self.keep().await?;
            StatusCode::NO_CONTENT
        } else {
            StatusCode::NOT_FOUND
        };
        self.counts.route_delete();
        Ok(empty(status))
    }

    async fn keep(&self) -> Result<(), Trouble> {
        self.routes.kept().await.map_err(|error| {
            tracing::error!(target: TARGET, "The file of --storage-backend cannot be written: {error}");
            let words = "The change is in force but could not be written to the storage backend";
            Trouble(StatusCode::INTERNAL_SERVER_ERROR, words.to_owned())
        })
    }
}

/// The word after `token`, wherever it stands in the header.
fn token_in(value: &[u8]) -> Option<&[u8]> {
    memchr::memmem::find_iter(value, b"token").find_map(|at| {
        let rest = value.get(at + b"token".len()..)?;
        let word = rest.trim_ascii_start();
        let end = word
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(word.len());
        (word.len() < rest.len() && end > 0).then(|| &word[..end])
    })
}

/// What callers' programs can read back.
const DEEPEST: usize = 64;

async fn read(body: Incoming) -> Result<Bytes, Trouble> {
    let too_large = || {
        let words = format!("The body is larger than {LARGEST} bytes");
        Trouble(StatusCode::PAYLOAD_TOO_LARGE, words)
    };
    if body.size_hint().lower() > LARGEST {
        return Err(too_large());
    }
    let limit = usize::try_from(LARGEST).unwrap_or(usize::MAX);
    let read = timeout(BODY, Limited::new(body, limit).collect())
        .await
        .map_err(|_| {
            let words = "The body did not come in time".to_owned();
            Trouble(StatusCode::REQUEST_TIMEOUT, words)
        })?;
    match read {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Trouble::bad("The body broke off")),
    }
}

/// How deep arrays and objects lie in a JSON text that was found to be sound.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = depth.max(deepest);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The fields of a route.
fn fields(body: &[u8]) -> Result<Fields, Trouble> {
    let not_json = |error: serde_json::Error| Trouble::bad(format!("Body not valid JSON: {error}"));
    let value: &RawValue = serde_json::from_slice(body).map_err(not_json)?;
    if depth(body) > DEEPEST {
        let words = format!("Body not valid JSON: it is nested deeper than {DEEPEST} times");
        return Err(Trouble::bad(words));
    }
    if !value.get().starts_with('{') {
        return Err(Trouble::bad(Refused::NoTarget));
    }
    serde_json::from_str(value.get()).map_err(not_json)
}

fn json(body: String) -> Answer {
    let mut answer = text(StatusCode::OK, body);
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_wherever_it_stands() {
        for (header, token) in [
            ("token tok", Some("tok")),
            ("token   tok rest", Some("tok")),
            ("xxtoken tok", Some("tok")),
            ("tokentoken tok", Some("tok")),
            ("token token", Some("token")),
            ("Bearer tok", None),
            ("Token tok", None),
            ("token", None),
            ("token ", None),
            ("tokentok", None),
            ("", None),
        ] {
            let found = token_in(header.as_bytes());
            assert_eq!(found, token.map(str::as_bytes), "{header}");
        }
    }

    #[test]
    fn a_body_is_an_object_or_has_no_target() {
        let words = |body: &str| fields(body.as_bytes()).err().map(|trouble| trouble.1);
        assert_eq!(words(r#" {"target": "x"} "#), None);
        for body in ["null", "[]", "7", "\"target\""] {
            let said = words(body);
            assert_eq!(
                said.as_deref(),
                Some("Must specify 'target' as string"),
                "{body}"
            );
        }
        for body in ["", "{", "{]", "{}x", "{\"a\":\u{1}}"] {
            let said = words(body).unwrap();
            assert!(said.starts_with("Body not valid JSON: "), "{body}: {said}");
        }
    }
}
