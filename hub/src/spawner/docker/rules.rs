//! The firewall's text: what servers may reach. Pure, so that it can be read and tested without a machine.
//!
//! From our bridge: replies, the internal listener and declared ports on the meeting address, the machine's name servers (port 53
//! alone), and the outside. Not: the machine's other ports, other bridges, each other, link-local and metadata addresses.
//! Each forbidden class has a counter, so that a try can be told from a network that was silent anyway.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

/// IPv4 destinations that are never "the outside": this machine, link-local, clouds' metadata, multicast and reserved.
const NOT_OUTSIDE_V4: [&str; 8] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "224.0.0.0/4",
    "240.0.0.0/4",
];
/// The same over IPv6.
const NOT_OUTSIDE_V6: [&str; 6] = [
    "::1",
    "fe80::/10",
    "ff00::/8",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fd00:42::42",
];

/// Classes of forbidden ways; each has a counter of that name.
pub(super) const COUNTERS: [&str; 4] = ["to_host", "to_neighbour", "to_bridge", "to_metadata"];

/// What the text is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) table: String,
    pub(super) bridge: String,
    pub(super) subnet: Ipv4Net,
    pub(super) meeting: Ipv4Addr,
    /// The meeting address is a container's on that bridge, not this machine's.
    pub(super) is_hub_inside: bool,
    pub(super) ports: Vec<u16>,
    pub(super) resolvers: Vec<IpAddr>,
}

/// How other bridges are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bridges {
    /// The kernel knows which interface is a bridge.
    ByKind,
    /// An older one: by the names that engines give.
    ByName,
}

/// The lines that let the hub be met, per chain.
#[derive(Default)]
struct Openings {
    input: String,
    to_this_machine: String,
    forward: String,
    from_servers: String,
    to_hub: String,
}

impl Rules {
    /// The table of IPv4 and IPv6, replacing an older one in one transaction.
    pub(super) fn inet(&self, bridges: Bridges) -> String {
        let Self { table, bridge, .. } = self;
        let Openings {
            input,
            to_this_machine,
            forward,
            from_servers,
            to_hub,
        } = self.openings();
        let resolvers = self.resolver_rules();
        let others = match bridges {
            Bridges::ByKind => "meta oifkind \"bridge\"",
            Bridges::ByName => {
                "oifname { \"docker*\", \"br-*\", \"virbr*\", \"lxcbr*\", \"lxdbr*\", \"incusbr*\", \"cni*\", \"podman*\", \"holt-*\" }"
            }
        };
        let counters: String = COUNTERS
            .iter()
            .map(|name| format!("  counter {name} {{ }}\n"))
            .collect();
        format!(
            "table inet {table}
delete table inet {table}
table inet {table} {{
{counters}  chain input {{
    type filter hook input priority -10; policy accept;
{input}    iifname \"{bridge}\" jump to_this_machine
  }}
  chain to_this_machine {{
    ct state established,related accept
{to_this_machine}{resolvers}    ip daddr {{ {v4} }} counter name to_metadata drop
    ip6 daddr {{ {v6} }} counter name to_metadata drop
    counter name to_host drop
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
{forward}    iifname \"{bridge}\" jump from_servers
{to_hub}    oifname \"{bridge}\" jump to_servers
  }}
  chain from_servers {{
    ct state established,related accept
{from_servers}    oifname \"{bridge}\" counter name to_neighbour drop
{resolvers}    {others} counter name to_bridge drop
    ip daddr {{ {v4} }} counter name to_metadata drop
    ip6 daddr {{ {v6} }} counter name to_metadata drop
  }}
  chain to_servers {{
    ct state established,related accept
    drop
  }}
}}
",
            v4 = NOT_OUTSIDE_V4.join(", "),
            v6 = NOT_OUTSIDE_V6.join(", "),
        )
    }

    /// The table of what a bridge passes between its own ports, where the kernel has that.
    pub(super) fn bridge(&self) -> String {
        let Self { table, bridge, .. } = self;
        let hub = self.hub_on_the_bridge();
        format!(
            "table bridge {table}
delete table bridge {table}
table bridge {table} {{
  counter to_neighbour {{ }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
{hub}    meta ibrname \"{bridge}\" counter name to_neighbour drop
  }}
}}
"
        )
    }

    /// Where the meeting address is this machine's, one rule opens it. Where it is the hub's container, that one is no server: it
    /// may reach servers and the outside, and be reached from the outside; servers reach its declared ports alone.
    fn openings(&self) -> Openings {
        let Self {
            bridge,
            subnet,
            meeting,
            ..
        } = self;
        let ports = list(&self.ports);
        let declared =
            format!("    ip saddr {subnet} ip daddr {meeting} tcp dport {{ {ports} }} accept\n");
        if !self.is_hub_inside {
            return Openings {
                to_this_machine: declared,
                ..Openings::default()
            };
        }
        let from_hub = format!("    iifname \"{bridge}\" ip saddr {meeting} accept\n");
        Openings {
            input: from_hub.clone(),
            to_this_machine: String::new(),
            forward: from_hub,
            from_servers: declared,
            to_hub: format!("    oifname \"{bridge}\" ip daddr {meeting} accept\n"),
        }
    }

    /// The same between ports of the bridge, without the kernel's memory of connections: servers may not open any but the declared.
    fn hub_on_the_bridge(&self) -> String {
        let Self {
            bridge,
            subnet,
            meeting,
            ..
        } = self;
        if !self.is_hub_inside {
            return String::new();
        }
        let ports = list(&self.ports);
        let ours = format!("    meta ibrname \"{bridge}\"");
        format!(
            "{ours} arp saddr ip {meeting} accept
{ours} arp daddr ip {meeting} accept
{ours} ip saddr {meeting} accept
{ours} ip saddr {subnet} ip daddr {meeting} tcp dport {{ {ports} }} accept
{ours} ip saddr {subnet} ip daddr {meeting} tcp flags & (fin | syn | rst | ack) != syn accept
"
        )
    }

    /// Name servers are reached even at addresses that are otherwise closed: some clouds have theirs at a link-local one.
    fn resolver_rules(&self) -> String {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for resolver in &self.resolvers {
            match resolver {
                IpAddr::V4(ip) => v4.push(*ip),
                IpAddr::V6(ip) => v6.push(*ip),
            }
        }
        let mut text = String::new();
        if !v4.is_empty() {
            text += &format!(
                "    ip daddr {{ {} }} meta l4proto {{ tcp, udp }} th dport 53 accept\n",
                list(&v4)
            );
        }
        if !v6.is_empty() {
            text += &format!(
                "    ip6 daddr {{ {} }} meta l4proto {{ tcp, udp }} th dport 53 accept\n",
                list(&v6)
            );
        }
        text
    }
}

/// The name servers of this machine that containers are sent to, from the text of a `resolv.conf`.
pub(super) fn resolvers(text: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok())
        // Those on loopback the engine asks itself.
        .filter(|ip: &IpAddr| !ip.is_loopback())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            table: "holt_t".into(),
            bridge: "holt-t".into(),
            subnet: "10.9.0.0/24".parse().unwrap(),
            meeting: "10.9.0.1".parse().unwrap(),
            is_hub_inside: false,
            ports: vec![8081, 3306],
            resolvers: vec![
                "169.254.169.254".parse().unwrap(),
                "2001:db8::53".parse().unwrap(),
            ],
        }
    }

    #[test]
    fn only_declared_ports_of_the_meeting_address_are_open() {
        let text = rules().inet(Bridges::ByKind);
        assert!(
            text.contains("ip saddr 10.9.0.0/24 ip daddr 10.9.0.1 tcp dport { 8081, 3306 } accept")
        );
        let chain = text
            .split("chain to_this_machine")
            .nth(1)
            .unwrap()
            .split('}')
            .collect::<Vec<_>>();
        assert!(text.matches(" accept\n").count() <= 9, "{}", chain.len());
        assert!(text.contains("counter name to_host drop"));
    }

    #[test]
    fn name_servers_are_open_for_names_alone_and_before_the_closed_addresses() {
        let text = rules().inet(Bridges::ByKind);
        let open = text
            .find("ip daddr { 169.254.169.254 } meta l4proto { tcp, udp } th dport 53 accept")
            .unwrap();
        let closed = text.find("169.254.0.0/16").unwrap();
        assert!(open < closed);
        assert!(text.contains("ip6 daddr { 2001:db8::53 }"));
    }

    #[test]
    fn a_hub_among_servers_is_met_at_its_declared_ports_alone() {
        let rules = Rules {
            meeting: "10.9.0.254".parse().unwrap(),
            is_hub_inside: true,
            ..rules()
        };
        let text = rules.inet(Bridges::ByKind);
        let chain = |name: &str| {
            let rest = text.split(&format!("chain {name} {{")).nth(1).unwrap();
            rest.split("\n  }").next().unwrap().to_owned()
        };
        let open = "ip saddr 10.9.0.0/24 ip daddr 10.9.0.254 tcp dport { 8081, 3306 } accept";
        assert!(!chain("to_this_machine").contains(open));
        let from = chain("from_servers");
        let (before, _) = from.split_once("to_neighbour drop").unwrap();
        assert!(before.contains(open));
        // What is for the hub from elsewhere is let in only after servers have been judged.
        let forward = chain("forward");
        let judged = forward.find("jump from_servers").unwrap();
        assert!(forward.find("ip daddr 10.9.0.254 accept").unwrap() > judged);
        let bridge = rules.bridge();
        assert!(bridge.find(open).unwrap() < bridge.find("to_neighbour drop").unwrap());
    }

    #[test]
    fn an_older_kernel_goes_by_names() {
        assert!(rules().inet(Bridges::ByName).contains("\"br-*\""));
        assert!(!rules().inet(Bridges::ByName).contains("oifkind"));
    }

    #[test]
    fn loopback_name_servers_are_the_engines_business() {
        let text = "# made by hand\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver  10.0.0.2\noptions edns0\n";
        assert_eq!(resolvers(text), ["10.0.0.2".parse::<IpAddr>().unwrap()]);
    }
}
