//! One direction of a message: bytes from one socket to the other, as its framing allows, at the pace of the slower side.
//!
//! What may go is granted in the inbox where it was read into, and written from there: nothing is copied, nothing is held beyond
//! one buffer, and an empty inbox holds no buffer at all.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::buffers::{Inbox, keep_head};
use super::fields::{Field, tell};
use super::framing::{BadChunk, Body, Framing, Piece};
use super::socket::Socket;

/// A body of so many bytes is small.
const SMALL: usize = 2048;

/// How a body's framing changes on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Not at all.
    Verbatim,
    /// Chunks are taken away.
    Decode,
    /// Chunks are made.
    Encode,
}

/// Why a passage ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The side it comes from broke, or ended too soon.
    #[error("the side it comes from ended")]
    Source(#[source] io::Error),
    /// The side it goes to broke.
    #[error("the side it goes to ended")]
    Sink(#[source] io::Error),
    /// The chunks are none.
    #[error("the chunks are none")]
    Chunk(#[source] BadChunk),
}

/// A message on its way: a head (or nothing) that is written already, and a body that comes.
#[derive(Debug)]
pub(crate) struct Passage {
    // Goes before what is granted.
    before: Vec<u8>,
    sent: usize,
    // Bytes at the front of the inbox that may go.
    granted: usize,
    // Goes behind what is granted.
    behind: Vec<u8>,
    // Bytes of the inbox behind what is granted that do not go.
    skip: usize,
    body: Body,
    mode: Mode,
    ended: bool,
    // A small body was put behind the head.
    merged: bool,
    /// Bytes that were written.
    pub(crate) written: u64,
    /// Bytes of the body's side that were read.
    pub(crate) read: u64,
}

impl Passage {
    /// A head, and a body that comes in one framing and goes on in another.
    pub(crate) fn new(head: Vec<u8>, comes: Framing, goes: Framing) -> Self {
        let mode = match (comes, goes) {
            (Framing::Chunked, Framing::UntilClose) => Mode::Decode,
            (Framing::UntilClose, Framing::Chunked) => Mode::Encode,
            _ => Mode::Verbatim,
        };
        Passage {
            before: head,
            sent: 0,
            granted: 0,
            behind: Vec::new(),
            skip: 0,
            body: comes.into(),
            mode,
            ended: false,
            merged: false,
            written: 0,
            read: 0,
        }
    }

    /// The message as it has to be sent when it must be sent again, with the framing of what is still to come of its body.
    /// `None` when a part of it is gone.
    pub(crate) fn again(mut self, comes: Framing) -> Option<(Vec<u8>, Framing)> {
        let all_here = self.granted == 0 && matches!(self.body, Body::Ended);
        let untouched = !self.merged && matches!(comes, Framing::Length(_));
        let left = match (all_here, untouched) {
            (true, _) => Framing::None,
            (false, true) => comes,
            (false, false) => return None,
        };
        Some((std::mem::take(&mut self.before), left))
    }

    /// Carries what can be carried; ready when the message is over and written.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Socket,
        inbox: &mut Inbox,
        to: &mut Socket,
        trailers: &[Box<str>],
    ) -> Poll<Result<(), Broken>> {
        loop {
            if self.granted == 0 && self.behind.is_empty() && !self.ended {
                self.grant(inbox, trailers).map_err(Broken::Chunk)?;
                self.put_together(inbox);
            }
            if self.has_something() {
                let written = ready!(self.poll_write(cx, inbox, to)).map_err(Broken::Sink)?;
                self.account(written, inbox);
                continue;
            }
            if self.ended {
                return Pin::new(to).poll_flush(cx).map_err(Broken::Sink);
            }
            if let Socket::Tls(stream) = to {
                // What it could not write at once would wait for the next write.
                let _ = Pin::new(stream).poll_flush(cx).map_err(Broken::Sink)?;
            }
            match ready!(inbox.poll_fill(from, cx)).map_err(Broken::Source)? {
                0 => self.source_ended()?,
                read => self.read += read as u64,
            }
        }
    }

    /// Whether it waits for the side it goes to.
    pub(crate) fn is_blocked(&self) -> bool {
        self.has_something()
    }

    fn has_something(&self) -> bool {
        self.sent < self.before.len() || self.granted > 0 || !self.behind.is_empty()
    }

    fn source_ended(&mut self) -> Result<(), Broken> {
        if !matches!(self.body, Body::UntilClose) {
            return Err(Broken::Source(io::ErrorKind::UnexpectedEof.into()));
        }
        self.body = Body::Ended;
        if self.mode == Mode::Encode {
            self.behind.extend_from_slice(b"0\r\n\r\n");
        }
        Ok(())
    }

    /// A head and a small body go out as one piece: copying it costs less than telling the system of two.
    fn put_together(&mut self, inbox: &mut Inbox) {
        let small = (1..=SMALL).contains(&self.granted);
        if small
            && self.sent == 0
            && !self.before.is_empty()
            && self.behind.is_empty()
            && self.skip == 0
        {
            self.before
                .extend_from_slice(&inbox.bytes()[..self.granted]);
            inbox.consume(self.granted);
            self.granted = 0;
            self.merged = true;
        }
    }

    /// Grants what is there; called only when nothing is granted.
    fn grant(&mut self, inbox: &mut Inbox, trailers: &[Box<str>]) -> Result<(), BadChunk> {
        match &mut self.body {
            Body::Ended => self.ended = true,
            Body::Length(left) => {
                let there = inbox.bytes().len();
                self.granted = usize::try_from(*left).map_or(there, |left| left.min(there));
                *left -= self.granted as u64;
                if *left == 0 {
                    self.body = Body::Ended;
                }
            }
            Body::UntilClose => {
                self.granted = inbox.bytes().len();
                if self.mode == Mode::Encode && self.granted > 0 {
                    self.drop_sent();
                    size_line(&mut self.before, self.granted as u64);
                    self.behind.extend_from_slice(b"\r\n");
                }
            }
            Body::Chunked(_) => {
                self.grant_chunks(inbox, trailers)?;
                // The last pieces may be such that nothing of them goes on.
                self.ended = self.granted == 0 && matches!(self.body, Body::Ended);
            }
        }
        Ok(())
    }

    fn grant_chunks(&mut self, inbox: &mut Inbox, trailers: &[Box<str>]) -> Result<(), BadChunk> {
        let verbatim = self.mode == Mode::Verbatim;
        while self.skip == 0 {
            let Body::Chunked(chunks) = &mut self.body else {
                break;
            };
            let bytes = &inbox.bytes()[self.granted..];
            match chunks.next(bytes)? {
                Piece::More => break,
                Piece::Data(length) => self.granted += length,
                Piece::Framing(length) if verbatim => self.granted += length,
                Piece::Framing(length) => self.skip_over(length, inbox),
                Piece::Extended(length, size) => {
                    if verbatim {
                        size_line(self.next_place(), size);
                    }
                    self.skip_over(length, inbox);
                }
                Piece::Trailer(length) if verbatim && is_allowed(&bytes[..length], trailers) => {
                    self.granted += length;
                }
                Piece::Trailer(length) => self.skip_over(length, inbox),
                Piece::End(length) => {
                    self.body = Body::Ended;
                    if verbatim {
                        self.granted += length;
                    } else {
                        self.skip_over(length, inbox);
                    }
                }
            }
        }
        Ok(())
    }

    /// Where bytes go that follow what is granted so far.
    fn next_place(&mut self) -> &mut Vec<u8> {
        if self.granted > 0 {
            &mut self.behind
        } else {
            self.drop_sent();
            &mut self.before
        }
    }

    /// Leaves out bytes that follow what is granted so far.
    fn skip_over(&mut self, length: usize, inbox: &mut Inbox) {
        if self.granted > 0 {
            self.skip = length;
        } else {
            inbox.consume(length);
        }
    }

    fn drop_sent(&mut self) {
        if self.sent == self.before.len() {
            self.before.clear();
            self.sent = 0;
        }
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        inbox: &Inbox,
        to: &mut Socket,
    ) -> Poll<io::Result<usize>> {
        let before = &self.before[self.sent..];
        let granted = &inbox.bytes()[..self.granted];
        let to = Pin::new(to);
        let written = if self.granted == 0 && self.behind.is_empty() {
            to.poll_write(cx, before)
        } else if before.is_empty() && self.behind.is_empty() {
            to.poll_write(cx, granted)
        } else {
            let slices = [
                IoSlice::new(before),
                IoSlice::new(granted),
                IoSlice::new(&self.behind),
            ];
            to.poll_write_vectored(cx, &slices)
        };
        match ready!(written) {
            Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => Poll::Ready(written),
        }
    }

    fn account(&mut self, written: usize, inbox: &mut Inbox) {
        self.written += written as u64;
        let head = written.min(self.before.len() - self.sent);
        self.sent += head;
        let rest = written - head;
        let body = rest.min(self.granted);
        inbox.consume(body);
        self.granted -= body;
        if self.granted == 0 && self.skip > 0 {
            inbox.consume(self.skip);
            self.skip = 0;
        }
        self.behind.drain(..rest - body);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        keep_head(std::mem::take(&mut self.before));
    }
}

fn size_line(to: &mut Vec<u8>, size: u64) {
    use std::io::Write;
    // Writing to memory cannot fail.
    let _ = write!(to, "{size:x}\r\n");
}

fn is_allowed(line: &[u8], trailers: &[Box<str>]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    // What frames or routes a message is never a trailer, whatever the settings say.
    tell(name) == Field::Other
        && trailers
            .iter()
            .any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    /// What comes out when these pieces go in, each read on its own.
    async fn carried(
        pieces: &[&[u8]],
        comes: Framing,
        goes: Framing,
        trailers: &[Box<str>],
    ) -> (String, Result<(), Broken>) {
        let (mut source, from) = UnixStream::pair().unwrap();
        let (to, mut sink) = UnixStream::pair().unwrap();
        let (mut from, mut to) = (Socket::Unix(from), Socket::Unix(to));
        let mut inbox = Inbox::default();
        let mut passage = Passage::new(b"HEAD\r\n\r\n".to_vec(), comes, goes);
        let mut result = None;
        for piece in pieces {
            source.write_all(piece).await.unwrap();
            let before = passage.read;
            poll_fn(|cx| {
                if result.is_none()
                    && let Poll::Ready(done) =
                        passage.poll(cx, &mut from, &mut inbox, &mut to, trailers)
                {
                    result = Some(done);
                }
                if result.is_some() || passage.read > before {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
        }
        drop(source);
        let result = match result {
            Some(result) => result,
            None => poll_fn(|cx| passage.poll(cx, &mut from, &mut inbox, &mut to, trailers)).await,
        };
        drop(to);
        let mut text = String::new();
        sink.read_to_string(&mut text).await.unwrap();
        (text.split_once("\r\n\r\n").unwrap().1.to_owned(), result)
    }

    const CHUNKS: &str =
        "3\r\nabc\r\n4;x=\"1\"\r\ndefg\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nX-Other: 2\r\n\r\n";

    #[tokio::test]
    async fn chunks_go_on_without_extensions_and_foreign_trailers() {
        let allowed = ["x-sum".into(), "content-length".into()];
        for cut in [1, 2, 5, CHUNKS.len()] {
            let pieces: Vec<&[u8]> = CHUNKS.as_bytes().chunks(cut).collect();
            let (text, result) =
                carried(&pieces, Framing::Chunked, Framing::Chunked, &allowed).await;
            assert!(result.is_ok());
            assert_eq!(
                text, "3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Sum: 1\r\n\r\n",
                "{cut}"
            );
            let (text, result) = carried(&pieces, Framing::Chunked, Framing::UntilClose, &[]).await;
            assert!(result.is_ok());
            assert_eq!(text, "abcdefg", "{cut}");
        }
    }

    #[tokio::test]
    async fn what_ends_with_its_connection_becomes_chunks() {
        let (text, result) = carried(
            &[b"abc", b"0123456789"],
            Framing::UntilClose,
            Framing::Chunked,
            &[],
        )
        .await;
        assert!(result.is_ok());
        assert_eq!(text, "3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n");
    }

    #[tokio::test]
    async fn no_more_than_the_length_is_carried() {
        let length = Framing::Length(5);
        let (text, result) = carried(&[b"abc", b"defgh"], length, length, &[]).await;
        assert!(result.is_ok());
        assert_eq!(text, "abcde");
        let (_, result) = carried(&[b"abc"], length, length, &[]).await;
        assert!(matches!(result, Err(Broken::Source(_))));
        let (text, result) = carried(&[b"GET /"], Framing::None, Framing::None, &[]).await;
        assert!(result.is_ok() && text.is_empty());
    }

    #[tokio::test]
    async fn broken_chunks_end_it() {
        let broken = carried(&[b"3\r\nabcd\r\n"], Framing::Chunked, Framing::Chunked, &[]).await;
        assert!(matches!(broken.1, Err(Broken::Chunk(_))));
    }
}
