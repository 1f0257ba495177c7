//! A stream of packets: bytes in and out, and for clients that want it, compressed.
//!
//! Who rests holds no buffer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{future::poll_fn, mem};

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::compress::Compression;
use super::packet::{HEADER, WHOLE, header};
use crate::http::{Inbox, Socket};

/// Packets of a handshake are no larger.
const HANDSHAKE: usize = 64 * 1024 - 8;

/// Why no packet came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The other side is gone.
    #[error("the other side is gone")]
    Gone,
    /// The network said no.
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    /// Packets are numbered wrongly.
    #[error("packets came out of order")]
    OutOfOrder,
    /// More than is allowed.
    #[error("a packet is too large")]
    TooLarge,
    /// What came makes no sense.
    #[error("{0}")]
    Nonsense(&'static str),
}

/// One side of a conversation.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) socket: Socket,
    pub(crate) inbox: Inbox,
    /// Only of clients that asked for it.
    compression: Option<Box<Compression>>,
}

impl Wire {
    pub(crate) fn new(socket: Socket) -> Self {
        Self {
            socket,
            inbox: Inbox::default(),
            compression: None,
        }
    }

    /// From now on both directions are compressed.
    pub(crate) fn compress(&mut self) {
        self.compression = Some(Box::default());
    }

    /// What has come and was not used.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.compression {
            Some(compression) => compression.bytes(),
            None => self.inbox.bytes(),
        }
    }

    /// Uses up the first bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        match &mut self.compression {
            Some(compression) => compression.consume(count),
            None => self.inbox.consume(count),
        }
    }

    /// Brings more bytes; ready with whether there were any before the end.
    pub(crate) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, WireError>> {
        loop {
            if let Some(compression) = &mut self.compression {
                let used = compression.take_in(self.inbox.bytes())?;
                if used > 0 {
                    self.inbox.consume(used);
                    return Poll::Ready(Ok(true));
                }
            }
            if self.inbox.is_full() {
                return Poll::Ready(Err(WireError::TooLarge));
            }
            let read = ready!(self.inbox.poll_fill(&mut self.socket, cx))?;
            if read == 0 {
                return Poll::Ready(Ok(false));
            }
            if self.compression.is_none() {
                return Poll::Ready(Ok(true));
            }
        }
    }

    /// Ready when the other side is gone. What comes meanwhile is kept, as far as there is room.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inbox.poll_gone(&mut self.socket, cx)
    }

    /// The next packet of a handshake, which must have this number.
    pub(crate) async fn packet(&mut self, sequence: u8) -> Result<Vec<u8>, WireError> {
        loop {
            if let Some((length, number)) = header(self.bytes()) {
                if number != sequence {
                    return Err(WireError::OutOfOrder);
                }
                if length > HANDSHAKE {
                    return Err(WireError::TooLarge);
                }
                if let Some(payload) = self.bytes().get(HEADER..HEADER + length) {
                    let payload = payload.to_vec();
                    self.consume(HEADER + length);
                    return Ok(payload);
                }
            }
            if !poll_fn(|cx| self.poll_more(cx)).await? {
                return Err(WireError::Gone);
            }
        }
    }

    /// The first packet of a client, and not a byte more: TLS may begin right behind it.
    pub(crate) async fn first_packet(&mut self, sequence: u8) -> Result<Vec<u8>, WireError> {
        let mut head = [0; HEADER];
        self.read_exactly(&mut head).await?;
        let Some((length, number)) = header(&head) else {
            return Err(WireError::Nonsense("a packet without a header"));
        };
        if number != sequence {
            return Err(WireError::OutOfOrder);
        }
        if length > HANDSHAKE {
            return Err(WireError::TooLarge);
        }
        let mut payload = vec![0; length];
        self.read_exactly(&mut payload).await?;
        Ok(payload)
    }

    async fn read_exactly(&mut self, buffer: &mut [u8]) -> Result<(), WireError> {
        match self.socket.read_exact(buffer).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(WireError::Gone),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a whole command out of what has come, its packets joined, into `command`; ready when it is whole.
    ///
    /// `Ok(false)`: the other side ended before a command began.
    pub(crate) fn poll_command(
        &mut self,
        cx: &mut Context<'_>,
        command: &mut Vec<u8>,
        part: &mut Part,
        most: usize,
    ) -> Poll<Result<bool, WireError>> {
        loop {
            if part.begun && part.left == 0 && !part.continues {
                part.begun = false;
                return Poll::Ready(Ok(true));
            }
            if part.left > 0 && !self.bytes().is_empty() {
                let now = part.left.min(self.bytes().len());
                command.extend_from_slice(&self.bytes()[..now]);
                self.consume(now);
                part.left -= now;
                continue;
            }
            if part.left == 0
                && let Some((length, sequence)) = header(self.bytes())
            {
                if sequence != part.packets {
                    return Poll::Ready(Err(WireError::OutOfOrder));
                }
                if command.len() + length > most {
                    return Poll::Ready(Err(WireError::TooLarge));
                }
                self.consume(HEADER);
                part.packets = part.packets.wrapping_add(1);
                part.left = length;
                part.continues = length == WHOLE;
                part.begun = true;
                continue;
            }
            if !ready!(self.poll_more(cx))? {
                let begun = part.begun || !self.bytes().is_empty();
                return Poll::Ready(if begun {
                    Err(WireError::Gone)
                } else {
                    Ok(false)
                });
            }
        }
    }

    /// Writes all of it, compressed where that was agreed.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        match self.pack(bytes)? {
            None => self.socket.write_all(bytes).await?,
            Some(out) => {
                let written = self.socket.write_all(&out).await;
                crate::http::keep_head(out);
                written?;
            }
        }
        if matches!(self.socket, Socket::Tls(_)) {
            self.socket.flush().await?;
        }
        Ok(())
    }

    /// Writes what can be written without waiting of what stands in `bytes`; zero of a closed stream is an error.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, WireError>> {
        match ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))? {
            0 => Poll::Ready(Err(WireError::Gone)),
            count => Poll::Ready(Ok(count)),
        }
    }

    /// The bytes as they go out, where they do not go as they are: compressed, which counts as sent.
    pub(crate) fn pack(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, WireError> {
        let Some(compression) = &mut self.compression else {
            return Ok(None);
        };
        let mut out = crate::http::take_head();
        compression.put_out(bytes, &mut out)?;
        Ok(Some(out))
    }

    /// Ready when the socket holds nothing back.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        match &self.socket {
            Socket::Tls(_) => Pin::new(&mut self.socket)
                .poll_flush(cx)
                .map_err(WireError::from),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// A new command, and its answer, are numbered from the beginning.
    pub(crate) fn restart_numbers(&mut self) {
        if let Some(compression) = &mut self.compression {
            compression.restart();
        }
    }

    /// Gives the socket away, for TLS. Nothing was read beyond the request for it.
    pub(crate) fn take_socket(&mut self) -> Socket {
        self.inbox.clear();
        mem::replace(&mut self.socket, Socket::Gone)
    }
}

/// How far a command has come.
#[derive(Debug, Default)]
pub(crate) struct Part {
    left: usize,
    continues: bool,
    begun: bool,
    /// How many packets it had.
    pub(crate) packets: u8,
}
