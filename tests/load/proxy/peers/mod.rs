//! The proxies that are measured: how each is set up for the same work, and started.
//!
//! All have one worker unless a figure says otherwise, no access log, the same forwarding headers, and a table of 200 routes besides
//! the measured one.

mod chp;
mod haproxy;
mod holt;
mod nginx;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use clap::ValueEnum;
use holt_tests::wait::eventually;
use reqwest::RequestBuilder;
use serde_json::json;

use crate::process::Running;

/// Routes besides the measured one.
const FURTHER_ROUTES: usize = 200;
/// Until a proxy answers through the measured route.
const UP: Duration = Duration::from_secs(20);

/// A program that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Peer {
    /// Ours.
    Holt,
    Nginx,
    Haproxy,
    /// configurable-http-proxy.
    Chp,
}

/// One way to run a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contestant {
    pub(crate) peer: Peer,
    /// Its name in tables.
    pub(crate) name: &'static str,
    /// Threads or processes that move bytes; only ours and nginx can have more than one here.
    pub(crate) workers: usize,
    /// Bytes of a relay buffer, where the program has a setting for it and its default is not meant.
    pub(crate) buffer: Option<usize>,
    /// Connections to the upstream that are kept without work.
    pub(crate) kept: usize,
}

/// What is the same for all.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    /// Our binary, and further words for its command line.
    pub(crate) binary: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Directory for builds, and for what is installed from others.
    pub(crate) target: PathBuf,
    /// For settings files and logs.
    pub(crate) dir: PathBuf,
    /// Port of the upstream.
    pub(crate) upstream: u16,
}

/// A proxy that answers.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) port: u16,
    pub(crate) running: Running,
}

impl Peer {
    /// As it is run where no figure wishes otherwise.
    pub(crate) fn usual(self) -> Contestant {
        Contestant {
            peer: self,
            name: match self {
                Self::Holt => "holt",
                Self::Nginx => "nginx",
                Self::Haproxy => "haproxy",
                Self::Chp => "chp",
            },
            workers: 1,
            buffer: None,
            kept: 64,
        }
    }

    /// Says what is missing, before anything is measured.
    pub(crate) fn check(self, ground: &Ground) -> Result<()> {
        match self {
            Self::Holt => ensure!(
                ground.binary.is_file(),
                "{} is missing: run `cargo build --release -p holt-proxy` first, or name a binary with --binary",
                ground.binary.display()
            ),
            Self::Nginx => drop(program("nginx")?),
            Self::Haproxy => drop(program("haproxy")?),
            Self::Chp => drop(chp::installed(&ground.target)?),
        }
        Ok(())
    }
}

impl Contestant {
    /// Starts it on these processors, and waits until it answers.
    pub(crate) async fn start(self, ground: &Ground, cpus: &[usize]) -> Result<Started> {
        let port = holt_tests::free_port()?;
        let running = match self.peer {
            Peer::Holt => holt::start(&self, ground, port, cpus).await,
            Peer::Nginx => nginx::start(&self, ground, port, cpus),
            Peer::Haproxy => haproxy::start(&self, ground, port, cpus),
            Peer::Chp => chp::start(&self, ground, port, cpus).await,
        };
        let running = running.with_context(|| format!("{} did not start", self.name))?;
        let url = format!("http://127.0.0.1:{port}{}", crate::wire::path::SMALL);
        let client = client()?;
        answers(&running, || client.get(&url))
            .await
            .context(self.name)?;
        Ok(Started { port, running })
    }
}

/// Where a program of the distribution lies; some are only in the administrator's path.
fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/usr/local/sbin"])
        .map(|dir| Path::new(dir).join(name))
        .find(|file| file.is_file())
        .with_context(|| format!("{name} is missing (Debian: apt-get install {name})"))
}

/// Paths of all routes, the measured one first.
fn routes() -> Vec<String> {
    let mut routes = vec!["/user/a".to_owned()];
    routes.extend((1..=FURTHER_ROUTES).map(|number| format!("/user/person-{number}")));
    routes
}

/// Adds all routes through configurable-http-proxy's REST API, which ours has too.
async fn add_routes(api: u16, token: &str, upstream: u16, running: &Running) -> Result<()> {
    let client = client()?;
    let base = format!("http://127.0.0.1:{api}/api/routes");
    let authorization = format!("token {token}");
    answers(running, || {
        client.get(&base).header("Authorization", &authorization)
    })
    .await?;
    for route in routes() {
        let answer = client
            .post(format!("{base}{route}"))
            .header("Authorization", &authorization)
            .json(&json!({ "target": format!("http://127.0.0.1:{upstream}") }))
            .send()
            .await?;
        let status = answer.status();
        ensure!(status == 201, "POST {route}: {status}");
    }
    Ok(())
}

/// Waits until a request is answered well; a proxy that has ended is not waited for.
async fn answers(running: &Running, request: impl Fn() -> RequestBuilder) -> Result<()> {
    let look = || async { request().send().await?.error_for_status().map(drop) };
    tokio::select! {
        answer = eventually("the proxy answers", UP, look) => answer,
        () = running.ended() => Err(anyhow!("it ended")),
    }
    .with_context(|| running.log())
}

fn client() -> Result<reqwest::Client> {
    let client = reqwest::Client::builder().no_proxy().timeout(UP).build()?;
    Ok(client)
}

/// A word that nobody guesses.
fn token() -> Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(text.trim().replace('-', ""))
}
