//! What stays behind in the proxy after a million clients that went away at the wrong moment.
//!
//! First come connections that are given up: unused, in the middle of a head, before the answer, in the middle of an upload.
//! Then come websockets that say one thing and are closed, or break off.
//! After each tenth, the proxy's memory and descriptors are looked at: from the first tenth on, memory may hardly grow, and at the end
//! the descriptors are as few as before.

#[path = "../proxy/body.rs"]
mod body;
mod clients;
#[path = "../proxy/peers/mod.rs"]
mod peers;
#[expect(dead_code, reason = "a soak looks at memory, not at time")]
#[path = "../proxy/process.rs"]
mod process;
#[path = "../proxy/upstream.rs"]
mod upstream;
mod watch;
#[path = "../proxy/wire.rs"]
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use tokio::task::JoinSet;

use peers::{Ground, Peer};
use watch::{Phase, Watch};

/// Steps of a phase, after each of which is looked.
const STEPS: u64 = 10;
/// Longest time that one client may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Errors that are printed.
const SHOWN: u64 = 5;

/// Connections that are given up, and websockets, until something stays behind in the proxy.
#[derive(Debug, Parser)]
struct Arguments {
    /// Connections that are given up.
    #[arg(long, default_value_t = 1_000_000)]
    cycles: u64,
    /// Websockets that are opened, used and ended.
    #[arg(long, default_value_t = 100_000)]
    opens: u64,
    /// Clients at a time.
    #[arg(long, default_value_t = 64)]
    clients: u64,
    /// Our binary [default: release/holt-proxy in the build directory].
    #[arg(long, env = "HOLT_PROXY_BINARY")]
    binary: Option<PathBuf>,
    /// A further word for our command line; may be given more than once.
    #[arg(long, allow_hyphen_values = true)]
    ours_arg: Vec<String>,
    /// Another proxy in place of ours.
    #[arg(long, default_value = "holt")]
    peer: Peer,
    /// A hundredth of everything: whether it all works.
    #[arg(long)]
    short: bool,
}

/// What clients do.
#[derive(Debug, Clone, Copy)]
enum Work {
    GiveUp,
    Websocket,
    Request,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            // Dropping the soak ends the proxy and takes its files away.
            tokio::select! {
                ended = soak(&arguments) => ended,
                _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            }
        })
}

async fn soak(arguments: &Arguments) -> Result<ExitCode> {
    process::raise_open_files()?;
    let dir = tempfile::Builder::new().prefix("soak-proxy-").tempdir()?;
    let ground = ground(arguments, dir.path().to_owned())?;
    arguments.peer.check(&ground)?;
    let mut serving = JoinSet::new();
    serving.spawn(upstream::serve(ground.upstream));
    let cpus: Vec<usize> = (0..std::thread::available_parallelism()?.get()).collect();
    let proxy = arguments.peer.usual().start(&ground, &cpus).await?;
    let divisor = if arguments.short { 100 } else { 1 };
    let (cycles, opens) = (arguments.cycles / divisor, arguments.opens / divisor);
    let port = proxy.port;
    let clients = arguments.clients.max(1);

    // What a proxy keeps for good, it has after this.
    let mut failed = 0;
    for work in [Work::GiveUp, Work::Websocket, Work::Request] {
        failed += rush(work, port, 4 * clients, clients).await;
    }
    let watch = Watch::begin(&proxy.running).await?;
    let mut is_good = true;
    for (name, work, count) in [
        ("given up", Work::GiveUp, cycles),
        ("websockets", Work::Websocket, opens),
    ] {
        let mut phase = Phase::new(name);
        for step in 1..=STEPS {
            let began = Instant::now();
            failed += rush(work, port, count / STEPS, clients).await;
            let rate = (count / STEPS) as f64 / began.elapsed().as_secs_f64();
            phase.look(&watch, step * 100 / STEPS, rate)?;
        }
        is_good &= phase.judge();
    }
    is_good &= watch.judge_descriptors().await?;
    failed += rush(Work::Request, port, clients, clients).await;
    if failed > 0 {
        println!("FAILED: {failed} clients met errors");
    }
    println!(
        "{}",
        if is_good && failed == 0 {
            "good"
        } else {
            "FAILED"
        }
    );
    Ok(match is_good && failed == 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn ground(arguments: &Arguments, dir: PathBuf) -> Result<Ground> {
    let here = std::env::current_exe()?;
    let target = here
        .ancestors()
        .nth(2)
        .context("this program lies nowhere")?;
    Ok(Ground {
        binary: match &arguments.binary {
            Some(binary) => std::path::absolute(binary)?,
            None => target.join("release/holt-proxy"),
        },
        arguments: arguments.ours_arg.clone(),
        target: target.to_owned(),
        dir,
        upstream: holt_tests::free_port()?,
    })
}

/// So many clients, a few at a time; how many met an error.
async fn rush(work: Work, port: u16, count: u64, at_a_time: u64) -> u64 {
    let next = Arc::new(AtomicU64::new(0));
    let failed = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..at_a_time {
        let (next, failed) = (Arc::clone(&next), Arc::clone(&failed));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let client = async {
                    match work {
                        Work::GiveUp => clients::give_up(port, number).await,
                        Work::Websocket => clients::use_websocket(port, number).await,
                        Work::Request => clients::ask(port, number).await,
                    }
                };
                let ended = tokio::time::timeout(PATIENCE, client).await;
                let Err(error) = ended.context("it took too long").and_then(|it| it) else {
                    continue;
                };
                if failed.fetch_add(1, Ordering::Relaxed) < SHOWN {
                    println!("ERROR of {work:?} {number}: {error:#}");
                }
            }
        });
    }
    tasks.join_all().await;
    failed.load(Ordering::Relaxed)
}
