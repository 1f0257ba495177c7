//! Speaks the proxy's control API (`holt_spec::control`) over its Unix socket, one connection a call.

use std::path::PathBuf;
use std::time::Duration;

use holt_spec::control::{
    ACTIVITY_PATH, Activity, CHANGES_PATH, Changes, REVOCATIONS_PATH, Refused, Revocations,
    STATUS_PATH, Status, TABLE_PATH, Table,
};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// Longest time for one call.
const LIMIT: Duration = Duration::from_secs(10);
/// Largest answer: ten thousand routes are about a megabyte.
const ANSWER_BYTES: usize = 64 << 20;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody answers on the socket.
    #[error("the proxy does not answer")]
    Away(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The proxy holds another generation.
    #[error("the proxy already has generation {generation}")]
    Refused {
        /// Which it has.
        generation: u64,
    },
    /// It answered something that is no answer to this call.
    #[error("the proxy answered {status}")]
    Unexpected {
        /// The status code.
        status: StatusCode,
    },
}

impl ControlError {
    fn away(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Away(cause.into())
    }
}

pub(super) struct Control {
    socket: PathBuf,
}

impl Control {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub(super) async fn put(&self, table: &Table) -> Result<(), ControlError> {
        self.send(Method::PUT, TABLE_PATH, Some(table))
            .await
            .map(drop)
    }

    pub(super) async fn change(&self, changes: &Changes) -> Result<(), ControlError> {
        self.send(Method::POST, CHANGES_PATH, Some(changes))
            .await
            .map(drop)
    }

    pub(super) async fn revoke(&self, revocations: &Revocations) -> Result<(), ControlError> {
        self.send(Method::POST, REVOCATIONS_PATH, Some(revocations))
            .await
            .map(drop)
    }

    pub(super) async fn activity(&self) -> Result<Activity, ControlError> {
        self.get(ACTIVITY_PATH).await
    }

    pub(super) async fn status(&self) -> Result<Status, ControlError> {
        self.get(STATUS_PATH).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ControlError> {
        let body = self.send(Method::GET, path, None::<&()>).await?;
        serde_json::from_slice(&body).map_err(ControlError::away)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Bytes, ControlError> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(ControlError::away)?,
            None => Vec::new(),
        };
        match tokio::time::timeout(LIMIT, self.exchange(method, path, body)).await {
            Ok(result) => result,
            Err(elapsed) => Err(ControlError::away(elapsed)),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Bytes, ControlError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(ControlError::away)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(ControlError::away)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "holt-proxy")
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::CONNECTION, "close")
            .body(Full::new(Bytes::from(body)))
            .map_err(ControlError::away)?;
        let exchange = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(ControlError::away)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES)
                .collect()
                .await
                .map_err(ControlError::Away)?
                .to_bytes();
            Ok((status, body))
        };
        // One task drives both; a connection that ended has given the exchange its end too.
        let driver = async {
            let _ = connection.await;
            std::future::pending::<()>().await;
        };
        let (status, body): (StatusCode, Bytes) = tokio::select! {
            result = exchange => result?,
            () = driver => return Err(ControlError::away("the connection ended")),
        };
        match status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(body),
            StatusCode::CONFLICT => match serde_json::from_slice::<Refused>(&body) {
                Ok(refused) => Err(ControlError::Refused {
                    generation: refused.generation,
                }),
                Err(error) => Err(ControlError::away(error)),
            },
            status => Err(ControlError::Unexpected { status }),
        }
    }
}
