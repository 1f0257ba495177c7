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

/// Highest allowed ratio.
const TARGET: f64 = 1.1;

/// Starts of servers while a mount hangs, against starts while it is well.
#[derive(Debug, Parser)]
struct Arguments {
    /// Starts of each kind.
    #[arg(long, default_value_t = 100)]
    starts: usize,
}

#[tokio::main]
async fn main() -> Result<std::process::ExitCode> {
    let starts = Arguments::parse().starts.max(1);
    // Turns as short as can be: the machine's other work then falls on both alike.
    let unnoticed = compare("hanging in its place", "1h", starts, 1).await?;
    let noticed = compare("hanging and taken away", "1s", starts.div_ceil(5), 5).await?;
    Ok(if unnoticed <= TARGET && noticed <= TARGET {
        std::process::ExitCode::SUCCESS
    } else {
        println!("target {TARGET}: MISSED");
        std::process::ExitCode::FAILURE
    })
}

/// Runs one comparison and returns the median of the turns' ratios.
async fn compare(what: &str, check_every: &str, turns: usize, each: usize) -> Result<f64> {
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
    // One start before, to warm all.
    start(&person).await?;
    let (mut well, mut hanging, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..turns {
        let mut order = [Mode::Well, Mode::Hang];
        if turn % 2 == 1 {
            order.reverse();
        }
        let mut medians = BTreeMap::new();
        for mode in order {
            server.be(mode)?;
            if each > 1 {
                // Noticed when it hangs, and mounted again when it is well.
                tokio::time::sleep(Duration::from_secs(4)).await;
            }
            let mut took = Vec::new();
            for _ in 0..each {
                took.push(start(&person).await?);
            }
            medians.insert(mode == Mode::Hang, median(&took));
            match mode {
                Mode::Hang => hanging.extend(took),
                _ => well.extend(took),
            }
        }
        ratios.push(medians[&true] / medians[&false]);
    }
    server.be(Mode::Well)?;
    print("well", &mut well);
    print(what, &mut hanging);
    let ratio = median(&ratios);
    println!("{what} / well: {ratio:.3}, the median of {turns} turns\n");
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

/// Prints what they come to.
fn print(name: &str, times: &mut [f64]) {
    times.sort_by(f64::total_cmp);
    println!(
        "{:>4} starts, the mount is {name}: median {:.3} s, 9 of 10 within {:.3} s, slowest {:.3} s",
        times.len(),
        median(times),
        times[(times.len() * 9).div_ceil(10) - 1],
        times[times.len() - 1]
    );
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}
