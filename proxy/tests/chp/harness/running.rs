//! A program that runs, and what is asked of it.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};

use super::answer::Answer;
use super::ports::Ports;
use super::wire::{Client, Nothing, PATIENCE, SILENCE, eventually};

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) path: PathBuf,
    pub(crate) ports: Ports,
    pub(crate) token: String,
    pub(super) log: PathBuf,
    pub(super) sockets: bool,
    pub(super) dir: Option<tempfile::TempDir>,
}

impl Running {
    pub(super) fn ready(&mut self) -> Result<(), String> {
        eventually("it listens", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ok(Err(format!("it ended with {status}")));
            }
            if self.log().contains("EADDRINUSE") {
                return Ok(Err("a port is taken".to_owned()));
            }
            let public = if self.sockets {
                self.path.join("public.sock").exists()
            } else {
                TcpStream::connect(self.public()).is_ok()
            };
            let api = self.path.join("api.sock").exists() || TcpStream::connect(self.api()).is_ok();
            if public && api {
                Ok(Ok(()))
            } else {
                Err(format!("public {public}, API {api}"))
            }
        })?
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for words in the log.
    pub(crate) fn says(&self, words: &str) -> bool {
        eventually("it says", || {
            let log = plain(&self.log());
            log.contains(words).then_some(()).ok_or(log)
        })
        .is_ok()
    }

    pub(crate) fn public(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.public).into()
    }

    pub(crate) fn api(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.api).into()
    }

    pub(crate) fn metrics(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.metrics).into()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::to(self.public())
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Result<Answer, Nothing> {
        let mut client = self.connect();
        client.send(request);
        client.answer()
    }

    /// `GET` with a host and nothing else.
    pub(crate) fn get(&self, target: &str) -> Result<Answer, Nothing> {
        self.ask(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"))
    }

    /// `GET` with headers, each with its line's end.
    pub(crate) fn get_with(&self, target: &str, headers: &str) -> Result<Answer, Nothing> {
        self.ask(format!("GET {target} HTTP/1.1\r\n{headers}\r\n"))
    }

    /// A request to the API, with the token.
    pub(crate) fn api_call(
        &self,
        method: &str,
        target: &str,
        body: &str,
    ) -> Result<Answer, Nothing> {
        let mut client = Client::to(self.api());
        client.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: api\r\nAuthorization: token {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        ));
        client.answer_to(method)
    }

    /// Bytes to the API.
    pub(crate) fn api_raw(&self, request: &str) -> Result<Answer, Nothing> {
        let mut client = Client::to(self.api());
        client.patient(SILENCE * 3);
        client.send(request);
        client.answer()
    }

    /// Adds a route.
    pub(crate) fn route(&self, path: &str, target: &str) {
        let body = serde_json::json!({ "target": target }).to_string();
        let answer = self.api_call("POST", &format!("/api/routes{path}"), &body);
        assert_eq!(answer.map(|answer| answer.status()), Ok(201), "{path}");
    }

    /// A route's data, as it is kept.
    pub(crate) fn routed(&self, path: &str) -> serde_json::Value {
        let answer = self.api_call("GET", &format!("/api/routes{path}"), "");
        answer
            .ok()
            .and_then(|answer| serde_json::from_str(&answer.body).ok())
            .unwrap_or_default()
    }

    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// How it ends, if it does.
    pub(crate) fn end(&mut self) -> Result<ExitStatus, String> {
        eventually("it ends", || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?} after {PATIENCE:?}")),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A log without its colours.
pub(crate) fn plain(log: &str) -> String {
    let mut plain = String::new();
    let mut rest = log;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain += before;
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}
