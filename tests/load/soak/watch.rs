//! Memory and descriptors of the proxy: what they are, and whether they may be so.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use holt_tests::wait::eventually;

use crate::process::Running;

/// Memory may grow by this part and so many bytes after a phase's first tenth.
const GROWTH: f64 = 0.2;
const GROWTH_BYTES: f64 = 8.0 * MIB;
/// Descriptors that may be left at the end: what a proxy opens for itself now and then.
const SLACK: usize = 8;
/// Until the proxy has seen the end of the last connections.
const CALM: Duration = Duration::from_secs(15);
/// Between two looks that must see the same.
const PAUSE: Duration = Duration::from_secs(1);
const MIB: f64 = (1 << 20) as f64;

/// Looks at the proxy's processes.
#[derive(Debug)]
pub(crate) struct Watch {
    pids: Vec<u32>,
    /// Before the first phase.
    before: Sample,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    resident: f64,
    descriptors: usize,
}

/// One kind of clients, over all its steps.
#[derive(Debug)]
pub(crate) struct Phase {
    name: &'static str,
    samples: Vec<Sample>,
}

impl Watch {
    /// Remembers what is there before; the last connections of the warm-up are let go first.
    pub(crate) async fn begin(proxy: &Running) -> Result<Self> {
        let pids = proxy.tree();
        let began = Instant::now();
        let mut before = Sample::of(&pids)?;
        loop {
            tokio::time::sleep(PAUSE).await;
            let now = Sample::of(&pids)?;
            let is_calm = now.descriptors == before.descriptors;
            before = now;
            if is_calm || began.elapsed() > CALM {
                break;
            }
        }
        println!("start: {}", before.words());
        Ok(Self { pids, before })
    }

    /// Whether the descriptors come back to what they were.
    pub(crate) async fn judge_descriptors(&self) -> Result<bool> {
        let limit = self.before.descriptors + SLACK;
        let calm = eventually("descriptors come back", CALM, || async {
            let now = Sample::of(&self.pids)?;
            ensure!(now.descriptors <= limit, "{} of {limit}", now.descriptors);
            Ok(())
        })
        .await;
        println!("end: {}", Sample::of(&self.pids)?.words());
        if let Err(error) = &calm {
            println!("FAILED: {error:#}");
        }
        Ok(calm.is_ok())
    }
}

impl Phase {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            samples: Vec::new(),
        }
    }

    /// Looks, and prints what is seen.
    pub(crate) fn look(&mut self, watch: &Watch, percent: u64, rate: f64) -> Result<()> {
        let sample = Sample::of(&watch.pids)?;
        let name = self.name;
        println!(
            "{name} {percent:>3} %: {}, {rate:.0} per second",
            sample.words()
        );
        self.samples.push(sample);
        Ok(())
    }

    /// Whether memory stayed about what it was after the first step.
    pub(crate) fn judge(&self) -> bool {
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            return false;
        };
        let limit = first.resident * (1.0 + GROWTH) + GROWTH_BYTES;
        let is_good = last.resident <= limit;
        if !is_good {
            println!(
                "FAILED: memory after {} is {:.1} MiB, at most {:.1} MiB were allowed",
                self.name,
                last.resident / MIB,
                limit / MIB
            );
        }
        is_good
    }
}

impl Sample {
    fn of(pids: &[u32]) -> Result<Self> {
        let mut sample = Self {
            resident: 0.0,
            descriptors: 0,
        };
        for pid in pids {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
                .context("the proxy is gone")?;
            let kibibytes = status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:"))
                .and_then(|rest| rest.split_whitespace().next())
                .context("no VmRSS")?;
            sample.resident += kibibytes.parse::<f64>()? * 1024.0;
            sample.descriptors += std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        }
        Ok(sample)
    }

    fn words(&self) -> String {
        format!(
            "{:.1} MiB resident, {} descriptors",
            self.resident / MIB,
            self.descriptors
        )
    }
}
