//! The life of a launch's container: made, stopped, removed. Every call may be repeated.
//!
//! **Invariant:** a container's description holds nothing secret and no user's name, where the image has a starter.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, ContainerCreateResponse, HostConfig, HostConfigLogConfig, Mount,
    PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use holt_spec::bundle::Bundle;

use super::Shared;
use super::engine::{Trouble, or_already};
use super::names::{LABEL_HUB, LABEL_LAUNCH, LABEL_SERVER, LABEL_SPEC, spec_hash};
use super::reach::Reach;
use super::settings::NOTEBOOK_UID;
use crate::spawner::{Image, LaunchId, LaunchPlan, SpawnerError};

/// How long a removal may take until the name is free.
const REMOVAL: Duration = Duration::from_secs(60);

impl Shared {
    /// Makes the container, or finds that it is there.
    pub(super) async fn create_launch(
        &self,
        plan: &LaunchPlan,
        image: &Image,
        bundle: Option<&Bundle>,
    ) -> Result<(), SpawnerError> {
        let what = "create a container";
        let _turn = self.starts.acquire().await.expect("never closed");
        let name = self.names.container(&plan.launch);
        let home = self.home_mount(&plan.home).await?;
        let mut made = self.ask_for(plan, image, bundle, &name, &home).await;
        if let Err(Trouble::Refused(reason)) = &made
            && self.withhold_shares(reason)
        {
            made = self.ask_for(plan, image, bundle, &name, &home).await;
        }
        match made {
            Ok(_) => Ok(()),
            // Made by an earlier call, or by one that is still under way. Asking first would cost every start a round trip.
            Err(Trouble::Conflict(_)) => self.adopt(&name, &plan.launch).await,
            Err(trouble) => Err(trouble.doing(what)),
        }
    }

    /// Asks the engine for the container.
    async fn ask_for(
        &self,
        plan: &LaunchPlan,
        image: &Image,
        bundle: Option<&Bundle>,
        name: &str,
        home: &Mount,
    ) -> Result<ContainerCreateResponse, Trouble> {
        let mut mounts = vec![home.clone()];
        mounts.extend(self.share_mounts(plan).await);
        let body = self.describe(plan, image, bundle, mounts);
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        self.engine
            .call(|docker| async move { docker.create_container(Some(options), body).await })
            .await
    }

    /// Accepts a container that has the name already, if it is the launch's.
    async fn adopt(&self, name: &str, launch: &LaunchId) -> Result<(), SpawnerError> {
        let what = "create a container";
        let found = self
            .find(name)
            .await
            .map_err(|trouble| trouble.doing(what))?;
        let labels = found
            .and_then(|found| found.config)
            .and_then(|config| config.labels);
        let is_ours = labels.is_some_and(|labels| {
            labels.get(LABEL_HUB) == Some(&self.names.hub)
                && labels.get(LABEL_LAUNCH) == Some(&launch.0)
        });
        if is_ours {
            return Ok(());
        }
        Err(SpawnerError::Refused {
            what,
            reason: format!("the name {name} is taken by a container that is not this hub's"),
        })
    }

    /// What the engine is told about a launch.
    fn describe(
        &self,
        plan: &LaunchPlan,
        image: &Image,
        bundle: Option<&Bundle>,
        mounts: Vec<Mount>,
    ) -> ContainerCreateBody {
        let labels = HashMap::from([
            (LABEL_HUB.to_owned(), self.names.hub.clone()),
            (LABEL_LAUNCH.to_owned(), plan.launch.0.clone()),
            (LABEL_SERVER.to_owned(), plan.server_id.to_string()),
            (
                LABEL_SPEC.to_owned(),
                spec_hash(plan, &image.reference, &self.network_name()),
            ),
        ]);
        let port = format!("{}/tcp", plan.port);
        let published = (self.reach() == Reach::Published).then(|| {
            let binding = PortBinding {
                host_ip: Some("127.0.0.1".into()),
                host_port: None,
            };
            HashMap::from([(port.clone(), Some(vec![binding]))])
        });
        let mut body = ContainerCreateBody {
            hostname: Some("notebook".into()),
            image: Some(image.reference.clone()),
            labels: Some(labels),
            exposed_ports: Some(vec![port]),
            open_stdin: Some(image.bindable),
            stdin_once: Some(image.bindable),
            attach_stdin: Some(image.bindable),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            stop_timeout: Some(i64::try_from(self.settings.stop_grace.as_secs()).unwrap_or(10)),
            host_config: Some(HostConfig {
                mounts: Some(mounts),
                extra_hosts: self.extra_hosts(),
                port_bindings: published,
                ..self.confine(plan)
            }),
            ..Default::default()
        };
        if image.bindable {
            return body;
        }
        // An image without a starter can be told only now, in its description: as stock spawners do.
        if let Some(bundle) = bundle {
            body.env = Some(
                bundle
                    .env
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
            );
            body.cmd = Some(match bundle.command.is_empty() {
                true => vec!["jupyterhub-singleuser".into()],
                false => bundle.command.clone(),
            });
        }
        body
    }

    /// Lines for the table of hosts.
    fn extra_hosts(&self) -> Option<Vec<String>> {
        let hosts = self.hosts.lock().expect("nothing panics while it is held");
        let (names, address) = hosts.as_ref()?;
        Some(
            names
                .iter()
                .map(|name| format!("{name}:{address}"))
                .collect(),
        )
    }

    /// The limits every launch lives in.
    fn confine(&self, plan: &LaunchPlan) -> HostConfig {
        let memory = plan.memory_bytes.or(self.settings.memory_bytes);
        let memory = memory.and_then(|bytes| i64::try_from(bytes).ok());
        let pids = plan.pids.unwrap_or(self.settings.pids);
        HostConfig {
            network_mode: Some(self.network_name()),
            cap_drop: Some(vec!["ALL".into()]),
            security_opt: Some(vec!["no-new-privileges".into()]),
            init: Some(true),
            memory,
            // The same number means no swap: a limit that swap softens ends in a machine that crawls.
            memory_swap: memory,
            nano_cpus: plan.cpus.map(nano_cpus),
            pids_limit: i64::try_from(pids).ok(),
            tmpfs: Some(HashMap::from([(
                "/run/holt".to_owned(),
                format!(
                    "rw,nosuid,nodev,noexec,mode=0700,uid={NOTEBOOK_UID},gid={NOTEBOOK_UID},size=16m"
                ),
            )])),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".into()),
                config: Some(HashMap::from([
                    ("max-size".to_owned(), self.settings.log_bytes.to_string()),
                    ("max-file".to_owned(), "2".to_owned()),
                ])),
            }),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            auto_remove: Some(false),
            ..Default::default()
        }
    }

    /// Asks a launch to end, and ends it after the grace.
    pub(super) async fn stop_launch(&self, launch: &LaunchId) -> Result<(), SpawnerError> {
        let _turn = self.stops.acquire().await.expect("never closed");
        let name = self.names.container(launch);
        let grace = self.settings.stop_grace;
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let limit = grace + self.settings.call_timeout;
        let answer = self
            .engine
            .call_within(limit, |docker| async move {
                docker.stop_container(&name, Some(options)).await
            })
            .await;
        or_already(answer).map_err(|trouble| trouble.doing("stop a container"))
    }

    /// Removes the container, and returns when its name is free.
    pub(super) async fn remove_launch(&self, launch: &LaunchId) -> Result<(), SpawnerError> {
        let _turn = self.stops.acquire().await.expect("never closed");
        self.remove_container(&self.names.container(launch))
            .await
            .map_err(|trouble| trouble.doing("remove a container"))?;
        self.watch.forget(launch);
        Ok(())
    }

    /// Removes any container by force, and waits until its name is free.
    pub(super) async fn remove_container(&self, name: &str) -> Result<(), Trouble> {
        let waiting = async {
            loop {
                let options = RemoveContainerOptionsBuilder::new()
                    .force(true)
                    .v(true)
                    .build();
                let answer = self
                    .engine
                    .call(
                        |docker| async move { docker.remove_container(name, Some(options)).await },
                    )
                    .await;
                match answer {
                    Err(Trouble::Absent(_)) => return Ok(()),
                    // Done, or being done by somebody: the name is free when the engine knows it no more.
                    Ok(()) | Err(Trouble::Conflict(_)) => {}
                    Err(other) => return Err(other),
                }
                if self.find(name).await?.is_none() {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        match tokio::time::timeout(REMOVAL, waiting).await {
            Ok(answer) => answer,
            Err(_) => Err(Trouble::Timeout(REMOVAL.as_secs())),
        }
    }
}

/// Cores as the engine counts them.
fn nano_cpus(cores: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a number of cores is small"
    )]
    let nanos = (cores * 1e9).round() as i64;
    nanos
}
