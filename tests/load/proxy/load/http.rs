//! Small requests on a connection that is kept.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Exchange, connect};
use crate::wire::{self, GOOD, SMALL_BODY};

/// A client of small requests.
#[derive(Debug)]
pub(crate) struct Requests {
    stream: TcpStream,
    request: Arc<[u8]>,
    buffer: Vec<u8>,
    /// How long the last answer was: the next one is as long.
    usual: usize,
}

impl Requests {
    /// Opens so many connections.
    pub(crate) async fn open(port: u16, count: usize) -> Result<Vec<Self>> {
        let request: Arc<[u8]> = wire::small_request(port).into();
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(Self {
                stream: connect(port).await?,
                request: Arc::clone(&request),
                buffer: vec![0; 2048],
                usual: 0,
            });
        }
        Ok(clients)
    }
}

impl Exchange for Requests {
    async fn exchange(&mut self) -> Result<()> {
        self.stream.write_all(&self.request).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            ensure!(read > 0, "the proxy closed before it answered");
            filled += read;
            let answer = &self.buffer[..filled];
            if filled == self.usual && answer.starts_with(GOOD) && answer.ends_with(SMALL_BODY) {
                return Ok(());
            }
            if let Some(end) = wire::head_end(answer) {
                let length = wire::field(&answer[..end], "content-length");
                let length: usize = length.context("no Content-Length")?.parse()?;
                if filled >= end + length {
                    check(answer, end)?;
                    self.usual = filled;
                    return Ok(());
                }
            }
            ensure!(filled < self.buffer.len(), "an answer is too long");
        }
    }
}

/// Whether this is the upstream's small answer, and nothing behind it.
pub(super) fn check(answer: &[u8], end: usize) -> Result<()> {
    let text = || String::from_utf8_lossy(answer).into_owned();
    ensure!(answer.starts_with(GOOD), "not a good answer: {}", text());
    ensure!(answer[end..] == *SMALL_BODY, "not our body: {}", text());
    Ok(())
}
