//! A program that stands for configurable-http-proxy, started with ports, a token and a directory of its own.

use std::fmt::{Display, Formatter};
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::peer::peer;
use super::ports::Ports;
use super::running::Running;

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

/// Our binary under the peer's name, kept with what else is built.
fn ours() -> &'static Path {
    static LINK: OnceLock<PathBuf> = OnceLock::new();
    LINK.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chp");
        std::fs::create_dir_all(&dir).unwrap();
        let link = dir.join("configurable-http-proxy");
        let binary = Path::new(env!("CARGO_BIN_EXE_holt-proxy"));
        if std::fs::read_link(&link).ok().as_deref() != Some(binary) {
            // Another run may do the same at the same time: the last name put there is as good as the first.
            let new = dir.join(std::process::id().to_string());
            symlink(binary, &new).unwrap();
            std::fs::rename(&new, &link).unwrap();
        }
        link
    })
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
