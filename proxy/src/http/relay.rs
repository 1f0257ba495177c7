//! Raw bytes between two sockets, in one task.
//!
//! A read goes into a buffer on the stack and is written at once; only what the other side does not take is kept. So an idle
//! connection holds no buffer, and a slow reader slows its writer. An end on one side is passed on; the relay is over when both
//! sides ended, or one broke.

use std::io;

use tokio::io::Interest;

use super::socket::Socket;

/// What one read may bring.
const CHUNK: usize = 16 * 1024;
/// Reads of one direction before others get their turn.
const TURNS: usize = 8;

/// Bytes that went from the client and to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// From the client.
    pub(crate) up: u64,
    /// To the client.
    pub(crate) down: u64,
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    // What was read and not taken yet.
    left: Vec<u8>,
    written: usize,
    ended: bool,
    passed_on: bool,
    moved: u64,
}

/// Relays until both sides ended or one broke; `used` is called when the client sent something.
pub(crate) async fn relay(
    client: &Socket,
    upstream: &Socket,
    early_from_client: &[u8],
    early_from_upstream: &[u8],
    mut used: impl FnMut(),
) -> (Moved, io::Result<()>) {
    let mut up = Direction::beginning_with(early_from_client);
    let mut down = Direction::beginning_with(early_from_upstream);
    let result = loop {
        let sent = up.moved;
        let step = up
            .pump(client, upstream)
            .and_then(|more| Ok(more | down.pump(upstream, client)?));
        if up.moved > sent {
            used();
        }
        match step {
            Err(error) => break Err(error),
            Ok(_) if up.passed_on && down.passed_on => break Ok(()),
            Ok(true) => tokio::task::yield_now().await,
            Ok(false) => {
                let waited = tokio::select! {
                    ready = ready(client, up.wants_to_read(), down.wants_to_write()) => ready,
                    ready = ready(upstream, down.wants_to_read(), up.wants_to_write()) => ready,
                };
                if let Err(error) = waited {
                    break Err(error);
                }
            }
        }
    };
    let moved = Moved {
        up: up.moved,
        down: down.moved,
    };
    (moved, result)
}

async fn ready(socket: &Socket, read: bool, write: bool) -> io::Result<()> {
    let interest = match (read, write) {
        (true, true) => Interest::READABLE | Interest::WRITABLE,
        (true, false) => Interest::READABLE,
        (false, true) => Interest::WRITABLE,
        (false, false) => return std::future::pending().await,
    };
    socket.ready(interest).await.map(|_| ())
}

impl Direction {
    fn beginning_with(bytes: &[u8]) -> Self {
        Direction {
            left: bytes.to_vec(),
            moved: bytes.len() as u64,
            ..Direction::default()
        }
    }

    fn wants_to_read(&self) -> bool {
        !self.ended && self.left.is_empty()
    }

    fn wants_to_write(&self) -> bool {
        !self.left.is_empty()
    }

    /// Moves what can be moved now; true when there may be more.
    fn pump(&mut self, from: &Socket, to: &Socket) -> io::Result<bool> {
        for _ in 0..TURNS {
            if !self.left.is_empty() && !self.write_left(to)? {
                return Ok(false);
            }
            if self.ended {
                if !self.passed_on {
                    self.passed_on = true;
                    // The peer may be gone already; then the other direction tells.
                    let _ = to.end_writing();
                }
                return Ok(false);
            }
            let mut buffer = [0; CHUNK];
            match from.try_read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(read) => {
                    self.moved += read as u64;
                    self.write(to, &buffer[..read])?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn write(&mut self, to: &Socket, bytes: &[u8]) -> io::Result<()> {
        let written = match to.try_write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.left.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Writes what was left; true when nothing is left.
    fn write_left(&mut self, to: &Socket) -> io::Result<bool> {
        while self.written < self.left.len() {
            match to.try_write(&self.left[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.left = Vec::new();
        self.written = 0;
        Ok(true)
    }
}
