//! The load generator and upstream as seen from outside: a process that takes one order at a time.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::figures::LOAD_CPU;
use crate::load::{Order, Outcome};
use crate::process::on_cpus;

/// Beyond its own time, what a load may take: it opens connections, and moves a GiB through the slowest.
const GRACE: Duration = Duration::from_secs(120);

/// The process; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Loader {
    /// Kept for that.
    _child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Loader {
    /// Starts it, with the upstream on this port.
    pub(crate) fn start(port: u16, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("load-{port}.log"));
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["load", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true);
        let mut child = on_cpus(&[LOAD_CPU], || command.spawn())??;
        let orders = child.stdin.take().context("it has no input")?;
        let answers = child.stdout.take().context("it has no output")?;
        Ok(Self {
            _child: child,
            orders,
            answers: BufReader::new(answers).lines(),
            log,
        })
    }

    /// One measurement.
    pub(crate) async fn load(&mut self, order: &Order) -> Result<Outcome> {
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        self.orders.write_all(line.as_bytes()).await?;
        let limit = order.warm_up + order.time + GRACE;
        let answer = tokio::time::timeout(limit, self.answers.next_line())
            .await
            .with_context(|| format!("the load did not end within {limit:?}"))??
            .with_context(|| format!("the load generator ended: {}", self.log()))?;
        let answer: Result<Outcome, String> = serde_json::from_str(&answer)?;
        answer.map_err(|error| anyhow!(error))
    }

    /// What it, and above all the upstream, complained about.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
