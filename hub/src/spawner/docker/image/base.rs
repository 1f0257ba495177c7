//! The base: from a registry if one answers at once, else made here.

use std::process::Stdio;
use std::time::Duration;

use bollard::query_parameters::{CreateImageOptionsBuilder, TagImageOptionsBuilder};
use futures_util::{StreamExt, TryStreamExt};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::io::ReaderStream;

use super::build::Builder;
use crate::spawner::SpawnerError;
use crate::spawner::local::{Received, redact, which};

/// The repository of bases.
pub(super) const REPOSITORY: &str = "holt-base";
/// How long a registry may take to say its first word.
const FIRST_WORD: Duration = Duration::from_secs(6);
/// How long everything together may take.
const LIMIT: Duration = Duration::from_secs(1800);

impl Builder<'_> {
    /// Sees to it that the base is there.
    pub(super) async fn ensure_base(&self) -> Result<(), SpawnerError> {
        let reference = format!("{REPOSITORY}:{}", self.recipe.base_tag);
        if self.has(&reference).await? {
            return Ok(());
        }
        self.tell(1, "Asking a registry for the base system");
        match self.pull_base().await {
            Ok(()) => return Ok(()),
            Err(reason) => {
                tracing::info!(%reason, "No registry gave the base image, making it here")
            }
        }
        self.tell(2, "Making the base system");
        match tokio::time::timeout(LIMIT, self.bootstrap_base()).await {
            Ok(answer) => answer,
            Err(_) => Err(image_error(format!(
                "the base system took longer than {} min; try again on a faster line",
                LIMIT.as_secs() / 60
            ))),
        }
    }

    /// By the engine, from a registry. The reason is only a remark: there is another way.
    async fn pull_base(&self) -> Result<(), String> {
        let reference = &self.recipe.base.reference;
        let (name, tag) = reference.rsplit_once(':').unwrap_or((reference, "latest"));
        self.pull(name, tag, FIRST_WORD).await?;
        let options = TagImageOptionsBuilder::new()
            .repo(REPOSITORY)
            .tag(&self.recipe.base_tag)
            .build();
        let answer = self
            .shared
            .engine
            .call(|docker| async move { docker.tag_image(reference, Some(options)).await })
            .await;
        answer.map_err(|trouble| trouble.doing("tag an image").to_string())
    }

    /// Pulls an image, with progress.
    pub(super) async fn pull(
        &self,
        name: &str,
        tag: &str,
        first_word: Duration,
    ) -> Result<(), String> {
        let options = CreateImageOptionsBuilder::new()
            .from_image(name)
            .tag(tag)
            .build();
        let client = self
            .shared
            .engine
            .client()
            .map_err(|trouble| trouble.doing("pull an image").to_string())?;
        let mut stream = std::pin::pin!(client.create_image(Some(options), None, None));
        let mut limit = first_word;
        loop {
            match tokio::time::timeout(limit, stream.next()).await {
                Err(_) => {
                    return Err(format!(
                        "no word from the registry for {} s",
                        limit.as_secs()
                    ));
                }
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => return Err(error.to_string()),
                Ok(Some(Ok(step))) => {
                    if let Some(status) = step.status {
                        self.tell_line(&status);
                    }
                }
            }
            limit = self.shared.settings.stall;
        }
    }

    /// By `mmdebstrap`, streamed into the engine.
    async fn bootstrap_base(&self) -> Result<(), SpawnerError> {
        let base = &self.recipe.base;
        let Some(program) = which("mmdebstrap") else {
            return Err(image_error(
                "no registry answers and mmdebstrap is missing; install it: sudo apt-get install mmdebstrap".into(),
            ));
        };
        let mut command = tokio::process::Command::new(program);
        command.arg(format!("--variant={}", base.variant));
        command.args(base.dpkg.iter().map(|option| format!("--dpkgopt={option}")));
        command.args([&base.suite, "-"]);
        if let Ok(mirror) = std::env::var("HOLT_APT_MIRROR") {
            command.arg(mirror);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| image_error(format!("mmdebstrap does not start: {error}")))?;
        let archive = child.stdout.take().expect("it is piped");
        let words = child.stderr.take().expect("it is piped");
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(REPOSITORY)
            .tag(&self.recipe.base_tag)
            .build();
        let client = self
            .shared
            .engine
            .client()
            .map_err(|trouble| trouble.doing("import an image"))?;
        // The import fails when the archive is cut short: what counts then is what mmdebstrap says.
        let body = bollard::body_try_stream(ReaderStream::with_capacity(archive, 1 << 16));
        let importing = async {
            let answer = client
                .create_image(Some(options), Some(body), None)
                .try_collect::<Vec<_>>()
                .await;
            answer.map(|_| ()).map_err(|error| error.to_string())
        };
        let (imported, said) = futures_util::future::join(importing, self.follow(words)).await;
        let said = said?;
        let status = child
            .wait()
            .await
            .map_err(|error| image_error(format!("mmdebstrap: {error}")))?;
        if !status.success() {
            let reference = format!("{REPOSITORY}:{}", self.recipe.base_tag);
            // A half-written archive may have been taken.
            self.forget(&reference).await;
            return Err(image_error(format!(
                "mmdebstrap failed ({status}): {}; check the network, and that debian-archive-keyring and uidmap are installed",
                said.join(" | ")
            )));
        }
        imported.map_err(|reason| {
            image_error(format!("the engine did not take the base system: {reason}"))
        })
    }

    /// Reads what mmdebstrap says, until its end; its network steps may not stall.
    async fn follow(
        &self,
        words: tokio::process::ChildStderr,
    ) -> Result<Vec<String>, SpawnerError> {
        let mut lines = BufReader::new(words).lines();
        let mut said: Vec<String> = Vec::new();
        let mut received = Received::now();
        let stall = self.shared.settings.stall;
        loop {
            match tokio::time::timeout(stall, lines.next_line()).await {
                Ok(Ok(Some(line))) => {
                    let line = redact(line.trim_start_matches("I: "));
                    self.tell_line(&line);
                    said.push(line);
                    let keep = said.len().saturating_sub(8);
                    said.drain(..keep);
                    received = Received::now();
                }
                Ok(_) => return Ok(said),
                Err(_) => {
                    let last = said.last().map_or("", String::as_str);
                    let is_network =
                        last.contains("apt-get update") || last.contains("downloading");
                    if is_network && received.is_quiet() {
                        return Err(image_error(format!(
                            "the network gave nothing for {} s ({last}); check the line and http_proxy, then start again: \
                             what is done is kept",
                            stall.as_secs()
                        )));
                    }
                    received = Received::now();
                }
            }
        }
    }
}

pub(super) fn image_error(reason: String) -> SpawnerError {
    SpawnerError::Image { reason }
}
