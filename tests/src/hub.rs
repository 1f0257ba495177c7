//! A hub of a test's own: `holt up` on its own data directory and port, and nothing left of it afterwards.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::docker::{self, Container};
use crate::inside::Inside;
use crate::mend;
use crate::rows::Rows;
use crate::wait::eventually;

/// A start may have to build the image first.
const UP: Duration = Duration::from_secs(120);

/// How a hub shall be.
#[derive(Debug, Default)]
pub struct Wish {
    environment: Vec<(String, String)>,
    removed: Vec<String>,
    arguments: Vec<String>,
    config: String,
    inside: Option<Inside>,
    user: Option<u32>,
}

impl Wish {
    /// A variable for `holt up` and what it starts.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A variable it shall not have.
    #[must_use]
    pub fn without_env(mut self, key: &str) -> Self {
        self.removed.push(key.to_owned());
        self
    }

    /// An argument for `holt up`.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Lines of `holt.toml`.
    #[must_use]
    pub fn config(mut self, lines: &str) -> Self {
        self.config.push_str(lines);
        self.config.push('\n');
        self
    }

    /// In a container.
    #[must_use]
    pub fn inside(mut self, inside: Inside) -> Self {
        self.inside = Some(inside);
        self
    }

    /// As another user than root, who has the data directory, but not the settings.
    #[must_use]
    pub fn as_user(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// Starts it and waits for its sign-in link.
    ///
    /// # Errors
    /// With what it printed when it does not come up.
    pub async fn start(self) -> Result<Hub> {
        let mut hub = Hub::new(self)?;
        hub.up().await?;
        Ok(hub)
    }
}

/// A hub. Dropping it ends it and removes its containers, network and firewall table.
#[derive(Debug)]
pub struct Hub {
    dir: Option<TempDir>,
    data: PathBuf,
    port: u16,
    wish: Wish,
    up: Option<Child>,
    starts: usize,
    link: String,
}

impl Hub {
    /// A hub with nothing special.
    ///
    /// # Errors
    /// With what it printed when it does not come up.
    pub async fn start() -> Result<Self> {
        Wish::default().start().await
    }

    /// A hub that is not started yet.
    ///
    /// # Errors
    /// When there is no room for its files.
    pub fn new(wish: Wish) -> Result<Self> {
        // Sockets need a short path.
        let dir = tempfile::Builder::new().prefix("holt-t-").tempdir()?;
        let data = dir.path().join("data");
        std::fs::write(dir.path().join("holt.toml"), &wish.config)?;
        if let Some(user) = wish.user {
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(dir.path(), open)?;
            std::fs::create_dir(&data)?;
            std::os::unix::fs::chown(&data, Some(user), Some(user))?;
        }
        Ok(Self {
            dir: Some(dir),
            data,
            port: crate::free_port()?,
            wish,
            up: None,
            starts: 0,
            link: String::new(),
        })
    }

    fn home(&self) -> &Path {
        self.dir
            .as_ref()
            .expect("taken away only when it is dropped")
            .path()
    }

    /// Writes further lines of `holt.toml`, for what is known only once the hub has its port.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&mut self, lines: &str) -> Result<()> {
        self.wish.config.push_str(lines);
        let dir = self.dir.as_ref().context("the hub is gone")?;
        std::fs::write(dir.path().join("holt.toml"), &self.wish.config)?;
        Ok(())
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// The public port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The first administrator's sign-in link, as the last `up` printed it.
    #[must_use]
    pub fn link(&self) -> &str {
        &self.link
    }

    /// A file beside the data directory, for what a test needs.
    #[must_use]
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    fn stdout(&self) -> PathBuf {
        self.scratch(&format!("up-{}.out", self.starts))
    }

    fn stderr(&self) -> PathBuf {
        self.scratch(&format!("up-{}.err", self.starts))
    }

    /// What the last `up` said on standard error.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.stderr()).unwrap_or_default()
    }

    /// The command `holt` with this hub's surroundings.
    ///
    /// # Errors
    /// When the binary was not built.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        if let Some(inside) = &self.wish.inside {
            let environment = &self.wish.environment;
            let mut command =
                inside.command(&binary()?, self.home(), self.port, arguments, environment);
            command.stdin(Stdio::null());
            return Ok(command);
        }
        let mut command = Command::new(binary()?);
        if let Some(user) = self.wish.user {
            command.uid(user).gid(user);
        }
        command
            .args(arguments)
            .current_dir(self.home())
            .env("HOLT_DATA_DIR", &self.data)
            .stdin(Stdio::null());
        // Where an image is there already, no story builds one unless it says so.
        if let Ok(image) = std::env::var("HOLT_TEST_IMAGE")
            && !self.wish.config.contains("image =")
        {
            command.env("HOLT__DOCKER__IMAGE", image);
        }
        for key in &self.wish.removed {
            command.env_remove(key);
        }
        for (key, value) in &self.wish.environment {
            command.env(key, value);
        }
        Ok(command)
    }

    /// Runs `holt` with this data directory and returns its standard output.
    ///
    /// # Errors
    /// Its standard error when it fails.
    pub async fn holt(&self, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::from(self.command(arguments)?);
        let output = tokio::time::timeout(UP, command.kill_on_drop(true).output())
            .await
            .map_err(|_| anyhow!("holt {arguments:?} took too long"))??;
        ensure!(
            output.status.success(),
            "holt {arguments:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `holt up` and waits until it printed the sign-in link and the hub answers.
    ///
    /// # Errors
    /// With what it printed when it does not come up.
    pub async fn up(&mut self) -> Result<()> {
        self.launch_up()?;
        let began = Instant::now();
        loop {
            let printed = std::fs::read_to_string(self.stdout())?;
            if let Some(link) = printed
                .lines()
                .map(str::trim)
                .find(|line| line.starts_with("http") && line.contains("/hub/"))
            {
                self.link = link.to_owned();
                break;
            }
            let child = self.up.as_mut().expect("started above");
            if let Some(status) = child.try_wait()? {
                bail!("holt up ended with {status}: {}", self.said());
            }
            if printed.contains("is ready") && began.elapsed() > Duration::from_secs(10) {
                break;
            }
            if began.elapsed() > UP {
                bail!(
                    "holt up printed no link within {UP:?}: {printed} {}",
                    self.said()
                );
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        self.ready(Duration::from_secs(30)).await
    }

    /// Runs `holt up` without waiting for anything.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn launch_up(&mut self) -> Result<()> {
        self.starts += 1;
        let public_url = self.url();
        let mut arguments = vec!["up"];
        let listen = if self.wish.inside.is_some() {
            arguments.extend(["--public-url", &public_url]);
            format!("0.0.0.0:{}", self.port)
        } else {
            format!("127.0.0.1:{}", self.port)
        };
        if !self.wish.arguments.iter().any(|a| a == "--listen") {
            arguments.extend(["--listen", &listen]);
        }
        arguments.extend(self.wish.arguments.iter().map(String::as_str));
        let mut command = self.command(&arguments)?;
        let child = command
            .stdout(File::create(self.stdout())?)
            .stderr(File::create(self.stderr())?)
            .process_group(0)
            .spawn()?;
        self.up = Some(child);
        Ok(())
    }

    /// Waits until the hub says it is ready, through the proxy.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ready(&self, deadline: Duration) -> Result<()> {
        let url = format!("{}/hub/ready", self.url());
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .build()?;
        eventually("the hub is ready", deadline, || async {
            let answer = client
                .get(&url)
                .send()
                .await
                .map_err(|error| format!("{error:?}"))?;
            let status = answer.status();
            let text = answer.text().await.unwrap_or_default();
            if status.is_success() {
                Ok(())
            } else {
                Err(format!("{status} {text}"))
            }
        })
        .await
        .with_context(|| self.said())
    }

    /// Waits until `holt up` ends, and returns its exit code and what it said on standard error.
    ///
    /// # Errors
    /// When it goes on.
    pub async fn ended(&mut self, deadline: Duration) -> Result<(Option<i32>, String)> {
        let mut child = self.up.take().context("it was not started")?;
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok((status.code(), self.said()));
            }
            if began.elapsed() > deadline {
                let said = self.said();
                self.up = Some(child);
                bail!("holt up went on for {deadline:?}: {said}");
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Process of a role (`hub`, `proxy`) as the supervisor wrote it down.
    ///
    /// # Errors
    /// When it wrote down none.
    pub fn pid_of(&self, role: &str) -> Result<Pid> {
        ensure!(
            self.wish.inside.is_none(),
            "its numbers are not this machine's"
        );
        let path = self.data.join("run/children.json");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let children: Value = serde_json::from_str(&text)?;
        let pid = children[role]["pid"]
            .as_i64()
            .with_context(|| format!("no {role} in {children}"))?;
        Pid::from_raw(i32::try_from(pid)?).context("no process has this number")
    }

    /// Process of `holt up`.
    ///
    /// # Errors
    /// When it is not running.
    pub fn supervisor_pid(&self) -> Result<Pid> {
        let child = self.up.as_ref().context("holt up does not run")?;
        Pid::from_raw(i32::try_from(child.id())?).context("no process has this number")
    }

    /// `kill -9` of a role.
    ///
    /// # Errors
    /// When it is not there.
    pub fn kill(&self, role: &str) -> Result<Pid> {
        let pid = self.pid_of(role)?;
        kill_process(pid, Signal::KILL)?;
        Ok(pid)
    }

    /// Sends a signal to a role: `STOP` lets it hang, as a machine that is overrun does, and `CONT` lets it go on.
    ///
    /// # Errors
    /// When it is not there.
    pub fn signal(&self, role: &str, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid_of(role)?, signal)?)
    }

    /// `kill -9` of the supervisor alone.
    ///
    /// # Errors
    /// When it is not there.
    pub fn kill_supervisor(&mut self) -> Result<()> {
        let mut child = self.up.take().context("holt up does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// `kill -9` of all of it, where it is in a container.
    ///
    /// # Errors
    /// When it is not.
    pub fn remove_container(&mut self) -> Result<()> {
        ensure!(self.wish.inside.is_some(), "the hub is in no container");
        Inside::remove(self.port);
        let mut child = self.up.take().context("holt up does not run")?;
        child.wait()?;
        Ok(())
    }

    /// Asks `holt up` to end, as Ctrl-C does.
    ///
    /// # Errors
    /// When it is not there.
    pub fn interrupt(&self) -> Result<()> {
        kill_process(self.supervisor_pid()?, Signal::INT)?;
        Ok(())
    }

    /// Waits until a role runs as another process than `before`.
    ///
    /// # Errors
    /// When it does not.
    pub async fn replaced(&self, role: &str, before: Pid) -> Result<Pid> {
        eventually(
            "the supervisor starts it again",
            Duration::from_secs(20),
            || async {
                match self.pid_of(role) {
                    Ok(pid) if pid != before && test_kill_process(pid).is_ok() => Ok(pid),
                    Ok(pid) => Err(format!("{role} is process {pid:?}")),
                    Err(error) => Err(error.to_string()),
                }
            },
        )
        .await
    }

    /// A look into the database.
    ///
    /// # Errors
    /// When there is none yet.
    pub async fn rows(&self) -> Result<Rows> {
        Rows::open(&self.data).await
    }

    /// The eight letters in the names of this hub's containers.
    ///
    /// # Errors
    /// When the engine has no network of this hub.
    pub async fn short(&self) -> Result<String> {
        mend::short_of(&self.data)
            .await?
            .context("the engine has no network of this hub")
    }

    /// The containers of this hub's launches.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn containers(&self) -> Result<Vec<Container>> {
        docker::launches(&self.short().await?).await
    }

    /// The one container of the server in the row `id`.
    ///
    /// # Errors
    /// When it has none.
    pub async fn container_of(&self, server_id: i64) -> Result<Container> {
        let servers = self.rows().await?.servers().await?;
        let launch = servers
            .into_iter()
            .find(|server| server.id == server_id)
            .and_then(|server| server.launch)
            .context("the server has no launch")?;
        self.containers()
            .await?
            .into_iter()
            .find(|container| container.launch == launch)
            .with_context(|| format!("no container of launch {launch}"))
    }

    /// A link that signs `name` in, made by `holt user link`.
    ///
    /// # Errors
    /// When it prints none.
    pub async fn user_link(&self, name: &str) -> Result<String> {
        let listen = format!("127.0.0.1:{}", self.port);
        let mut arguments = vec!["user", "link", "--listen", &listen, "--", name];
        let printed = match self.holt(&arguments).await {
            Ok(printed) => printed,
            Err(_) => {
                arguments = vec!["user", "link", "--", name];
                self.holt(&arguments).await?
            }
        };
        printed
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("http"))
            .map(str::to_owned)
            .with_context(|| format!("no link in {printed:?}"))
    }

    /// Makes a user.
    ///
    /// # Errors
    /// As `holt user add` says.
    pub async fn add_user(&self, name: &str) -> Result<()> {
        self.holt(&["user", "add", "--", name]).await.map(|_| ())
    }

    fn clean_up(&mut self) {
        // Order matters: first what would start things again.
        if self.wish.inside.is_some() {
            Inside::remove(self.port);
        }
        if let Some(mut child) = self.up.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Ok(command) = self.command(&["down"]) {
            mend::run_for(command, Duration::from_secs(40));
        }
        for role in ["hub", "proxy", "node"] {
            let _ = self.kill(role);
        }
        mend::remove_leftovers(&self.data);
        mend::unmount_within(self.home());
    }

    fn keep_logs(&self) {
        let name = std::thread::current()
            .name()
            .unwrap_or("unnamed")
            .replace("::", "-");
        let target = crate::output_dir().join(format!("{name}.log"));
        let Ok(mut file) = File::create(&target) else {
            return;
        };
        let mut sources: Vec<PathBuf> = (1..=self.starts)
            .flat_map(|n| ["out", "err"].map(|end| self.scratch(&format!("up-{n}.{end}"))))
            .collect();
        if let Ok(logs) = std::fs::read_dir(self.data.join("log")) {
            sources.extend(logs.flatten().map(|entry| entry.path()));
        }
        for source in sources {
            if let Ok(text) = std::fs::read_to_string(&source) {
                let _ = writeln!(file, "== {}\n{text}", source.display());
            }
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // A story that fails returns an error: whether it did cannot be seen here.
        self.keep_logs();
        self.clean_up();
    }
}

/// The binary, as cargo built it beside this test.
///
/// # Errors
/// When it was not built.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("HOLT_BINARY") {
        return Ok(path.into());
    }
    let here = std::env::current_exe()?;
    let path = here
        .ancestors()
        .skip(1)
        .take(3)
        .map(|dir| dir.join("holt"))
        .find(|path| path.is_file());
    path.context("the binary `holt` was not built: run `cargo build -p holt` first, or tests/run")
}
