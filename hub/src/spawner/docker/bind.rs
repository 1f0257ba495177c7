//! Binding: a created container is started and handed its bundle, in an order that leaves no half-bound server.
//!
//! 1. Attach to standard input and output, while the container does not run yet.
//! 2. Start it. Its starter reads from standard input.
//! 3. Write the frame, and read the starter's answer.
//! 4. Let go: standard input closes.
//!
//! A hub that dies before the frame is whole closes the stream by dying, and the starter ends with
//! [`EXIT_INCOMPLETE`]. A hub that dies after it finds a running container with the answer in its log.

use std::net::SocketAddr;
use std::time::Duration;

use bollard::container::{AttachContainerResults, LogOutput};
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, LogsOptionsBuilder, UploadToContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt};
use holt_spec::bundle::{Bundle, EXIT_INCOMPLETE, ack_line};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::AsyncWriteExt;

use super::Shared;
use super::engine::{Trouble, or_already};
use super::settings::NOTEBOOK_UID;
use crate::spawner::{Image, LaunchPlan, Seen, SpawnerError};

const WHAT: &str = "start a container";

/// How a try ended.
enum Outcome {
    Bound,
    /// The container ended first.
    Ended,
    /// Neither, in time.
    Silent,
}

impl Shared {
    /// Starts and binds a launch; bound already, says where it is.
    pub(super) async fn bind_launch(
        &self,
        plan: &LaunchPlan,
        image: &Image,
        bundle: &Bundle,
    ) -> Result<SocketAddr, SpawnerError> {
        let name = self.names.container(&plan.launch);
        let mut is_first_try = true;
        let mut is_bare = false;
        loop {
            let turn = self.starts.acquire().await.expect("never closed");
            let found = self
                .find(&name)
                .await
                .map_err(|trouble| trouble.doing(WHAT))?;
            let Some(found) = found else {
                return Err(SpawnerError::Bind {
                    reason: "the container is gone".into(),
                });
            };
            let outcome = match self.seen(&plan.launch, &found) {
                Seen::Created if image.bindable => {
                    match self.attach_and_start(&name, bundle).await {
                        // The engine looks at folders of mounts only now. Nothing ran yet, so the launch may be made without.
                        Err(SpawnerError::Refused { reason, .. })
                            if !is_bare && self.withhold_shares(&reason) =>
                        {
                            is_bare = true;
                            drop(turn);
                            self.make_again(&name, plan, image).await?;
                            continue;
                        }
                        outcome => outcome?,
                    }
                }
                Seen::Created => match self.start_with_files(&name, bundle).await {
                    // What it was given at its creation is not known here: another launch is made, without those folders.
                    Err(SpawnerError::Refused { reason, .. }) if self.withhold_shares(&reason) => {
                        return Err(SpawnerError::Bind { reason });
                    }
                    outcome => outcome?,
                },
                Seen::Running { .. } if image.bindable => {
                    self.await_answer(&name, &found, bundle).await?
                }
                Seen::Running { .. } => Outcome::Bound,
                Seen::Exited { .. } | Seen::Absent => {
                    return Err(self.why_ended(&name, plan).await);
                }
            };
            drop(turn);
            match outcome {
                Outcome::Bound => return self.address_after_start(&name, plan).await,
                Outcome::Silent => {
                    return Err(SpawnerError::Bind {
                        reason: format!(
                            "it did not take what it was given within {} s",
                            self.settings.bind_timeout.as_secs()
                        ),
                    });
                }
                // An attach that a dead hub left behind had closed standard input before the start. Nothing ran yet, so
                // the same launch may be made once more.
                Outcome::Ended if is_first_try && self.ended_unbound(plan).await? => {
                    is_first_try = false;
                    self.make_again(&name, plan, image).await?;
                }
                Outcome::Ended => return Err(self.why_ended(&name, plan).await),
            }
        }
    }

    /// Makes the container of an image with a starter once more, before anything ran in it.
    async fn make_again(
        &self,
        name: &str,
        plan: &LaunchPlan,
        image: &Image,
    ) -> Result<(), SpawnerError> {
        self.remove_container(name)
            .await
            .map_err(|trouble| trouble.doing(WHAT))?;
        self.create_launch(plan, image, None).await
    }

    /// Steps 1 to 4.
    async fn attach_and_start(&self, name: &str, bundle: &Bundle) -> Result<Outcome, SpawnerError> {
        let options = AttachContainerOptionsBuilder::new()
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .stream(true)
            .build();
        let attached = self
            .engine
            .call(|docker| async move { docker.attach_container(name, Some(options)).await })
            .await
            .map_err(|trouble| trouble.doing(WHAT))?;
        self.start(name).await?;
        let frame = bundle.frame();
        let answer = ack_line(&bundle.launch);
        let handing = async move {
            let AttachContainerResults { output, mut input } = attached;
            // A failed write shows in what the container does next.
            let written = async move {
                input.write_all(&frame).await?;
                input.flush().await?;
                Ok::<_, std::io::Error>(input)
            };
            let (input, is_bound) =
                futures_util::future::join(written, says(output, &answer)).await;
            drop(input);
            is_bound
        };
        match tokio::time::timeout(self.settings.bind_timeout, handing).await {
            Ok(true) => Ok(Outcome::Bound),
            Ok(false) => Ok(Outcome::Ended),
            Err(_) => Ok(Outcome::Silent),
        }
    }

    /// A container without a starter: its files first, below a directory that is no tmpfs for it.
    async fn start_with_files(&self, name: &str, bundle: &Bundle) -> Result<Outcome, SpawnerError> {
        if !bundle.files.is_empty() {
            let options = UploadToContainerOptionsBuilder::new().path("/").build();
            let body = bollard::body_full(archive(bundle)?.into());
            self.engine
                .call(|docker| async move {
                    docker.upload_to_container(name, Some(options), body).await
                })
                .await
                .map_err(|trouble| trouble.doing(WHAT))?;
        }
        self.start(name).await?;
        Ok(Outcome::Bound)
    }

    async fn start(&self, name: &str) -> Result<(), SpawnerError> {
        let answer = self
            .engine
            .call(|docker| async move { docker.start_container(name, None).await })
            .await;
        match answer {
            Err(Trouble::Absent(reason)) => Err(SpawnerError::Bind { reason }),
            other => or_already(other).map_err(|trouble| trouble.doing(WHAT)),
        }
    }

    /// It runs already: bound by an earlier call, or about to end because that call was cut off.
    async fn await_answer(
        &self,
        name: &str,
        found: &ContainerInspectResponse,
        bundle: &Bundle,
    ) -> Result<Outcome, SpawnerError> {
        // A starter whose input is closed ends at once; one that is older than its limit has been bound, and its first
        // lines may have been rotated away.
        let limit = self.settings.bind_timeout;
        if started_before(found, OffsetDateTime::now_utc() - 4 * limit) {
            return Ok(Outcome::Bound);
        }
        let options = LogsOptionsBuilder::new().stdout(true).follow(true).build();
        let answer = ack_line(&bundle.launch);
        let client = self
            .engine
            .client()
            .map_err(|trouble| trouble.doing(WHAT))?;
        let looking = says(client.logs(name, Some(options)), &answer);
        match tokio::time::timeout(limit, looking).await {
            Ok(true) => Ok(Outcome::Bound),
            Ok(false) => Ok(Outcome::Ended),
            Err(_) => Ok(Outcome::Silent),
        }
    }

    /// Whether the container ended for want of a bundle.
    async fn ended_unbound(&self, plan: &LaunchPlan) -> Result<bool, SpawnerError> {
        self.await_end(&self.names.container(&plan.launch)).await;
        let seen = self.inspect_launch(&plan.launch).await?;
        Ok(matches!(seen, Seen::Exited { code, .. } if code == EXIT_INCOMPLETE))
    }

    /// Waits a moment for a container whose output has ended.
    async fn await_end(&self, name: &str) {
        let options = WaitContainerOptionsBuilder::new()
            .condition("not-running")
            .build();
        // The answer is read from an inspection afterwards.
        let _ended = self
            .engine
            .call_within(Duration::from_secs(5), |docker| async move {
                let answers: Vec<_> = docker.wait_container(name, Some(options)).collect().await;
                Ok(answers.len())
            })
            .await;
    }

    /// A sentence about a container that ended too early.
    async fn why_ended(&self, name: &str, plan: &LaunchPlan) -> SpawnerError {
        self.await_end(name).await;
        let lines = self.last_lines(name, 5).await.unwrap_or_default();
        let lines = lines.trim();
        let seen = match self.inspect_launch(&plan.launch).await {
            Ok(seen) => seen,
            Err(error) => return error,
        };
        let mut reason = match seen {
            Seen::Exited {
                out_of_memory: true,
                ..
            } => "it ran out of memory".to_owned(),
            Seen::Exited { code, .. } => format!("exit code {code}"),
            Seen::Absent => "the container is gone".to_owned(),
            Seen::Created | Seen::Running { .. } => "its output ended".to_owned(),
        };
        if !lines.is_empty() {
            reason.push_str("; last lines: ");
            reason.push_str(lines);
        }
        SpawnerError::Bind { reason }
    }

    /// The address, which the engine knows from the start on.
    async fn address_after_start(
        &self,
        name: &str,
        plan: &LaunchPlan,
    ) -> Result<SocketAddr, SpawnerError> {
        let found = self
            .find(name)
            .await
            .map_err(|trouble| trouble.doing(WHAT))?;
        match found.map(|found| self.seen(&plan.launch, &found)) {
            Some(Seen::Running {
                address: Some(address),
            }) => Ok(address),
            _ => Err(self.why_ended(name, plan).await),
        }
    }
}

/// Whether the output has the line; false when it ends without.
async fn says(
    output: impl futures_util::Stream<Item = Result<LogOutput, bollard::errors::Error>>,
    line: &str,
) -> bool {
    let mut output = std::pin::pin!(output);
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = output.try_next().await {
        let LogOutput::StdOut { message } = chunk else {
            continue;
        };
        text.extend_from_slice(&message);
        if text
            .split(|byte| *byte == b'\n')
            .any(|found| found.trim_ascii() == line.as_bytes())
        {
            return true;
        }
        // The answer is the first line a starter prints; keep no more than the tail.
        if text.len() > 64 << 10 {
            text.drain(..32 << 10);
        }
    }
    false
}

/// Whether the container was started before `moment`.
fn started_before(found: &ContainerInspectResponse, moment: OffsetDateTime) -> bool {
    let started = found
        .state
        .as_ref()
        .and_then(|state| state.started_at.as_ref());
    started
        .and_then(|started| OffsetDateTime::parse(started, &Rfc3339).ok())
        .is_some_and(|started| started < moment)
}

/// The bundle's files as an archive, owned by the notebook user.
fn archive(bundle: &Bundle) -> Result<Vec<u8>, SpawnerError> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in &bundle.files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.content.len() as u64);
        header.set_mode(file.mode);
        header.set_uid(NOTEBOOK_UID.into());
        header.set_gid(NOTEBOOK_UID.into());
        archive
            .append_data(
                &mut header,
                file.path.trim_start_matches('/'),
                file.content.as_bytes(),
            )
            .map_err(|error| SpawnerError::Refused {
                what: WHAT,
                reason: error.to_string(),
            })?;
    }
    archive.into_inner().map_err(|error| SpawnerError::Refused {
        what: WHAT,
        reason: error.to_string(),
    })
}
