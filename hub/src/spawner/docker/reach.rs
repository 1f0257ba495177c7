//! How the hub reaches a container: found out by trying, once per network, and remembered.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::Shared;
use super::oneshot::OneShot;
use crate::spawner::SpawnerError;

/// A way to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reach {
    /// Its own address: the hub runs on the engine's host, or in a container on the same network.
    #[default]
    Direct,
    /// A port published on loopback: the engine runs in a virtual machine of its own.
    Published,
}

/// The port the throwaway container answers on.
const PORT: u16 = 18999;

impl Shared {
    /// Tries each way with a throwaway container.
    pub(super) async fn find_reach(&self) -> Result<Reach, SpawnerError> {
        let word = format!("holt-{:016x}", rand::random::<u64>());
        let answering = format!(
            "import socket\ns=socket.socket()\ns.setsockopt(1,2,1)\ns.bind(('0.0.0.0',{PORT}))\ns.listen(5)\nwhile True:\n c,_=s.accept()\n c.sendall(b'{word}')\n c.close()\n"
        );
        let name = self
            .start_helper(OneShot {
                command: vec!["python3".into(), "-c".into(), answering],
                user: Some("65534:65534".into()),
                network: self.network_name(),
                published: vec![(PORT, "127.0.0.1".into())],
                ..OneShot::new("reach")
            })
            .await?;
        let found = self.try_ways(&name, &word).await;
        self.remove_container(&name)
            .await
            .map_err(|trouble| trouble.doing("remove a container"))?;
        found
    }

    async fn try_ways(&self, name: &str, word: &str) -> Result<Reach, SpawnerError> {
        let what = "find a way to a container";
        let found = self
            .find(name)
            .await
            .map_err(|trouble| trouble.doing(what))?;
        let settings = found
            .and_then(|found| found.network_settings)
            .unwrap_or_default();
        let own = settings
            .networks
            .as_ref()
            .and_then(|networks| networks.get(&self.network_name()))
            .and_then(|endpoint| endpoint.ip_address.as_ref()?.parse::<IpAddr>().ok());
        let published = settings.ports.as_ref().and_then(|ports| {
            let bindings = ports.get(&format!("{PORT}/tcp"))?.as_ref()?;
            bindings.first()?.host_port.as_ref()?.parse::<u16>().ok()
        });
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while tokio::time::Instant::now() < deadline {
            if let Some(ip) = own
                && answers(SocketAddr::new(ip, PORT), word).await
            {
                return Ok(Reach::Direct);
            }
            if let Some(port) = published
                && answers(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port), word).await
            {
                // The direct way needs a moment more after the start than the published one: prefer it by asking again.
                let is_direct = match own {
                    Some(ip) => answers(SocketAddr::new(ip, PORT), word).await,
                    None => false,
                };
                return Ok(if is_direct {
                    Reach::Direct
                } else {
                    Reach::Published
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(SpawnerError::Refused {
            what,
            reason: "neither a container's own address nor a port published on 127.0.0.1 can be reached from here; \
                     run the hub on the engine's machine, or in a container of that engine"
                .into(),
        })
    }
}

/// Whether that address says the word.
async fn answers(address: SocketAddr, word: &str) -> bool {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    match tokio::time::timeout(Duration::from_secs(1), asking).await {
        Ok(Ok(text)) => text == word,
        _ => false,
    }
}
