//! The server behind the proxies: it answers from bytes made beforehand, keeps every connection, and echoes websockets.
//!
//! It shares a processor with the load generator, so it does as little as the figures allow.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::body::Body;
use crate::wire::{self, BLOCK, HEAD_LIMIT, path};

/// Before the answer that nobody waits for.
const SLOW: Duration = Duration::from_secs(5);

/// What every connection sends from.
#[derive(Debug)]
struct Answers {
    small: Vec<u8>,
    /// Begin of the requests that get the small answer.
    small_request: Vec<u8>,
    block: Vec<u8>,
    chunk: Vec<u8>,
}

/// Serves on this port until the process is ended.
pub(crate) async fn serve(port: u16) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    serve_on(socket.listen(4096)?).await
}

async fn serve_on(listener: TcpListener) -> Result<()> {
    let mut chunk = format!("{BLOCK:x}\r\n").into_bytes();
    chunk.resize(chunk.len() + BLOCK, b'.');
    chunk.extend_from_slice(b"\r\n");
    let answers = Arc::new(Answers {
        small: wire::small_answer(),
        small_request: format!("GET {}", path::SMALL).into_bytes(),
        block: vec![b'.'; BLOCK],
        chunk,
    });
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A reset at the end leaves no port behind that waits for a minute.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        let answers = Arc::clone(&answers);
        connections.spawn(async move {
            if let Err(error) = converse(stream, &answers).await
                && !is_abort(&error)
            {
                eprintln!("upstream: {error:#}");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Whether somebody hung up, which is none of the upstream's business.
fn is_abort(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some()
}

async fn converse(mut stream: TcpStream, answers: &Answers) -> Result<()> {
    let mut buffer = vec![0; 1024];
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            ensure!(filled < HEAD_LIMIT, "a head has no end");
            buffer.resize(filled * 2, 0);
        }
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let bytes = &buffer[..filled];
        if bytes.ends_with(b"\r\n\r\n") && bytes.starts_with(&answers.small_request) {
            stream.write_all(&answers.small).await?;
            filled = 0;
        } else if let Some(end) = wire::head_end(bytes) {
            if bytes.starts_with(format!("GET {}", path::ECHO).as_bytes()) {
                return echo(stream, &bytes[..end]).await;
            }
            answer(&mut stream, &bytes[..end], &bytes[end..], answers).await?;
            filled = 0;
        }
    }
}

/// Answers whatever is not the usual.
async fn answer(stream: &mut TcpStream, head: &[u8], rest: &[u8], answers: &Answers) -> Result<()> {
    let text = std::str::from_utf8(head)?;
    let target = text.split(' ').nth(1).context("no target")?;
    let target = target.split('?').next().unwrap_or_default();
    if target == path::SMALL {
        bail!("a small request came with something behind it");
    } else if target == path::UPLOAD {
        let mut body = Body::of(head)?;
        body.take(rest)?;
        let mut buffer = vec![0; 4 * BLOCK];
        while !body.is_whole() {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            body.take(&buffer[..read])?;
        }
        stream.write_all(&answers.small).await?;
    } else if let Some(size) = target.strip_prefix(path::DOWNLOAD) {
        let mut left: usize = size.parse()?;
        let head = wire::answer_head(&format!("Content-Length: {left}\r\n"));
        stream.write_all(&head).await?;
        while left > 0 {
            let part = left.min(BLOCK);
            stream.write_all(&answers.block[..part]).await?;
            left -= part;
        }
    } else if let Some(size) = target.strip_prefix(path::CHUNKED) {
        let size: usize = size.parse()?;
        ensure!(size.is_multiple_of(BLOCK), "chunks are {BLOCK} bytes long");
        let head = wire::answer_head("Transfer-Encoding: chunked\r\n");
        stream.write_all(&head).await?;
        for _ in 0..size / BLOCK {
            stream.write_all(&answers.chunk).await?;
        }
        stream.write_all(b"0\r\n\r\n").await?;
    } else if target == path::SLOW {
        let mut nothing = [0];
        match tokio::time::timeout(SLOW, stream.read(&mut nothing)).await {
            Ok(read) => {
                read?;
                return Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into());
            }
            Err(_) => stream.write_all(&answers.small).await?,
        }
    } else {
        bail!("nothing is at {target}");
    }
    Ok(())
}

/// Returns every frame as it came, but unmasked.
async fn echo(mut stream: TcpStream, head: &[u8]) -> Result<()> {
    let key = wire::field(head, "sec-websocket-key").context("no key")?;
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\n\
         Connection: Upgrade\r\n\
         Upgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    let mut buffer = vec![0; 256];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        while let Some((head, size)) = wire::masked_frame(&buffer[..filled])? {
            let whole = head + size;
            if buffer.len() < whole {
                buffer.resize(whole.next_multiple_of(4096), 0);
            }
            if filled < whole {
                break;
            }
            if buffer[0] & 0x0f == 8 {
                stream.write_all(&[0x88, 0]).await?;
                return Ok(());
            }
            // The answer's head lies where mask and payload meet.
            let own = wire::frame_head(size);
            let begin = head - own.len();
            buffer[begin..head].copy_from_slice(&own);
            stream.write_all(&buffer[begin..whole]).await?;
            buffer.copy_within(whole..filled, 0);
            filled -= whole;
        }
    }
}
