//! Tries every forbidden way from a throwaway container that is confined as servers are, and the one allowed way.
//!
//! A closed way proves something only if its target would have answered (asked from this machine, it does), or if our own
//! counter of dropped packets rose.
//! Nothing is sent to an address outside this machine while our table is not in place.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::Shared;
use super::firewall::Tables;
use super::network::Net;
use super::oneshot::OneShot;
use super::settings::NOTEBOOK_UID;
use super::targets::Target;
use crate::spawner::local::which;
use crate::spawner::{IsolationReport, SpawnerError, WayResult, WayTried};

/// The port that target containers answer on.
const PORT: u16 = 18998;
/// Where clouds answer questions about the machine.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Tries all addresses given as `name=host=port` at once, and says of each `open`, `closed` or `silent`; and whether there is IPv6.
const TRIES: &str = r"
import select, socket, sys, time
waiting = {}
for word in sys.argv[1:]:
    name, host, port = word.split('=')
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_STREAM)
    s.setblocking(False)
    try:
        code = s.connect_ex((host, int(port)))
    except OSError as error:
        code = error.errno or 1
    if code == 0:
        print(name, 'open')
    elif code == 115:
        waiting[s] = name
    else:
        print(name, 'closed')
end = time.time() + 2
while waiting and time.time() < end:
    for s in select.select([], list(waiting), [], 0.2)[1]:
        code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        print(waiting.pop(s), 'closed' if code else 'open')
for name in waiting.values():
    print(name, 'silent')
try:
    lines = [l for l in open('/proc/net/if_inet6') if not l.rstrip().endswith(' lo')]
except OSError:
    lines = []
print('ipv6', 'open' if lines else 'closed')
";

/// A way to try.
struct Way {
    /// Short name in the container's answer.
    key: &'static str,
    /// What people read.
    words: String,
    target: SocketAddr,
    /// The target answered when asked from here.
    is_alive: bool,
    /// The counter that tells of it.
    counter: &'static str,
}

impl Shared {
    /// Everything that was tried, with what to do about it.
    pub(super) async fn check_isolation(&self) -> IsolationReport {
        let mut report = IsolationReport {
            ways: Vec::new(),
            restored: false,
        };
        if let Err(error) = self.ensure_joined().await {
            report
                .ways
                .push(unproven("the hub's own place on the network", &error));
            return report;
        }
        match self.ensure_firewall().await {
            Ok(restored) => report.restored = restored,
            Err(error) => {
                report.ways.push(unproven("firewall table", &error));
                return report;
            }
        }
        if self.net().is_none() {
            return report;
        }
        match self.try_all().await {
            Ok(ways) => report.ways = ways,
            Err(error) => report
                .ways
                .push(unproven("network from a container", &error)),
        }
        report
    }

    /// Targets up, tries made, targets down.
    async fn try_all(&self) -> Result<Vec<WayTried>, SpawnerError> {
        let Some(net) = self.net() else {
            return Ok(Vec::new());
        };
        let answering = format!(
            "import socket\ns=socket.socket()\ns.setsockopt(1,2,1)\ns.bind(('0.0.0.0',{PORT}))\ns.listen(5)\nwhile True:\n c,_=s.accept()\n c.close()\n"
        );
        let target = |network: String, published| OneShot {
            command: ["python3", "-c", &answering].map(str::to_owned).to_vec(),
            user: Some("65534:65534".into()),
            network,
            published,
            ..OneShot::new("target")
        };
        let neighbour = self
            .start_helper(target(self.network_name(), Vec::new()))
            .await?;
        // An engine can be without its usual bridge; then nobody else is there to be reached.
        let stranger = self
            .start_helper(target(
                "bridge".into(),
                vec![(PORT, net.gateway.to_string())],
            ))
            .await
            .ok();
        let targets = self.targets(&net).await;
        let tried = match &targets {
            Ok(targets) => {
                self.try_with(net, &targets.all, &neighbour, stranger.as_deref())
                    .await
            }
            Err(_) => Ok(Vec::new()),
        };
        let machine = targets.as_ref().ok().and_then(|it| it.container.as_ref());
        for name in std::iter::once(&neighbour).chain(&stranger).chain(machine) {
            if let Err(trouble) = self.remove_container(name).await {
                tracing::warn!(error = %trouble.doing("remove a container"), "A throwaway container is left");
            }
        }
        targets.and(tried)
    }

    async fn try_with(
        &self,
        net: Net,
        targets: &[Target],
        neighbour: &str,
        stranger: Option<&str>,
    ) -> Result<Vec<WayTried>, SpawnerError> {
        let mut asked: Vec<_> = targets
            .iter()
            .map(|target| {
                let words = target.words.to_owned();
                Way::to(target.key, words, target.address, target.counter)
            })
            .collect();
        let mut add = |key, words: &str, target, counter| {
            asked.push(Way::to(key, words.to_owned(), target, counter));
        };
        if let Some(address) = self.target_address(neighbour, &self.network_name()).await? {
            let target = SocketAddr::new(address, PORT);
            add(
                "neighbour",
                "another server's container",
                target,
                "to_neighbour",
            );
        }
        if let Some(stranger) = stranger {
            if let Some(address) = self.target_address(stranger, "bridge").await? {
                let target = SocketAddr::new(address, PORT);
                add(
                    "bridge",
                    "a container on another bridge",
                    target,
                    "to_bridge",
                );
            }
            if let Some(port) = self.published_port(stranger).await? {
                let words = "a port that another container publishes";
                let target = SocketAddr::new(IpAddr::V4(net.gateway), port);
                add("published", words, target, "to_bridge");
            }
        }
        let mut ways = futures_util::future::join_all(asked).await;
        // Not asked from here: outside a cloud it is a stranger's address. Our counter tells.
        ways.push(Way {
            key: "metadata",
            words: "the cloud's metadata address".into(),
            target: SocketAddr::from((METADATA, 80)),
            is_alive: false,
            counter: "to_metadata",
        });
        self.judge(ways).await
    }

    /// Tries the forbidden ways and the allowed one, and says what it means.
    async fn judge(&self, ways: Vec<Way>) -> Result<Vec<WayTried>, SpawnerError> {
        let meeting = self
            .meeting
            .lock()
            .expect("nothing panics while it is held")
            .clone();
        let allowed_ways = match &meeting {
            Some(meeting) => self.allowed_ways(meeting.listen),
            None => Vec::new(),
        };
        // Held by who listens there, if they run; else by us, for this moment.
        let mut stand_ins = Vec::new();
        for way in &allowed_ways {
            stand_ins.extend(TcpListener::bind(way.listen).await.ok());
        }
        let before = self.read_tables().await?;
        if before.listing.is_empty() {
            // Flushed since we looked a moment ago: nothing may be sent now.
            return Ok(vec![WayTried {
                way: "firewall table".into(),
                result: WayResult::Bad,
                fix: Some("another program removes it; exclude the table of this hub there".into()),
            }]);
        }
        let mut words: Vec<String> = ways
            .iter()
            .map(|way| format!("{}={}={}", way.key, way.target.ip(), way.target.port()))
            .collect();
        words.extend(
            allowed_ways
                .iter()
                .map(|way| format!("{}={}={}", way.key, way.listen.ip(), way.listen.port())),
        );
        let mut command = ["python3", "-c", TRIES].map(str::to_owned).to_vec();
        command.extend(words);
        let output = self
            .run_helper(OneShot {
                command,
                user: Some(format!("{NOTEBOOK_UID}:{NOTEBOOK_UID}")),
                network: self.network_name(),
                ..OneShot::new("probe")
            })
            .await?;
        let after = self.read_tables().await?;
        let found: HashMap<&str, &str> = output
            .text
            .lines()
            .filter_map(|line| line.trim().split_once(' '))
            .collect();
        let has_ipv6 = found.get("ipv6") != Some(&"closed");
        let mut tried: Vec<WayTried> = ways
            .iter()
            .map(|way| way.verdict(&found, has_ipv6, rose(&before, &after, way.counter)))
            .collect();
        let bridge = self.names.bridge();
        for way in &allowed_ways {
            let fix = match self.net().and_then(|net| net.hub) {
                None => host_firewall_fix(way.listen, &bridge),
                Some(_) => format!(
                    "a firewall of the engine's machine blocks traffic inside a bridge; allow it there: \
                     sudo iptables -I FORWARD -i {bridge} -o {bridge} -j ACCEPT"
                ),
            };
            tried.push(way.verdict(&found, &fix));
        }
        Ok(tried)
    }

    /// What servers must reach: the hub, and whatever else they are served by.
    fn allowed_ways(&self, meeting: SocketAddr) -> Vec<AllowedWay> {
        let hub = AllowedWay {
            key: "allowed".to_owned(),
            words: "the hub, as servers need it",
            listen: meeting,
        };
        let more = self.settings.allowed_ports.iter().map(|port| AllowedWay {
            key: format!("allowed-{port}"),
            words: "the replica gateway, as servers need it",
            listen: SocketAddr::new(meeting.ip(), *port),
        });
        std::iter::once(hub).chain(more).collect()
    }

    async fn target_address(
        &self,
        name: &str,
        network: &str,
    ) -> Result<Option<IpAddr>, SpawnerError> {
        let found = self
            .find(name)
            .await
            .map_err(|trouble| trouble.doing("look at a container"))?;
        let networks = found.and_then(|found| found.network_settings?.networks);
        let endpoint = networks.and_then(|mut networks| networks.remove(network));
        Ok(endpoint.and_then(|endpoint| endpoint.ip_address?.parse().ok()))
    }

    async fn published_port(&self, name: &str) -> Result<Option<u16>, SpawnerError> {
        let found = self
            .find(name)
            .await
            .map_err(|trouble| trouble.doing("look at a container"))?;
        let ports = found.and_then(|found| found.network_settings?.ports);
        let bindings = ports
            .and_then(|mut ports| ports.remove(&format!("{PORT}/tcp")))
            .flatten();
        Ok(bindings.and_then(|bindings| bindings.first()?.host_port.as_ref()?.parse().ok()))
    }
}

impl Way {
    /// A way to a target of ours, which is asked from here first.
    async fn to(
        key: &'static str,
        words: String,
        target: SocketAddr,
        counter: &'static str,
    ) -> Self {
        let mut is_alive = false;
        // A container's program needs a moment. What is silent may be so for us alone: our counter tells then.
        for _ in 0..20 {
            match tokio::time::timeout(Duration::from_secs(2), TcpStream::connect(target)).await {
                Ok(Ok(_)) => is_alive = true,
                Ok(Err(_)) => {}
                Err(_) => break,
            }
            if is_alive {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self {
            key,
            words,
            target,
            is_alive,
            counter,
        }
    }

    fn verdict(&self, found: &HashMap<&str, &str>, has_ipv6: bool, counter_rose: bool) -> WayTried {
        let is_without = self.target.is_ipv6() && !has_ipv6;
        let result = match found.get(self.key) {
            Some(&"open") => WayResult::Bad,
            Some(_) if self.is_alive || counter_rose || is_without => WayResult::Good,
            _ => WayResult::Unproven,
        };
        let fix = match result {
            WayResult::Good => None,
            WayResult::Bad => Some(format!(
                "servers reach {}: let no other program change the tables of this hub, load the kernel module br_netfilter \
                 (sudo modprobe br_netfilter), or set isolation = \"accept-weak\"",
                self.target
            )),
            WayResult::Unproven => Some(format!(
                "{} did not answer this machine either; look again",
                self.target
            )),
        };
        WayTried {
            way: self.words.clone(),
            result,
            fix,
        }
    }
}

/// A way that must be open.
struct AllowedWay {
    /// Short name in the container's answer.
    key: String,
    /// What people read.
    words: &'static str,
    listen: SocketAddr,
}

impl AllowedWay {
    fn verdict(&self, found: &HashMap<&str, &str>, firewall: &str) -> WayTried {
        let (result, fix) = match found.get(self.key.as_str()) {
            Some(&"open") => (WayResult::Good, None),
            Some(&"silent") => (WayResult::Bad, Some(firewall.to_owned())),
            Some(_) => (
                WayResult::Bad,
                Some(format!(
                    "{} refuses: nothing listens there, or a firewall rejects it ({firewall})",
                    self.listen
                )),
            ),
            None => (WayResult::Unproven, None),
        };
        WayTried {
            way: self.words.to_owned(),
            result,
            fix,
        }
    }
}

/// Names the firewall that is in the way, as far as it can be told from here.
fn host_firewall_fix(listen: SocketAddr, bridge: &str) -> String {
    let (ip, port) = (listen.ip(), listen.port());
    if which("ufw").is_some() {
        format!(
            "ufw blocks it; allow it: sudo ufw allow in on {bridge} to {ip} port {port} proto tcp"
        )
    } else if which("firewall-cmd").is_some() {
        format!(
            "firewalld blocks it; allow it: sudo firewall-cmd --permanent --zone=trusted --add-interface={bridge} && sudo firewall-cmd --reload"
        )
    } else {
        format!(
            "a firewall of this machine blocks it; allow it: sudo iptables -I INPUT -i {bridge} -d {ip} -p tcp --dport {port} -j ACCEPT"
        )
    }
}

fn rose(before: &Tables, after: &Tables, counter: &str) -> bool {
    let count = |tables: &Tables| tables.dropped.get(counter).copied().unwrap_or(0);
    count(after) > count(before)
}

fn unproven(way: &str, error: &SpawnerError) -> WayTried {
    WayTried {
        way: way.into(),
        result: WayResult::Unproven,
        fix: Some(format!("it could not be tried: {error}")),
    }
}
