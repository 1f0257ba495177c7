//! What a probe tries to reach: ports of the engine's machine and of the hub, set up for the moment of a try.
//!
//! On the engine's machine the hub itself listens. From a container it cannot: there a throwaway container does, on the
//! machine's own network.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::TcpListener;

use super::Shared;
use super::network::Net;
use super::oneshot::OneShot;
use crate::spawner::SpawnerError;

/// How long the throwaway container may take to listen.
const LISTENS: Duration = Duration::from_secs(10);
/// Listens on the bridge's address and on those used towards the outside, and says where.
const LISTENER: &str = r"
import select, socket, sys
def outward(family, target):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.connect(target)
        return s.getsockname()[0]
wanted = [('gateway', socket.AF_INET, lambda: sys.argv[1]),
          ('host4', socket.AF_INET, lambda: outward(socket.AF_INET, ('192.0.2.1', 9))),
          ('host6', socket.AF_INET6, lambda: outward(socket.AF_INET6, ('2001:db8::1', 9)))]
listeners = []
for key, family, address in wanted:
    try:
        s = socket.socket(family)
        s.bind((address(), 0))
        s.listen(5)
    except OSError:
        continue
    listeners.append(s)
    print(key, *s.getsockname()[:2])
print('done', flush=True)
while True:
    for s in select.select(listeners, [], [])[0]:
        s.accept()[0].close()
";

/// One of them.
pub(super) struct Target {
    /// Short name in the probe's answer.
    pub(super) key: &'static str,
    /// What people read.
    pub(super) words: &'static str,
    pub(super) address: SocketAddr,
    /// The counter that tells of a try.
    pub(super) counter: &'static str,
}

/// All of them, answering as long as this is kept; the container is for the caller to remove.
#[derive(Default)]
pub(super) struct Targets {
    pub(super) all: Vec<Target>,
    pub(super) container: Option<String>,
    listeners: Vec<TcpListener>,
}

impl Targets {
    /// Where a careless program of ours would listen.
    async fn listen(&mut self, ip: IpAddr, describe: impl FnOnce(SocketAddr) -> Target) {
        if let Ok(listener) = TcpListener::bind((ip, 0)).await
            && let Ok(address) = listener.local_addr()
        {
            self.all.push(describe(address));
            self.listeners.push(listener);
        }
    }
}

impl Shared {
    /// Ports that servers must not reach.
    pub(super) async fn targets(&self, net: &Net) -> Result<Targets, SpawnerError> {
        let mut targets = Targets::default();
        let Some(hub) = net.hub else {
            let own = [
                ("gateway", Some(IpAddr::V4(net.gateway))),
                ("host4", outward("192.0.2.1:9", "0.0.0.0:0")),
                ("host6", outward("[2001:db8::1]:9", "[::]:0")),
            ];
            for (key, ip) in own {
                if let Some(ip) = ip {
                    targets
                        .listen(ip, |address| on_the_machine(key, address))
                        .await;
                }
            }
            return Ok(targets);
        };
        let other_port = |address| Target {
            key: "hub",
            words: "another port of the hub's container",
            address,
            counter: "to_neighbour",
        };
        targets.listen(IpAddr::V4(hub), other_port).await;
        let container = self
            .start_helper(OneShot {
                command: ["python3", "-c", LISTENER, &net.gateway.to_string()]
                    .map(str::to_owned)
                    .to_vec(),
                user: Some("65534:65534".into()),
                network: "host".into(),
                ..OneShot::new("target")
            })
            .await?;
        // From here on the caller has it to remove.
        targets.container = Some(container.clone());
        let said = self.said(&container).await;
        targets.all.extend(said.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let key = ["gateway", "host4", "host6"]
                .into_iter()
                .find(|key| Some(*key) == words.clone().next())?;
            let ip: IpAddr = words.nth(1)?.parse().ok()?;
            let port = words.next()?.parse().ok()?;
            Some(on_the_machine(key, SocketAddr::new(ip, port)))
        }));
        Ok(targets)
    }

    /// What the listener printed, once it has printed all.
    async fn said(&self, container: &str) -> String {
        let saying = async {
            loop {
                if let Ok(text) = self.last_lines(container, 100).await
                    && text.contains("done")
                {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LISTENS, saying)
            .await
            .unwrap_or_default()
    }
}

fn on_the_machine(key: &'static str, address: SocketAddr) -> Target {
    Target {
        key,
        words: match key {
            "gateway" => "this machine's port on the servers' bridge",
            "host4" => "this machine's port over IPv4",
            _ => "this machine's port over IPv6",
        },
        address,
        counter: "to_host",
    }
}

/// The address this machine would use towards the outside. Connecting a datagram socket sends nothing.
fn outward(target: &str, from: &str) -> Option<IpAddr> {
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(target).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
