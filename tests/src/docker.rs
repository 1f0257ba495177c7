//! Asks the container engine through its own command line, as an operator would.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::process::Command;

/// Longest call.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs `docker` and returns what it printed, without the last line's end.
///
/// # Errors
/// Its own words when it fails.
pub async fn docker<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Result<String> {
    let output = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, output)
        .await
        .context("docker took too long")?
        .context("docker is needed for these tests and is not installed")?;
    if !output.status.success() {
        bail!(
            "docker {:?}: {}",
            arguments.iter().map(|a| a.as_ref()).collect::<Vec<_>>(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

/// The engine must answer: without one these tests prove nothing.
///
/// # Errors
/// When it does not.
pub async fn engine_answers() -> Result<()> {
    docker(&["version", "--format", "{{.Server.Version}}"])
        .await
        .context("these tests need a container engine that answers; tests/run starts one")?;
    Ok(())
}

/// A container as the engine describes it.
///
/// # Errors
/// When there is none of that name.
pub async fn inspect(container: &str) -> Result<Value> {
    let text = docker(&["inspect", "--type", "container", container]).await?;
    let mut list: Vec<Value> = serde_json::from_str(&text)?;
    ensure!(list.len() == 1, "{container} is not one container");
    Ok(list.remove(0))
}

/// A container of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its launch.
    pub launch: String,
    /// `running`, `exited`, `created`...
    pub state: String,
}

/// The containers of launches of the hub `short` (the eight letters in its names).
///
/// # Errors
/// When the engine does not answer.
pub async fn launches(short: &str) -> Result<Vec<Container>> {
    let text = docker(&[
        "ps",
        "--all",
        "--no-trunc",
        "--filter",
        &format!("name=^/holt-{short}-"),
        "--filter",
        "label=holt.launch",
        "--format",
        "{{.Names}}\t{{.Label \"holt.launch\"}}\t{{.State}}",
    ])
    .await?;
    text.lines()
        .map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            let mut next = || fields.next().context("docker ps said too little");
            Ok(Container {
                name: next()?,
                launch: next()?,
                state: next()?,
            })
        })
        .collect()
}

/// Runs a command in a container and returns what it printed.
///
/// # Errors
/// Its own words when it fails.
pub async fn exec(container: &str, command: &[&str]) -> Result<String> {
    let mut arguments = vec!["exec", container];
    arguments.extend(command);
    docker(&arguments).await
}
