//! Messages on a websocket, each with a number that must come back.

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Exchange, connect};
use crate::wire;

/// How every good handshake begins.
const SWITCHED: &[u8] = b"HTTP/1.1 101 ";

/// A client of echoes.
#[derive(Debug)]
pub(crate) struct Echoes {
    stream: TcpStream,
    /// The client's frame, and where its payload begins.
    frame: Vec<u8>,
    begin: usize,
    /// Head of the upstream's frame.
    head: Vec<u8>,
    buffer: Vec<u8>,
    number: u64,
}

impl Echoes {
    /// Opens so many websockets, for messages of `size` bytes.
    pub(crate) async fn open(port: u16, count: usize, size: usize) -> Result<Vec<Self>> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(Self::over(connect(port).await?, port, size).await?);
        }
        Ok(clients)
    }

    /// Opens a websocket on this connection.
    async fn over(mut stream: TcpStream, port: u16, size: usize) -> Result<Self> {
        ensure!(size >= 16, "a message has room for its number");
        stream.write_all(&wire::upgrade_request(port)).await?;
        let mut answer = vec![0; 1024];
        let mut filled = 0;
        let end = loop {
            let read = stream.read(&mut answer[filled..]).await?;
            ensure!(read > 0, "the proxy closed before it answered");
            filled += read;
            if let Some(end) = wire::head_end(&answer[..filled]) {
                break end;
            }
        };
        let text = String::from_utf8_lossy(&answer[..filled]);
        ensure!(answer.starts_with(SWITCHED), "no websocket: {text}");
        ensure!(end == filled, "something follows the handshake: {text}");
        let (frame, begin) = wire::client_frame(size);
        let head = wire::frame_head(size);
        Ok(Self {
            stream,
            buffer: vec![0; head.len() + size],
            frame,
            begin,
            head,
            number: 0,
        })
    }
}

impl Exchange for Echoes {
    async fn exchange(&mut self) -> Result<()> {
        self.number += 1;
        let number = self.begin..self.begin + 8;
        self.frame[number].copy_from_slice(&self.number.to_be_bytes());
        self.stream.write_all(&self.frame).await?;
        let mut filled = 0;
        while filled < self.buffer.len() {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            ensure!(read > 0, "the proxy closed before the echo");
            filled += read;
        }
        let (sent, came) = (&self.frame[self.begin..], &self.buffer[self.head.len()..]);
        ensure!(self.buffer.starts_with(&self.head), "not the echo's head");
        ensure!(came[..8] == sent[..8], "the echo of another message");
        let tail = sent.len() - 8;
        ensure!(came[tail..] == sent[tail..], "an echo with another end");
        Ok(())
    }
}
