//! How long a notebook server takes from the click until it answers: Holt against JupyterHub with DockerSpawner, side by side.
//!
//! Both run on the same engine with the same image and the same limits, and take turns; every round starts new users with empty
//! homes.
//! The click is the API call to start a server; the server answers when `GET /user/<name>/api` through the public port says 200.
//! In between a client does what a browser's page does on both: it waits for the answer, and follows the progress when there is
//! none after a while.

mod contestant;
mod figures;
mod jupyterhub;
mod machine;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use holt_tests::hub::{Hub, Wish, binary};
use holt_tests::person::Person;

use contestant::Contestant;
use figures::Figures;
use jupyterhub::JupyterHub;

/// Limits of a server, the same on both.
pub(crate) const MEMORY_MIB: u64 = 1024;
/// The same for processes.
pub(crate) const PIDS: u64 = 512;
/// Highest allowed part of JupyterHub's time, for so many at once.
const TARGETS: [(usize, f64); 2] = [(1, 0.9), (8, 0.8)];

/// Cold starts of notebook servers, Holt against JupyterHub with DockerSpawner.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds that count; one more goes before, to warm both.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many users click at once, in each round.
    #[arg(long, value_delimiter = ',', default_value = "1,8")]
    users: Vec<usize>,
    /// The image of both. It pairs with JupyterHub 6.1.1.
    #[arg(long, default_value = "holt-dev-singleuser:6")]
    image: String,
    /// One round with one user, without a round before: whether it all works, not how fast it is.
    #[arg(long)]
    short: bool,
    /// Only one of the two.
    #[arg(long)]
    only: Option<Side>,
    /// Lines for Holt's settings file.
    #[arg(long, default_value = "")]
    holt_config: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Side {
    Holt,
    Jupyterhub,
}

fn main() -> Result<std::process::ExitCode> {
    let mut arguments = Arguments::parse();
    if arguments.short {
        arguments.rounds = 1;
        arguments.users = vec![1];
    }
    if let Some(code) = with_release_binary()? {
        return Ok(code);
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run(&arguments))
}

/// A debug build says nothing about speed: where nobody named a binary, runs this program again with the release build's.
fn with_release_binary() -> Result<Option<std::process::ExitCode>> {
    if std::env::var_os("HOLT_BINARY").is_some() {
        return Ok(None);
    }
    let here = std::env::current_exe()?;
    let target = machine::target_dir()?;
    let release = target.join("release/holt");
    ensure!(
        release.is_file(),
        "{} is missing: run `cargo build --release -p holt` first, or name a binary in HOLT_BINARY",
        release.display()
    );
    let status = std::process::Command::new(here)
        .args(std::env::args_os().skip(1))
        .env("HOLT_BINARY", release)
        .status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(Some(code.unwrap_or(1).into()))
}

async fn run(arguments: &Arguments) -> Result<std::process::ExitCode> {
    holt_tests::docker::engine_answers().await?;
    holt_tests::docker::docker(&["image", "inspect", &arguments.image])
        .await
        .with_context(|| {
            format!(
                "the image {} is missing: `holt up` or tests/run makes it",
                arguments.image
            )
        })?;
    machine::print(&binary()?);

    // Each is kept until the end: dropping it ends it and takes its containers away.
    let mut hub = None;
    let mut peer = None;
    let mut sides = Vec::new();
    if arguments.only != Some(Side::Jupyterhub) {
        let made = holt(arguments).await?;
        sides.push(contestant_of(&made).await?);
        hub = Some(made);
    }
    if arguments.only != Some(Side::Holt) {
        let made = JupyterHub::start(&arguments.image).await?;
        sides.push(Contestant::new("JupyterHub", made.url(), made.token())?);
        peer = Some(made);
    }

    let figures = rounds(arguments, &sides).await;
    drop(hub);
    if let Some(peer) = peer {
        peer.end().await;
    }
    let figures = figures?;
    let is_met = figures.print(&TARGETS);
    Ok(if is_met || arguments.short {
        std::process::ExitCode::SUCCESS
    } else {
        std::process::ExitCode::FAILURE
    })
}

async fn holt(arguments: &Arguments) -> Result<Hub> {
    let config = format!(
        "[docker]\nimage = {:?}\n[server]\nmemory = \"{MEMORY_MIB}MiB\"\npids = {PIDS}\n{}",
        arguments.image, arguments.holt_config
    );
    Wish::default().config(&config).start().await
}

/// Holt with a token of its first administrator.
async fn contestant_of(hub: &Hub) -> Result<Contestant> {
    let admin = Person::admin(hub).await?;
    let path = format!(
        "/hub/api/users/{}/tokens",
        holt_spec::names::escape_segment(admin.name())
    );
    let answer = admin
        .api(reqwest::Method::POST, &path, Some(&serde_json::json!({})))
        .await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "POST {path}: {status} {text}");
    let token: serde_json::Value = serde_json::from_str(&text)?;
    let token = token["token"].as_str().context("a token without a token")?;
    Contestant::new("Holt", hub.url(), token)
}

/// All rounds: in each, every number of users, and the two sides in turns that change from round to round.
async fn rounds(arguments: &Arguments, sides: &[Contestant]) -> Result<Figures> {
    let mut figures = Figures::default();
    let before = usize::from(!arguments.short);
    for round in 0..arguments.rounds + before {
        for &users in &arguments.users {
            let mut order: Vec<&Contestant> = sides.iter().collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for side in order {
                let is_quiet = machine::quiet(Duration::from_secs(5)).await;
                let names: Vec<String> = (1..=users)
                    .map(|user| format!("load-{round}-{users}-{user}"))
                    .collect();
                let times = side.race(&names).await?;
                let is_warm_up = round < before;
                figures.add(side.name(), users, times, is_quiet, is_warm_up);
            }
        }
    }
    Ok(figures)
}
