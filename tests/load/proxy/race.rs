//! Rounds: all contestants of a series do the same in turns, and the order changes from round to round.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::figures::{Effort, Series};
use crate::load::{Kind, Order};
use crate::loader::Loader;
use crate::machine;
use crate::peers::{Contestant, Ground, Peer, Started};
use crate::report::Results;

/// How long a quiet machine is waited for before each measurement.
const QUIET: Duration = Duration::from_secs(5);
/// nginx's best is the best of so many tries.
const TRIES: usize = 3;

/// Everything that stays the same between series.
#[derive(Debug)]
pub(crate) struct Race {
    pub(crate) ground: Ground,
    pub(crate) effort: Effort,
    /// Whether a machine with other work is waited for.
    pub(crate) is_patient: bool,
}

impl Race {
    /// Does all rounds of a series. What fails is an error in the results; only a machine that cannot measure ends the run.
    pub(crate) async fn run(&self, series: &Series) -> Result<Results> {
        let (mut loader, ground) = self.loader()?;
        let mut results = Results::default();
        let mut standing = BTreeMap::new();
        for round in 0..self.effort.rounds {
            let mut order: Vec<&Contestant> = series.contestants.iter().collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for contestant in order {
                if series.is_fresh {
                    standing.clear();
                }
                if !standing.contains_key(contestant.name) {
                    let started = contestant.start(&ground, &series.cpus).await?;
                    standing.insert(contestant.name, started);
                }
                let started = &standing[contestant.name];
                let is_quiet = !self.is_patient || machine::quiet(QUIET).await;
                let order = self.order(started, series.kind, series.connections);
                match loader.load(&order).await {
                    Ok(outcome) => results.add(contestant.name, &outcome, is_quiet),
                    Err(error) => results.fail(
                        contestant.name,
                        format!("{error:#}; {}", tail(&started.running.log())),
                    ),
                }
            }
        }
        let complaints = loader.log();
        ensure!(complaints.is_empty(), "{}", tail(&complaints));
        Ok(results)
    }

    /// Requests per second of nginx when 64 connections ask as fast as they can.
    pub(crate) async fn best_rate(&self, series: &Series) -> Result<f64> {
        let (mut loader, ground) = self.loader()?;
        let nginx = Peer::Nginx.usual().start(&ground, &series.cpus).await?;
        let mut best = 0_f64;
        for _ in 0..TRIES.min(self.effort.rounds) {
            let order = self.order(&nginx, Kind::Requests, 64);
            let outcome = loader.load(&order).await?;
            if let Some(error) = outcome.errors.first() {
                bail!("nginx: {error}");
            }
            best = best.max(outcome.units as f64 / outcome.seconds);
        }
        Ok(best)
    }

    /// A new load generator and upstream, so that no connection of an earlier series is left.
    fn loader(&self) -> Result<(Loader, Ground)> {
        let port = holt_tests::free_port()?;
        let loader = Loader::start(port, &self.ground.dir)?;
        let ground = Ground {
            upstream: port,
            ..self.ground.clone()
        };
        Ok((loader, ground))
    }

    fn order(&self, proxy: &Started, kind: Kind, connections: usize) -> Order {
        Order {
            port: proxy.port,
            pids: proxy.running.tree(),
            kind,
            connections,
            warm_up: self.effort.warm_up,
            time: self.effort.time,
        }
    }
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
