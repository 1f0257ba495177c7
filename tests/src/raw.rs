//! Requests as bytes, for what no HTTP library lets through.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends bytes and returns all that comes back until the other side closes, or falls silent for a second after it said something.
///
/// # Errors
/// When nothing comes within ten seconds.
pub async fn exchange(port: u16, request: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let patience = if answer.is_empty() { 10 } else { 1 };
        let read =
            tokio::time::timeout(Duration::from_secs(patience), stream.read(&mut buffer)).await;
        match read {
            Ok(Ok(0)) => break,
            Ok(Ok(count)) => answer.extend_from_slice(&buffer[..count]),
            Ok(Err(_)) if !answer.is_empty() => break,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) if !answer.is_empty() => break,
            Err(_) => anyhow::bail!("no answer within ten seconds"),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The status of an answer.
///
/// # Errors
/// When it is none.
pub fn status(answer: &str) -> Result<u16> {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .with_context(|| format!("not an HTTP answer: {answer:?}"))
}
