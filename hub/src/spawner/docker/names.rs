//! What things of ours are called at the engine. Nothing here depends on a user's name.

use sha2::{Digest, Sha256};

use crate::spawner::{LaunchId, LaunchPlan};

/// Label: the hub a container belongs to.
pub(crate) const LABEL_HUB: &str = "holt.hub";
/// Label: the launch.
pub(crate) const LABEL_LAUNCH: &str = "holt.launch";
/// Label: the server's row.
pub(crate) const LABEL_SERVER: &str = "holt.server";
/// Label: hash of what the container was made from.
pub(crate) const LABEL_SPEC: &str = "holt.spec";
/// Label of throwaway containers; its value is the hub.
pub(crate) const LABEL_HELPER: &str = "holt.helper";

/// The names of one hub.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// The hub's id, whole.
    pub(crate) hub: String,
    /// Eight letters made from it: names must be short (a network interface has 15 characters).
    pub(crate) short: String,
}

impl Names {
    pub(crate) fn new(hub: String) -> Self {
        let short = hex::encode(&Sha256::digest(hub.as_bytes())[..4]);
        Self { hub, short }
    }

    /// Name of a launch's container.
    pub(crate) fn container(&self, launch: &LaunchId) -> String {
        format!("holt-{}-{}", self.short, launch.0)
    }

    /// Name of the volume of a home.
    pub(crate) fn volume(&self, key: &str) -> String {
        format!("holt-home-{}-{key}", self.short)
    }

    /// Name of the network, when the operator gives none.
    pub(crate) fn network(&self) -> String {
        format!("holt-{}", self.short)
    }

    /// Name of the network's bridge interface on the host.
    pub(crate) fn bridge(&self) -> String {
        format!("holt-{}", self.short)
    }

    /// Name of the firewall's tables.
    pub(crate) fn table(&self) -> String {
        format!("holt_{}", self.short)
    }

    /// Name of a throwaway container.
    pub(crate) fn helper(&self, purpose: &str) -> String {
        let number: u64 = rand::random();
        format!("holt-{}-{purpose}-{number:016x}", self.short)
    }
}

/// Whether a key may be part of a path and of a volume's name.
pub(crate) fn is_key(key: &str) -> bool {
    (1..=64).contains(&key.len())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && !key.starts_with('-')
}

/// Hash of what a container is made from.
pub(crate) fn spec_hash(plan: &LaunchPlan, image: &str, network: &str) -> String {
    let mut hash = Sha256::new();
    let text = serde_json::to_vec(&(plan, image, network)).expect("a plan has a JSON form");
    hash.update(&text);
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_differ_by_hub() {
        let one = Names::new("01jabc".into());
        let two = Names::new("01jabd".into());
        assert_ne!(one.short, two.short);
        assert!(one.bridge().len() <= 15);
        assert_eq!(
            one.container(&LaunchId("l1".into())),
            format!("holt-{}-l1", one.short)
        );
    }

    #[test]
    fn a_home_key_cannot_leave_its_directory() {
        for key in ["1", "user-7", "a_b"] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", ".", "..", "a/b", "a\0", "-x", "ü", &"1".repeat(65)] {
            assert!(!is_key(key), "{key:?}");
        }
    }
}
