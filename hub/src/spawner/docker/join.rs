//! The hub's own container on the servers' network: joined at an address that is kept, and joined again when it is not there.

use std::net::{IpAddr, Ipv4Addr};

use bollard::models::{
    EndpointIpamConfig, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest,
};

use super::Shared;
use super::engine::Trouble;
use super::network::Net;
use super::own::is_bindable;
use crate::spawner::{Meeting, SpawnerError};

const JOIN: &str = "join the servers' network";

impl Shared {
    /// Sees to it that our own container is on the network, at the address that is kept.
    pub(super) async fn join(
        &self,
        net: &Net,
        container: &str,
        kept: Option<&Meeting>,
    ) -> Result<Ipv4Addr, SpawnerError> {
        let address = own_address(net, kept);
        let name = self.network_name();
        let found = self.find(container).await;
        let found = found.map_err(|trouble| trouble.doing(JOIN))?;
        let networks = found.and_then(|found| found.network_settings?.networks);
        let endpoint = networks.and_then(|mut networks| networks.remove(&name));
        if let Some(endpoint) = endpoint {
            let has = endpoint.ip_address.and_then(|ip| ip.parse().ok());
            if has == Some(address) && is_bindable(address.into()) {
                return Ok(address);
            }
            self.leave(container).await?;
        }
        let request = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(EndpointSettings {
                ipam_config: Some(EndpointIpamConfig {
                    ipv4_address: Some(address.to_string()),
                    ..Default::default()
                }),
                ..Default::default()
            }),
        };
        self.engine
            .call(|docker| async move { docker.connect_network(&name, request).await })
            .await
            .map_err(|trouble| trouble.doing(JOIN))?;
        if !is_bindable(address.into()) {
            return Err(SpawnerError::Refused {
                what: JOIN,
                reason: format!(
                    "the engine gave the hub's container {address}, but it is not there"
                ),
            });
        }
        tracing::info!(%address, "The hub's container joined the servers' network");
        Ok(address)
    }

    /// Joins again, if somebody took our container off the network.
    pub(super) async fn ensure_joined(&self) -> Result<(), SpawnerError> {
        let own = self.own().await?.and_then(|own| own.network.as_deref());
        let meeting = self
            .meeting
            .lock()
            .expect("nothing panics while it is held")
            .clone();
        if let (Some(container), Some(net)) = (own, self.net()) {
            self.join(&net, container, meeting.as_ref()).await?;
        }
        Ok(())
    }

    pub(super) async fn leave(&self, container: &str) -> Result<(), SpawnerError> {
        let name = self.network_name();
        let request = NetworkDisconnectRequest {
            container: container.to_owned(),
            force: Some(true),
        };
        let answer = self
            .engine
            .call(|docker| async move { docker.disconnect_network(&name, request).await })
            .await;
        match answer {
            // It was not on it.
            Ok(()) | Err(Trouble::Absent(_) | Trouble::Refused(_) | Trouble::Conflict(_)) => Ok(()),
            Err(trouble) => Err(trouble.doing("leave the network")),
        }
    }
}

/// The hub's own address on the servers' network: as kept, or the last one.
fn own_address(net: &Net, kept: Option<&Meeting>) -> Ipv4Addr {
    match kept.map(|kept| kept.listen.ip()) {
        Some(IpAddr::V4(ip)) if net.subnet.contains(&ip) && ip != net.gateway => ip,
        _ => Ipv4Addr::from(u32::from(net.subnet.broadcast()).saturating_sub(1)),
    }
}
