//! Looking at launches: how they are, where they are, what they printed last. Changes nothing.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary,
    ContainerSummaryStateEnum, EndpointSettings,
};
use bollard::query_parameters::{ListContainersOptionsBuilder, LogsOptionsBuilder};
use futures_util::TryStreamExt;

use super::Shared;
use super::engine::{Trouble, or_absent};
use super::names::{LABEL_HUB, LABEL_LAUNCH};
use crate::spawner::{Found, LaunchId, Seen, SpawnerError};

impl Shared {
    /// The container of that name.
    pub(super) async fn find(
        &self,
        name: &str,
    ) -> Result<Option<ContainerInspectResponse>, Trouble> {
        or_absent(
            self.engine
                .call(|docker| async move { docker.inspect_container(name, None).await })
                .await,
        )
    }

    /// How a launch is.
    pub(super) async fn inspect_launch(&self, launch: &LaunchId) -> Result<Seen, SpawnerError> {
        let found = self.find(&self.names.container(launch)).await;
        let found = found.map_err(|trouble| trouble.doing("look at a container"))?;
        Ok(found.map_or(Seen::Absent, |found| self.seen(launch, &found)))
    }

    /// What an inspection says of a launch.
    pub(super) fn seen(&self, launch: &LaunchId, found: &ContainerInspectResponse) -> Seen {
        let Some(state) = &found.state else {
            return Seen::Absent;
        };
        match state.status {
            Some(ContainerStateStatusEnum::CREATED) => Seen::Created,
            Some(
                ContainerStateStatusEnum::RUNNING
                | ContainerStateStatusEnum::PAUSED
                | ContainerStateStatusEnum::RESTARTING,
            ) => Seen::Running {
                address: self.address_of(found),
            },
            _ => {
                let code = state.exit_code.unwrap_or(-1);
                let noted = code != 0 && self.watch.ran_out_of_memory(launch);
                Seen::Exited {
                    code,
                    out_of_memory: noted || state.oom_killed == Some(true),
                }
            }
        }
    }

    /// Where the hub reaches a container: its published port if it has one, else its own address.
    fn address_of(&self, found: &ContainerInspectResponse) -> Option<SocketAddr> {
        let settings = found.network_settings.as_ref()?;
        let ports = settings.ports.as_ref();
        let published = ports.into_iter().flatten().find_map(|(_, bindings)| {
            let binding = bindings.as_ref()?.first()?;
            let port: u16 = binding.host_port.as_ref()?.parse().ok()?;
            Some(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port))
        });
        let port = ports.and_then(|ports| {
            ports
                .keys()
                .find_map(|port| port.strip_suffix("/tcp")?.parse().ok())
        });
        published.or_else(|| self.address_on_network(settings.networks.as_ref()?, port?))
    }

    fn address_on_network(
        &self,
        networks: &HashMap<String, EndpointSettings>,
        port: u16,
    ) -> Option<SocketAddr> {
        let endpoint = networks.get(&self.network_name())?;
        let ip: IpAddr = endpoint.ip_address.as_ref()?.parse().ok()?;
        Some(SocketAddr::new(ip, port))
    }

    /// All launches of this hub.
    pub(super) async fn list_launches(&self) -> Result<Vec<Found>, SpawnerError> {
        let filters = HashMap::from([("label", vec![format!("{LABEL_HUB}={}", self.names.hub)])]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let summaries = self
            .engine
            .call(|docker| async move { docker.list_containers(Some(options)).await })
            .await
            .map_err(|trouble| trouble.doing("list containers"))?;
        let mut all = Vec::with_capacity(summaries.len());
        for summary in summaries {
            let Some(launch) = summary
                .labels
                .as_ref()
                .and_then(|labels| labels.get(LABEL_LAUNCH))
            else {
                continue;
            };
            let launch = LaunchId(launch.clone());
            let seen = match self.seen_in_summary(&summary) {
                Some(seen) => seen,
                None => self.inspect_launch(&launch).await?,
            };
            if seen != Seen::Absent {
                all.push(Found { launch, seen });
            }
        }
        Ok(all)
    }

    /// What the list says already; `None` where it does not say enough.
    fn seen_in_summary(&self, summary: &ContainerSummary) -> Option<Seen> {
        match summary.state? {
            ContainerSummaryStateEnum::CREATED => Some(Seen::Created),
            ContainerSummaryStateEnum::RUNNING => {
                let ports = summary.ports.as_ref()?;
                let published = ports.iter().find_map(|port| port.public_port);
                let address = match published {
                    Some(port) => SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port),
                    None => {
                        let networks = summary.network_settings.as_ref()?.networks.as_ref()?;
                        self.address_on_network(networks, ports.first()?.private_port)?
                    }
                };
                Some(Seen::Running {
                    address: Some(address),
                })
            }
            _ => None,
        }
    }

    /// The last lines a container printed, on both streams.
    pub(super) async fn last_lines(&self, name: &str, lines: usize) -> Result<String, Trouble> {
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail(&lines.min(10_000).to_string())
            .build();
        let chunks = self
            .engine
            .call(|docker| async move {
                docker
                    .logs(name, Some(options))
                    .try_collect::<Vec<_>>()
                    .await
            })
            .await;
        let chunks = or_absent(chunks)?.unwrap_or_default();
        let bytes: Vec<u8> = chunks
            .into_iter()
            .flat_map(|chunk| chunk.into_bytes())
            .collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
