//! A proxy of its own for each test, and what stands on both sides of it: plain sockets.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use holt_spec::control::{Internal, Route, Status, Table};
use serde_json::Value;

/// Nothing in these tests takes longer, unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something holds.
pub(crate) fn eventually<T: std::fmt::Debug>(
    what: &str,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) if Instant::now() > deadline => panic!("{what}: {last}"),
            Err(_) => thread::yield_now(),
        }
    }
}

/// A running `holt-proxy`.
pub(crate) struct Proxy {
    pub(crate) child: Child,
    pub(crate) dir: Arc<tempfile::TempDir>,
    pub(crate) address: SocketAddr,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(args: &[&str]) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), args)
    }

    pub(crate) fn start_in(dir: Arc<tempfile::TempDir>, args: &[&str]) -> Self {
        let mut command = Self::command(dir.path());
        command.args(["--listen", "127.0.0.1:0"]).args(args);
        let mut child = command.spawn().unwrap();
        let status = eventually("the proxy starts", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the proxy ended with {status}");
            }
            let (code, body) = control(dir.path(), "GET", "/holt/status", "")?;
            assert_eq!(code, 200);
            let status: Status = serde_json::from_str(&body).unwrap();
            (status.pid == child.id())
                .then_some(status)
                .ok_or_else(|| "another's socket".to_owned())
        });
        Proxy {
            child,
            dir,
            address: status.public[0],
        }
    }

    pub(crate) fn command(dir: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holt-proxy"));
        command
            .arg("--state-dir")
            .arg(dir)
            .env("HOLT_LOG", "debug")
            .stdin(Stdio::null())
            .stderr(
                std::fs::File::options()
                    .append(true)
                    .create(true)
                    .open(dir.join("log"))
                    .unwrap(),
            );
        command
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    pub(crate) fn control(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        control(self.dir.path(), method, path, body).unwrap()
    }

    pub(crate) fn status(&self) -> Status {
        serde_json::from_str(&self.control("GET", "/holt/status", "").1).unwrap()
    }

    pub(crate) fn put(&self, table: &Table) {
        let (code, body) =
            self.control("PUT", "/holt/table", &serde_json::to_string(table).unwrap());
        assert_eq!(code, 200, "{body}");
    }

    pub(crate) fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).unwrap())
    }

    /// One request on a connection of its own, its answer read to the end of the connection.
    pub(crate) fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect();
        client.send(request);
        client.answer()
    }

    /// `GET` as a program does it.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: hub.test\r\n\r\n"))
    }

    /// `GET` as a browser does it when a person follows a link.
    pub(crate) fn navigate(&self, path: &str) -> Answer {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: hub.test\r\nAccept: text/html,*/*;q=0.8\r\n\r\n"
        ))
    }

    /// The largest resident size so far, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// `kill -9`, and what it leaves behind.
    pub(crate) fn kill(mut self) -> Arc<tempfile::TempDir> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Arc::clone(&self.dir)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the proxy's log:\n{}", self.log());
        }
    }
}

/// A table with these routes.
pub(crate) fn table(
    generation: u64,
    hubs: &[String],
    routes: &[(&str, Option<SocketAddr>)],
) -> Table {
    Table {
        generation,
        hubs: hubs.to_vec(),
        internal: None,
        routes: routes
            .iter()
            .map(|(prefix, target)| {
                let route = match target {
                    Some(address) => Route::Target {
                        url: format!("http://{address}"),
                    },
                    None => Route::Pending,
                };
                ((*prefix).to_owned(), route)
            })
            .collect::<BTreeMap<_, _>>(),
    }
}

/// A table with an internal listener on a free port of loopback.
pub(crate) fn with_internal(mut table: Table, allow: &str) -> (Table, SocketAddr) {
    let listen = free_address();
    table.internal = Some(Internal {
        listen,
        allow: vec![allow.parse().unwrap()],
    });
    (table, listen)
}

/// An address where nobody listens.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// One request to the control socket.
pub(crate) fn control(
    dir: &Path,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, String), String> {
    let mut stream =
        UnixStream::connect(dir.join("control.sock")).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all(head.as_bytes())
        .map_err(|error| error.to_string())?;
    stream
        .write_all(body.as_bytes())
        .map_err(|error| error.to_string())?;
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
    let code = head.split(' ').nth(1).ok_or("no status")?;
    Ok((code.parse().map_err(|_| "no number")?, body.to_owned()))
}

/// Any stream.
pub(crate) trait Wire: Read + Write + Send {
    fn patient(&self);
    fn end(&self);
}

impl Wire for TcpStream {
    fn patient(&self) {
        self.set_read_timeout(Some(PATIENCE)).unwrap();
        self.set_nodelay(true).unwrap();
    }
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Wire for UnixStream {
    fn patient(&self) {
        self.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// One end of a connection.
pub(crate) struct Client {
    wire: BufReader<Box<dyn Wire>>,
}

impl Client {
    pub(crate) fn new(wire: impl Wire + 'static) -> Self {
        wire.patient();
        Client {
            wire: BufReader::with_capacity(64 * 1024, Box::new(wire)),
        }
    }

    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) {
        self.wire.get_mut().write_all(text.as_ref()).unwrap();
    }

    pub(crate) fn try_send(&mut self, text: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.wire.get_mut().write_all(text.as_ref())
    }

    pub(crate) fn end(&self) {
        self.wire.get_ref().end();
    }

    /// A head, empty at the connection's end.
    pub(crate) fn head(&mut self) -> String {
        let mut head = String::new();
        loop {
            let before = head.len();
            match self.wire.read_line(&mut head) {
                Ok(0) => return head,
                Ok(_) if &head[before..] == "\r\n" => return head,
                Ok(_) => {}
                Err(error) => panic!("no head came: {error}; so far: {head:?}"),
            }
        }
    }

    pub(crate) fn exactly(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.wire.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    pub(crate) fn skip(&mut self, length: u64) -> u64 {
        std::io::copy(
            &mut Read::by_ref(&mut self.wire).take(length),
            &mut std::io::sink(),
        )
        .unwrap()
    }

    /// All that comes until the other side ends or breaks.
    pub(crate) fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        match self.wire.read_to_end(&mut bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("the connection stays open")
            }
            _ => String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    /// Whether all that comes is a refusal with 503, or an end.
    pub(crate) fn rest_is_refusal(&mut self) -> bool {
        let rest = self.rest();
        rest.is_empty() || rest.starts_with("HTTP/1.1 503 ")
    }

    /// The bytes of the next chunk of a chunked body; empty at its end.
    pub(crate) fn chunk(&mut self) -> String {
        let mut line = String::new();
        self.wire.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim_end(), 16)
            .unwrap_or_else(|_| panic!("no chunk: {line:?}"));
        let chunk = self.exactly(length + 2);
        chunk[..length].to_owned()
    }

    /// The body that a head announces.
    pub(crate) fn body(&mut self, head: &str) -> String {
        if header(head, "transfer-encoding").is_some_and(|coding| coding == "chunked") {
            let mut body = String::new();
            loop {
                let chunk = self.chunk();
                if chunk.is_empty() {
                    return body;
                }
                body += &chunk;
            }
        }
        let length = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
        self.exactly(length)
    }

    /// The next answer with its body.
    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.head();
        let body = self.body(&head);
        Answer { head, body }
    }
}

/// The value of a header.
pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().to_owned())
    })
}

/// An answer as the client saw it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        let status = self
            .head
            .split(' ')
            .nth(1)
            .unwrap_or_else(|| panic!("no answer: {self:?}"));
        status.parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.head, name)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// A server that does to each connection what the test says.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn start(each: impl Fn(Client, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let each = Arc::new(each);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let each = Arc::clone(&each);
                thread::spawn(move || each(Client::new(stream), number));
            }
        });
        Server {
            address,
            connections,
        }
    }

    /// Answers each request with its own head and body, and with its name.
    pub(crate) fn echo(name: &'static str) -> Self {
        Self::start(move |client, _| echo(client, name))
    }

    /// An echo of websockets: raw bytes back, after a 101.
    pub(crate) fn websocket() -> Self {
        Self::start(|mut client, _| {
            let head = client.head();
            if head.is_empty() {
                return;
            }
            client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n");
            let mut bytes = [0; 4096];
            while let Ok(read) = client.wire.read(&mut bytes) {
                if read == 0 || client.try_send(&bytes[..read]).is_err() {
                    return;
                }
            }
        })
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn echo(mut client: Client, name: &str) {
    loop {
        let head = client.head();
        if head.is_empty() {
            return;
        }
        let body = client.body(&head);
        let text = format!("{name}\n{head}{body}");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        if client.try_send(answer).is_err() {
            return;
        }
    }
}

/// A hub behind a socket file, which can come late.
pub(crate) struct Hub {
    pub(crate) path: PathBuf,
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    pub(crate) fn start(path: &Path, name: &'static str) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = Arc::clone(&seen);
                thread::spawn(move || {
                    let mut client = Client::new(stream);
                    loop {
                        let head = client.head();
                        if head.is_empty() {
                            return;
                        }
                        let body = client.body(&head);
                        seen.lock().unwrap().push(head.clone());
                        let text = format!("{name}\n{head}{body}");
                        client.send(format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                            text.len()
                        ));
                    }
                });
            }
        });
        Hub {
            path: path.to_path_buf(),
            heads,
        }
    }

    pub(crate) fn url(path: &Path) -> String {
        format!("unix:{}", path.display())
    }
}

/// A client's request for a websocket.
pub(crate) fn websocket_request(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: hub.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}
