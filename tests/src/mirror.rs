//! A mirror of dumps that is honest, or not in the way a story wants: HTTP/1.1 with or without TLS, one request a connection.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

/// How one request for a file is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Rightly, ranges too.
    Right,
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// As if the file had only so many bytes.
    Short(usize),
    /// The length that is said is larger than what comes.
    SaysMore(usize),
    /// Without a length, and with so many bytes too many.
    Longer(usize),
    /// Ranges are not known: always the whole.
    Whole,
    /// Ranges are not known, and the connection ends after so many bytes.
    WholeCut(usize),
    /// Another range than was asked for.
    OtherRange,
    /// One byte is wrong.
    Corrupt,
    /// This status.
    Status(u16),
    /// Somewhere else: a whole address, or a path.
    Elsewhere(String),
    /// No head of an answer, for as long as who asked waits.
    Mute,
    /// Rightly, so many bytes at a time, and as long between as is said.
    Slow(usize, Duration),
    /// A body without end, so many bytes at a time, and as long between as is said.
    Endless(usize, Duration),
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    etag: u32,
    ways: BTreeMap<String, VecDeque<Way>>,
    asked: Vec<String>,
}

/// A mirror that runs until the test program ends.
#[derive(Debug, Clone)]
pub struct Mirror {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
}

impl Mirror {
    /// One that has nothing yet.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start() -> Result<Self> {
        Self::listen("http", |stream, state| {
            let line = stream.try_clone()?;
            answer(stream, &line, state)
        })
    }

    /// One with TLS; whoever trusts the certificate that is written to `certificate` takes it for 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be had, or the certificate not be made or written.
    pub fn start_with_tls(certificate: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        std::fs::write(certificate, made.cert.pem())?;
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())?;
        let config = Arc::new(config);
        Self::listen("https", move |stream, state| {
            let line = stream.try_clone()?;
            let secret =
                ServerConnection::new(Arc::clone(&config)).map_err(std::io::Error::other)?;
            answer(StreamOwned::new(secret, stream), &line, state)
        })
    }

    fn listen(
        scheme: &'static str,
        take: impl Fn(TcpStream, &Mutex<State>) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let mirror = Self {
            address: listener.local_addr()?,
            scheme,
            state: Arc::default(),
        };
        let (state, take) = (Arc::clone(&mirror.state), Arc::new(take));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, take) = (Arc::clone(&state), Arc::clone(&take));
                std::thread::spawn(move || {
                    // Who asked may have gone.
                    let _ = take(stream, &state);
                });
            }
        });
        Ok(mirror)
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}/dumps/", self.scheme, self.address)
    }

    /// Publishes a dump of a wiki with one finished job.
    pub fn publish(&self, wiki: &str, date: &str, job: &str, files: &[(&str, &[u8])]) {
        let listed: BTreeMap<String, Value> = files
            .iter()
            .map(|(name, content)| {
                let sum = hex::encode(Sha1::digest(content));
                let entry = json!({ "size": content.len(), "sha1": sum, "url": format!("/{wiki}/{date}/{name}") });
                ((*name).to_owned(), entry)
            })
            .collect();
        self.list(
            wiki,
            date,
            &json!({ "version": "0.8", "jobs": {
                job: { "status": "done", "updated": "2026-01-03 10:00:00", "files": listed },
                "metahistory7zdump": { "status": "waiting", "updated": "", "files": [] } } }),
        );
        for (name, content) in files {
            self.put(&format!("{wiki}/{date}/{name}"), content);
        }
    }

    /// Publishes the list of a dump, and the date in the wiki's folder.
    pub fn list(&self, wiki: &str, date: &str, list: &Value) {
        self.put(
            &format!("{wiki}/{date}/dumpstatus.json"),
            list.to_string().as_bytes(),
        );
        let link = format!("<a href=\"{date}/\">{date}</a>\n");
        let mut state = self.lock();
        let page = state.files.entry(format!("{wiki}/")).or_default();
        page.extend_from_slice(link.as_bytes());
    }

    /// Puts a file there, as another version.
    pub fn put(&self, path: &str, content: &[u8]) {
        let mut state = self.lock();
        state.etag += 1;
        state.files.insert(path.to_owned(), content.to_vec());
    }

    /// How the next requests for a path are answered; then it is honest.
    pub fn answer_next(&self, path: &str, ways: impl IntoIterator<Item = Way>) {
        self.lock()
            .ways
            .insert(path.to_owned(), ways.into_iter().collect());
    }

    /// What was asked for since the last look, with the ranges.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().asked)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers one request on `stream`, below which is the connection `line`.
fn answer(
    mut stream: impl Read + Write,
    line: &TcpStream,
    state: &Mutex<State>,
) -> std::io::Result<()> {
    line.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let path = path.trim_start_matches("/dumps/").to_owned();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
            .next()
    };
    let range = header("range").and_then(|range| {
        let first = range.strip_prefix("bytes=")?.strip_suffix('-')?;
        first.parse::<usize>().ok()
    });
    let (content, etag, way) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = match range {
            Some(first) => format!("{path} from {first}"),
            None => path.clone(),
        };
        state.asked.push(asked);
        let way = state.ways.get_mut(&path).and_then(VecDeque::pop_front);
        let etag = format!("\"v{}\"", state.etag);
        (
            state.files.get(&path).cloned(),
            etag,
            way.unwrap_or(Way::Right),
        )
    };
    let Some(content) = content else {
        return reply(&mut stream, "404 Not Found", "Content-Length: 0\r\n", &[]);
    };
    // A range of a version that is no more is answered with the whole (RFC 9110, 13.1.5).
    let range = range.filter(|_| header("if-range").is_none_or(|version| version == etag));
    let first = range.filter(|first| *first < content.len());
    let size = content.len();
    let from = |first: Option<usize>| {
        let start = first.unwrap_or(0);
        let status = if first.is_some() {
            "206 Partial Content"
        } else {
            "200 OK"
        };
        let mut fields = format!("ETag: {etag}\r\nContent-Length: {}\r\n", size - start);
        if let Some(first) = first {
            fields.push_str(&format!(
                "Content-Range: bytes {first}-{}/{size}\r\n",
                size - 1
            ));
        }
        (status, fields, start)
    };
    match way {
        Way::Right | Way::Cut(_) => {
            let (status, fields, start) = from(first);
            let end = match way {
                Way::Cut(bytes) => size.min(start + bytes),
                _ => size,
            };
            reply(&mut stream, status, &fields, &content[start..end])
        }
        Way::Whole => {
            let (status, fields, _) = from(None);
            reply(&mut stream, status, &fields, &content)
        }
        Way::WholeCut(bytes) => {
            let (status, fields, _) = from(None);
            reply(&mut stream, status, &fields, &content[..size.min(bytes)])
        }
        Way::Short(bytes) => {
            let fields = format!("Content-Length: {bytes}\r\n");
            reply(&mut stream, "200 OK", &fields, &content[..bytes])
        }
        Way::SaysMore(bytes) => {
            let fields = format!("ETag: {etag}\r\nContent-Length: {}\r\n", size + bytes);
            reply(&mut stream, "200 OK", &fields, &content)
        }
        Way::Longer(bytes) => {
            let mut longer = content.clone();
            longer.extend(vec![b'x'; bytes]);
            reply(&mut stream, "200 OK", "Connection: close\r\n", &longer)
        }
        Way::OtherRange => {
            let first = first.unwrap_or(0).saturating_sub(1);
            let (_, fields, start) = from(Some(first));
            reply(
                &mut stream,
                "206 Partial Content",
                &fields,
                &content[start..],
            )
        }
        Way::Corrupt => {
            let (status, fields, start) = from(first);
            let mut wrong = content.clone();
            wrong[size - 1] ^= 1;
            reply(&mut stream, status, &fields, &wrong[start..])
        }
        Way::Elsewhere(address) => {
            let fields = format!("Location: {address}\r\nContent-Length: 0\r\n");
            reply(&mut stream, "302 Found", &fields, &[])
        }
        Way::Mute => loop {
            pause(line, Duration::from_secs(1))?;
        },
        Way::Slow(bytes, time) => {
            let (status, fields, start) = from(first);
            reply(&mut stream, status, &fields, &[])?;
            for piece in content[start..].chunks(bytes) {
                stream.write_all(piece)?;
                stream.flush()?;
                pause(line, time)?;
            }
            Ok(())
        }
        Way::Endless(bytes, time) => {
            reply(&mut stream, "200 OK", "Connection: close\r\n", &[])?;
            loop {
                stream.write_all(&vec![b' '; bytes])?;
                stream.flush()?;
                pause(line, time)?;
            }
        }
        Way::Status(code) => {
            let status = format!("{code} No");
            reply(
                &mut stream,
                &status,
                "Retry-After: 0\r\nContent-Length: 0\r\n",
                &[],
            )
        }
    }
}

/// Waits so long, and no longer than whoever asked is there.
fn pause(line: &TcpStream, time: Duration) -> std::io::Result<()> {
    line.set_read_timeout(Some(time))?;
    let mut line = line;
    match line.read(&mut [0]) {
        Ok(_) => Err(ErrorKind::ConnectionReset.into()),
        Err(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(cause) => Err(cause),
    }
}

fn reply(stream: &mut impl Write, status: &str, fields: &str, body: &[u8]) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\n{fields}\r\n"
    )?;
    stream.write_all(body)?;
    stream.flush()
}
