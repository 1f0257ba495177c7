//! Private Unix sockets: how a role makes its own, and how another asks it a question.
//!
//! A socket file that nobody answers on is left over and is replaced; one that is answered on is never taken away.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixListener, UnixStream};

/// Largest answer taken.
const ANSWER_BYTES: usize = 1 << 20;
/// Largest answer of a role that tells of everybody: ten thousand statements are about as much.
const LARGE_ANSWER_BYTES: usize = 32 << 20;

/// Why a socket could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process answers on it.
    #[error("another process{} already answers on {path}", of_pid(*pid))]
    InUse {
        /// The socket.
        path: PathBuf,
        /// Whose it is, when that is known.
        pid: Option<i32>,
    },
    /// It cannot be made.
    #[error("the socket {path} cannot be made")]
    Unusable {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

fn of_pid(pid: Option<i32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

/// Makes the socket at `path`, for this user alone.
///
/// # Errors
/// [`SocketError::InUse`] when a living process answers there.
pub async fn bind_private(path: &Path) -> Result<UnixListener, SocketError> {
    let unusable = |cause| SocketError::Unusable {
        path: path.to_owned(),
        cause,
    };
    if path.exists() {
        if let Ok(stream) = UnixStream::connect(path).await {
            let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
            return Err(SocketError::InUse {
                path: path.to_owned(),
                pid,
            });
        }
        match std::fs::remove_file(path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(unusable(cause)),
            _ => {}
        }
    }
    // The directory is closed to others, so there is no moment in which somebody else could come in.
    let listener = UnixListener::bind(path).map_err(unusable)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map_err(unusable)?;
    Ok(listener)
}

/// Who answers on the socket, if anybody does.
pub async fn owner(path: &Path) -> Option<i32> {
    let stream = UnixStream::connect(path).await.ok()?;
    stream.peer_cred().ok()?.pid()
}

/// Asks for a path and reads its JSON, whatever the status.
///
/// # Errors
/// Nobody answers, not in time, or not with such JSON.
pub async fn ask<T: DeserializeOwned>(socket: &Path, path: &str, limit: Duration) -> io::Result<T> {
    tokio::time::timeout(limit, exchange(socket, path))
        .await
        .map_err(|_| io::Error::from(ErrorKind::TimedOut))?
        .and_then(|(_, body)| serde_json::from_slice(&body).map_err(io::Error::other))
}

/// Sends a request with a JSON body, or none, and returns status and body of the answer.
///
/// # Errors
/// Nobody answers, not in time, or with more than 32 MiB.
pub async fn call(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
    limit: Duration,
) -> io::Result<(StatusCode, Bytes)> {
    let calling = async {
        let stream = UnixStream::connect(socket).await?;
        send(stream, method, path, body, LARGE_ANSWER_BYTES).await
    };
    tokio::time::timeout(limit, calling)
        .await
        .map_err(|_| io::Error::from(ErrorKind::TimedOut))?
}

/// Whether a request to a listener is answered as it should be.
pub async fn answers(listen: SocketAddr, path: &str, limit: Duration) -> bool {
    let asked = async {
        let stream = TcpStream::connect(reachable(listen)).await?;
        exchange_over(stream, path).await
    };
    matches!(tokio::time::timeout(limit, asked).await, Ok(Ok((status, _))) if status.is_success())
}

/// Where a listener on all addresses is reached from here.
fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => {
            (Ipv4Addr::LOCALHOST, listen.port()).into()
        }
        IpAddr::V6(address) if address.is_unspecified() => {
            (Ipv6Addr::LOCALHOST, listen.port()).into()
        }
        _ => listen,
    }
}

async fn exchange(socket: &Path, path: &str) -> io::Result<(StatusCode, Bytes)> {
    exchange_over(UnixStream::connect(socket).await?, path).await
}

async fn exchange_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
) -> io::Result<(StatusCode, Bytes)> {
    send(stream, Method::GET, path, Vec::new(), ANSWER_BYTES).await
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: Method,
    path: &str,
    body: Vec<u8>,
    most: usize,
) -> io::Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let answer = async move {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "holt")
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::CONNECTION, "close")
            .body(Full::new(Bytes::from(body)))
            .map_err(io::Error::other)?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), most);
        Ok((
            status,
            body.collect().await.map_err(io::Error::other)?.to_bytes(),
        ))
    };
    let (_, answer) = tokio::join!(connection, answer);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_left_over_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        drop(bind_private(&path).await.unwrap());
        assert!(path.exists());
        let listener = bind_private(&path).await.unwrap();
        let refused = bind_private(&path).await.unwrap_err();
        assert!(matches!(refused, SocketError::InUse { pid: Some(_), .. }));
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        drop(listener);
    }
}
