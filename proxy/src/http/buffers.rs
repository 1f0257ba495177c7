//! What was read from a socket and not used yet.
//!
//! Buffers belong to the thread and are taken only when there is something to read: a connection that rests holds none, and one
//! that is busy gets the one that is still warm.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread::LocalKey;

use tokio::io::{AsyncRead, ReadBuf};

use super::socket::Socket;

/// Bytes of a buffer: the most that one read brings, and the most that a head may have.
pub(crate) const BUFFER: usize = 64 * 1024;
/// Buffers, and memories of heads, that a thread keeps for the next.
const KEPT: usize = 64;

/// The largest memory of a head that is kept for the next one.
const HEAD: usize = 4096;

thread_local! {
    static BUFFERS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static HEADS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Empty memory to write a head into: that of the head before, where there was one.
pub(crate) fn take_head() -> Vec<u8> {
    HEADS
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| Vec::with_capacity(1024))
}

/// Keeps the memory of a head that is not needed any more.
pub(crate) fn keep_head(mut head: Vec<u8>) {
    if (1..=HEAD).contains(&head.capacity()) {
        head.clear();
        keep(&HEADS, head);
    }
}

fn take() -> Box<[u8]> {
    BUFFERS
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice())
}

/// Keeps memory for whoever needs some next.
fn keep<T>(place: &'static LocalKey<RefCell<Vec<T>>>, memory: T) {
    // A thread that ends has nowhere to keep it.
    let _ = place.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        if kept.len() < KEPT {
            kept.push(memory);
        }
    });
}

/// Bytes from a socket, in order. Holds a buffer only while there are any.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl Inbox {
    /// What is there.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.buffer {
            Some(buffer) => &buffer[self.start..self.end],
            None => &[],
        }
    }

    /// What is there, to be changed where it lies.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.buffer {
            Some(buffer) => &mut buffer[self.start..self.end],
            None => &mut [],
        }
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether no more fits before some is used.
    pub(crate) fn is_full(&self) -> bool {
        self.end - self.start == BUFFER
    }

    /// Uses up the first bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.clear();
        }
    }

    /// Uses up everything.
    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
        if let Some(buffer) = self.buffer.take() {
            keep(&BUFFERS, buffer);
        }
    }

    /// Reads more behind what is there; zero is the end. Must not be called when it is full.
    pub(crate) fn poll_fill(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.buffer.is_none() {
            ready!(socket.poll_readable(cx))?;
        }
        let buffer = self.buffer.get_or_insert_with(take);
        if self.end == BUFFER {
            buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let mut space = ReadBuf::new(&mut buffer[self.end..]);
        let polled = Pin::new(socket).poll_read(cx, &mut space);
        let read = space.filled().len();
        self.end += read;
        if self.is_empty() {
            self.clear();
        }
        polled.map_ok(|()| read)
    }
}

impl Inbox {
    /// Watches for the end of who sends: ready when there was one. What comes meanwhile is kept, as far as there is room; when it
    /// is full nothing is watched any more, and nothing wakes the task.
    pub(crate) fn poll_gone(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<()> {
        while !self.is_full() {
            match ready!(self.poll_fill(socket, cx)) {
                Ok(read) if read > 0 => {}
                Ok(_) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.clear();
    }
}
