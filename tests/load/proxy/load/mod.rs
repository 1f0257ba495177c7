//! The load generator, a process of its own together with the upstream: it does what an order says, and tells what came of it.
//!
//! First it warms up, on the connections that are measured after; then it notes the proxy's processor time before and after.
//! **Invariant:** nothing is asked again and no error is forgiven: an answer that is not the expected one ends its connection and is
//! counted.

mod drive;
mod http;
mod idle;
mod orders;
mod paced;
mod transfer;
mod websocket;

use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use drive::{Until, closed_loop, transfers};

pub(crate) use orders::serve;

/// What is to be done, through which proxy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Where the proxy listens.
    pub(crate) port: u16,
    /// The processes that are measured.
    pub(crate) pids: Vec<u32>,
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    /// How long it warms up.
    pub(crate) warm_up: Duration,
    /// How long it is measured, where the kind does not tell.
    pub(crate) time: Duration,
}

/// Kinds of load.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Small requests, one after the other on each connection.
    Requests,
    /// Small requests at so many per second, whether answers come or not.
    Paced { rate: f64 },
    /// Websocket messages of so many bytes, one after the other on each connection.
    Echoes { size: usize },
    /// Websockets that were used once and are held.
    Idle { held: usize },
    /// So many bytes to the client, over all connections.
    Download { bytes: u64 },
    /// The same in chunks.
    ChunkedDownload { bytes: u64 },
    /// So many bytes from the client, over all connections.
    Upload { bytes: u64 },
}

impl Kind {
    /// Whether its units are bytes.
    pub(crate) fn is_bulk(self) -> bool {
        match self {
            Self::Download { .. } | Self::ChunkedDownload { .. } | Self::Upload { .. } => true,
            Self::Requests | Self::Paced { .. } | Self::Echoes { .. } | Self::Idle { .. } => false,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Requests, messages, bytes or websockets.
    pub(crate) units: u64,
    pub(crate) seconds: f64,
    /// The proxy's processor time.
    pub(crate) cpu_nanoseconds: u64,
    /// The proxy's memory before and after.
    pub(crate) memory: (u64, u64),
    /// Its most resident memory in between.
    pub(crate) peak: u64,
    pub(crate) latency: Option<Latency>,
    pub(crate) errors: Vec<String>,
}

/// Seconds from the planned begin of a request to its answer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) middle: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

/// A connection on which the same thing is done again and again.
pub(crate) trait Exchange: Send + 'static {
    /// Sends one thing, takes its answer and checks it.
    fn exchange(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Does what is ordered.
async fn run(order: &Order) -> Result<Outcome> {
    let port = order.port;
    let count = order.connections;
    let share = |bytes: u64| bytes / count as u64;
    match order.kind {
        Kind::Requests => {
            let clients = http::Requests::open(port, count).await?;
            closed_loop(order, clients, Until::Passed(order.time)).await
        }
        Kind::Echoes { size } => {
            let clients = websocket::Echoes::open(port, count, size).await?;
            closed_loop(order, clients, Until::Passed(order.time)).await
        }
        Kind::Paced { rate } => paced::run(order, rate).await,
        Kind::Idle { held } => idle::run(order, held).await,
        Kind::Download { bytes } => {
            let clients = transfer::Downloads::open(port, count, share(bytes)).await?;
            transfers(order, clients).await
        }
        Kind::ChunkedDownload { bytes } => {
            let clients = transfer::Downloads::open_chunked(port, count, share(bytes)).await?;
            transfers(order, clients).await
        }
        Kind::Upload { bytes } => {
            let clients = transfer::Uploads::open(port, count, share(bytes)).await?;
            transfers(order, clients).await
        }
    }
}

/// Connects to the proxy.
pub(crate) async fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .context("the proxy does not accept")?;
    stream.set_nodelay(true)?;
    // A reset at the end leaves no port behind that waits for a minute.
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    Ok(stream)
}
