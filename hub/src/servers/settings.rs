//! What an operator can say about the life of servers: `[server]`.

use std::collections::BTreeMap;
use std::time::Duration;

/// Limits and times of servers.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSettings {
    /// Starts at the same time; further ones stand in the queue.
    pub concurrent_starts: u32,
    /// Servers at the same time; `None` is no limit. Further ones stand in the queue.
    pub active_servers: Option<u32>,
    /// Named servers one user may have; 0 switches them off.
    pub named_servers_per_user: u32,
    /// Stop a server that was not used for so long; `None` never does.
    pub idle_timeout: Option<Duration>,
    /// How long the engine may take to make and start a container.
    pub start_timeout: Duration,
    /// How long a started server may take to answer.
    pub ready_timeout: Duration,
    /// Memory limit in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU limit in cores.
    pub cpus: Option<f64>,
    /// Limit of processes and threads.
    pub pids: Option<u64>,
    /// Port servers listen on, inside.
    pub port: u16,
    /// Added to the environment of every server.
    pub environment: BTreeMap<String, String>,
    /// Where a browser lands in a server.
    pub default_url: String,
    /// The mounts that servers share.
    pub mounts: MountUsers,
}

/// The mounts that servers share, by name, and who gets each: names, or `#<number>`; none is everybody, an empty list is nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountUsers(pub Vec<(String, Option<Vec<String>>)>);

impl MountUsers {
    /// The names of the mounts that a user gets.
    #[must_use]
    pub fn of_user(&self, id: i64, name: &str) -> Vec<String> {
        let is_meant = |wanted: &String| match wanted.strip_prefix('#') {
            Some(number) => number.parse() == Ok(id),
            None => wanted == name,
        };
        self.0
            .iter()
            .filter(|(_, users)| {
                users
                    .as_ref()
                    .is_none_or(|users| users.iter().any(is_meant))
            })
            .map(|(mount, _)| mount.clone())
            .collect()
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            concurrent_starts: u32::try_from(cores * 2).unwrap_or(64).max(4),
            active_servers: None,
            named_servers_per_user: 0,
            idle_timeout: None,
            start_timeout: Duration::from_secs(60),
            ready_timeout: Duration::from_secs(60),
            memory_bytes: None,
            cpus: None,
            pids: Some(512),
            port: 8888,
            environment: BTreeMap::new(),
            default_url: "/lab".to_owned(),
            mounts: MountUsers::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_for_those_it_names_or_for_all() {
        let mounts = MountUsers(vec![
            ("dumps".into(), None),
            ("team".into(), Some(vec!["Rook".into(), "#7".into()])),
            ("nobodys".into(), Some(vec![])),
        ]);
        assert_eq!(mounts.of_user(1, "Rook"), ["dumps", "team"]);
        assert_eq!(mounts.of_user(7, "Heron"), ["dumps", "team"]);
        assert_eq!(mounts.of_user(2, "#7"), ["dumps"]);
        assert_eq!(mounts.of_user(2, "rook"), ["dumps"]);
    }
}
