//! Throwaway containers: one small program of the helper image, with single capabilities at most, and gone afterwards.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, PortBinding};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::StreamExt;

use super::Shared;
use super::engine::Trouble;
use super::names::LABEL_HELPER;
use crate::spawner::SpawnerError;

const WHAT: &str = "run a helper container";

/// What a throwaway container shall do.
pub(super) struct OneShot {
    /// Part of its name.
    pub(super) purpose: &'static str,
    /// Program and arguments.
    pub(super) command: Vec<String>,
    /// User inside; none: root, without capabilities.
    pub(super) user: Option<String>,
    /// Capabilities it keeps.
    pub(super) capabilities: Vec<&'static str>,
    /// What it sees of the machine.
    pub(super) mounts: Vec<Mount>,
    /// Network; `none` unless said otherwise.
    pub(super) network: String,
    /// Ports published on a host address: (inner port, host address).
    pub(super) published: Vec<(u16, String)>,
    /// How long it may run.
    pub(super) limit: Duration,
}

impl OneShot {
    /// A program without any right, network or file of the machine.
    pub(super) fn new(purpose: &'static str) -> Self {
        Self {
            purpose,
            command: Vec::new(),
            user: None,
            capabilities: Vec::new(),
            mounts: Vec::new(),
            network: "none".into(),
            published: Vec::new(),
            limit: Duration::from_secs(30),
        }
    }
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) code: i64,
    /// What it printed, both streams.
    pub(super) text: String,
}

impl Shared {
    /// Runs it to its end and removes it.
    pub(super) async fn run_helper(&self, shot: OneShot) -> Result<Output, SpawnerError> {
        self.run_helper_while(shot, || {}).await
    }

    /// The same, with something done once it runs.
    pub(super) async fn run_helper_while(
        &self,
        shot: OneShot,
        once_it_runs: impl FnOnce() + Send,
    ) -> Result<Output, SpawnerError> {
        let limit = shot.limit;
        let name = self.start_helper(shot).await?;
        once_it_runs();
        let ended = self.helper_ended(&name, limit).await;
        let text = self.last_lines(&name, 1000).await;
        let removed = self.remove_container(&name).await;
        let code = ended.map_err(|trouble| trouble.doing(WHAT))?;
        removed.map_err(|trouble| trouble.doing(WHAT))?;
        let text = text.map_err(|trouble| trouble.doing(WHAT))?;
        Ok(Output { code, text })
    }

    /// Starts it and lets it run; the caller removes it. What a caller leaves behind is swept by the next [`Self::sweep_helpers`].
    pub(super) async fn start_helper(&self, shot: OneShot) -> Result<String, SpawnerError> {
        let image = self.helper_image().await?;
        let name = self.names.helper(shot.purpose);
        let bindings = shot.published.iter().map(|(port, address)| {
            let binding = PortBinding {
                host_ip: Some(address.clone()),
                host_port: None,
            };
            (format!("{port}/tcp"), Some(vec![binding]))
        });
        let body = ContainerCreateBody {
            image: Some(image),
            user: Some(shot.user.unwrap_or_else(|| "0:0".into())),
            entrypoint: Some(Vec::new()),
            cmd: Some(shot.command),
            exposed_ports: Some(
                shot.published
                    .iter()
                    .map(|(port, _)| format!("{port}/tcp"))
                    .collect(),
            ),
            labels: Some(self.helper_labels()),
            host_config: Some(HostConfig {
                network_mode: Some(shot.network),
                port_bindings: Some(bindings.collect()),
                cap_drop: Some(vec!["ALL".into()]),
                cap_add: Some(shot.capabilities.into_iter().map(str::to_owned).collect()),
                security_opt: Some(vec!["no-new-privileges".into()]),
                init: Some(true),
                mounts: Some(shot.mounts),
                memory: Some(256 << 20),
                pids_limit: Some(64),
                ..Default::default()
            }),
            ..Default::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        self.engine
            .call(|docker| async move { docker.create_container(Some(options), body).await })
            .await
            .map_err(|trouble| trouble.doing(WHAT))?;
        let made = name.as_str();
        let started = self
            .engine
            .call(|docker| async move { docker.start_container(made, None).await })
            .await;
        if let Err(trouble) = started {
            // The reason that counts is the start's.
            let _removed = self.remove_container(&name).await;
            return Err(trouble.doing(WHAT));
        }
        Ok(name)
    }

    /// Its exit code, once it has ended.
    async fn helper_ended(&self, name: &str, limit: Duration) -> Result<i64, Trouble> {
        let options = WaitContainerOptionsBuilder::new()
            .condition("not-running")
            .build();
        let answer = self
            .engine
            .call_within(limit, |docker| async move {
                Ok(docker.wait_container(name, Some(options)).next().await)
            })
            .await?;
        match answer {
            Some(Ok(ended)) => Ok(ended.status_code),
            // The client tells a non-zero code as an error.
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(error)) => Err(self.engine.trouble(error)),
            None => Ok(-1),
        }
    }

    /// Removes throwaway containers that a killed hub left behind.
    pub(super) async fn sweep_helpers(&self) -> Result<(), SpawnerError> {
        let filters =
            HashMap::from([("label", vec![format!("{LABEL_HELPER}={}", self.names.hub)])]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let left = self
            .engine
            .call(|docker| async move { docker.list_containers(Some(options)).await })
            .await
            .map_err(|trouble| trouble.doing("list containers"))?;
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        for found in left {
            // Younger ones may be another hub's of the same id, at work just now.
            if found.created.is_some_and(|created| created < now - 600)
                && let Some(id) = found.id
            {
                self.remove_container(&id)
                    .await
                    .map_err(|trouble| trouble.doing(WHAT))?;
            }
        }
        Ok(())
    }
}
