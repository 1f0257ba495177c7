//! What bytes cost in a reverse proxy: ours against nginx, HAProxy and configurable-http-proxy, side by side.
//!
//! Each proxy is pinned to the first processor, the load generator and the upstream, which are one process, to the second.
//! A figure is the processor time that the proxy's processes took for a request, a message or a GiB, not a throughput: work that the
//! kernel does for a packet is charged to whoever sends it, for all of them in the same way.
//! All contestants take turns in one run, and medians are compared, so that a slow minute of the machine is everybody's.

mod body;
mod figures;
mod load;
mod loader;
#[path = "../spawn/machine.rs"]
mod machine;
mod peers;
mod process;
mod race;
mod report;
mod upstream;
mod verdict;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;

use figures::{Effort, Figure};
use load::Kind;
use peers::{Ground, Peer};
use race::Race;

/// Processor time, memory and latency of reverse proxies: ours against its peers.
///
/// Build both first, and run the release build:
///   cargo build --release -p holt-proxy
///   cargo run --release -p holt-tests --bin load-proxy
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Rounds of each figure.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that each contestant is measured in each round.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only these figures.
    #[arg(long, value_delimiter = ',')]
    figures: Vec<Figure>,
    /// Only these contestants.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Peer>,
    /// All but these contestants.
    #[arg(long, value_delimiter = ',')]
    without: Vec<Peer>,
    /// Our binary [default: release/holt-proxy in the build directory].
    #[arg(long, env = "HOLT_PROXY_BINARY")]
    binary: Option<PathBuf>,
    /// A further word for our command line; may be given more than once.
    #[arg(long, allow_hyphen_values = true)]
    ours_arg: Vec<String>,
    /// Requests per second of the latency figure, instead of half of nginx's best.
    #[arg(long)]
    rate: Option<f64>,
    /// MiB that a bulk figure moves in each round.
    #[arg(long, default_value_t = 1024)]
    mebibytes: u64,
    /// One small round: whether it all works, not how fast it is.
    #[arg(long)]
    short: bool,
    /// Writes everything that was measured to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Fails when a target is missed.
    #[arg(long)]
    strict: bool,
}

/// What this program is when it has started itself.
#[derive(Debug, Subcommand)]
enum Role {
    /// The load generator, and the upstream on this port.
    #[command(hide = true)]
    Load { upstream: u16 },
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            match &arguments.role {
                Some(role) => act(role).await,
                // Dropping the measurement ends all processes and takes their files away.
                None => tokio::select! {
                    ended = measure(&arguments) => ended,
                    _ = tokio::signal::ctrl_c() => bail!("interrupted"),
                },
            }
        })
}

/// As a process beside the proxies; it ends with the one that started it.
async fn act(role: &Role) -> Result<ExitCode> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let Role::Load { upstream } = role;
    load::serve(*upstream).await?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(arguments: &Arguments) -> Result<ExitCode> {
    ensure!(
        arguments.short || !cfg!(debug_assertions),
        "a debug build says nothing about speed: `cargo run --release -p holt-tests --bin load-proxy`, or --short"
    );
    ensure!(
        std::thread::available_parallelism()?.get() >= 2,
        "two processors are needed: one for the proxies, one for the rest"
    );
    process::raise_open_files()?;
    let dir = tempfile::Builder::new().prefix("load-proxy-").tempdir()?;
    let target = machine::target_dir()?;
    let binary = match &arguments.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => target.join("release/holt-proxy"),
    };
    let race = Race {
        ground: Ground {
            binary,
            arguments: arguments.ours_arg.clone(),
            target,
            dir: dir.path().to_owned(),
            upstream: 0,
        },
        effort: effort(arguments),
        is_patient: !arguments.short,
    };
    let peers = arguments.peers();
    for peer in &peers {
        peer.check(&race.ground)?;
    }
    machine::print(&race.ground.binary);
    println!(
        "{} rounds of {:?} for each; proxies on processor {}, load and upstream on {}",
        race.effort.rounds,
        race.effort.time,
        figures::PROXY_CPU,
        figures::LOAD_CPU
    );

    let (mut is_met, mut is_clean) = (true, true);
    let mut all = Vec::new();
    for figure in arguments.figures() {
        for mut series in figure.series(&peers, &race.effort) {
            if matches!(series.kind, Kind::Paced { .. }) {
                let rate = match arguments.rate {
                    Some(rate) => rate,
                    None => race.best_rate(&series).await? / 2.0,
                };
                series.kind = Kind::Paced { rate };
                series.title = format!(
                    "99th percentile from planned begin to answer, {rate:.0} requests per second over 64 connections"
                );
            }
            let results = race.run(&series).await?;
            is_met &= results.print(&series);
            is_clean &= results.is_clean();
            all.push(results.json(&series));
        }
    }
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_string_pretty(&json!(all))?)
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    if !is_clean {
        println!("\nThere were ERRORS: figures with errors say nothing.");
        return Ok(ExitCode::FAILURE);
    }
    Ok(match arguments.strict && !is_met {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn effort(arguments: &Arguments) -> Effort {
    if arguments.short {
        return Effort {
            rounds: 1,
            time: Duration::from_millis(300),
            warm_up: Duration::from_millis(100),
            bytes: 64 << 20,
            held: 200,
        };
    }
    let time = Duration::from_secs_f64(arguments.seconds.clamp(0.1, 60.0));
    Effort {
        rounds: arguments.rounds.clamp(1, 100),
        time,
        warm_up: time / 4,
        bytes: arguments.mebibytes.clamp(16, 16 * 1024) << 20,
        held: 2000,
    }
}

impl Arguments {
    fn figures(&self) -> Vec<Figure> {
        match self.figures.is_empty() {
            true => Figure::value_variants().to_vec(),
            false => self.figures.clone(),
        }
    }

    fn peers(&self) -> Vec<Peer> {
        Peer::value_variants()
            .iter()
            .copied()
            .filter(|peer| self.only.is_empty() || self.only.contains(peer))
            .filter(|peer| !self.without.contains(peer))
            .collect()
    }
}
