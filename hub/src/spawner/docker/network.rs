//! The bridge network of our own, and the one address on it where servers meet the hub.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest, NetworkInspect};
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::Shared;
use super::engine::{Trouble, or_absent};
use super::names::LABEL_HUB;
use super::reach::Reach;
use crate::spawner::{Meeting, SpawnerError};

const WHAT: &str = "make the network";
/// Whether the engine lets containers on a network reach each other.
const ICC: &str = "com.docker.network.bridge.enable_icc";
/// How many ports after the wanted one are tried.
const PORTS: u16 = 50;

/// The network as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Net {
    pub(super) id: String,
    pub(super) subnet: Ipv4Net,
    pub(super) gateway: Ipv4Addr,
    pub(super) bridge: String,
    /// Our own address on it, where the hub is a container too.
    pub(super) hub: Option<Ipv4Addr>,
    /// The engine lets containers on it reach each other: then our rules alone keep servers apart.
    is_shared: bool,
}

impl Net {
    /// Where servers meet the hub.
    pub(super) fn meeting(&self) -> Ipv4Addr {
        self.hub.unwrap_or(self.gateway)
    }
}

/// What is remembered between runs, beside the caller's [`Meeting`].
#[derive(Serialize, Deserialize)]
struct Memory {
    network: String,
    reach: Reach,
    /// The container we tried it from.
    #[serde(default)]
    from: Option<String>,
}

impl Shared {
    /// The network's name.
    pub(super) fn network_name(&self) -> String {
        let named = self.settings.network.clone();
        named.unwrap_or_else(|| self.names.network())
    }

    /// Makes everything that launches share.
    pub(super) async fn prepare_network(
        &self,
        kept: Option<&Meeting>,
    ) -> Result<Meeting, SpawnerError> {
        self.sweep_helpers().await?;
        let own = self.own().await?.and_then(|own| own.network.as_deref());
        let mut net = self.ensure_network(kept, own).await?;
        if let Some(container) = own {
            net.hub = Some(self.join(&net, container, kept).await?);
        }
        *self.net.lock().expect("nothing panics while it is held") = Some(net.clone());
        let reach = self.remembered_reach(&net, own).await?;
        *self.reach.lock().expect("nothing panics while it is held") = reach;
        let listen = meeting_address(kept, &net, self.settings.internal_port)?;
        let meeting = Meeting {
            listen,
            allow: vec![IpNet::V4(net.subnet)],
        };
        *self
            .meeting
            .lock()
            .expect("nothing panics while it is held") = Some(meeting.clone());
        self.ensure_firewall().await?;
        Ok(meeting)
    }

    /// Finds the network or makes it. Where the hub is the container `own`, it must be one that containers can share.
    async fn ensure_network(
        &self,
        kept: Option<&Meeting>,
        own: Option<&str>,
    ) -> Result<Net, SpawnerError> {
        // The addresses of an earlier network: adopted containers and their rules were made for them.
        let mut wanted = self.settings.subnet.or_else(|| {
            let allow = kept?.allow.first()?;
            match allow {
                IpNet::V4(net) => Some(*net),
                IpNet::V6(_) => None,
            }
        });
        if let Some(found) = self.find_network(&self.network_name()).await? {
            let net = self.check_network(found)?;
            let Some(container) = own.filter(|_| !net.is_shared) else {
                return Ok(net);
            };
            tracing::info!("The network was made for a hub outside of containers; making it anew");
            wanted = Some(net.subnet);
            self.leave(container).await?;
            self.remove_network().await.map_err(|error| {
                refused(&format!(
                    "the network {} was made by a hub outside of containers and still has servers; stop them there first with \
                     `holt down` ({error})",
                    self.network_name()
                ))
            })?;
        }
        let is_shared = own.is_some();
        let net = self.make_network(wanted, is_shared).await?;
        if !is_shared || wanted.is_some() {
            return Ok(net);
        }
        // The engine has chosen the addresses. Now they are known, and half of them can be kept from servers: ours is there, and no
        // server gets it while the hub's container is away.
        self.remove_network().await?;
        self.make_network(Some(net.subnet), true).await
    }

    async fn make_network(
        &self,
        subnet: Option<Ipv4Net>,
        is_shared: bool,
    ) -> Result<Net, SpawnerError> {
        let name = self.network_name();
        let ipam = subnet.map(|subnet| {
            let mut config = IpamConfig {
                subnet: Some(subnet.to_string()),
                ..Default::default()
            };
            if is_shared {
                config.ip_range = servers_half(subnet).map(|half| half.to_string());
                config.gateway = Some(first_address(subnet).to_string());
            }
            Ipam {
                config: Some(vec![config]),
                ..Default::default()
            }
        });
        let body = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".into()),
            enable_ipv6: Some(false),
            ipam,
            options: Some(HashMap::from(
                [
                    ("com.docker.network.bridge.name", self.names.bridge()),
                    (ICC, is_shared.to_string()),
                    (
                        "com.docker.network.bridge.enable_ip_masquerade",
                        "true".to_owned(),
                    ),
                ]
                .map(|(name, value)| (name.to_owned(), value)),
            )),
            labels: Some(HashMap::from([(
                format!("{LABEL_HUB}.network"),
                self.names.hub.clone(),
            )])),
            ..Default::default()
        };
        let made = self
            .engine
            .call(|docker| async move { docker.create_network(body).await })
            .await;
        match made {
            // Made by us or, between look and call, by another hub of the same id.
            Ok(_) | Err(Trouble::Conflict(_)) => {}
            Err(trouble) => return Err(trouble.doing(WHAT)),
        }
        let found = self.find_network(&name).await?;
        self.check_network(found.ok_or_else(|| refused("the engine made it and does not know it"))?)
    }

    async fn find_network(&self, name: &str) -> Result<Option<NetworkInspect>, SpawnerError> {
        let found = self
            .engine
            .call(|docker| async move { docker.inspect_network(name, None).await })
            .await;
        or_absent(found).map_err(|trouble| trouble.doing(WHAT))
    }

    /// Takes a network only if it confines as ours does.
    fn check_network(&self, found: NetworkInspect) -> Result<Net, SpawnerError> {
        let name = self.network_name();
        let options = found.options.unwrap_or_default();
        let owner = found
            .labels
            .as_ref()
            .and_then(|labels| labels.get(&format!("{LABEL_HUB}.network")));
        if owner != Some(&self.names.hub) {
            return Err(refused(&format!(
                "the network {name} is not this hub's; remove it (docker network rm {name}) or give another name"
            )));
        }
        let bridge = options.get("com.docker.network.bridge.name").cloned();
        let config = found.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        let subnet = config
            .iter()
            .find_map(|config| config.subnet.as_ref()?.parse::<Ipv4Net>().ok());
        let gateway = config
            .iter()
            .find_map(|config| config.gateway.as_ref()?.parse::<Ipv4Addr>().ok());
        let subnet = subnet.ok_or_else(|| refused("the network has no IPv4 addresses"))?;
        Ok(Net {
            hub: None,
            is_shared: options.get(ICC).is_none_or(|value| value != "false"),
            id: found.id.unwrap_or_default(),
            subnet,
            gateway: gateway.unwrap_or_else(|| first_address(subnet)),
            bridge: bridge.unwrap_or_else(|| self.names.bridge()),
        })
    }

    /// The way to containers, tried only once for a network.
    async fn remembered_reach(&self, net: &Net, own: Option<&str>) -> Result<Reach, SpawnerError> {
        let file = self.data_dir.join("docker.json");
        let memory = std::fs::read(&file).ok();
        let memory = memory.and_then(|bytes| serde_json::from_slice::<Memory>(&bytes).ok());
        if let Some(memory) = memory
            && memory.network == net.id
            && memory.from.as_deref() == own
        {
            return Ok(memory.reach);
        }
        let reach = self.find_reach().await?;
        let memory = Memory {
            network: net.id.clone(),
            reach,
            from: own.map(str::to_owned),
        };
        let text = serde_json::to_vec(&memory).expect("it has a JSON form");
        // Not being able to remember costs one more try next time.
        if let Err(error) = std::fs::write(&file, text) {
            tracing::warn!(%error, "Could not remember how containers are reached");
        }
        Ok(reach)
    }

    /// Takes the network away.
    pub(super) async fn remove_network(&self) -> Result<(), SpawnerError> {
        if let Some(container) = self.own().await?.and_then(|own| own.network.as_deref()) {
            self.leave(container).await?;
        }
        let name = self.network_name();
        let answer = self
            .engine
            .call(|docker| async move { docker.remove_network(&name).await })
            .await;
        or_absent(answer).map_err(|trouble| trouble.doing("remove the network"))?;
        *self.net.lock().expect("nothing panics while it is held") = None;
        Ok(())
    }

    /// How containers are reached.
    pub(super) fn reach(&self) -> Reach {
        *self.reach.lock().expect("nothing panics while it is held")
    }

    /// The network, once prepared.
    pub(super) fn net(&self) -> Option<Net> {
        self.net
            .lock()
            .expect("nothing panics while it is held")
            .clone()
    }
}

/// The first address of a network: the engine's own, as a rule.
fn first_address(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()).saturating_add(1))
}

/// The addresses that servers get where the hub is on their network: the lower half.
fn servers_half(subnet: Ipv4Net) -> Option<Ipv4Net> {
    Ipv4Net::new(subnet.network(), subnet.prefix_len() + 1)
        .ok()
        .filter(|half| half.prefix_len() <= 30)
}

/// Where servers meet the hub: as kept, or the first free port.
fn meeting_address(
    kept: Option<&Meeting>,
    net: &Net,
    wanted: u16,
) -> Result<SocketAddr, SpawnerError> {
    let ip = IpAddr::V4(net.meeting());
    if let Some(kept) = kept
        && kept.listen.ip() == ip
    {
        return Ok(kept.listen);
    }
    (wanted..wanted.saturating_add(PORTS))
        .map(|port| SocketAddr::new(ip, port))
        // A port of the host may be held on all addresses; binding ours says so.
        .find(|address| std::net::TcpListener::bind(address).is_ok())
        .ok_or_else(|| {
            refused(&format!(
                "no port from {wanted} to {} is free on {ip}; set another internal_port",
                wanted.saturating_add(PORTS)
            ))
        })
}

fn refused(reason: &str) -> SpawnerError {
    SpawnerError::Refused {
        what: WHAT,
        reason: reason.to_owned(),
    }
}
