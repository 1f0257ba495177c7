//! Building: one stage after the other, each in a container of the image before it, committed under its hash.
//!
//! A builder's container is named after the hash it makes, so that two builders of one engine cannot make the same; it lives only
//! as long as its builder holds its standard input, so that a dead builder leaves no lock behind.
//!
//! **Invariant:** what the machine lends (certificates, settings, proxies) is given to the script's process or put where the script
//! removes it; nothing of it is in the container's description, in a layer or in the history.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::container::AttachContainerResults;
use bollard::models::{ContainerConfig, ContainerCreateBody, ContainerStateStatusEnum, HostConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CommitContainerOptionsBuilder, CreateContainerOptionsBuilder,
    RemoveImageOptions, UploadToContainerOptionsBuilder,
};
use holt_spec::bundle::IMAGE_LABEL;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Herald;
use super::base::{REPOSITORY, image_error};
use super::machine::{Machine, look};
use super::recipe::{Recipe, Stage};
use crate::spawner::docker::Shared;
use crate::spawner::docker::engine::{Trouble, or_absent};
use crate::spawner::{Progress, SpawnerError};

/// A commit writes a layer of hundreds of megabytes.
const COMMIT: Duration = Duration::from_secs(600);

/// One build of one recipe.
pub(super) struct Builder<'a> {
    pub(super) shared: &'a Shared,
    pub(super) recipe: &'a Recipe,
    pub(super) herald: Arc<Herald>,
}

impl Builder<'_> {
    /// Makes the image unless it is there; returns its reference.
    pub(super) async fn run(&self) -> Result<String, SpawnerError> {
        let reference = self.recipe.reference();
        if self.has(&reference).await? {
            return Ok(reference);
        }
        let stages = &self.recipe.stages;
        // The last stage that is there already: from it on.
        let mut done = stages.len();
        while done > 0 && !self.has(&self.stage_reference(done)).await? {
            done -= 1;
        }
        if done == 0 {
            self.ensure_base().await?;
        }
        for number in done..stages.len() {
            self.make_stage(number).await?;
        }
        if self.recipe.last.labels.contains_key(IMAGE_LABEL) {
            self.tell(100, "The image is ready");
        }
        Ok(reference)
    }

    /// The image after `number` stages.
    fn stage_reference(&self, number: usize) -> String {
        match number
            .checked_sub(1)
            .and_then(|index| self.recipe.stages.get(index))
        {
            Some(stage) => format!("{}:{}", self.recipe.repository, stage.tag),
            None => format!("{REPOSITORY}:{}", self.recipe.base_tag),
        }
    }

    /// Stage `number`, counted from 0, by us or by whoever is at it already.
    async fn make_stage(&self, number: usize) -> Result<(), SpawnerError> {
        let stage = &self.recipe.stages[number];
        let name = format!("holt-build-{}", stage.tag);
        let made = self.stage_reference(number + 1);
        loop {
            if self.has(&made).await? {
                return Ok(());
            }
            self.tell(self.percent(number, 0.0), &self.headline(number));
            match self.take(&name, number).await {
                Ok(held) => {
                    let outcome = self.work(&name, number).await;
                    drop(held);
                    let removed = self.shared.remove_container(&name).await;
                    outcome?;
                    return removed.map_err(|trouble| trouble.doing("remove a container"));
                }
                Err(Trouble::Conflict(_)) => self.await_other(&name, &made).await?,
                Err(trouble) => return Err(trouble.doing("build an image")),
            }
        }
    }

    /// Makes the container and holds it by its standard input.
    async fn take(&self, name: &str, number: usize) -> Result<AttachContainerResults, Trouble> {
        let build = &self.recipe.build;
        let body = ContainerCreateBody {
            image: Some(self.stage_reference(number)),
            user: Some("0:0".into()),
            // Ends when its input does, which is when we are no more.
            cmd: Some(vec!["cat".into()]),
            open_stdin: Some(true),
            stdin_once: Some(true),
            attach_stdin: Some(true),
            host_config: Some(HostConfig {
                network_mode: Some(build.network.clone()),
                tmpfs: Some(build.tmpfs.clone().into_iter().collect::<HashMap<_, _>>()),
                security_opt: Some(vec!["no-new-privileges".into()]),
                init: Some(true),
                ..Default::default()
            }),
            ..Default::default()
        };
        let engine = &self.shared.engine;
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        engine
            .call(|docker| async move { docker.create_container(Some(options), body).await })
            .await?;
        let options = AttachContainerOptionsBuilder::new()
            .stdin(true)
            .stdout(true)
            .stream(true)
            .build();
        let held = engine
            .call(|docker| async move { docker.attach_container(name, Some(options)).await })
            .await?;
        engine
            .call(|docker| async move { docker.start_container(name, None).await })
            .await?;
        Ok(held)
    }

    /// Somebody else has the name: waits for the image, or for their end.
    async fn await_other(&self, name: &str, made: &str) -> Result<(), SpawnerError> {
        self.tell_line("another hub is building this image");
        loop {
            if self.has(made).await? {
                return Ok(());
            }
            let found = self
                .shared
                .find(name)
                .await
                .map_err(|trouble| trouble.doing("build an image"))?;
            let Some(found) = found else {
                return Ok(());
            };
            let status = found.state.and_then(|state| state.status);
            let is_dead = match status {
                Some(ContainerStateStatusEnum::RUNNING) => false,
                // Made and not started: by one who is about to, or who died between the two.
                Some(ContainerStateStatusEnum::CREATED) => {
                    found.created.is_some_and(|created| is_older(&created, 60))
                }
                _ => true,
            };
            if is_dead {
                return self
                    .shared
                    .remove_container(name)
                    .await
                    .map_err(|trouble| trouble.doing("remove a container"));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Files in, script run, container committed.
    async fn work(&self, name: &str, number: usize) -> Result<(), SpawnerError> {
        let stage = &self.recipe.stages[number];
        let machine = look(&self.recipe.build);
        let archive = archive(&self.recipe.build.directory, stage, &machine)
            .map_err(|error| image_error(format!("the stage's files: {error}")))?;
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        self.shared
            .engine
            .call_within(COMMIT, |docker| async move {
                docker
                    .upload_to_container(name, Some(options), bollard::body_full(archive.into()))
                    .await
            })
            .await
            .map_err(|trouble| trouble.doing("copy files into a container"))?;
        match tokio::time::timeout(stage.timeout, self.execute(name, number, machine.env)).await {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(image_error(format!(
                    "{} took longer than {} min; start again: what is done is kept",
                    stage.about,
                    stage.timeout.as_secs() / 60
                )));
            }
        }
        self.tell(
            self.percent(number, 0.95),
            &format!("{}: keeping it", self.headline(number)),
        );
        self.commit(name, number).await
    }

    /// Keeps the container as the stage's image; the last one with its final description.
    async fn commit(&self, name: &str, number: usize) -> Result<(), SpawnerError> {
        let stage = &self.recipe.stages[number];
        let is_last = number + 1 == self.recipe.stages.len();
        let config = match is_last {
            false => ContainerConfig {
                user: Some("0:0".into()),
                entrypoint: Some(Vec::new()),
                cmd: Some(vec!["sleep".into(), "infinity".into()]),
                ..Default::default()
            },
            true => {
                let last = &self.recipe.last;
                ContainerConfig {
                    user: Some(last.user.clone()),
                    entrypoint: Some(last.entrypoint.clone()),
                    cmd: Some(last.cmd.clone()),
                    working_dir: Some(last.workdir.clone()),
                    exposed_ports: Some(last.expose.clone()),
                    stop_signal: last.stop_signal.clone(),
                    env: Some(
                        last.env
                            .iter()
                            .map(|(name, value)| format!("{name}={value}"))
                            .collect(),
                    ),
                    labels: Some(last.labels.clone().into_iter().collect()),
                    ..Default::default()
                }
            }
        };
        let options = CommitContainerOptionsBuilder::new()
            .container(name)
            .repo(&self.recipe.repository)
            .tag(&stage.tag)
            .comment(&stage.about)
            .pause(false)
            .build();
        self.shared
            .engine
            .call_within(COMMIT, |docker| async move {
                docker.commit_container(options, config).await
            })
            .await
            .map(|_| ())
            .map_err(|trouble| trouble.doing("commit a container"))
    }

    /// Whether the engine has that image.
    pub(super) async fn has(&self, reference: &str) -> Result<bool, SpawnerError> {
        let found = self
            .shared
            .engine
            .call(|docker| async move { docker.inspect_image(reference).await })
            .await;
        let found = or_absent(found).map_err(|trouble| trouble.doing("look at an image"))?;
        Ok(found.is_some())
    }

    /// Removes an image that is not whole.
    pub(super) async fn forget(&self, reference: &str) {
        let answer = self
            .shared
            .engine
            .call(|docker| async move {
                docker
                    .remove_image(reference, None::<RemoveImageOptions>, None)
                    .await
            })
            .await;
        if let Err(trouble) = or_absent(answer) {
            tracing::warn!(error = %trouble.doing("remove an image"), "Could not remove a half-made image");
        }
    }

    pub(super) fn headline(&self, number: usize) -> String {
        let all = self.recipe.stages.len();
        format!(
            "Step {} of {all}, {}",
            number + 1,
            self.recipe.stages[number].about
        )
    }

    /// Percent of the whole at `part` of stage `number`. The base is the first tenth.
    pub(super) fn percent(&self, number: usize, part: f64) -> u8 {
        #[expect(clippy::cast_precision_loss, reason = "there are a few stages")]
        let done = (number as f64 + part.clamp(0.0, 1.0)) / self.recipe.stages.len() as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 10 and 99"
        )]
        let percent = (10.0 + 89.0 * done) as u8;
        percent
    }

    pub(super) fn tell(&self, percent: u8, message: &str) {
        self.herald.tell(Progress {
            percent: Some(percent),
            message: message.to_owned(),
        });
    }

    pub(super) fn tell_line(&self, line: &str) {
        self.herald.tell(Progress {
            percent: None,
            message: shorten(line),
        });
    }
}

/// At most a line's length.
pub(super) fn shorten(line: &str) -> String {
    line.chars().take(100).collect()
}

/// Whether the engine's time stamp is that old.
fn is_older(stamp: &str, seconds: i64) -> bool {
    OffsetDateTime::parse(stamp, &Rfc3339)
        .is_ok_and(|stamp| (OffsetDateTime::now_utc() - stamp).whole_seconds() > seconds)
}

/// A stage's files and the machine's, as an archive from the root.
fn archive(directory: &str, stage: &Stage, machine: &Machine) -> std::io::Result<Vec<u8>> {
    let root = directory.trim_start_matches('/');
    let mut archive = tar::Builder::new(Vec::new());
    let own = stage
        .files
        .iter()
        .map(|(name, content)| (name, *content, 0o755));
    let lent = machine
        .files
        .iter()
        .map(|(name, content)| (name, content.as_slice(), 0o600));
    for (name, content, mode) in own.chain(lent) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        archive.append_data(&mut header, format!("{root}/{name}"), content)?;
    }
    archive.into_inner()
}
