//! Who may come in. Held in memory only: before the hub has told, nobody may.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, RwLock};

use holt_spec::replicas::{Grant, Grants};

use super::comment::comment;
use super::passwords::Verifiers;

/// What a launch was granted.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) grant: Grant,
    pub(crate) verifiers: Verifiers,
    /// What begins each of its statements.
    pub(crate) comment: String,
    address: IpAddr,
}

impl Granted {
    /// Whether a client at this address may use it.
    pub(crate) fn is_from(&self, address: IpAddr) -> bool {
        // Unspecified: the way to the gateway hides addresses, so that none can be held against anybody.
        self.address.is_unspecified() || address.to_canonical() == self.address
    }
}

/// What is known of a name.
#[derive(Debug)]
pub(crate) enum Found {
    /// The hub has told nothing yet.
    NothingTold,
    /// Nobody is called so.
    Nobody,
    /// This one.
    Somebody(Arc<Granted>),
}

/// Why grants are not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrantsError {
    /// There are newer ones.
    #[error("the gateway already holds generation {0}")]
    Old(u64),
    /// They make no sense.
    #[error(
        "the grant of launch {0} makes no sense: its verifier is no pair of hashes, or its name is taken"
    )]
    Nonsense(String),
}

#[derive(Debug, Default)]
struct State {
    generation: Option<u64>,
    by_name: HashMap<String, Arc<Granted>>,
    revoked: HashSet<String>,
}

/// The grants in force.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    // Held for a look-up or an exchange of the map.
    state: RwLock<State>,
}

impl Gate {
    /// The generation in force; 0 before there was any.
    pub(crate) fn generation(&self) -> u64 {
        self.state
            .read()
            .expect("no panic under this lock")
            .generation
            .unwrap_or(0)
    }

    /// Who is called so.
    pub(crate) fn find(&self, username: &str) -> Found {
        let state = self.state.read().expect("no panic under this lock");
        match state.by_name.get(username) {
            Some(granted) => Found::Somebody(Arc::clone(granted)),
            None if state.generation.is_none() => Found::NothingTold,
            None => Found::Nobody,
        }
    }

    /// Whether this very grant is still in force.
    pub(crate) fn holds(&self, granted: &Granted) -> bool {
        let state = self.state.read().expect("no panic under this lock");
        state
            .by_name
            .get(&granted.grant.username)
            .is_some_and(|now| is_same(&now.grant, &granted.grant))
    }

    /// Takes the whole set. Of the same generation it is taken too, less what was revoked since.
    ///
    /// # Errors
    /// When a newer set is held, or one of them makes no sense; then nothing changes.
    pub(crate) fn put(&self, grants: Grants) -> Result<u64, GrantsError> {
        let mut by_name = HashMap::with_capacity(grants.grants.len());
        for grant in grants.grants {
            let launch = grant.launch.clone();
            let nonsense = || GrantsError::Nonsense(launch.clone());
            let granted = Granted {
                verifiers: Verifiers::read(&grant.verifier).ok_or_else(nonsense)?,
                comment: comment(grant.user, &grant.server, &grant.launch),
                address: grant.address.to_canonical(),
                grant,
            };
            let name = granted.grant.username.clone();
            if name.is_empty() || by_name.insert(name, Arc::new(granted)).is_some() {
                return Err(nonsense());
            }
        }
        let mut state = self.state.write().expect("no panic under this lock");
        let held = state.generation;
        if let Some(held) = held.filter(|held| *held > grants.generation) {
            return Err(GrantsError::Old(held));
        }
        if held != Some(grants.generation) {
            state.revoked.clear();
        }
        by_name.retain(|_, granted| !state.revoked.contains(&granted.grant.launch));
        state.by_name = by_name;
        state.generation = Some(grants.generation);
        Ok(grants.generation)
    }

    /// These launches may not come in any more, until grants of a newer generation say otherwise.
    pub(crate) fn revoke(&self, launches: &HashSet<String>) {
        let mut state = self.state.write().expect("no panic under this lock");
        state
            .by_name
            .retain(|_, granted| !launches.contains(&granted.grant.launch));
        state.revoked.extend(launches.iter().cloned());
    }
}

/// Whether a session of the one may go on under the other. Limits may change under it.
fn is_same(one: &Grant, other: &Grant) -> bool {
    one.launch == other.launch
        && one.user == other.user
        && one.address == other.address
        && one.verifier == other.verifier
}

#[cfg(test)]
mod tests {
    use holt_spec::replicas::{Limits, Verifier};

    use super::*;

    fn grant(launch: &str) -> Grant {
        Grant {
            launch: launch.to_owned(),
            user: 7,
            name: "Ann".to_owned(),
            server: String::new(),
            username: format!("h{launch}"),
            verifier: Verifier {
                native: "00".repeat(20),
                sha2: "00".repeat(32),
            },
            address: "127.0.0.1".parse().unwrap(),
            limits: Limits::default(),
        }
    }

    fn grants(generation: u64, launches: &[&str]) -> Grants {
        Grants {
            generation,
            listen: None,
            grants: launches.iter().map(|launch| grant(launch)).collect(),
        }
    }

    #[test]
    fn nobody_comes_in_unless_the_hub_said_so() {
        let gate = Gate::default();
        assert!(matches!(gate.find("ha"), Found::NothingTold));
        gate.put(grants(3, &["a", "b"])).unwrap();
        assert!(matches!(gate.find("ha"), Found::Somebody(_)));
        assert!(matches!(gate.find("hx"), Found::Nobody));
        assert!(matches!(gate.put(grants(2, &[])), Err(GrantsError::Old(3))));
        gate.revoke(&HashSet::from(["a".to_owned()]));
        assert!(matches!(gate.find("ha"), Found::Nobody));
        gate.put(grants(3, &["a", "b"])).unwrap();
        assert!(
            matches!(gate.find("ha"), Found::Nobody),
            "the same generation brings nobody back"
        );
        gate.put(grants(4, &["a"])).unwrap();
        assert!(matches!(gate.find("ha"), Found::Somebody(_)));
        assert!(matches!(gate.find("hb"), Found::Nobody));
        assert!(gate.put(grants(5, &["a", "a"])).is_err());
    }

    #[test]
    fn an_address_is_the_same_in_both_families() {
        let gate = Gate::default();
        gate.put(grants(1, &["a"])).unwrap();
        let Found::Somebody(granted) = gate.find("ha") else {
            panic!("it is there")
        };
        assert!(granted.is_from("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!granted.is_from("127.0.0.2".parse().unwrap()));
    }
}
