//! A JupyterHub as anybody gets it, with `holt-proxy` on its path under the name of configurable-http-proxy.
//!
//! It is installed once below the build directory. Nothing of it is changed but settings that its own documents tell.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::wait::eventually;

/// What is installed: the hub, what its users work with, and what its own tests need.
const PACKAGES: [&str; 7] = [
    "jupyterhub==6.1.1",
    "jupyterlab==4.6.6",
    "ipykernel==7.4.0",
    "pytest==9.2.0",
    "pytest-asyncio==1.5.0",
    "requests-mock==1.12.1",
    "beautifulsoup4[html5lib]==4.15.0",
];
/// Installing takes a minute or two.
const INSTALL: Duration = Duration::from_secs(900);
/// Until it answers.
const UP: Duration = Duration::from_secs(60);
/// Until it has ended what it started.
const END: Duration = Duration::from_secs(20);
/// Everybody's password.
pub const PASSWORD: &str = "a password";

/// Where it is installed, and a path on which the proxy is ours.
#[derive(Debug)]
pub struct Stock {
    venv: PathBuf,
    dir: TempDir,
}

impl Stock {
    /// Installs it when it is not there.
    ///
    /// # Errors
    /// When it cannot be, or when the proxy was not built.
    pub async fn installed() -> Result<Self> {
        let holt = crate::hub::binary()?;
        let proxy = holt.with_file_name("holt-proxy");
        ensure!(
            proxy.is_file(),
            "the binary `holt-proxy` was not built: run `cargo build -p holt-proxy` first, or tests/run"
        );
        let target = holt.parent().and_then(Path::parent);
        let home = target
            .context("the binary lies nowhere")?
            .join("peers/jupyterhub");
        let venv = tokio::task::spawn_blocking(move || venv(&home)).await??;
        let dir = tempfile::Builder::new().prefix("holt-stock-").tempdir()?;
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin)?;
        symlink(proxy.canonicalize()?, bin.join("configurable-http-proxy"))?;
        Ok(Self { venv, dir })
    }

    /// A directory of its own.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A program of the environment, which finds our proxy before any other.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.venv.join("bin").join(program));
        let path = std::env::var("PATH").unwrap_or_default();
        let (ours, theirs) = (self.dir().join("bin"), self.venv.join("bin"));
        command
            .current_dir(self.dir())
            .env(
                "PATH",
                format!("{}:{}:{path}", ours.display(), theirs.display()),
            )
            .env_remove("PYTHONPATH")
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Stock {
    /// Ends what is left of what was started here: JupyterHub's own tests leave a server or two.
    fn drop(&mut self) {
        let dir = self.dir().as_os_str().as_encoded_bytes().to_vec();
        let Ok(processes) = std::fs::read_dir("/proc") else {
            return;
        };
        for process in processes.flatten() {
            let Some(pid) = process
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            // They have our directory on their path.
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            let ours = environment
                .windows(dir.len())
                .any(|window| window == dir.as_slice());
            if ours && let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// The environment, filled when it is not yet.
fn venv(home: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(home)?;
    // Another run may want it at the same time.
    let lock = File::create(home.with_extension("lock"))?;
    lock.lock()?;
    let (venv, whole) = (home.join("venv"), home.join("installed"));
    let wanted = PACKAGES.join("\n");
    if std::fs::read_to_string(&whole).ok().as_deref() != Some(&wanted) {
        let place = venv.to_string_lossy();
        install("python3", &["-m", "venv", &place])
            .context("Python 3 with its `venv` module is needed (Debian: python3-venv)")?;
        let python = venv.join("bin/python");
        let mut arguments = vec!["-m", "pip", "install", "--quiet"];
        arguments.extend(PACKAGES);
        install(&python.to_string_lossy(), &arguments)
            .context("JupyterHub could not be installed with pip")?;
        std::fs::write(&whole, wanted)?;
    }
    Ok(venv)
}

fn install(program: &str, arguments: &[&str]) -> Result<()> {
    let what = format!("{program} {}", arguments.join(" "));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("{what} cannot be run"))?;
    let began = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("{what} ended with {status}"),
            None if began.elapsed() > INSTALL => {
                child.kill()?;
                child.wait()?;
                bail!("{what} took longer than {INSTALL:?}");
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A running JupyterHub.
#[derive(Debug)]
pub struct StockHub {
    stock: Stock,
    port: u16,
    child: Child,
}

impl StockHub {
    /// Starts it, with servers that are processes.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn start(stock: Stock) -> Result<Self> {
        let port = crate::free_port()?;
        let file = stock.dir().join("jupyterhub_config.py");
        std::fs::write(&file, settings(stock.dir(), port)?)?;
        let log = File::create(stock.dir().join("log"))?;
        let child = stock
            .command("jupyterhub")
            .arg("--config")
            .arg(&file)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let hub = Self { stock, port, child };
        let health = format!("{}/hub/health", hub.url());
        let up = eventually("JupyterHub answers", UP, || async {
            let answer = reqwest::get(&health).await?;
            answer.error_for_status().map(drop)
        });
        up.await.with_context(|| hub.log())?;
        Ok(hub)
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Everything it and its proxy said.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.stock.dir().join("log")).unwrap_or_default()
    }

    /// Its proxy, as it wrote it down itself.
    ///
    /// # Errors
    /// When it has none.
    pub fn proxy(&self) -> Result<Pid> {
        let text = std::fs::read_to_string(self.stock.dir().join("jupyterhub-proxy.pid"))?;
        let pid = text.lines().next().unwrap_or_default().trim().parse()?;
        Pid::from_raw(pid).context("no process has this number")
    }

    /// Ends it as Ctrl-C does, and with it its proxy and its servers.
    fn end(&mut self) {
        let proxy = self.proxy();
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::INT);
        }
        let began = Instant::now();
        while began.elapsed() < END {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Ok(pid) = proxy {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Drop for StockHub {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("JupyterHub's log:\n{}", self.log());
        }
    }
}

fn settings(dir: &Path, port: u16) -> Result<String> {
    let (hub_port, api_port) = (crate::free_port()?, crate::free_port()?);
    let dir = dir.display();
    Ok(format!(
        r#"c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.check_running_interval = 1
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "{PASSWORD}"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{dir}/home/{{username}}"
c.Spawner.args = ["--allow-root"]
c.Spawner.default_url = "/lab"
"#
    ))
}
