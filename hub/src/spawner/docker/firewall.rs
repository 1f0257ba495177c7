//! Puts the firewall's tables in place by a throwaway container with the one capability for it, and notices when they are not.

use std::collections::HashMap;
use std::net::IpAddr;

use super::Shared;
use super::oneshot::{OneShot, Output};
use super::rules::{Bridges, Rules, resolvers};
use crate::spawner::SpawnerError;

const WHAT: &str = "set up the firewall";

/// What was found of our tables.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tables {
    /// Their rules as the kernel lists them, without counts.
    pub(super) listing: String,
    /// Packets dropped per class.
    pub(super) dropped: HashMap<String, u64>,
}

impl Shared {
    /// Sees to it that the tables are as they should be; true when they had been and something had changed them.
    pub(super) async fn ensure_firewall(&self) -> Result<bool, SpawnerError> {
        let Some(rules) = self.rules().await? else {
            return Ok(false);
        };
        // One at a time: two at once would each take the other's for a stranger's.
        let mut installed = self.installed.lock().await;
        let now = self.read_tables().await?;
        if let Some((kept, listing)) = installed.as_ref()
            && *kept == rules
            && *listing == now.listing
        {
            return Ok(false);
        }
        let was_changed = installed
            .as_ref()
            .is_some_and(|(_, listing)| *listing != now.listing);
        self.install(&rules).await?;
        let after = self.read_tables().await?;
        *installed = Some((rules, after.listing));
        Ok(was_changed)
    }

    async fn install(&self, rules: &Rules) -> Result<(), SpawnerError> {
        let by_kind = self.nft(&["-f", "-"], &rules.inet(Bridges::ByKind)).await?;
        if by_kind.code != 0 {
            let by_name = self.nft(&["-f", "-"], &rules.inet(Bridges::ByName)).await?;
            if by_name.code != 0 {
                return Err(SpawnerError::Refused {
                    what: WHAT,
                    reason: format!("nft: {}; the kernel needs nf_tables", by_name.text.trim()),
                });
            }
        }
        // Few kernels have it. Where traffic between bridge ports passes the other table too (br_netfilter), nothing is missing;
        // whether anything is, is found by trying.
        let bridge = self.nft(&["-f", "-"], &rules.bridge()).await?;
        if bridge.code != 0 {
            tracing::debug!(
                reason = bridge.text.trim(),
                "The kernel has no firewall inside bridges"
            );
        }
        Ok(())
    }

    /// The tables as they are now.
    pub(super) async fn read_tables(&self) -> Result<Tables, SpawnerError> {
        let table = self.names.table();
        let script = format!(
            "nft -s list table inet {table} 2>/dev/null; nft -s list table bridge {table} 2>/dev/null; echo =====; \
             nft list counters table inet {table} 2>/dev/null; nft list counters table bridge {table} 2>/dev/null; true"
        );
        let output = self
            .in_host_network(vec!["sh".into(), "-c".into(), script])
            .await?;
        let (listing, counters) = output.text.split_once("=====").unwrap_or_default();
        Ok(Tables {
            listing: listing.trim().to_owned(),
            dropped: parse_counters(counters),
        })
    }

    /// Removes both tables.
    pub(super) async fn remove_firewall(&self) -> Result<(), SpawnerError> {
        let table = self.names.table();
        let script =
            format!("nft delete table inet {table}; nft delete table bridge {table}; true");
        self.in_host_network(vec!["sh".into(), "-c".into(), script])
            .await?;
        *self.installed.lock().await = None;
        Ok(())
    }

    async fn nft(&self, arguments: &[&str], text: &str) -> Result<Output, SpawnerError> {
        let script = format!("printf %s \"$1\" | nft {}", arguments.join(" "));
        self.in_host_network(
            ["sh", "-c", &script, "sh", text]
                .map(str::to_owned)
                .to_vec(),
        )
        .await
    }

    async fn in_host_network(&self, command: Vec<String>) -> Result<Output, SpawnerError> {
        self.run_helper(OneShot {
            command,
            network: "host".into(),
            capabilities: vec!["NET_ADMIN"],
            ..OneShot::new("firewall")
        })
        .await
    }

    /// What the rules shall be; none before the network is there.
    async fn rules(&self) -> Result<Option<Rules>, SpawnerError> {
        let meeting = self
            .meeting
            .lock()
            .expect("nothing panics while it is held")
            .clone();
        let (Some(net), Some(meeting)) = (self.net(), meeting) else {
            return Ok(None);
        };
        let IpAddr::V4(address) = meeting.listen.ip() else {
            return Ok(None);
        };
        let more = &self.settings.allowed_ports;
        Ok(Some(Rules {
            table: self.names.table(),
            bridge: net.bridge.clone(),
            subnet: net.subnet,
            meeting: address,
            is_hub_inside: net.hub == Some(address),
            ports: std::iter::once(meeting.listen.port())
                .chain(more.iter().copied())
                .collect(),
            resolvers: self.machine_resolvers().await?,
        }))
    }

    /// The name servers of the engine's machine.
    async fn machine_resolvers(&self) -> Result<Vec<IpAddr>, SpawnerError> {
        if self.own().await?.is_some() {
            // Our own container may be told others. One on the machine's network is told the machine's.
            let command = ["cat", "/etc/resolv.conf"].map(str::to_owned).to_vec();
            return Ok(resolvers(&self.in_host_network(command).await?.text));
        }
        // The engine gives containers what systemd-resolved asks, where that is the machine's name server.
        let text = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"]
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .collect::<Vec<_>>()
            .join("\n");
        Ok(resolvers(&text))
    }
}

/// `counter NAME { packets N bytes M }`, over both tables.
fn parse_counters(text: &str) -> HashMap<String, u64> {
    let mut counts = HashMap::new();
    let words: Vec<&str> = text.split_whitespace().collect();
    for window in words.windows(5) {
        if let ["counter", name, "{", "packets", number] = window {
            *counts.entry((*name).to_owned()).or_default() += number.parse::<u64>().unwrap_or(0);
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_both_tables_are_added() {
        let text = "table inet t {\n\tcounter to_host {\n\t\tpackets 3 bytes 180\n\t}\n\tcounter to_neighbour {\n\t\tpackets 1 bytes 60\n\t}\n}\ntable bridge t {\n\tcounter to_neighbour {\n\t\tpackets 2 bytes 9\n\t}\n}\n";
        let counts = parse_counters(text);
        assert_eq!(counts.get("to_host"), Some(&3));
        assert_eq!(counts.get("to_neighbour"), Some(&3));
    }
}
