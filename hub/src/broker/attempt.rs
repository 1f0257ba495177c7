//! Sending one request: each attempt signed anew, and a second one only where it is safe.
//!
//! Safe is what reads, and what the wiki refused for its credential alone, which it does before it does anything. Before a second one, the
//! launch and the credential are looked at anew; during each, every second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};
use secrecy::ExposeSecret as _;

use super::actions::Entry;
use super::credentials::Credential;
use super::limits::Turn;
use super::refusal::{Bad, BrokerError, ended};
use super::sites::{Door, Target};
use super::watch::{Watched, watch};
use super::{Answer, Answering, Broker, FRESH, Shown, request};
use crate::login::provider::Outgoing;
use crate::store::broker::BrokerCaller;

/// A request that may be sent.
pub(super) struct Attempt<'a> {
    pub(super) broker: &'a Broker,
    pub(super) shown: Shown<'a>,
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
        let begun = Instant::now();
        let mut credential = inner.credentials.first(caller).await?;
        if begun.elapsed() > FRESH {
            // It waited for a credential to be renewed.
            self.broker.actor(&self.shown).await?;
        }
        let mut is_repeated = false;
        loop {
            let may_repeat = whole.is_some() && !is_repeated;
            is_repeated = true;
            match self.once(&credential, &whole, stream.take(), entry).await {
                // The wiki refuses a credential before it does anything.
                Ok(response) if may_repeat && self.is_run_out(&response) => {
                    credential = inner.credentials.of(user_id, Some(&credential)).await?;
                    self.broker.actor(&self.shown).await?;
                }
                Ok(response) => return Ok(answer(response, turn)),
                Err(BrokerError::Unknown(_)) if may_repeat && reads => {
                    let caller = self.broker.actor(&self.shown).await.map_err(stopped)?;
                    credential = inner.credentials.first(caller).await.map_err(stopped)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One attempt, with a signature of its own.
    async fn once(
        &self,
        credential: &Credential,
        whole: &Option<Bytes>,
        stream: Option<reqwest::Body>,
        entry: &mut Entry,
    ) -> Result<reqwest::Response, BrokerError> {
        let inner = &self.broker.inner;
        let watch = watch(self.broker, &self.shown);
        // Of a body that is at hand whole nobody sees when it leaves.
        let left = Arc::new(AtomicBool::new(whole.is_some()));
        let body = match (whole, stream) {
            (Some(whole), _) => reqwest::Body::from(whole.clone()),
            (None, Some(stream)) => {
                reqwest::Body::wrap(Watched::new(stream, watch.clone(), Arc::clone(&left)))
            }
            (None, None) => return Err(Bad::Body.into()),
        };
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
        let sending = tokio::time::timeout(inner.settings.timeout, inner.client.execute(request));
        let sent = tokio::select! {
            // First, since a body that broke off for it fails too.
            biased;
            why = watch => {
                let why = ended(&why);
                return Err(if left.load(Ordering::Acquire) { stopped(why) } else { why });
            }
            sent = sending => sent,
        };
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

/// Something was sent when this became so.
fn stopped(why: BrokerError) -> BrokerError {
    BrokerError::Stopped(crate::error_chain(&why))
}

fn answer(response: reqwest::Response, turn: Turn) -> Answer {
    let (parts, body) = http::Response::from(response).into_parts();
    Answer {
        status: parts.status,
        headers: request::brought(&parts.headers),
        body: Answering { body, _turn: turn },
    }
}
