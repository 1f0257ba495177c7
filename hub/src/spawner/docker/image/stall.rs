//! Whether something still goes on behind a silent step: bytes from the network, or work.

/// A step that got less than this from the network while it was silent is stalled.
const BYTES: u64 = 60_000;

/// What this machine had received from the network at one moment.
pub(super) struct Received(Option<u64>);

impl Received {
    /// Counts now. Where it cannot be counted, everything is quiet.
    pub(super) fn now() -> Self {
        let table = std::fs::read_to_string("/proc/net/dev").ok();
        Self(table.map(|table| count(&table)))
    }

    /// Next to nothing came since.
    pub(super) fn is_quiet(&self) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outside_counts() {
        let table = "Inter-|   Receive\n face |bytes packets\n    lo: 999 1 0\n  eth0: 120 1 0\nveth12: 50 1\nwlan0: 3 1\n";
        assert_eq!(count(table), 123);
    }
}
