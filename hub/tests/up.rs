//! `holt up` as a person or a machine meets it: the program itself, its children, its words and its exit codes.
//!
//! The container engine is a stand-in that says it is there and refuses all else: no servers are started here.

#![expect(clippy::unwrap_used, reason = "what a test cannot have, it fails for")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const LIMIT: Duration = Duration::from_secs(30);

/// A data directory with a stand-in for the engine beside it.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = UnixListener::bind(directory.path().join("engine.sock")).unwrap();
        // Ends with the test program.
        std::thread::spawn(move || {
            for stream in engine.incoming().flatten() {
                std::thread::spawn(move || stand_in(stream));
            }
        });
        Self { directory }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holt"));
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data())
            .current_dir(self.directory.path())
            .env(
                "HOLT__DOCKER__HOST",
                format!("unix://{}/engine.sock", self.directory.path().display()),
            )
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn up(&self) -> Up {
        self.up_with(&[])
    }

    fn up_with(&self, environment: &[(&str, &str)]) -> Up {
        let errors = self.directory.path().join("stderr");
        let mut process = self
            .command(&["up", "--listen", "127.0.0.1:0"])
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let told = || std::fs::read_to_string(&errors).unwrap();
        assert!(
            line.starts_with("http://127.0.0.1:"),
            "no link but {line:?}: {}",
            told()
        );
        Up {
            process,
            out,
            link: line.trim_end().to_owned(),
            errors,
        }
    }

    fn child(&self, role: &str) -> i32 {
        let text = std::fs::read(self.data().join("run/children.json")).unwrap();
        let children: serde_json::Value = serde_json::from_slice(&text).unwrap();
        i32::try_from(children[role]["pid"].as_i64().unwrap_or_default()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whatever a failed test left.
        drop(
            self.command(&["down"])
                .stderr(Stdio::null())
                .stdout(Stdio::null())
                .status(),
        );
    }
}

fn stand_in(mut stream: std::os::unix::net::UnixStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match reader.read_line(&mut head) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let (status, body) = if head.lines().next().unwrap_or_default().contains("_ping") {
            ("200 OK", "OK")
        } else {
            ("500 Internal Server Error", r#"{"message":"a stand-in"}"#)
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

struct Up {
    process: Child,
    out: BufReader<ChildStdout>,
    link: String,
    errors: PathBuf,
}

impl Up {
    fn address(&self) -> SocketAddr {
        self.link
            .trim_start_matches("http://")
            .split('/')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap()
    }

    fn told(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap()
    }

    /// Asks it to end; returns its code and what else it wrote on standard output.
    fn end(mut self) -> (Option<i32>, String) {
        signal(self.pid(), Signal::TERM);
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (self.process.wait().unwrap().code(), rest)
    }

    fn kill(&mut self) {
        signal(self.pid(), Signal::KILL);
        self.process.wait().unwrap();
    }
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn eventually<T: std::fmt::Debug>(what: &str, mut look: impl FnMut() -> Result<(), T>) {
    let since = Instant::now();
    loop {
        match look() {
            Ok(()) => return,
            Err(last) if since.elapsed() > LIMIT => panic!("{what}: last seen {last:?}"),
            Err(_) => std::thread::yield_now(),
        }
    }
}

/// One request on an open connection, which stays open.
fn ask(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(
        b"GET /hub/health HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n",
    )?;
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    reader.read_exact(&mut vec![0; length])?;
    Ok(head.lines().next().unwrap_or_default().to_owned())
}

fn answers(address: SocketAddr) -> Result<(), String> {
    let answer = TcpStream::connect(address).and_then(|mut stream| ask(&mut stream));
    match answer {
        Ok(line) if line.contains(" 200 ") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn the_link_stands_alone_on_standard_output_and_the_end_is_clean() {
    let place = Place::new();
    let up = place.up();
    assert!(up.link.contains("/hub/link/"), "{}", up.link);
    let (errors, hub, proxy) = (up.errors.clone(), place.child("hub"), place.child("proxy"));
    let (code, rest) = up.end();
    let told = std::fs::read_to_string(errors).unwrap();
    assert_eq!((code, rest.as_str()), (Some(0), ""), "{told}");
    assert!(
        told.contains("Notebook servers go on running; `holt down` stops them."),
        "{told}"
    );
    for pid in [hub, proxy] {
        assert!(
            !Path::new(&format!("/proc/{pid}")).exists(),
            "process {pid} is left"
        );
    }
}

#[test]
fn a_killed_hub_is_made_anew_and_the_proxy_does_not_notice() {
    let place = Place::new();
    let up = place.up();
    let (hub, proxy) = (place.child("hub"), place.child("proxy"));
    signal(hub, Signal::KILL);
    eventually("another hub", || match place.child("hub") {
        pid if pid != hub && pid != 0 => answers(up.address()),
        pid => Err(format!("hub {pid}: {}", up.told())),
    });
    assert_eq!(place.child("proxy"), proxy);
    assert_eq!(up.end().0, Some(0));
}

/// A browser has a connection; the supervisor alone is killed; the connection goes on.
/// Another `up` takes over the same processes; the connection goes on.
/// The proxy is killed; it is back at the same address.
#[test]
fn a_killed_supervisor_cuts_nothing_and_the_next_takes_over() {
    let place = Place::new();
    let mut first = place.up();
    let address = first.address();
    let (hub, proxy) = (place.child("hub"), place.child("proxy"));
    let mut browser = TcpStream::connect(address).unwrap();
    assert!(ask(&mut browser).unwrap().contains(" 200 "));
    first.kill();
    assert!(ask(&mut browser).unwrap().contains(" 200 "));

    let second = place.up();
    assert_eq!(second.address(), address);
    assert_eq!(
        (place.child("hub"), place.child("proxy")),
        (hub, proxy),
        "{}",
        second.told()
    );
    assert!(ask(&mut browser).unwrap().contains(" 200 "));

    signal(proxy, Signal::KILL);
    eventually("another proxy", || match place.child("proxy") {
        pid if pid != proxy && pid != 0 => answers(address),
        pid => Err(format!("proxy {pid}: {}", second.told())),
    });
    assert_eq!(place.child("hub"), hub);
    assert_eq!(second.end().0, Some(0));
}

#[test]
fn other_settings_replace_the_hub_and_leave_the_proxy() {
    let place = Place::new();
    let mut first = place.up();
    let (hub, proxy) = (place.child("hub"), place.child("proxy"));
    first.kill();
    let second = place.up_with(&[("HOLT__HUB__NAME", "Another")]);
    assert_ne!(place.child("hub"), hub);
    assert_eq!(place.child("proxy"), proxy);
    assert!(
        second.told().contains("other settings"),
        "{}",
        second.told()
    );
    assert_eq!(second.end().0, Some(0));
}

#[test]
fn a_second_up_is_refused_with_the_first_ones_number() {
    let place = Place::new();
    let up = place.up();
    let second = place.run(&["up"]);
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(75), "{told}");
    assert!(told.contains(&format!("(pid {})", up.pid())), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(up.end().0, Some(0));
}

#[test]
fn down_ends_a_running_up_and_what_a_dead_one_left() {
    let place = Place::new();
    let mut up = place.up();
    let down = place.run(&["down"]);
    assert!(
        down.status.success(),
        "{}",
        String::from_utf8_lossy(&down.stderr)
    );
    assert_eq!(up.process.wait().unwrap().code(), Some(0));

    let mut up = place.up();
    let (hub, proxy) = (place.child("hub"), place.child("proxy"));
    up.kill();
    let down = place.run(&["down"]);
    assert!(
        down.status.success(),
        "{}",
        String::from_utf8_lossy(&down.stderr)
    );
    for pid in [hub, proxy] {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(
            state.is_empty() || state.contains(") Z"),
            "process {pid} is left: {state}"
        );
    }
}

#[test]
fn a_taken_port_is_told_in_one_line_with_its_fix() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let up = place.run(&["up", "--listen", &address]);
    let told = String::from_utf8_lossy(&up.stderr).into_owned();
    assert_eq!(up.status.code(), Some(69), "{told}");
    assert!(
        told.contains(&format!("{address} is taken by")) && told.contains("--listen"),
        "{told}"
    );
    assert!(up.stdout.is_empty());
}

#[test]
fn mistakes_in_the_settings_end_with_64_and_all_at_once() {
    let place = Place::new();
    std::fs::write(
        place.directory.path().join("holt.toml"),
        "[hub]\nnmae = \"x\"\n[server]\nmemory = 2\n",
    )
    .unwrap();
    for command in ["up", "check"] {
        let run = place.run(&[command]);
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(64), "{told}");
        assert!(
            told.contains("holt.toml:2: hub.nmae") && told.contains("holt.toml:4: server.memory"),
            "{told}"
        );
    }
    assert!(!place.data().exists(), "a mistake leaves nothing behind");
}

#[test]
fn a_data_directory_that_cannot_be_made_is_told_in_one_line() {
    let place = Place::new();
    std::fs::write(place.data(), "a file").unwrap();
    let up = place.run(&["up"]);
    let told = String::from_utf8_lossy(&up.stderr).into_owned();
    assert_eq!(
        (up.status.code(), told.lines().count()),
        (Some(73), 1),
        "{told}"
    );
    assert!(told.contains("--data-dir"), "{told}");
    std::fs::remove_file(place.data()).unwrap();
}

#[test]
fn a_damaged_database_is_told_and_left_as_it_is() {
    let place = Place::new();
    std::fs::create_dir(place.data()).unwrap();
    let database = place.data().join("holt.db");
    std::fs::write(
        &database,
        "this is no database, but somebody's diary ".repeat(100),
    )
    .unwrap();
    let before = std::fs::read(&database).unwrap();
    let up = place.run(&["up"]);
    let told = String::from_utf8_lossy(&up.stderr).into_owned();
    assert_eq!(up.status.code(), Some(74), "{told}");
    assert_eq!(std::fs::read(&database).unwrap(), before);
}

#[test]
fn an_engine_that_refuses_is_an_error_and_no_fallback() {
    let place = Place::new();
    std::fs::remove_file(place.directory.path().join("engine.sock")).unwrap();
    let up = place.run(&["up"]);
    let told = String::from_utf8_lossy(&up.stderr).into_owned();
    assert_eq!(up.status.code(), Some(69), "{told}");
    assert!(!told.contains("local processes without"), "{told}");
}

#[test]
fn a_link_can_be_made_for_the_administrator_and_for_others() {
    let place = Place::new();
    let up = place.up();
    let link = place.run(&["user", "link", "--listen", "127.0.0.1:0"]);
    let printed = String::from_utf8_lossy(&link.stdout).into_owned();
    assert!(
        printed.starts_with(&format!("http://{}/hub/link/", up.address())),
        "{printed}"
    );
    assert_eq!(printed.lines().count(), 1);
    // The port was a flag of `up`: nobody has to say it again.
    let link = place.run(&["user", "link"]);
    let printed = String::from_utf8_lossy(&link.stdout).into_owned();
    assert!(
        printed.starts_with(&format!("http://{}/hub/link/", up.address())),
        "{printed}"
    );
    let name = "Ünï \"Cödé\" (WMF)'s";
    assert!(place.run(&["user", "add", name]).status.success());
    assert_eq!(place.run(&["user", "add", name]).status.code(), Some(64));
    assert_eq!(
        place.run(&["user", "link", "nobody"]).status.code(),
        Some(64)
    );
    let list = String::from_utf8_lossy(&place.run(&["user", "list"]).stdout).into_owned();
    assert!(list.contains(name), "{list}");
    assert_eq!(up.end().0, Some(0));
}
