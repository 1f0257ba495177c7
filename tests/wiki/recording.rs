//! The recorded exchanges, and how one of them is sent again.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use holt_tests::wiki::Wiki;
use reqwest::redirect::Policy;
use serde::Deserialize;

/// The file.
#[derive(Debug, Deserialize)]
pub(crate) struct Recording {
    pub(crate) base: String,
    pub(crate) exchanges: Vec<Exchange>,
}

/// One exchange; those of browsers have only where the browser went.
#[derive(Debug, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) request: Option<Request>,
    pub(crate) response: Option<Response>,
    pub(crate) location: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) code_verifier: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Response {
    status: u16,
    content_type: String,
    pub(crate) body: String,
    location: Option<String>,
}

pub(crate) fn load() -> Result<Recording> {
    let file = include_str!("../../spec/golden/mediawiki-oauth.json");
    Ok(serde_json::from_str(file)?)
}

impl Exchange {
    /// A field of the recorded answer, form or JSON.
    pub(crate) fn answered(&self, name: &str) -> Result<String> {
        let body = &self.response.as_ref().context("no answer")?.body;
        match serde_json::from_str::<serde_json::Value>(body) {
            Ok(json) => Ok(json[name].as_str().context("no such member")?.to_owned()),
            Err(_) => field(body, name),
        }
    }

    /// A field of the query that the browser brought.
    pub(crate) fn brought(&self, name: &str) -> Result<String> {
        let location = self.location.as_deref().context("no way back")?;
        field(location.split_once('?').context("no query")?.1, name)
    }

    /// Sends the recorded request again, and compares status, type, place and body with what was recorded, byte for byte.
    pub(crate) async fn replay(&self, wiki: &Wiki, base: &str) -> Result<()> {
        let request = self.request.as_ref().context("no request")?;
        let recorded = self.response.as_ref().context("no answer")?;
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .build()?;
        let address = request.url.replacen(base, &wiki.url(), 1);
        let mut sent = client.request(request.method.parse()?, address);
        for (name, value) in &request.headers {
            sent = sent.header(name, value);
        }
        if let Some(body) = &request.body {
            sent = sent.body(body.clone());
        }
        let answer = sent.send().await?;
        let header = |name: &str| {
            let value = answer.headers().get(name);
            value.and_then(|value| Some(value.to_str().ok()?.to_owned()))
        };
        let seen = (
            answer.status().as_u16(),
            header("content-type"),
            header("location"),
        );
        let expected = (
            recorded.status,
            Some(recorded.content_type.clone()),
            recorded.location.clone(),
        );
        assert_eq!(seen, expected, "{}", self.name);
        // Pages are not recorded.
        if recorded.body != "(html page)" {
            assert_eq!(answer.text().await?, recorded.body, "{}", self.name);
        }
        Ok(())
    }
}

/// A field of a query or a form.
pub(crate) fn field(text: &str, name: &str) -> Result<String> {
    let found = url::form_urlencoded::parse(text.as_bytes()).find(|(key, _)| key == name);
    Ok(found.with_context(|| format!("no {name}"))?.1.into_owned())
}
