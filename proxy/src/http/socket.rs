//! A connected stream: of the network or of this machine, plain or by TLS.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A peer that is gone without a word is noticed after about this long.
const SILENCE: Duration = Duration::from_secs(60);

/// A connected stream.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Over the network.
    Tcp(TcpStream),
    /// On this machine.
    Unix(UnixStream),
    /// It was handed on to a relay.
    Gone,
    /// Enciphered. Boxed: it is large, and most connections are plain.
    Tls(Box<tokio_rustls::TlsStream<PlainSocket>>),
}

/// What TLS runs over.
#[derive(Debug)]
pub(crate) enum PlainSocket {
    /// Over the network.
    Tcp(TcpStream),
    /// On this machine.
    Unix(UnixStream),
}

impl PlainSocket {
    /// A network socket that sends at once and notices a dead peer.
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        let settings = || -> io::Result<()> {
            stream.set_nodelay(true)?;
            let socket = SockRef::from(&stream);
            // No limit on bytes that are not taken: a reader may pause. What must not wait has a deadline of its own.
            socket.set_tcp_keepalive(
                &TcpKeepalive::new()
                    .with_time(SILENCE)
                    .with_interval(SILENCE / 6)
                    .with_retries(5),
            )
        };
        if let Err(error) = settings() {
            tracing::debug!(%error, "A socket took not all options");
        }
        PlainSocket::Tcp(stream)
    }
}

impl From<PlainSocket> for Socket {
    fn from(socket: PlainSocket) -> Self {
        match socket {
            PlainSocket::Tcp(stream) => Socket::Tcp(stream),
            PlainSocket::Unix(stream) => Socket::Unix(stream),
        }
    }
}

impl Socket {
    /// Waits, without a buffer, until a read may bring something. By TLS only a read can tell.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(stream) => stream.poll_read_ready(cx),
            Socket::Unix(stream) => stream.poll_read_ready(cx),
            Socket::Tls(_) => Poll::Ready(Ok(())),
            Socket::Gone => Poll::Ready(Err(gone())),
        }
    }

    /// Whether the peer has ended its side, looked up without reading what it sent before.
    pub(crate) fn has_ended(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let wanted = PollFlags::RDHUP;
        let mut look = match self {
            Socket::Tcp(stream) => [PollFd::new(stream, wanted)],
            Socket::Unix(stream) => [PollFd::new(stream, wanted)],
            Socket::Tls(stream) => match stream.get_ref().0 {
                PlainSocket::Tcp(stream) => [PollFd::new(stream, wanted)],
                PlainSocket::Unix(stream) => [PollFd::new(stream, wanted)],
            },
            Socket::Gone => return true,
        };
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        matches!(poll(&mut look, Some(&now)), Ok(found) if found > 0)
    }

    /// Tells the peer that no more comes from here.
    pub(crate) fn poll_end_writing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Tcp(stream) => Poll::Ready(SockRef::from(&*stream).shutdown(Shutdown::Write)),
            Socket::Unix(stream) => Poll::Ready(SockRef::from(&*stream).shutdown(Shutdown::Write)),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Gone => Poll::Ready(Ok(())),
        }
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

macro_rules! each {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket.get_mut() {
            Self::Tcp($stream) => $call,
            Self::Unix($stream) => $call,
        }
    };
    ($socket:expr, tls $stream:ident => $call:expr) => {
        match $socket.get_mut() {
            Self::Tcp($stream) => $call,
            Self::Unix($stream) => $call,
            Self::Tls($stream) => $call,
            Self::Gone => Poll::Ready(Err(gone())),
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, tls stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, tls stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, tls stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, tls stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, tls stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl AsyncRead for PlainSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for PlainSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
