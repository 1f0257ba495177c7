//! Asks a server whether it answers, as JupyterHub does: `GET <prefix>api`, no credentials, redirects not followed.
//! Anything below 500 counts.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longest time for one question: a server that accepts and never answers is asked again.
const LIMIT: Duration = Duration::from_secs(5);

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// What it said its version is. Never trusted.
    pub(super) version: Option<String>,
}

/// Asks once.
pub(super) async fn probe(address: SocketAddr, path: &str) -> Option<Answer> {
    tokio::time::timeout(LIMIT, ask(address, path))
        .await
        .ok()
        .flatten()
}

async fn ask(address: SocketAddr, path: &str) -> Option<Answer> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .ok()?;
    let request = http::Request::get(path)
        .header(http::header::HOST, address.to_string())
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .ok()?;
    let exchange = sender.send_request(request);
    // One task drives both; dropping it closes the connection. A connection that ended has given the exchange its end too.
    let driver = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    let response = tokio::select! {
        response = exchange => response.ok()?,
        () = driver => return None,
    };
    if response.status().is_server_error() {
        return None;
    }
    let version = response
        .headers()
        .get("x-jupyterhub-version")
        .and_then(|value| value.to_str().ok())
        .map(|value| value.chars().take(40).collect());
    Some(Answer { version })
}
