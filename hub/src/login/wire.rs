//! HTTP to providers: bounded in time and size, without cookies and without following anything.
//!
//! A redirect would carry a wrong signature, a cookie would mix people, and an answer of any size would be read into memory: none of
//! that happens here. **Invariant:** nothing that was sent or received is logged here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Request, Url};
use tokio::time::Instant;

use super::provider::LoginError;

/// The largest answer that is read.
const BODY_BYTES: usize = 64 << 10;
const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(15);
/// The longest wait that an answer can make us believe in.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How long nothing is sent to who had too many requests and did not say how long to wait.
const USUAL_WAIT: Duration = Duration::from_secs(5);

/// A client for one provider. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Wire {
    client: Client,
    /// Where requests are really sent, when it is not where their addresses say.
    connect_to: Option<Url>,
    /// Until when the provider wants to hear nothing, whoever asks: it said that it had too many requests.
    quiet: Arc<Mutex<Option<Instant>>>,
}

/// What came back, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The media type, without parameters, in small letters; empty when it is not said.
    pub media_type: String,
    /// How long to wait before the next try, when it is said.
    pub retry_after: Option<Duration>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// At most 64 KiB.
    pub body: Vec<u8>,
}

impl Wire {
    /// A client that names itself `user_agent`. With `connect_to`, an origin, every request goes there under its own `Host`.
    ///
    /// # Errors
    /// [`LoginError::Operator`] when TLS or the user agent cannot be used.
    pub fn new(user_agent: &str, connect_to: Option<Url>) -> Result<Self, LoginError> {
        let client = Client::builder()
            .user_agent(user_agent)
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .build()
            .map_err(|error| LoginError::Operator {
                reason: format!("no HTTP client can be made: {}", crate::error_chain(&error)),
            })?;
        Ok(Self {
            client,
            connect_to,
            quiet: Arc::default(),
        })
    }

    /// Sends a request once. The address is what the provider calls itself. After a 429 nothing is sent for as long as it asked for.
    ///
    /// # Errors
    /// [`LoginError::Away`] when nothing comes back in time, or more than is read, or while nothing may be sent.
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, LoginError> {
        self.may_ask()?;
        let mut dialled = url.clone();
        if let Some(origin) = &self.connect_to {
            let host =
                HeaderValue::from_str(&authority(url)).map_err(|_| unanswered("a bad host"))?;
            headers.insert(HOST, host);
            // An origin has all three; none of the setters can fail then.
            let _ = dialled.set_scheme(origin.scheme());
            let _ = dialled.set_host(origin.host_str());
            let _ = dialled.set_port(origin.port());
        }
        let mut request = Request::new(method, dialled);
        *request.headers_mut() = headers;
        *request.body_mut() = (!body.is_empty()).then(|| body.into());
        let mut response = self.client.execute(request).await.map_err(|error| {
            // The address in it may carry a query with codes.
            unanswered(&crate::error_chain(&error.without_url()))
        })?;
        let mut answer = Answer {
            status: response.status().as_u16(),
            media_type: media_type(response.headers()),
            retry_after: retry_after(response.headers()),
            location: response
                .headers()
                .get(LOCATION)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            body: Vec::new(),
        };
        if answer.status == 429 {
            self.be_quiet(answer.retry_after.unwrap_or(USUAL_WAIT));
        }
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| unanswered(&crate::error_chain(&error.without_url())))?
        {
            if answer.body.len() + chunk.len() > BODY_BYTES {
                return Err(unanswered("its answer is too long"));
            }
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    fn may_ask(&self) -> Result<(), LoginError> {
        let until = *self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        match until.and_then(|until| until.checked_duration_since(Instant::now())) {
            Some(left) if !left.is_zero() => Err(LoginError::Away {
                reason: "it had too many requests and wants none now".to_owned(),
                retry_after: Some(left),
            }),
            _ => Ok(()),
        }
    }

    fn be_quiet(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        *quiet = (*quiet).max(Some(until));
    }
}

impl Answer {
    /// The body as text; what is no UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// What can be told in a log: status, type and size.
    #[must_use]
    pub fn sight(&self) -> String {
        format!(
            "status {}, {} bytes of {}",
            self.status,
            self.body.len(),
            if self.media_type.is_empty() {
                "no type"
            } else {
                &self.media_type
            }
        )
    }
}

/// `host` or `host:port`, as it stands in an address.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn unanswered(reason: &str) -> LoginError {
    LoginError::Away {
        reason: reason.to_owned(),
        retry_after: None,
    }
}

fn media_type(headers: &HeaderMap) -> String {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Seconds, whole or with a fraction; a date is none of what these providers send.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let wait = Duration::try_from_secs_f64(seconds.ceil()).ok()?;
    Some(wait.min(LONGEST_WAIT))
}
