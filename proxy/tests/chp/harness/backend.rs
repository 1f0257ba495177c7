//! What stands behind the proxy: plain sockets that write down every byte that reaches them.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::answer::{header, headers};
use super::wire::{Client, within};

/// A request that does not come to its end in this time is left to itself.
const UNTIL_QUIET: Duration = Duration::from_secs(2);

/// A request as it reached a backend.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether it came to its end.
    pub(crate) whole: bool,
}

impl Seen {
    /// A header's values, or `-`.
    pub(crate) fn header(&self, name: &str) -> String {
        match headers(&self.head, name) {
            found if found.is_empty() => "-".to_owned(),
            found => found.join(" | "),
        }
    }

    /// Method and target.
    pub(crate) fn line(&self) -> String {
        let line = self.head.lines().next().unwrap_or_default();
        line.trim_end_matches(" HTTP/1.1").to_owned()
    }

    pub(crate) fn target(&self) -> String {
        self.line().split(' ').nth(1).unwrap_or("-").to_owned()
    }

    /// The line, what frames the message or names the server, and the body; what every request has is left out.
    pub(crate) fn told(&self) -> String {
        let mut lines: Vec<String> = self
            .head
            .lines()
            .skip(1)
            .map(str::to_lowercase)
            .filter(|line| {
                let name = line.split(':').next().unwrap_or_default();
                !line.is_empty()
                    && !name.starts_with("x-forwarded-")
                    && !["connection: keep-alive", "connection: close", "host: h"]
                        .contains(&line.as_str())
            })
            .collect();
        lines.sort();
        let mut told = self.head.lines().next().unwrap_or_default().to_owned();
        if !lines.is_empty() {
            told += &format!(" [{}]", lines.join(", "));
        }
        if !self.body.is_empty() {
            told += &format!(" {}", self.body.escape_ascii());
        }
        if !self.whole {
            told += " (cut)";
        }
        told
    }
}

/// What was seen, and how many requests are still on their way.
#[derive(Debug, Default)]
struct Book {
    seen: Mutex<Vec<Seen>>,
    under_way: AtomicUsize,
    connections: AtomicUsize,
    open: AtomicUsize,
}

/// A server.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    book: Arc<Book>,
}

impl Backend {
    /// Writes requests down, and answers each with 200 and a word.
    pub(crate) fn named(name: &'static str) -> Self {
        let length = name.len();
        Self::answering(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}"
        ))
    }

    /// Writes requests down, and answers each with these bytes; ends the connection if they say so.
    pub(crate) fn answering(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        let text = String::from_utf8_lossy(bytes.as_ref()).to_lowercase();
        let close = text.contains("connection: close");
        Self::serving(
            move |book, mut client, _| {
                while book.take(&mut client) && client.send(bytes.as_ref()) && !close {}
            },
        )
    }

    /// Does to each connection what the test says, and knows how many came before.
    pub(crate) fn doing(each: impl Fn(Client, usize) + Send + Sync + 'static) -> Self {
        Self::serving(move |_, client, number| each(client, number))
    }

    /// Accepts websockets, and sends back what comes.
    pub(crate) fn websocket() -> Self {
        Self::serving(|book, client, _| echo(book, client))
    }

    fn serving(each: impl Fn(&Book, Client, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let backend = Self::noting(listener.local_addr().unwrap());
        let book = Arc::clone(&backend.book);
        let each = Arc::new(each);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = book.connections.fetch_add(1, Ordering::SeqCst);
                book.open.fetch_add(1, Ordering::SeqCst);
                let (book, each) = (Arc::clone(&book), Arc::clone(&each));
                thread::spawn(move || {
                    each(&book, Client::over(stream), number);
                    book.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        backend
    }

    /// Answers with its name behind a socket file.
    pub(crate) fn on_socket(path: &Path, name: &'static str) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let backend = Self::noting(([0, 0, 0, 0], 0).into());
        let book = Arc::clone(&backend.book);
        let length = name.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}");
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (book, answer) = (Arc::clone(&book), answer.clone());
                thread::spawn(move || {
                    let mut client = Client::over_socket(stream);
                    while book.take(&mut client) && client.send(&answer) {}
                });
            }
        });
        backend
    }

    fn noting(address: SocketAddr) -> Self {
        Backend {
            address,
            book: Arc::default(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What reached it since the last look, once nothing is under way.
    pub(crate) fn take(&self) -> Vec<Seen> {
        let _ = within(UNTIL_QUIET, "requests come to their end", || {
            match self.book.under_way.load(Ordering::SeqCst) {
                0 => Ok(()),
                more => Err(format!("{more} are under way")),
            }
        });
        std::mem::take(&mut self.book.seen.lock().unwrap())
    }

    /// The last request that reached it.
    pub(crate) fn last(&self) -> Seen {
        self.take().pop().unwrap_or(Seen {
            head: "nothing came".to_owned(),
            body: Vec::new(),
            whole: true,
        })
    }

    /// Requests that have begun and not ended.
    pub(crate) fn busy(&self) -> usize {
        self.book.under_way.load(Ordering::SeqCst)
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.book.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.book.open.load(Ordering::SeqCst)
    }
}

impl Book {
    /// Takes one request; false at the connection's end.
    fn take(&self, client: &mut Client) -> bool {
        client.endless();
        if client.some_is_there().is_err() {
            return false;
        }
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let seen = self.read(client);
        let whole = seen.whole;
        self.seen.lock().unwrap().push(seen);
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        whole
    }

    fn read(&self, client: &mut Client) -> Seen {
        let (head, mut whole) = client.head_or_what_came();
        let mut body = Vec::new();
        if whole && header(&head, "transfer-encoding").is_some() {
            whole = chunks(client, &mut body);
        } else if whole && let Some(Ok(length)) = header(&head, "content-length").map(|l| l.parse())
        {
            let nothing;
            (body, nothing) = client.up_to(length);
            whole = nothing.is_none();
        }
        Seen { head, body, whole }
    }
}

/// Takes a chunked body as it comes, framing and all; false if it is cut.
fn chunks(client: &mut Client, body: &mut Vec<u8>) -> bool {
    loop {
        let Some(line) = client.line_into(body) else {
            return false;
        };
        let size = line.split(';').next().unwrap_or_default().trim();
        let length = match usize::from_str_radix(size, 16) {
            Ok(0) => return client.line_into(body).is_some(),
            Ok(length) => length,
            Err(_) => return false,
        };
        let (data, nothing) = client.up_to(length + 2);
        body.extend(data);
        if nothing.is_some() {
            return false;
        }
    }
}

fn echo(book: &Book, mut client: Client) {
    if !book.take(&mut client) {
        return;
    }
    client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n");
    while let Ok(bytes) = client.some() {
        if !client.send(bytes) {
            return;
        }
    }
}
