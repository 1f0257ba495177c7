//! Whether starts take longer while a mount hangs: the same servers, started with the file server well and with it hanging, in turns.
//!
//! The worst case is measured: the mount hangs in its place, and nobody has noticed yet (the node looks at it every hour).
//! A second comparison has it noticed: it is taken away, and the node tries in vain to mount it again.
//! A start is measured from the call until the hub says ready; the stop after it is not.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use holt_tests::docker;
use holt_tests::dying::{Dying, Mode};
use holt_tests::hub::Wish;
use holt_tests::images;
use holt_tests::person::Person;

/// Highest allowed ratio of the medians.
const TARGET: f64 = 1.1;

/// Starts of servers while a mount hangs, against starts while it is well.
#[derive(Debug, Parser)]
struct Arguments {
    /// Starts of each kind.
    #[arg(long, default_value_t = 100)]
    starts: usize,
    /// Turns that they are parted into.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
}

#[tokio::main]
async fn main() -> Result<std::process::ExitCode> {
    let arguments = Arguments::parse();
    let rounds = arguments.rounds.max(1);
    let each = arguments.starts.div_ceil(rounds);
    let unnoticed = compare("hangs in its place", "1h", rounds, each).await?;
    let noticed = compare("hangs and is taken away", "1s", rounds, each).await?;
    Ok(if unnoticed <= TARGET && noticed <= TARGET {
        std::process::ExitCode::SUCCESS
    } else {
        println!("target {TARGET}: MISSED");
        std::process::ExitCode::FAILURE
    })
}

/// Runs one comparison and returns the ratio of the medians.
async fn compare(what: &str, check_every: &str, rounds: usize, each: usize) -> Result<f64> {
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    let server = Dying::new()?;
    std::fs::write(server.tree().join("page.txt"), "Apple")?;
    let hub = Wish::default()
        .config(&format!("[docker]\nimage = \"{image}\""))
        .config(&format!(
            "[node]\ncheck_every = \"{check_every}\"\nanswer_within = \"1s\"\nmount_within = \"2s\"\nretry_most = \"1s\""
        ))
        .config(&server.as_dumps()?)
        .start()
        .await?;
    let person = Person::user(&hub, "Rook").await?;
    // One start of each kind warms both.
    start(&person).await?;
    let mut took = BTreeMap::<&str, Vec<f64>>::new();
    for round in 0..rounds {
        let mut order = [(Mode::Well, "well"), (Mode::Hang, what)];
        if round % 2 == 1 {
            order.reverse();
        }
        for (mode, name) in order {
            server.be(mode)?;
            // Noticed, where it is to be, and mounted again where it is well.
            tokio::time::sleep(Duration::from_secs(4)).await;
            for _ in 0..each {
                let seconds = start(&person).await?;
                took.entry(name).or_default().push(seconds);
            }
        }
    }
    server.be(Mode::Well)?;
    let mut medians = Vec::new();
    for name in ["well", what] {
        let times = took.get_mut(name).map(std::mem::take).unwrap_or_default();
        ensure!(!times.is_empty(), "nothing was measured");
        medians.push(print(name, times));
    }
    let ratio = medians[1] / medians[0];
    println!("{what} / well: {ratio:.3}\n");
    Ok(ratio)
}

/// One start, in seconds; stopped again.
async fn start(person: &Person) -> Result<f64> {
    let began = Instant::now();
    person.start("").await?;
    let took = began.elapsed();
    ensure!(person.ask_stop("").await?.is_success());
    person.until_stopped("", Duration::from_secs(60)).await?;
    Ok(took.as_secs_f64())
}

/// Prints what they come to, and returns the median.
fn print(name: &str, mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a short list"
        )]
        let place = ((times.len() - 1) as f64 * part).round() as usize;
        times[place]
    };
    println!(
        "{:>4} starts, the mount is {name}: median {:.3} s, 9 of 10 within {:.3} s, slowest {:.3} s",
        times.len(),
        at(0.5),
        at(0.9),
        at(1.0)
    );
    at(0.5)
}
