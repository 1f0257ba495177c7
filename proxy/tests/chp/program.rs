//! A program that stands for configurable-http-proxy, started with ports, a token and a directory of its own.

use std::fmt::{Display, Formatter};
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::peer::peer;
use crate::wire::{Answer, Client, Nothing, PATIENCE, eventually};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Ours,
    Peer,
}

impl Display for Program {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Program::Ours => "ours",
            Program::Peer => "peer",
        })
    }
}

impl Program {
    /// The program without arguments, with nothing of this process' environment that it would read.
    pub(crate) fn command(self) -> Command {
        let mut command = match self {
            Program::Ours => Command::new(ours()),
            Program::Peer => {
                let mut command = Command::new("node");
                command.arg("--no-deprecation").arg(peer());
                command
            }
        };
        for name in [
            "CONFIGPROXY_AUTH_TOKEN",
            "CONFIGPROXY_SSL_KEY_PASSPHRASE",
            "CONFIGPROXY_API_SSL_KEY_PASSPHRASE",
            "DEBUG",
            "HOLT_LOG",
            "LISTEN_FDS",
            "NODE_ENV",
            "NODE_OPTIONS",
        ] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }
}

/// Our binary under the peer's name.
fn ours() -> &'static Path {
    static LINK: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, link) = LINK.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("configurable-http-proxy");
        symlink(env!("CARGO_BIN_EXE_holt-proxy"), &link).unwrap();
        (dir, link)
    });
    link
}

/// Ports that were free a moment ago, the first of so many in a row.
///
/// They lie below those that the system gives away by itself, and each run of this program begins elsewhere.
pub(crate) fn free_ports(count: u16) -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let span = 12_000;
    let next = NEXT.get_or_init(|| AtomicU16::new((std::process::id() * 64 % 12_000) as u16));
    loop {
        let first = 20_000 + next.fetch_add(count, Ordering::SeqCst) % span;
        let free = (first..first + count).all(|port| {
            TcpListener::bind(("127.0.0.1", port)).is_ok()
                && TcpStream::connect(("127.0.0.1", port)).is_err()
        });
        if free {
            return first;
        }
    }
}

/// The ports of one start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) public: u16,
    pub(crate) api: u16,
    pub(crate) metrics: u16,
    pub(crate) redirect: u16,
}

impl Ports {
    pub(crate) fn free() -> Self {
        let first = free_ports(4);
        Ports {
            public: first,
            api: first + 1,
            metrics: first + 2,
            redirect: first + 3,
        }
    }
}

/// How it is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Start {
    args: Vec<String>,
    env: Vec<(String, String)>,
    bare: bool,
    open: bool,
}

impl Start {
    /// With these arguments more than addresses.
    ///
    /// `{dir}`, `{public}`, `{api}`, `{metrics}` and `{redirect}` stand for what the start has of its own.
    pub(crate) fn with(args: &[&str]) -> Self {
        Start {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            ..Start::default()
        }
    }

    /// With no address at all but those among the arguments.
    pub(crate) fn bare(args: &[&str]) -> Self {
        Start {
            bare: true,
            ..Self::with(args)
        }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a token.
    pub(crate) fn open(mut self) -> Self {
        self.open = true;
        self
    }

    pub(crate) fn run(&self, program: Program) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let mut last = String::new();
        for _ in 0..5 {
            let ports = Ports::free();
            let mut running = self.begin(program, dir.path(), ports);
            match running.ready() {
                Ok(()) => {
                    running.dir = Some(dir);
                    return running;
                }
                Err(error)
                    if running.log().contains("in use") || running.log().contains("EADDRINUSE") =>
                {
                    last = error;
                }
                Err(error) => panic!("{program} does not start: {error}\n{}", running.log()),
            }
        }
        panic!("{program} finds no port: {last}");
    }

    fn begin(&self, program: Program, dir: &Path, ports: Ports) -> Running {
        let token = format!("token-{}-{}", std::process::id(), ports.public);
        let log = dir.join("log");
        let out = File::create(&log).unwrap();
        let mut command = program.command();
        command.current_dir(dir);
        if !self.bare {
            command
                .args(["--ip", "127.0.0.1", "--api-ip", "127.0.0.1"])
                .args(["--port", &ports.public.to_string()])
                .args(["--api-port", &ports.api.to_string()]);
        }
        command.args(self.args.iter().map(|arg| filled(arg, dir, ports)));
        if !self.open {
            command.env("CONFIGPROXY_AUTH_TOKEN", &token);
        }
        for (name, value) in &self.env {
            command.env(name, filled(value, dir, ports));
        }
        let child = command
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Running {
            program,
            child,
            path: dir.to_path_buf(),
            log,
            ports,
            token,
            sockets: self.args.iter().any(|arg| arg == "--socket"),
            dir: None,
        }
    }
}

/// An argument with what it stands for.
pub(crate) fn filled(text: &str, dir: &Path, ports: Ports) -> String {
    text.replace("{dir}", &dir.display().to_string())
        .replace("{public}", &ports.public.to_string())
        .replace("{api}", &ports.api.to_string())
        .replace("{metrics}", &ports.metrics.to_string())
        .replace("{redirect}", &ports.redirect.to_string())
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) program: Program,
    pub(crate) child: Child,
    pub(crate) path: PathBuf,
    pub(crate) ports: Ports,
    pub(crate) token: String,
    log: PathBuf,
    sockets: bool,
    dir: Option<tempfile::TempDir>,
}

impl Running {
    fn ready(&mut self) -> Result<(), String> {
        eventually("it listens", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ok(Err(format!("it ended with {status}")));
            }
            if self.log().contains("EADDRINUSE") {
                return Ok(Err("a port is taken".to_owned()));
            }
            let public = if self.sockets {
                self.path.join("public.sock").exists()
            } else {
                TcpStream::connect(self.public()).is_ok()
            };
            let api = self.path.join("api.sock").exists() || TcpStream::connect(self.api()).is_ok();
            if public && api {
                Ok(Ok(()))
            } else {
                Err(format!("public {public}, API {api}"))
            }
        })?
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for words in the log.
    pub(crate) fn says(&self, words: &str) -> bool {
        eventually("it says", || {
            let log = plain(&self.log());
            log.contains(words).then_some(()).ok_or(log)
        })
        .is_ok()
    }

    pub(crate) fn public(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.public).into()
    }

    pub(crate) fn api(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.api).into()
    }

    pub(crate) fn metrics(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.metrics).into()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::to(self.public())
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Result<Answer, Nothing> {
        let mut client = self.connect();
        client.send(request);
        client.answer()
    }

    /// `GET` with a host and nothing else.
    pub(crate) fn get(&self, target: &str) -> Result<Answer, Nothing> {
        self.ask(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"))
    }

    /// `GET` with headers, each with its line's end.
    pub(crate) fn get_with(&self, target: &str, headers: &str) -> Result<Answer, Nothing> {
        self.ask(format!("GET {target} HTTP/1.1\r\n{headers}\r\n"))
    }

    /// A request to the API, with the token.
    pub(crate) fn api_call(
        &self,
        method: &str,
        target: &str,
        body: &str,
    ) -> Result<Answer, Nothing> {
        let mut client = Client::to(self.api());
        client.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: api\r\nAuthorization: token {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        ));
        client.answer_to(method)
    }

    /// Bytes to the API.
    pub(crate) fn api_raw(&self, request: &str) -> Result<Answer, Nothing> {
        let mut client = Client::to(self.api());
        client.patient(crate::wire::SILENCE * 3);
        client.send(request);
        client.answer()
    }

    /// Adds a route.
    pub(crate) fn route(&self, path: &str, target: &str) {
        let body = serde_json::json!({ "target": target }).to_string();
        let answer = self.api_call("POST", &format!("/api/routes{path}"), &body);
        assert_eq!(answer.map(|answer| answer.status()), Ok(201), "{path}");
    }

    /// A route's data, as it is kept.
    pub(crate) fn routed(&self, path: &str) -> serde_json::Value {
        let answer = self.api_call("GET", &format!("/api/routes{path}"), "");
        answer
            .ok()
            .and_then(|answer| serde_json::from_str(&answer.body).ok())
            .unwrap_or_default()
    }

    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// How it ends, if it does.
    pub(crate) fn end(&mut self) -> Result<ExitStatus, String> {
        eventually("it ends", || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?} after {PATIENCE:?}")),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A log without its colours.
pub(crate) fn plain(log: &str) -> String {
    let mut plain = String::new();
    let mut rest = log;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain += before;
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}
