//! Speaks the gateway's control API (`holt_spec::replicas`) over its Unix socket, one connection a call.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use holt_spec::replicas::{
    Accepted, GRANTS_PATH, Grants, REVOCATIONS_PATH, Refused, Revoked, STATEMENTS_PATH,
    STATUS_PATH, Statements, Status,
};
use http::{Method, StatusCode};
use hyper::body::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::socket;

/// Longest time for one call.
const LIMIT: Duration = Duration::from_secs(8);

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Nobody answers on the socket, or not in time.
    #[error("the replica gateway does not answer")]
    Away(#[source] io::Error),
    /// The gateway holds a newer generation.
    #[error("the replica gateway already has generation {generation}")]
    Refused {
        /// Which it has.
        generation: u64,
    },
    /// What was asked for is over.
    #[error("there is no such statement; it may have ended")]
    Over,
    /// It answered something that is no answer to this call.
    #[error("the replica gateway answered {status}")]
    Unexpected {
        /// The status code.
        status: StatusCode,
    },
}

pub(super) struct Control {
    socket: PathBuf,
}

impl Control {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Gives the whole set of grants.
    pub(super) async fn put(&self, grants: &Grants) -> Result<(), GatewayError> {
        self.send(Method::PUT, GRANTS_PATH, Some(grants), LIMIT)
            .await
            .map(drop)
    }

    /// The generation in force.
    pub(super) async fn generation(&self) -> Result<u64, GatewayError> {
        let accepted: Accepted = self.get(GRANTS_PATH).await?;
        Ok(accepted.generation)
    }

    pub(super) async fn revoke(
        &self,
        revoked: &Revoked,
        limit: Duration,
    ) -> Result<(), GatewayError> {
        self.send(Method::POST, REVOCATIONS_PATH, Some(revoked), limit)
            .await
            .map(drop)
    }

    pub(super) async fn statements(&self) -> Result<Statements, GatewayError> {
        self.get(STATEMENTS_PATH).await
    }

    pub(super) async fn end_statement(&self, id: &str) -> Result<(), GatewayError> {
        let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
        let path = format!("{STATEMENTS_PATH}/{id}");
        match self.send(Method::DELETE, &path, None::<&()>, LIMIT).await {
            Err(GatewayError::Unexpected {
                status: StatusCode::NOT_FOUND,
            }) => Err(GatewayError::Over),
            other => other.map(drop),
        }
    }

    pub(super) async fn status(&self) -> Result<Status, GatewayError> {
        self.get(STATUS_PATH).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, GatewayError> {
        let body = self.send(Method::GET, path, None::<&()>, LIMIT).await?;
        serde_json::from_slice(&body).map_err(|error| GatewayError::Away(io::Error::other(error)))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        limit: Duration,
    ) -> Result<Bytes, GatewayError> {
        let other = |error| GatewayError::Away(io::Error::other(error));
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(other)?,
            None => Vec::new(),
        };
        let (status, body) = socket::call(&self.socket, method, path, body, limit)
            .await
            .map_err(GatewayError::Away)?;
        match status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(body),
            StatusCode::CONFLICT => {
                let refused: Refused = serde_json::from_slice(&body).map_err(other)?;
                Err(GatewayError::Refused {
                    generation: refused.generation,
                })
            }
            status => Err(GatewayError::Unexpected { status }),
        }
    }
}
