//! A gateway of one's own between the servers and the test, and the hub's part of the conversation with it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use holt_spec::replicas::{Grant, Grants, Limits, Statements, Status, Verifier};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use crate::database::Database;
use crate::raw::{Raw, Refused};

/// What a gateway is started with.
pub(crate) struct Plan<'a> {
    /// How many accounts there are.
    pub(crate) accounts: usize,
    /// What their accounts may do.
    pub(crate) grants: &'a [&'a str],
    /// Lines of `[replicas]`.
    pub(crate) settings: &'a str,
    pub(crate) first: &'a Database,
    /// What the first server is called in the settings.
    pub(crate) host: &'a str,
    /// Further servers of the first section.
    pub(crate) more: &'a [&'a Database],
    /// Lines of the first section.
    pub(crate) first_settings: &'a str,
    /// What the gateway finds in its environment.
    pub(crate) env: &'a [(&'a str, &'a str)],
    /// The only processor it may use.
    pub(crate) processor: Option<usize>,
    /// What is logged.
    pub(crate) log: &'a str,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            accounts: 3,
            grants: &["select, show view, execute on `%\\_p`.*"],
            settings: "",
            first: Database::first(),
            host: "127.0.0.1",
            more: &[],
            env: &[],
            first_settings: "databases = [\"enwiki_p\", \"wikidatawiki_p\", \"meta_p\"]",
            processor: None,
            log: "debug",
        }
    }
}

/// A running gateway.
pub(crate) struct World {
    pub(crate) process: Child,
    /// What it is run with.
    command: Vec<String>,
    env: Vec<(String, String)>,
    directory: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) accounts: Vec<String>,
    generation: u64,
    grants: Vec<Grant>,
}

/// The binary, which must have been built.
fn holt() -> std::path::PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("holt")
}

fn run(command: &[String], directory: &Path, env: &[(String, String)]) -> Child {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("log"))
        .unwrap();
    Command::new(&command[0])
        .args(&command[1..])
        .arg("replicas")
        .arg("--config")
        .arg(directory.join("holt.toml"))
        .arg("--data-dir")
        .arg(directory.join("d"))
        .env_clear()
        .envs(env.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("cargo build -p holt comes first")
}

/// What `holt check` says of settings, and its exit code.
pub(crate) fn check(config: &str) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("holt.toml"), config).unwrap();
    let done = Command::new(holt())
        .arg("check")
        .arg("--config")
        .arg(directory.path().join("holt.toml"))
        .arg("--data-dir")
        .arg(directory.path().join("d"))
        .output()
        .unwrap();
    let told = [done.stdout, done.stderr].concat();
    (
        done.status.code().unwrap(),
        String::from_utf8_lossy(&told).into_owned(),
    )
}

impl World {
    /// A gateway as most tests want it, with users 1 (launch `a`) and 2 (launch `b`) let in.
    pub(crate) fn usual() -> Self {
        Self::new(Plan::default())
    }

    pub(crate) fn new(plan: Plan<'_>) -> Self {
        let mut world = Self::start(plan);
        world.let_in("a", 1);
        world.let_in("b", 2);
        world
    }

    /// A gateway that was told nothing yet.
    pub(crate) fn start(plan: Plan<'_>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let servers = [plan.first, Database::second()];
        let accounts: Vec<String> = (0..plan.accounts)
            .map(|account| format!("t{number}_{account}"))
            .collect();
        let mut file = String::new();
        for (at, account) in accounts.iter().enumerate() {
            file.push_str(&format!("{account} pw{at}\n"));
            for server in servers.iter().chain(plan.more) {
                server.let_account_in(account, at, plan.grants);
            }
        }
        let directory = tempfile::Builder::new().prefix("hr").tempdir().unwrap();
        std::fs::write(directory.path().join("accounts"), file).unwrap();
        let port = holt_tests::free_port().unwrap();
        let mut backends = format!("\"{}:{}\"", plan.host, plan.first.port);
        for server in plan.more {
            backends.push_str(&format!(", \"127.0.0.1:{}\"", server.port));
        }
        let config = format!(
            "[replicas]\naccounts_file = \"{}\"\nlisten = \"127.0.0.1:{port}\"\ncheck_interval = \"500ms\"\n{}\n[replica_section.s1]\nbackends = [{backends}]\n{}\n[replica_section.s2]\nbackends = [\"127.0.0.1:{}\"]\ndatabases = [\"dewiki_p\"]\n[log]\nformat = \"text\"\nfilter = \"{}\"\n",
            directory.path().join("accounts").display(),
            plan.settings,
            plan.first_settings,
            Database::second().port,
            plan.log,
        );
        std::fs::write(directory.path().join("holt.toml"), config).unwrap();
        let command = match plan.processor {
            None => vec![holt().display().to_string()],
            Some(processor) => {
                let processor = processor.to_string();
                let holt = holt().display().to_string();
                vec!["taskset".to_owned(), "-c".to_owned(), processor, holt]
            }
        };
        let env: Vec<_> = plan
            .env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut world = Self {
            process: run(&command, directory.path(), &env),
            command,
            env,
            directory,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            accounts,
            generation: 0,
            grants: Vec::new(),
        };
        world.wait_for_looks();
        world
    }

    fn wait_for_looks(&mut self) {
        self.until("the gateway has looked at its servers", |world| {
            let status = world.status()?;
            let looked = |text: &Option<String>| {
                text.as_ref()
                    .is_none_or(|text| !text.contains("not been looked"))
            };
            let all = status
                .sections
                .values()
                .flat_map(|section| &section.backends)
                .all(|backend| looked(&backend.trouble));
            (all && !status.listen.is_empty()).then_some(())
        });
    }

    /// Kills the gateway without a word and runs it again, as the supervisor would; the hub tells it all again.
    pub(crate) fn run_again(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = run(&self.command, self.directory.path(), &self.env);
        self.wait_for_looks();
        self.push();
    }

    /// Waits until a look brings something.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "waited in vain until {what}; {:?}; log:\n{}",
                self.status(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn control(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let mut stream =
            UnixStream::connect(self.directory.path().join("d/run/replicas.sock")).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .ok()?;
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Asks the gateway's control API.
    pub(crate) fn tell(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.control(method, path, body)
            .expect("the control API answers")
    }

    /// Runs `holt replicas` with these words as an operator would: whether it was well, and what it printed.
    pub(crate) fn operate(&self, words: &[&str]) -> (bool, String) {
        let output = Command::new(holt())
            .arg("replicas")
            .args(words)
            .arg("--config")
            .arg(self.directory.path().join("holt.toml"))
            .arg("--data-dir")
            .arg(self.directory.path().join("d"))
            .output()
            .unwrap();
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }

    pub(crate) fn status(&self) -> Option<Status> {
        serde_json::from_str(&self.control("GET", "/holt/replicas/status", "")?.1).ok()
    }

    pub(crate) fn statements(&self) -> Statements {
        serde_json::from_str(&self.tell("GET", "/holt/replicas/statements", "").1).unwrap()
    }

    /// Lets a launch in, with `p` and its name for a password.
    pub(crate) fn let_in(&mut self, launch: &str, user: i64) {
        self.let_in_with(launch, user, "127.0.0.1", Limits::default());
    }

    pub(crate) fn let_in_with(&mut self, launch: &str, user: i64, address: &str, limits: Limits) {
        let password = format!("p{launch}");
        self.grants.push(Grant {
            launch: launch.to_owned(),
            user,
            name: format!("User {user}"),
            server: "a */ server".to_owned(),
            username: format!("h{launch}"),
            verifier: Verifier {
                native: hex::encode(Sha1::digest(Sha1::digest(&password))),
                sha2: hex::encode(Sha256::digest(Sha256::digest(&password))),
            },
            address: address.parse().unwrap(),
            limits,
        });
        self.generation += 1;
        self.push();
    }

    fn push(&self) {
        let grants = Grants {
            generation: self.generation,
            listen: None,
            grants: self.grants.clone(),
        };
        let (status, text) = self.tell(
            "PUT",
            "/holt/replicas/grants",
            &serde_json::to_string(&grants).unwrap(),
        );
        assert_eq!(status, 200, "{text}");
    }

    /// Ends launches.
    pub(crate) fn revoke(&self, launches: &str) {
        let (status, text) = self.tell(
            "POST",
            "/holt/replicas/revocations",
            &format!("{{\"launches\":{launches}}}"),
        );
        assert_eq!(status, 204, "{text}");
    }

    /// A client of a launch that was let in.
    pub(crate) fn client(&self, launch: &str, database: &str) -> Raw {
        self.try_client(launch, database)
            .unwrap_or_else(|refused| panic!("{refused:?}\n{}", self.log()))
    }

    pub(crate) fn try_client(&self, launch: &str, database: &str) -> Result<Raw, Refused> {
        Raw::enter(
            self.address,
            &format!("h{launch}"),
            &format!("p{launch}"),
            database,
        )
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the gateway's log:\n{}", self.log());
        }
    }
}
