//! Clients that go away at the wrong moment, and the decent ones they are compared with.
//!
//! Each comes from one of many loopback addresses, so that ports which wait after a decent close do not run out.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::wire::{self, GOOD, SMALL_BODY, path};

/// What an upload that is given up promises, and what of it comes.
const PROMISED: usize = 1 << 20;
const KEPT: usize = 48 * 1024;
/// Bytes of a websocket's message.
const MESSAGE: usize = 128;

/// Gives a connection up, by its number in one of four ways.
pub(crate) async fn give_up(port: u16, number: u64) -> Result<()> {
    let mut stream = connect(port, number).await?;
    match number % 4 {
        // A decent end, but nothing was ever asked.
        0 => {
            stream.shutdown().await?;
            return Ok(());
        }
        1 => {
            let request = wire::small_request(port);
            stream.write_all(&request[..request.len() / 2]).await?;
        }
        2 => {
            let request = wire::request("GET", path::SLOW, port, "");
            stream.write_all(&request).await?;
        }
        _ => {
            let length = format!("Content-Length: {PROMISED}\r\n");
            let request = wire::request("POST", path::UPLOAD, port, &length);
            stream.write_all(&request).await?;
            stream.write_all(&[b'.'; KEPT]).await?;
        }
    }
    // Some break off at once, others when the proxy is already at work.
    tokio::time::sleep(Duration::from_millis(number / 4 % 4)).await;
    reset(stream)
}

/// Opens a websocket, says one thing, hears it, and closes or breaks off.
pub(crate) async fn use_websocket(port: u16, number: u64) -> Result<()> {
    let mut stream = connect(port, number).await?;
    stream.write_all(&wire::upgrade_request(port)).await?;
    let mut buffer = vec![0; 2048];
    let mut filled = 0;
    while wire::head_end(&buffer[..filled]).is_none() {
        filled += some(&mut stream, &mut buffer[filled..]).await?;
    }
    let text = String::from_utf8_lossy(&buffer[..filled]);
    ensure!(text.starts_with("HTTP/1.1 101 "), "no websocket: {text}");
    let (frame, begin) = wire::client_frame(MESSAGE);
    stream.write_all(&frame).await?;
    let mut wanted = wire::frame_head(MESSAGE);
    wanted.extend_from_slice(&frame[begin..]);
    let mut echo = vec![0; wanted.len()];
    stream.read_exact(&mut echo).await.context("no echo")?;
    ensure!(echo == wanted, "another echo");
    if number.is_multiple_of(2) {
        return reset(stream);
    }
    stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await?;
    // The close comes back, or the connection ends.
    let _ = stream.read(&mut buffer).await;
    Ok(())
}

/// A small request with its answer.
pub(crate) async fn ask(port: u16, number: u64) -> Result<()> {
    let mut stream = connect(port, number).await?;
    stream.write_all(&wire::small_request(port)).await?;
    let mut buffer = vec![0; 2048];
    let mut filled = 0;
    while !buffer[..filled].ends_with(SMALL_BODY) {
        filled += some(&mut stream, &mut buffer[filled..]).await?;
    }
    let text = String::from_utf8_lossy(&buffer[..filled]);
    ensure!(buffer.starts_with(GOOD), "not a good answer: {text}");
    Ok(())
}

async fn some(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<usize> {
    let read = stream.read(buffer).await?;
    ensure!(read > 0, "the proxy closed before it answered");
    Ok(read)
}

async fn connect(port: u16, number: u64) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = 2 + u8::try_from(number % 64)?;
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
    let proxy = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = socket.connect(proxy).await;
    let stream = stream.context("the proxy does not accept")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Ends a connection as a crash does.
fn reset(stream: TcpStream) -> Result<()> {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    drop(stream);
    Ok(())
}
