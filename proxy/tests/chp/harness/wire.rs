//! A client's end of a connection, as bytes, and what it saw told in one line.
//!
//! **Invariant:** nothing here panics over what the other side does: a fact tells what was seen, and the list judges.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::answer::{Answer, header, status_of};

/// Nothing in these tests takes longer, unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// So long is waited for what should never come.
pub(crate) const SILENCE: Duration = Duration::from_millis(400);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until something holds.
pub(crate) fn eventually<T>(
    what: &str,
    look: impl FnMut() -> Result<T, String>,
) -> Result<T, String> {
    within(PATIENCE, what, look)
}

/// Waits so long until something holds.
pub(crate) fn within<T>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T, String> {
    let deadline = Instant::now() + patience;
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(last) if Instant::now() > deadline => return Err(format!("{what}: {last}")),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// The other side ended or broke the connection.
    Closed,
    /// It says nothing.
    Silent,
}

impl Nothing {
    fn of(error: &std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Nothing::Silent,
            _ => Nothing::Closed,
        }
    }

    pub(crate) fn told(self) -> &'static str {
        match self {
            Nothing::Closed => "closed",
            Nothing::Silent => "silent",
        }
    }
}

/// A stream of either family.
trait Wire: Read + Write + Send {
    fn end(&self);
    fn patient(&self, patience: Duration);
}

impl Wire for TcpStream {
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
    fn patient(&self, patience: Duration) {
        self.set_read_timeout(Some(patience)).unwrap();
        self.set_write_timeout(Some(PATIENCE)).unwrap();
    }
}

impl Wire for UnixStream {
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
    fn patient(&self, patience: Duration) {
        self.set_read_timeout(Some(patience)).unwrap();
        self.set_write_timeout(Some(PATIENCE)).unwrap();
    }
}

/// One end of a connection.
pub(crate) struct Client {
    wire: BufReader<Box<dyn Wire>>,
}

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn to_socket(path: &Path) -> Self {
        Self::new(UnixStream::connect(path).unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self::new(stream)
    }

    fn new(wire: impl Wire + 'static) -> Self {
        wire.patient(PATIENCE);
        Client {
            wire: BufReader::with_capacity(64 * 1024, Box::new(wire)),
        }
    }

    pub(crate) fn over_socket(stream: UnixStream) -> Self {
        Self::new(stream)
    }

    /// Reads wait as long as it takes: for servers, whose clients are patient enough.
    pub(crate) fn endless(&self) {
        self.wire.get_ref().patient(Duration::from_secs(3600));
    }

    /// Waits for a byte without taking it.
    pub(crate) fn some_is_there(&mut self) -> Result<(), Nothing> {
        match self.wire.fill_buf() {
            Ok([]) => Err(Nothing::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(Nothing::of(&error)),
        }
    }

    /// Reads wait this long from now on.
    pub(crate) fn patient(&self, patience: Duration) {
        self.wire.get_ref().patient(patience);
    }

    /// Sends, and says whether it could.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let wire = self.wire.get_mut();
        wire.write_all(bytes.as_ref()).is_ok() && wire.flush().is_ok()
    }

    /// Sends no more.
    pub(crate) fn end(&self) {
        self.wire.get_ref().end();
    }

    /// A head with its empty line.
    pub(crate) fn head(&mut self) -> Result<String, Nothing> {
        let mut head = Vec::new();
        match self.head_into(&mut head) {
            None => Ok(String::from_utf8_lossy(&head).into_owned()),
            Some(nothing) => Err(nothing),
        }
    }

    /// A head, or what came of it, and whether it is whole.
    pub(crate) fn head_or_what_came(&mut self) -> (String, bool) {
        let mut head = Vec::new();
        let nothing = self.head_into(&mut head);
        (
            String::from_utf8_lossy(&head).into_owned(),
            nothing.is_none(),
        )
    }

    fn head_into(&mut self, head: &mut Vec<u8>) -> Option<Nothing> {
        loop {
            let before = head.len();
            match self.wire.read_until(b'\n', head) {
                Ok(0) => return Some(Nothing::Closed),
                Ok(_) if matches!(&head[before..], b"\r\n" | b"\n") => return None,
                Ok(_) => {}
                Err(error) => return Some(Nothing::of(&error)),
            }
        }
    }

    pub(crate) fn exactly(&mut self, length: usize) -> Result<String, Nothing> {
        let (bytes, nothing) = self.up_to(length);
        match nothing {
            None => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Some(nothing) => Err(nothing),
        }
    }

    /// So many bytes, or those that came and why there are no more.
    pub(crate) fn up_to(&mut self, length: usize) -> (Vec<u8>, Option<Nothing>) {
        let mut bytes = Vec::new();
        let mut wire = Read::by_ref(&mut self.wire).take(length as u64);
        match wire.read_to_end(&mut bytes) {
            Ok(_) if bytes.len() == length => (bytes, None),
            Ok(_) => (bytes, Some(Nothing::Closed)),
            Err(error) => (bytes, Some(Nothing::of(&error))),
        }
    }

    /// What is there now, at least one byte.
    pub(crate) fn some(&mut self) -> Result<Vec<u8>, Nothing> {
        match self.wire.fill_buf() {
            Ok([]) => Err(Nothing::Closed),
            Ok(bytes) => {
                let bytes = bytes.to_vec();
                self.wire.consume(bytes.len());
                Ok(bytes)
            }
            Err(error) => Err(Nothing::of(&error)),
        }
    }

    /// All that comes, and how it ends.
    pub(crate) fn rest(&mut self) -> (String, Nothing) {
        let mut bytes = Vec::new();
        let how = match self.wire.read_to_end(&mut bytes) {
            Ok(_) => Nothing::Closed,
            Err(error) => Nothing::of(&error),
        };
        (String::from_utf8_lossy(&bytes).into_owned(), how)
    }

    /// The next answer to a request that is no `HEAD`.
    pub(crate) fn answer(&mut self) -> Result<Answer, Nothing> {
        self.answer_to("GET")
    }

    /// The next answer to a request with this method, and the heads before it.
    pub(crate) fn answer_to(&mut self, method: &str) -> Result<Answer, Nothing> {
        let mut interim = Vec::new();
        loop {
            let head = self.head()?;
            let status = status_of(&head);
            if (100..200).contains(&status) && status != 101 {
                interim.push(head);
                continue;
            }
            let bodyless = method == "HEAD" || matches!(status, 101 | 204 | 304);
            let body = if bodyless {
                Vec::new()
            } else {
                self.body(&head)?
            };
            return Ok(Answer {
                interim,
                head,
                body: String::from_utf8_lossy(&body).into_owned(),
            });
        }
    }

    /// The body that a head announces.
    pub(crate) fn body(&mut self, head: &str) -> Result<Vec<u8>, Nothing> {
        let mut body = Vec::new();
        if header(head, "transfer-encoding").is_some() {
            loop {
                let mut line = String::new();
                self.wire
                    .read_line(&mut line)
                    .map_err(|error| Nothing::of(&error))?;
                let size = line.trim_end().split(';').next().unwrap_or_default();
                let length = usize::from_str_radix(size, 16).map_err(|_| Nothing::Closed)?;
                if length == 0 {
                    self.trailers()?;
                    return Ok(body);
                }
                let (chunk, nothing) = self.up_to(length);
                if let Some(nothing) = nothing {
                    return Err(nothing);
                }
                body.extend(chunk);
                self.exactly(2)?;
            }
        }
        match header(head, "content-length").map(|length| length.parse()) {
            Some(Ok(length)) => match self.up_to(length) {
                (body, None) => Ok(body),
                (_, Some(nothing)) => Err(nothing),
            },
            _ if head.starts_with("HTTP/") => match self.wire.read_to_end(&mut body) {
                Ok(_) => Ok(body),
                Err(error) => Err(Nothing::of(&error)),
            },
            _ => Ok(body),
        }
    }

    /// A line with its end, added to what came before.
    pub(crate) fn line_into(&mut self, bytes: &mut Vec<u8>) -> Option<String> {
        let before = bytes.len();
        match self.wire.read_until(b'\n', bytes) {
            Ok(_) if bytes[before..].ends_with(b"\n") => {
                Some(String::from_utf8_lossy(&bytes[before..]).into_owned())
            }
            _ => None,
        }
    }

    fn trailers(&mut self) -> Result<(), Nothing> {
        loop {
            let mut line = String::new();
            match self.wire.read_line(&mut line) {
                Ok(0) => return Err(Nothing::Closed),
                Ok(_) if line == "\r\n" => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(Nothing::of(&error)),
            }
        }
    }

    /// Whether the connection still serves requests.
    pub(crate) fn state(&mut self) -> &'static str {
        let probe = "GET /probe HTTP/1.1\r\nHost: h\r\n\r\n";
        if !self.send(probe) {
            return "closed";
        }
        match self.answer() {
            Ok(_) => "open",
            Err(nothing) => nothing.told(),
        }
    }
}

/// A client's request for a websocket, with more headers, each with its line's end.
pub(crate) fn websocket_request(target: &str, more: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}
