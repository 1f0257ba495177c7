//! Connections at work, and the look at the proxy before and after.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::transfer::Sizable;
use super::{Exchange, Order, Outcome};
use crate::process::{self, CpuTime};

/// Until a proxy has done what belongs to the last answer.
const SETTLE: Duration = Duration::from_millis(30);
/// A warm-up's part of a transfer.
const WARM_UP_BYTES: u64 = 4 * 1024 * 1024;

/// Until when connections are busy.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    Passed(Duration),
    Done(u64),
}

/// One large transfer on each connection; its units are bytes.
pub(super) async fn transfers<C: Exchange + Sizable>(
    order: &Order,
    mut clients: Vec<C>,
) -> Result<Outcome> {
    let bytes: Vec<u64> = clients.iter().map(C::size).collect();
    for client in &mut clients {
        client.resize(WARM_UP_BYTES.min(client.size()));
    }
    let mut errors = Vec::new();
    let (mut clients, _) = drive(clients, Until::Done(1), &mut errors).await;
    for (client, bytes) in clients.iter_mut().zip(&bytes) {
        client.resize(*bytes);
    }
    let mut outcome = measured(order, clients, Until::Done(1)).await?;
    outcome.units *= bytes.first().copied().unwrap_or(0);
    outcome.errors.extend(errors);
    Ok(outcome)
}

/// The next exchange begins when the last one has ended, on each connection.
pub(super) async fn closed_loop<C: Exchange>(
    order: &Order,
    clients: Vec<C>,
    until: Until,
) -> Result<Outcome> {
    let mut errors = Vec::new();
    let (clients, _) = drive(clients, Until::Passed(order.warm_up), &mut errors).await;
    let mut outcome = measured(order, clients, until).await?;
    outcome.errors.extend(errors);
    Ok(outcome)
}

async fn measured<C: Exchange>(order: &Order, clients: Vec<C>, until: Until) -> Result<Outcome> {
    let meter = Meter::start(&order.pids).await?;
    let mut errors = Vec::new();
    let (_clients, units) = drive(clients, until, &mut errors).await;
    meter.stop(units, errors).await
}

/// Keeps all connections busy; those that are left, and how many exchanges there were.
pub(super) async fn drive<C: Exchange>(
    clients: Vec<C>,
    until: Until,
    errors: &mut Vec<String>,
) -> (Vec<C>, u64) {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            let mut count = 0;
            loop {
                if let Err(error) = client.exchange().await {
                    return (Err(error), count);
                }
                count += 1;
                let is_over = match until {
                    Until::Passed(time) => began.elapsed() >= time,
                    Until::Done(times) => count >= times,
                };
                if is_over {
                    return (Ok(client), count);
                }
            }
        });
    }
    let mut left = Vec::new();
    let mut units = 0;
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok((Ok(client), count)) => {
                left.push(client);
                units += count;
            }
            Ok((Err(error), count)) => {
                errors.push(format!("{error:#}"));
                units += count;
            }
            Err(error) => errors.push(error.to_string()),
        }
    }
    (left, units)
}

/// Looks at a proxy before and after.
#[derive(Debug)]
pub(super) struct Meter<'a> {
    pids: &'a [u32],
    began: Instant,
    cpu: CpuTime,
    memory: u64,
}

impl<'a> Meter<'a> {
    pub(super) async fn start(pids: &'a [u32]) -> Result<Self> {
        tokio::time::sleep(SETTLE).await;
        process::forget_peak(pids)?;
        let memory = process::memory(pids)?;
        let cpu = CpuTime::of(pids)?;
        let began = Instant::now();
        Ok(Self {
            pids,
            began,
            cpu,
            memory,
        })
    }

    pub(super) async fn stop(self, units: u64, errors: Vec<String>) -> Result<Outcome> {
        let seconds = self.began.elapsed().as_secs_f64();
        tokio::time::sleep(SETTLE).await;
        let cpu = CpuTime::of(self.pids)?;
        Ok(Outcome {
            units,
            seconds,
            cpu_nanoseconds: cpu.since(&self.cpu),
            memory: (self.memory, process::memory(self.pids)?),
            peak: process::peak(self.pids)?,
            latency: None,
            errors,
        })
    }
}
