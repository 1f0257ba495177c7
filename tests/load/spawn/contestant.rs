//! A hub that is measured, through nothing but JupyterHub's REST API: the same client for both.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use holt_tests::wait::eventually;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;

/// A start that takes longer has failed.
const START: Duration = Duration::from_secs(120);
/// Between two questions to a server that is said to be ready.
const PAUSE: Duration = Duration::from_millis(10);

/// One of the two.
#[derive(Debug)]
pub(crate) struct Contestant {
    name: &'static str,
    url: String,
    token: String,
    client: Client,
}

impl Contestant {
    pub(crate) fn new(name: &'static str, url: String, token: &str) -> Result<Self> {
        Ok(Self {
            name,
            url,
            token: token.to_owned(),
            client: Client::builder().timeout(START).no_proxy().build()?,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Makes users, lets all of them click at once, and takes everything away again. One time for each.
    pub(crate) async fn race(&self, names: &[String]) -> Result<Vec<Duration>> {
        for name in names {
            let answer = self
                .call(Method::POST, &format!("/hub/api/users/{name}"))
                .await?;
            expect(answer, &[StatusCode::CREATED]).await?;
        }
        let times = try_join_all(names.iter().map(|name| self.start(name))).await;
        try_join_all(names.iter().map(|name| self.remove(name))).await?;
        times
    }

    async fn call(&self, method: Method, path: &str) -> Result<Response> {
        self.client
            .request(method, format!("{}{path}", self.url))
            .header("Authorization", format!("token {}", self.token))
            .header("Accept", "application/json")
            .send()
            .await
            .with_context(|| format!("{} does not answer {path}", self.name))
    }

    /// From the click to the server's first answer.
    async fn start(&self, name: &str) -> Result<Duration> {
        let clicked = Instant::now();
        let path = format!("/hub/api/users/{name}/server");
        let answer = self.call(Method::POST, &path).await?;
        let status = expect(answer, &[StatusCode::CREATED, StatusCode::ACCEPTED]).await?;
        if status == StatusCode::ACCEPTED {
            self.follow(name).await?;
        }
        loop {
            let answer = self
                .client
                .get(format!("{}/user/{name}/api", self.url))
                .header("Accept", "application/json")
                .send()
                .await?;
            let status = answer.status();
            if status == StatusCode::OK {
                let taken = clicked.elapsed();
                let body: Value = answer.json().await?;
                ensure!(
                    body["version"].is_string(),
                    "{name}'s server answered {body}"
                );
                return Ok(taken);
            }
            ensure!(
                clicked.elapsed() < START,
                "{name}'s server answers {status}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Follows the progress of a start until it is ready.
    async fn follow(&self, name: &str) -> Result<()> {
        let path = format!("/hub/api/users/{name}/server/progress");
        let mut answer = self
            .client
            .get(format!("{}{path}", self.url))
            .header("Authorization", format!("token {}", self.token))
            .header("Accept", "text/event-stream")
            .send()
            .await?;
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            text.extend_from_slice(&chunk);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                let Some(data) = line.strip_prefix("data:") else {
                    continue;
                };
                let event: Value = serde_json::from_str(data.trim())?;
                ensure!(event["failed"] != true, "{name}'s start failed: {event}");
                if event["ready"] == true {
                    return Ok(());
                }
            }
        }
        bail!("the progress of {name}'s start ended before it was ready");
    }

    /// Stops a server, waits until it is gone, and deletes its user.
    async fn remove(&self, name: &str) -> Result<()> {
        let user = format!("/hub/api/users/{name}");
        self.call(Method::DELETE, &format!("{user}/server")).await?;
        eventually("the server is gone", START, || async {
            let answer = self.call(Method::GET, &user).await?;
            let model: Value = answer.json().await?;
            match &model["servers"] {
                Value::Object(servers) if servers.is_empty() => Ok(()),
                servers => bail!("{servers}"),
            }
        })
        .await?;
        self.call(Method::DELETE, &user).await?;
        Ok(())
    }
}

async fn expect(answer: Response, wanted: &[StatusCode]) -> Result<StatusCode> {
    let status = answer.status();
    if !wanted.contains(&status) {
        let url = answer.url().clone();
        bail!("{url}: {status} {}", answer.text().await?);
    }
    Ok(status)
}
