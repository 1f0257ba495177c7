//! Running a stage's script in its container, with progress, and with an end when the network gives nothing any more.

use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::StreamExt;

use super::base::image_error;
use super::build::{Builder, shorten};
use crate::spawner::SpawnerError;
use crate::spawner::local::{Received, redact};

/// Less work than this in a silent while, in nanoseconds of processor time, is none.
const IDLE_NANOS: u64 = 300_000_000;

impl Builder<'_> {
    /// Runs the stage's script.
    pub(super) async fn execute(
        &self,
        name: &str,
        number: usize,
        env: Vec<String>,
    ) -> Result<(), SpawnerError> {
        let what = "build an image";
        let stage = &self.recipe.stages[number];
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            env: Some(env),
            cmd: Some(vec!["sh".to_owned(), stage.script.clone()]),
            user: Some("0:0".to_owned()),
            working_dir: Some(self.recipe.build.directory.clone()),
            ..Default::default()
        };
        let engine = &self.shared.engine;
        let exec = engine
            .call(|docker| async move { docker.create_exec(name, options).await })
            .await
            .map_err(|trouble| trouble.doing(what))?;
        let id = exec.id.as_str();
        let started = engine
            .call(|docker| async move { docker.start_exec(id, None).await })
            .await
            .map_err(|trouble| trouble.doing(what))?;
        let StartExecResults::Attached {
            mut output,
            input: _input,
        } = started
        else {
            return Err(image_error(
                "the engine ran the stage without its output".into(),
            ));
        };
        let began = tokio::time::Instant::now();
        let mut said: Vec<String> = Vec::new();
        // Taken half-way through a silence, compared at its end.
        let mut marks: Option<(Received, u64)> = None;
        let stall = self.shared.settings.stall;
        loop {
            match tokio::time::timeout(stall / 2, output.next()).await {
                Ok(Some(Ok(chunk))) => {
                    let text = String::from_utf8_lossy(&chunk.into_bytes()).into_owned();
                    for line in text.lines().filter(|line| !line.trim().is_empty()) {
                        said.push(redact(line.trim()));
                    }
                    let keep = said.len().saturating_sub(12);
                    said.drain(..keep);
                    let part = 1.0 - (-began.elapsed().as_secs_f64() / 60.0).exp();
                    let line = said.last().map_or("", String::as_str);
                    self.tell(
                        self.percent(number, 0.9 * part),
                        &format!("{}: {}", self.headline(number), shorten(line)),
                    );
                    marks = None;
                }
                Ok(Some(Err(error))) => return Err(engine.trouble(error).doing(what)),
                Ok(None) => break,
                Err(_) => {
                    let worked = self.worked(name).await;
                    if let Some((received, before)) = &marks
                        && received.is_quiet()
                        && worked.saturating_sub(*before) < IDLE_NANOS
                    {
                        return Err(image_error(format!(
                            "{} got nothing from the network for {} s{}; check the line, http_proxy and pip's settings, then \
                             start again: what is done is kept",
                            stage.about,
                            stall.as_secs(),
                            said.last()
                                .map(|line| format!(" ({line})"))
                                .unwrap_or_default()
                        )));
                    }
                    marks = Some((Received::now(), worked));
                }
            }
        }
        let ended = engine
            .call(|docker| async move { docker.inspect_exec(id).await })
            .await
            .map_err(|trouble| trouble.doing(what))?;
        match ended.exit_code {
            Some(0) => Ok(()),
            code => Err(image_error(format!(
                "{} failed with exit code {}: {}",
                stage.about,
                code.unwrap_or(-1),
                said.join(" | ")
            ))),
        }
    }

    /// Processor time the container has used, in nanoseconds.
    async fn worked(&self, name: &str) -> u64 {
        let options = StatsOptionsBuilder::new()
            .stream(false)
            .one_shot(true)
            .build();
        let answer = self
            .shared
            .engine
            .call(|docker| async move { Ok(docker.stats(name, Some(options)).next().await) })
            .await;
        match answer {
            Ok(Some(Ok(stats))) => stats
                .cpu_stats
                .and_then(|cpu| cpu.cpu_usage)
                .and_then(|usage| usage.total_usage)
                .unwrap_or(0),
            _ => 0,
        }
    }
}
