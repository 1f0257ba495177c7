//! What spawners ask of the machine they run on: its programs, and whether something still comes from the network.

use std::path::PathBuf;

/// A step that got less than this from the network while it was silent is stalled.
const BYTES: u64 = 60_000;

/// What this machine had received from the network at one moment.
pub(crate) struct Received(Option<u64>);

impl Received {
    /// Counts now. Where it cannot be counted, everything is quiet.
    pub(crate) fn now() -> Self {
        let table = std::fs::read_to_string("/proc/net/dev").ok();
        Self(table.map(|table| count(&table)))
    }

    /// Next to nothing came since.
    pub(crate) fn is_quiet(&self) -> bool {
        match (self.0, Self::now().0) {
            (Some(then), Some(now)) => now.saturating_sub(then) < BYTES,
            _ => true,
        }
    }
}

/// Bytes received on all interfaces but those inside the machine.
fn count(table: &str) -> u64 {
    let inside = ["lo", "docker", "br-", "veth", "holt-"];
    table
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| !inside.iter().any(|prefix| name.trim().starts_with(prefix)))
        .filter_map(|(_, numbers)| numbers.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

/// Finds a program on `PATH` or where administrators' programs are.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// A line of output without the credentials that an address in it may hold.
pub(crate) fn redact(line: &str) -> String {
    let mut words = Vec::new();
    for word in line.split(' ') {
        let hidden = word.split_once("://").and_then(|(scheme, rest)| {
            let host = rest.split('/').next().unwrap_or(rest);
            let end = host.rfind('@')?;
            Some(format!("{scheme}://****{}", &rest[end..]))
        });
        words.push(hidden.unwrap_or_else(|| word.to_owned()));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outside_counts() {
        let table = "Inter-|   Receive\n face |bytes packets\n    lo: 999 1 0\n  eth0: 120 1 0\nveth12: 50 1\nwlan0: 3 1\n";
        assert_eq!(count(table), 123);
    }

    #[test]
    fn credentials_in_addresses_are_hidden() {
        assert_eq!(
            redact("looking at https://me:pw@mirror.example/simple/ now"),
            "looking at https://****@mirror.example/simple/ now"
        );
        assert_eq!(redact("mail a@b.example"), "mail a@b.example");
    }
}
