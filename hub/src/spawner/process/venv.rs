//! The Python environment of local notebooks: made by us, from the same lock file as the image.

use std::path::PathBuf;
use std::process::Stdio;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::Shared;
use crate::spawner::local::{Received, redact, which};
use crate::spawner::{Progress, ProgressSink, SpawnerError};

/// What is installed, each file by its hash.
const LOCK: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../images/singleuser/requirements.lock"
));
/// Written last: an environment without it is not whole.
const COMPLETE: &str = "holt-complete";

impl Shared {
    /// Sees to it that the environment is there. Cut off, it goes on with what pip has fetched.
    pub(super) async fn ensure_venv(
        &self,
        progress: &ProgressSink,
    ) -> Result<PathBuf, SpawnerError> {
        if let Some(venv) = &self.settings.venv {
            return Ok(venv.clone());
        }
        let hash = hex::encode(&Sha256::digest(LOCK.as_bytes())[..8]);
        let venv = self.data_dir.join("venv").join(hash);
        if venv.join(COMPLETE).exists() {
            return Ok(venv);
        }
        let Some(python) = which("python3") else {
            return Err(missing(
                "python3 is missing; install it: sudo apt-get install python3 python3-venv",
            ));
        };
        let failed = |error: std::io::Error| missing(&format!("{}: {error}", venv.display()));
        std::fs::create_dir_all(&venv).map_err(failed)?;
        let lock = venv.join("requirements.lock");
        std::fs::write(&lock, LOCK).map_err(failed)?;
        tell(progress, 2, "Making a Python environment");
        let mut making = tokio::process::Command::new(python);
        making.args(["-m", "venv"]).arg(&venv);
        self.run(
            making,
            progress,
            2,
            4,
            "install what it names, usually: sudo apt-get install python3-venv",
        )
        .await?;
        tell(progress, 5, "Installing JupyterLab and the Python packages");
        let mut installing = tokio::process::Command::new(venv.join("bin/python"));
        installing
            .args([
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "--require-hashes",
            ])
            .args(["--progress-bar", "off", "-r"])
            .arg(&lock);
        self.run(
            installing,
            progress,
            5,
            97,
            "check the network and pip's settings, and start again: what is done is kept",
        )
        .await?;
        std::fs::write(venv.join(COMPLETE), "").map_err(failed)?;
        tell(progress, 100, "The Python environment is ready");
        Ok(venv)
    }

    /// Runs one step; a silent one that gets nothing from the network and does nothing is stalled.
    async fn run(
        &self,
        mut command: tokio::process::Command,
        progress: &ProgressSink,
        from: u8,
        to: u8,
        fix: &str,
    ) -> Result<(), SpawnerError> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| missing(&format!("{error}; {fix}")))?;
        let id = child.id().unwrap_or_default();
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut errors = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut said: Vec<String> = Vec::new();
        // Taken half-way through a silence, compared at its end.
        let mut marks: Option<(Received, u64)> = None;
        let (mut heard, mut is_open) = (0u32, (true, true));
        while is_open.0 || is_open.1 {
            let next = async {
                tokio::select! {
                    line = lines.next_line(), if is_open.0 => (0, line),
                    line = errors.next_line(), if is_open.1 => (1, line),
                }
            };
            match tokio::time::timeout(self.settings.stall / 2, next).await {
                Ok((_, Ok(Some(line)))) => {
                    marks = None;
                    heard += 1;
                    let line = redact(line.trim());
                    let part = 1.0 - (-f64::from(heard) / 150.0).exp();
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "it is below 100"
                    )]
                    let percent = from + (f64::from(to - from) * part) as u8;
                    tell(
                        progress,
                        percent,
                        &line.chars().take(100).collect::<String>(),
                    );
                    said.push(line);
                    let keep = said.len().saturating_sub(8);
                    said.drain(..keep);
                }
                Ok((0, _)) => is_open.0 = false,
                Ok(_) => is_open.1 = false,
                Err(_) => {
                    let worked = worked(id);
                    if let Some((received, before)) = &marks
                        && received.is_quiet()
                        && worked <= before + 20
                    {
                        return Err(missing(&format!(
                            "nothing came from the network for {} s ({}); {fix}",
                            self.settings.stall.as_secs(),
                            said.last().map_or("", String::as_str)
                        )));
                    }
                    marks = Some((Received::now(), worked));
                }
            }
        }
        let status = child
            .wait()
            .await
            .map_err(|error| missing(&error.to_string()))?;
        match status.success() {
            true => Ok(()),
            false => Err(missing(&format!("{}; {fix}", said.join(" | ")))),
        }
    }
}

/// Processor time of a process and its ended children, in ticks.
fn worked(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let Some((_, rest)) = stat.rsplit_once(") ") else {
        return 0;
    };
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = fields.get(11..15).unwrap_or_default();
    ticks
        .iter()
        .filter_map(|field| field.parse::<u64>().ok())
        .sum()
}

fn tell(progress: &ProgressSink, percent: u8, message: &str) {
    progress(Progress {
        percent: Some(percent),
        message: message.to_owned(),
    });
}

fn missing(reason: &str) -> SpawnerError {
    SpawnerError::Image {
        reason: format!("the Python environment could not be made: {reason}"),
    }
}
