//! The peer: JupyterHub with DockerSpawner and configurable-http-proxy, installed below the build directory and run as it comes.
//!
//! Settings are defaults but for what makes it comparable: image, limits and a network of its own.
//! Its servers keep no home at all, which is quicker than any home.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use holt_tests::docker::docker;
use holt_tests::wait::eventually;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{MEMORY_MIB, PIDS, machine};

const PYTHON_PACKAGES: [&str; 2] = ["jupyterhub==6.1.1", "dockerspawner==14.0.0"];
const PROXY_PACKAGE: &str = "configurable-http-proxy@5.3.0";
/// Installing takes a minute or two.
const INSTALL: Duration = Duration::from_secs(600);
/// Until it answers.
const UP: Duration = Duration::from_secs(60);
/// Its network, and the beginning of its containers' names.
const NAME: &str = "holt-load-peer";

/// A running JupyterHub.
#[derive(Debug)]
pub(crate) struct JupyterHub {
    dir: TempDir,
    port: u16,
    token: String,
    child: Child,
}

impl JupyterHub {
    /// Installs it when it is not there, and starts it.
    pub(crate) async fn start(image: &str) -> Result<Self> {
        let home = installed().await?;
        remove_leftovers().await;
        docker(&["network", "create", NAME]).await?;
        let gateway = docker(&[
            "network",
            "inspect",
            "--format",
            "{{(index .IPAM.Config 0).Gateway}}",
            NAME,
        ])
        .await?;
        let dir = tempfile::Builder::new().prefix("holt-load-").tempdir()?;
        let token = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        let token = token.trim().replace('-', "");
        let port = holt_tests::free_port()?;
        let settings = settings(image, gateway.trim(), port, &token)?;
        let file = dir.path().join("jupyterhub_config.py");
        std::fs::write(&file, settings)?;
        let log = std::fs::File::create(dir.path().join("log"))?;
        let path = std::env::var("PATH").unwrap_or_default();
        let (python, node) = (home.join("venv/bin"), home.join("node_modules/.bin"));
        let child = Command::new(python.join("jupyterhub"))
            .arg("--config")
            .arg(&file)
            .current_dir(dir.path())
            .env(
                "PATH",
                format!("{}:{}:{path}", python.display(), node.display()),
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let hub = Self {
            dir,
            port,
            token,
            child,
        };
        let health = format!("{}/hub/health", hub.url());
        let up = eventually("JupyterHub answers", UP, || async {
            let answer = reqwest::get(&health).await?;
            answer.error_for_status().map(drop)
        });
        let up = up.await.with_context(|| hub.log());
        if let Err(error) = up {
            hub.end().await;
            return Err(error);
        }
        Ok(hub)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Ends it, and takes away what is left of it.
    pub(crate) async fn end(mut self) {
        self.interrupt();
        remove_leftovers().await;
    }

    /// Asks it to end, as Ctrl-C does, so that it ends its proxy too.
    fn interrupt(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::INT);
        }
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for JupyterHub {
    fn drop(&mut self) {
        self.interrupt();
    }
}

fn settings(image: &str, gateway: &str, port: u16, token: &str) -> Result<String> {
    let (hub_port, proxy_port) = (holt_tests::free_port()?, holt_tests::free_port()?);
    Ok(format!(
        r#"c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_ip = "{gateway}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "docker"
c.JupyterHub.concurrent_spawn_limit = 100
c.DockerSpawner.image = "{image}"
c.DockerSpawner.prefix = "{NAME}"
c.DockerSpawner.network_name = "{NAME}"
c.DockerSpawner.use_internal_ip = True
c.DockerSpawner.remove = True
c.DockerSpawner.mem_limit = "{MEMORY_MIB}M"
c.DockerSpawner.extra_host_config = {{"pids_limit": {PIDS}}}
c.JupyterHub.services = [{{"name": "load", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [
    {{"name": "load", "scopes": ["admin:users", "admin:servers", "access:servers"], "services": ["load"]}}
]
"#
    ))
}

/// Containers and network of this run, or of one that was killed.
async fn remove_leftovers() {
    let filter = format!("name=^/{NAME}-");
    if let Ok(names) = docker(&["ps", "--all", "--quiet", "--filter", &filter]).await {
        for name in names.split_whitespace() {
            let _ = docker(&["rm", "--force", name]).await;
        }
    }
    let _ = docker(&["network", "rm", NAME]).await;
}

/// The directory with `venv` and `node_modules`, filled when it is not yet.
async fn installed() -> Result<PathBuf> {
    let home = machine::target_dir()?.join("load/jupyterhub");
    std::fs::create_dir_all(&home)?;
    let python = home.join("venv/bin/python");
    if !home.join("venv/bin/jupyterhub").is_file() {
        println!("Installing {} ...", PYTHON_PACKAGES.join(" and "));
        let venv = home.join("venv");
        install(
            Path::new("python3"),
            &["-m", "venv", &venv.to_string_lossy()],
        )
        .await
        .context("Python 3 with its `venv` module is needed (Debian: python3-venv)")?;
        let mut arguments = vec!["-m", "pip", "install", "--quiet"];
        arguments.extend(PYTHON_PACKAGES);
        install(&python, &arguments)
            .await
            .context("JupyterHub could not be installed with pip")?;
    }
    if !home
        .join("node_modules/.bin/configurable-http-proxy")
        .is_file()
    {
        println!("Installing {PROXY_PACKAGE} ...");
        let prefix = home.to_string_lossy();
        install(
            Path::new("npm"),
            &["install", "--silent", "--prefix", &prefix, PROXY_PACKAGE],
        )
        .await
        .context("configurable-http-proxy could not be installed: Node.js and npm are needed")?;
    }
    Ok(home)
}

async fn install(program: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let what = format!("{} {}", program.display(), arguments.join(" "));
    let output = match tokio::time::timeout(INSTALL, command.output()).await {
        Ok(output) => output.with_context(|| format!("{what} cannot be run"))?,
        Err(_) => bail!("{what} took longer than {INSTALL:?}"),
    };
    ensure!(
        output.status.success(),
        "{what}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
