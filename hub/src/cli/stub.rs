//! Stands in for the hub until it is there.
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use crate::config::Settings;

pub(super) async fn run(_settings: &Settings, socket: PathBuf, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = crate::socket::bind_private(&socket).await?;
    loop {
        let mut stream = tokio::select! { s = listener.accept() => s?.0, () = stop.cancelled() => return Ok(()) };
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 33\r\nConnection: close\r\n\r\n{\"ready\":true,\"reasons\":[       ]}").await;
    }
}

pub(super) async fn stop_all(_settings: &Settings, _hub_runs: bool, _deadline: Duration) -> anyhow::Result<usize> {
    Ok(0)
}
