//! Large bodies in either direction, counted to the last byte.

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Exchange, connect, http};
use crate::body::Body;
use crate::wire::{self, BLOCK, GOOD, path};

/// Bytes that are read or written at once.
const BUFFER: usize = 4 * BLOCK;

/// Something whose exchanges have a size.
pub(super) trait Sizable {
    fn size(&self) -> u64;
    fn resize(&mut self, bytes: u64);
}

/// A client that downloads.
#[derive(Debug)]
pub(super) struct Downloads {
    stream: TcpStream,
    port: u16,
    path: &'static str,
    bytes: u64,
    buffer: Vec<u8>,
}

impl Downloads {
    /// For bodies with `Content-Length`.
    pub(super) async fn open(port: u16, count: usize, bytes: u64) -> Result<Vec<Self>> {
        Self::open_at(path::DOWNLOAD, port, count, bytes).await
    }

    /// For bodies in chunks.
    pub(super) async fn open_chunked(port: u16, count: usize, bytes: u64) -> Result<Vec<Self>> {
        Self::open_at(path::CHUNKED, port, count, bytes).await
    }

    async fn open_at(path: &'static str, port: u16, count: usize, bytes: u64) -> Result<Vec<Self>> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(Self {
                stream: connect(port).await?,
                port,
                path,
                bytes,
                buffer: vec![0; BUFFER],
            });
        }
        Ok(clients)
    }
}

impl Exchange for Downloads {
    async fn exchange(&mut self) -> Result<()> {
        let target = format!("{}{}", self.path, self.bytes);
        let request = wire::request("GET", &target, self.port, "");
        self.stream.write_all(&request).await?;
        let mut filled = 0;
        let end = loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            ensure!(read > 0, "the proxy closed before it answered");
            filled += read;
            if let Some(end) = wire::head_end(&self.buffer[..filled]) {
                break end;
            }
        };
        let head = &self.buffer[..end];
        let text = || String::from_utf8_lossy(head).into_owned();
        ensure!(head.starts_with(GOOD), "not a good answer: {}", text());
        let mut body = Body::of(head)?;
        let mut came = body.take(&self.buffer[end..filled])?;
        while !body.is_whole() {
            let read = self.stream.read(&mut self.buffer).await?;
            ensure!(read > 0, "the proxy closed after {came} bytes");
            came += body.take(&self.buffer[..read])?;
        }
        ensure!(came == self.bytes, "{came} bytes of {}", self.bytes);
        Ok(())
    }
}

impl Sizable for Downloads {
    fn size(&self) -> u64 {
        self.bytes
    }

    fn resize(&mut self, bytes: u64) {
        self.bytes = bytes;
    }
}

/// A client that uploads.
#[derive(Debug)]
pub(super) struct Uploads {
    stream: TcpStream,
    port: u16,
    bytes: u64,
    buffer: Vec<u8>,
}

impl Uploads {
    /// For bodies with `Content-Length`.
    pub(super) async fn open(port: u16, count: usize, bytes: u64) -> Result<Vec<Self>> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(Self {
                stream: connect(port).await?,
                port,
                bytes,
                buffer: vec![b'.'; BUFFER],
            });
        }
        Ok(clients)
    }
}

impl Exchange for Uploads {
    async fn exchange(&mut self) -> Result<()> {
        let length = format!("Content-Length: {}\r\n", self.bytes);
        let request = wire::request("POST", path::UPLOAD, self.port, &length);
        self.stream.write_all(&request).await?;
        let mut left = self.bytes;
        while left > 0 {
            let part = left.min(BUFFER as u64);
            let part_length = usize::try_from(part)?;
            self.stream.write_all(&self.buffer[..part_length]).await?;
            left -= part;
        }
        let mut answer = [0; 2048];
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut answer[filled..]).await?;
            ensure!(read > 0, "the proxy closed before it answered");
            filled += read;
            let answer = &answer[..filled];
            if let Some(end) = wire::head_end(answer)
                && filled >= end + wire::SMALL_BODY.len()
            {
                return http::check(answer, end);
            }
        }
    }
}

impl Sizable for Uploads {
    fn size(&self) -> u64 {
        self.bytes
    }

    fn resize(&mut self, bytes: u64) {
        self.bytes = bytes;
    }
}
