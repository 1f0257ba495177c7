//! The process beside the proxies: it serves as upstream, and takes orders line by line.
//!
//! Both are one event loop: two processes on one processor would wait for each other's time slices, and that would look like latency
//! of the proxy.

use std::io::BufRead;

use anyhow::{Context, Result};
use tokio::sync::mpsc;

use super::{Order, Outcome, run};
use crate::upstream;

/// Serves as upstream on this port, and does what is ordered on standard input until it ends.
pub(crate) async fn serve(port: u16) -> Result<()> {
    tokio::select! {
        ended = upstream::serve(port) => ended,
        ended = take_orders() => ended,
    }
}

async fn take_orders() -> Result<()> {
    let (sender, mut orders) = mpsc::unbounded_channel();
    // Reading blocks: it has a thread of its own, which sleeps while anything is measured.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = orders.recv().await {
        let order: Order = serde_json::from_str(&line?).context("not an order")?;
        let answer: Result<Outcome, String> =
            run(&order).await.map_err(|error| format!("{error:#}"));
        println!("{}", serde_json::to_string(&answer)?);
    }
    Ok(())
}
