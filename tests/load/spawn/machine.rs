//! The machine under the measurement: what it is, and whether it has anything else to do.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Time over which the load is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// A machine that is less busy than this is quiet.
const QUIET: f64 = 0.15;

/// Where cargo builds to, and where the peer is kept between runs.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let target = here.ancestors().nth(2);
    Ok(target.context("this program lies nowhere")?.to_owned())
}

/// Says what is measured on.
pub(crate) fn print(binary: &Path) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    println!("{cores} cores ({model}), {}", binary.display());
}

/// Waits until nothing else runs, at most for `limit`; whether that came.
pub(crate) async fn quiet(limit: Duration) -> bool {
    let began = Instant::now();
    loop {
        let before = busy_and_all();
        tokio::time::sleep(LOOK).await;
        let after = busy_and_all();
        if let (Some(before), Some(after)) = (before, after) {
            let all = (after.1 - before.1).max(1.0);
            if (after.0 - before.0) / all < QUIET {
                return true;
            }
        }
        if began.elapsed() >= limit {
            return false;
        }
    }
}

/// Ticks in which the cores worked, and all ticks, since the machine is up.
fn busy_and_all() -> Option<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<f64> = text
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let all: f64 = fields.iter().sum();
    let idle = fields.get(3)? + fields.get(4)?;
    Some((all - idle, all))
}
