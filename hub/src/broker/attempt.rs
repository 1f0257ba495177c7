//! Sending one request: each attempt signed anew, and a second one only where it is safe.
//!
//! Safe is what reads, and what the wiki refused for its credential alone, which it does before it does anything.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};
use secrecy::ExposeSecret as _;

use super::actions::Entry;
use super::credentials::Credential;
use super::limits::Turn;
use super::refusal::{Bad, BrokerError};
use super::sites::{Door, Target};
use super::{Answer, Answering, Broker, request};
use crate::login::provider::Outgoing;
use crate::store::broker::BrokerCaller;

/// A request that may be sent.
pub(super) struct Attempt<'a> {
    pub(super) broker: &'a Broker,
    pub(super) target: &'a Target,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) form: Vec<(String, String)>,
}

impl Attempt<'_> {
    /// Sends it. A body that is at hand whole can be sent again, where that is safe.
    pub(super) async fn go(
        &self,
        caller: BrokerCaller,
        whole: Option<Bytes>,
        mut stream: Option<reqwest::Body>,
        turn: Turn,
        entry: &mut Entry,
    ) -> Result<Answer, BrokerError> {
        let inner = &self.broker.inner;
        let reads = matches!(self.method, Method::GET | Method::HEAD);
        let user_id = caller.user_id;
        let mut credential = inner.credentials.first(caller).await?;
        let mut is_repeated = false;
        loop {
            let body = match (&whole, stream.take()) {
                (Some(whole), _) => reqwest::Body::from(whole.clone()),
                (None, Some(stream)) => stream,
                (None, None) => return Err(Bad::Body.into()),
            };
            let may_repeat = whole.is_some() && !is_repeated;
            is_repeated = true;
            match self.once(&credential, body, entry).await {
                // The wiki refuses a credential before it does anything.
                Ok(response) if may_repeat && self.is_run_out(&response) => {
                    credential = inner.credentials.of(user_id, Some(&credential)).await?;
                }
                Ok(response) => return Ok(answer(response, turn)),
                Err(BrokerError::Unknown(_)) if may_repeat && reads => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// One attempt, with a signature of its own.
    async fn once(
        &self,
        credential: &Credential,
        body: reqwest::Body,
        entry: &mut Entry,
    ) -> Result<reqwest::Response, BrokerError> {
        let inner = &self.broker.inner;
        let outgoing = Outgoing {
            method: self.method.as_str(),
            url: &self.target.url,
            form: &self.form,
        };
        let authorization = inner.credentials.authorize(credential, &outgoing)?;
        let mut value = HeaderValue::from_str(authorization.expose_secret())
            .map_err(|_| BrokerError::NoCredential)?;
        value.set_sensitive(true);
        let dial = &inner.settings.dial;
        let mut request = dial.request(self.method.clone(), &self.target.url);
        request.headers_mut().extend(self.headers.clone());
        request.headers_mut().insert(AUTHORIZATION, value);
        *request.body_mut() = Some(body);
        entry.leaves();
        let sent =
            tokio::time::timeout(inner.settings.timeout, inner.client.execute(request)).await;
        match sent {
            Ok(Ok(response)) => Ok(response),
            // The address may hold what is nobody's business.
            Ok(Err(error)) if error.is_connect() => {
                Err(BrokerError::Away(crate::error_chain(&error.without_url())))
            }
            Ok(Err(error)) => Err(BrokerError::Unknown(crate::error_chain(
                &error.without_url(),
            ))),
            Err(_) => Err(BrokerError::Unknown("no answer came in time".to_owned())),
        }
    }

    /// Whether the wiki did not take the credential, and another may be had.
    fn is_run_out(&self, response: &reqwest::Response) -> bool {
        if !self.broker.inner.credentials.can_renew() {
            return false;
        }
        match self.target.door {
            Door::Api => response
                .headers()
                .get("mediawiki-api-error")
                .is_some_and(|code| code == "mwoauth-invalid-authorization"),
            Door::Rest(_) => response.status() == http::StatusCode::UNAUTHORIZED,
        }
    }
}

fn answer(response: reqwest::Response, turn: Turn) -> Answer {
    let (parts, body) = http::Response::from(response).into_parts();
    Answer {
        status: parts.status,
        headers: request::brought(&parts.headers),
        body: Answering { body, _turn: turn },
    }
}
