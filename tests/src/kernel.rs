//! A kernel, spoken to over its websocket as JupyterLab does.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::person::Person;
use crate::wait::eventually;

/// Longest run of a cell in a story.
const CELL: Duration = Duration::from_secs(60);

/// A kernel with an open websocket.
#[derive(Debug)]
pub struct Kernel {
    id: String,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    messages: u64,
}

impl Kernel {
    /// Starts a kernel on a person's server and connects to it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn start(person: &Person, server: &str) -> Result<Self> {
        let path = format!("{}api/kernels", person.prefix(server));
        let answer = person
            .api(Method::POST, &path, Some(&json!({"name": "python3"})))
            .await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "POST {path}: {status} {text}");
        let model: Value = serde_json::from_str(&text)?;
        let id = model["id"].as_str().context("a kernel without an id")?;
        Self::connect(person, server, id).await
    }

    /// Connects to a kernel that runs.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connect(person: &Person, server: &str, id: &str) -> Result<Self> {
        let path = format!(
            "{}api/kernels/{id}/channels?session_id=story",
            person.prefix(server)
        );
        let mut url = person.url(&path)?;
        let origin = url.origin().ascii_serialization();
        url.set_scheme("ws").ok().context("not an http address")?;
        let mut request = url.as_str().into_client_request()?;
        let headers = request.headers_mut();
        headers.insert("Cookie", person.cookies(&path)?.parse()?);
        headers.insert("Origin", origin.parse()?);
        let connecting = tokio_tungstenite::connect_async(request);
        let (socket, _) = tokio::time::timeout(Duration::from_secs(40), connecting)
            .await
            .context("the websocket did not open")??;
        Ok(Self {
            id: id.to_owned(),
            socket,
            messages: 0,
        })
    }

    /// The kernel's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Runs a cell and returns what it printed and showed, as text.
    ///
    /// # Errors
    /// When the cell fails, or the websocket closes.
    pub async fn run(&mut self, code: &str) -> Result<String> {
        tokio::time::timeout(CELL, self.run_for_ever(code))
            .await
            .with_context(|| format!("the cell {code:?} did not end"))?
    }

    /// Begins a cell and goes away once it prints.
    ///
    /// # Errors
    /// When the websocket closes.
    pub async fn leave_running(mut self, code: &str) -> Result<()> {
        self.send(code).await?;
        let printing = async {
            while let Some(message) = self.socket.next().await {
                if let Message::Text(text) = message?
                    && text.contains("\"stream\"")
                {
                    return Ok(());
                }
            }
            bail!("the websocket closed")
        };
        tokio::time::timeout(CELL, printing)
            .await
            .context("the cell printed nothing")?
    }

    async fn send(&mut self, code: &str) -> Result<String> {
        self.messages += 1;
        let message_id = format!("story-{}", self.messages);
        let request = json!({
            "channel": "shell",
            "header": {"msg_id": message_id, "msg_type": "execute_request", "username": "story",
                       "session": "story", "version": "5.3", "date": "2026-01-01T00:00:00Z"},
            "parent_header": {}, "metadata": {}, "buffers": [],
            "content": {"code": code, "silent": false, "store_history": true, "user_expressions": {},
                        "allow_stdin": false, "stop_on_error": true},
        });
        self.socket.send(Message::text(request.to_string())).await?;
        Ok(message_id)
    }

    async fn run_for_ever(&mut self, code: &str) -> Result<String> {
        let message_id = self.send(code).await?;
        let mut printed = String::new();
        let (mut replied, mut idle) = (false, false);
        while !(replied && idle) {
            let message = self.socket.next().await.context("the websocket closed")??;
            let text = match message {
                Message::Text(text) => text,
                Message::Close(frame) => bail!("the websocket closed: {frame:?}"),
                _ => continue,
            };
            let message: Value = serde_json::from_str(&text)?;
            if message["parent_header"]["msg_id"] != message_id.as_str() {
                continue;
            }
            let content = &message["content"];
            match message["header"]["msg_type"].as_str().unwrap_or_default() {
                "stream" => printed.push_str(content["text"].as_str().unwrap_or_default()),
                "execute_result" | "display_data" => {
                    printed.push_str(content["data"]["text/plain"].as_str().unwrap_or_default());
                }
                "error" => bail!("the cell failed: {content}"),
                "execute_reply" => replied = true,
                "status" => idle = content["execution_state"] == "idle",
                _ => {}
            }
        }
        Ok(printed.trim_end().to_owned())
    }

    /// Waits until the websocket is closed by the other side.
    ///
    /// # Errors
    /// When it stays open.
    pub async fn until_closed(&mut self, deadline: Duration) -> Result<()> {
        let closed = async {
            while let Some(Ok(message)) = self.socket.next().await {
                if matches!(message, Message::Close(_)) {
                    return;
                }
            }
        };
        tokio::time::timeout(deadline, closed)
            .await
            .context("the websocket stayed open")
    }

    /// Waits until a cell can be run: a kernel that was just started answers late.
    ///
    /// # Errors
    /// When it never can.
    pub async fn started(person: &Person, server: &str) -> Result<Self> {
        eventually("a kernel starts", Duration::from_secs(60), || async {
            Self::start(person, server)
                .await
                .map_err(|error| format!("{error:#}"))
        })
        .await
    }
}
