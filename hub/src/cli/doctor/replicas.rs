//! What is wrong with the way to the wiki replicas: the gateway, its backends, and whom a credential is good for.

use std::time::Duration;

use holt_spec::replicas::{STATUS_PATH, Section, Status};

use super::{fine, wrong};
use crate::config::Settings;
use crate::socket;
use crate::spawner::docker::{Finding, Level};
use crate::supervisor::lock::{LockError, UpLock};

/// How long the gateway may take to tell how it is.
const ANSWER: Duration = Duration::from_secs(5);

/// Looks at the gateway, if the settings have one.
pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    if !settings.replicas.is_on() {
        return Vec::new();
    }
    let socket = settings.data_dir.replicas_socket();
    match socket::ask::<Status>(&socket, STATUS_PATH, ANSWER).await {
        Ok(status) => describe(&status),
        Err(_) if !is_up(settings) => vec![note(
            "the replica gateway does not run, because `holt up` does not",
            "start it, then look again",
        )],
        Err(error) => vec![wrong(
            format!("the replica gateway does not answer: {error}"),
            Some(
                "its log says why: log/replicas.log in the data directory, or the journal"
                    .to_owned(),
            ),
        )],
    }
}

/// Where the way from servers hides their addresses.
pub(super) fn hidden_addresses() -> Finding {
    note(
        "the way from containers to this machine hides their addresses: a replica password is good from anywhere that reaches the gateway, so one printed in a public notebook can be used until its server stops",
        "run the hub on the engine's own machine, or in a container of that engine",
    )
}

/// Where all servers are processes of this machine.
pub(super) fn shared_address() -> Finding {
    note(
        "servers are processes of this machine and share its loopback address: a replica password is good for every process here",
        "for addresses of their own install Docker: sudo apt-get install docker.io",
    )
}

fn is_up(settings: &Settings) -> bool {
    matches!(
        UpLock::take(&settings.data_dir),
        Err(LockError::Held { .. })
    )
}

fn describe(status: &Status) -> Vec<Finding> {
    let mut findings = vec![fine(format!(
        "the replica gateway answers: {} clients, {} databases",
        status.connections,
        status.databases.len()
    ))];
    if status.listen.is_empty() {
        findings.push(note(
            "the replica gateway listens nowhere yet",
            "start the hub, which tells it where; if that is done, another program has its port: its log says which",
        ));
    }
    if status.databases.is_empty() {
        findings.push(wrong(
            "the replica gateway knows no database, so every query fails".to_owned(),
            Some("look at the section map in [replicas]".to_owned()),
        ));
    }
    for (name, section) in &status.sections {
        findings.extend(describe_section(name, section));
    }
    findings
}

fn describe_section(name: &str, section: &Section) -> Vec<Finding> {
    let mut findings: Vec<Finding> = section
        .backends
        .iter()
        .filter_map(|backend| {
            let trouble = backend.trouble.as_ref()?;
            let what = format!("section {name}, {}: {trouble}", backend.address);
            let fix = "mend that server or its account, or take it out of [replicas]";
            Some(note(&what, fix))
        })
        .collect();
    if section.up {
        findings.push(fine(match section.lag_seconds {
            Some(lag) => format!("section {name} answers, {lag:.0} s behind"),
            None => format!("section {name} answers"),
        }));
    } else {
        findings.push(wrong(
            format!("section {name} is down: no server of it takes queries"),
            Some("mend one of its servers; what each lacks is said above".to_owned()),
        ));
    }
    findings
}

fn note(what: &str, fix: &str) -> Finding {
    Finding {
        level: Level::Warning,
        what: what.to_owned(),
        fix: Some(fix.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use holt_spec::replicas::Backend;

    use super::*;

    #[test]
    fn an_account_that_can_write_and_a_section_that_is_down_are_told() {
        let section = Section {
            up: false,
            lag_seconds: None,
            stale: false,
            backends: vec![Backend {
                address: "db1:3306".to_owned(),
                up: false,
                draining: false,
                lag_seconds: None,
                trouble: Some("the account may write".to_owned()),
            }],
        };
        let findings = describe_section("s1", &section);
        assert_eq!(findings.len(), 2);
        assert!(findings[0].what.contains("db1:3306: the account may write"));
        assert_eq!(findings[1].level, Level::Error);
    }
}
