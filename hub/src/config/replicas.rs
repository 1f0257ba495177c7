//! Rules between the settings of the wiki replicas, and the accounts in their file.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

use super::written::Written;
use super::{ReplicaClientTls, ReplicaMap, ReplicaTls, ReplicasSettings, Settings, refuse_in};

impl ReplicasSettings {
    /// Whether there is a gateway to the wiki replicas.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.accounts_file.is_some() || self.accounts.is_some()
    }
}

impl Settings {
    pub(super) fn check_replicas(&self, written: &mut Written<'_>) {
        let replicas = &self.replicas;
        let mut refuse = |key: &'static str, reason: String, fix: &str| {
            refuse_in(written, ("replicas", ""), key, reason, fix);
        };
        if replicas.accounts_file.is_some() && replicas.accounts.is_some() {
            refuse(
                "accounts_file",
                "the accounts are given twice, here and by the environment".to_owned(),
                "Take one away",
            );
        }
        if replicas.is_on() && self.replica_sections.is_empty() {
            refuse(
                "accounts_file",
                "there are accounts, but no replica server to use them on".to_owned(),
                "Declare the servers: [replica_section.s1] with backends = [\"host:3306\"]",
            );
        }
        if !replicas.is_on() && !self.replica_sections.is_empty() {
            refuse(
                "accounts_file",
                "there are replica servers, but no account to use on them".to_owned(),
                "Name a file with accounts, one a line: name, a space, password",
            );
        }
        if let Some(section) = &replicas.default_section
            && !self
                .replica_sections
                .iter()
                .any(|(name, _)| name == section)
        {
            refuse(
                "default_section",
                format!("there is no section {section:?}"),
                "Write the name of one of your [replica_section.<name>]",
            );
        }
        let is_dblists = replicas.map == ReplicaMap::Dblists;
        match &replicas.dblists {
            Some(place) if !is_dblists || !is_place(place) => refuse(
                "dblists",
                format!(
                    "{place:?} and map = {:?} do not go together",
                    replicas.map.word()
                ),
                "With map = \"dblists\" write the whole path of a directory, or an address with https://",
            ),
            None if is_dblists => refuse(
                "dblists",
                "nothing says where the dblists are".to_owned(),
                "Write the whole path of a directory, or an address such as \"https://noc.wikimedia.org/conf/dblists\"",
            ),
            _ => {}
        }
        let files = replicas.tls_certificate_file.is_some() && replicas.tls_key_file.is_some();
        let any = replicas.tls_certificate_file.is_some() || replicas.tls_key_file.is_some();
        if (replicas.tls == ReplicaClientTls::Files) != files || any != files {
            refuse(
                "tls",
                "tls = \"files\", tls_certificate_file and tls_key_file belong together".to_owned(),
                "Set all three or none",
            );
        }
        for (key, number) in [
            ("connections", replicas.connections),
            ("queue", replicas.queue),
        ] {
            if number > 1000 || number == 0 && key == "connections" {
                refuse(
                    key,
                    format!("{number} connections of one user make no sense"),
                    "Write a number from 1 to 1000",
                );
            }
        }
        for (key, time) in [
            ("queue_timeout", replicas.queue_timeout),
            ("statement_timeout", replicas.statement_timeout),
            ("idle_timeout", replicas.idle_timeout),
            ("connect_timeout", replicas.connect_timeout),
            ("check_interval", replicas.check_interval),
            ("map_refresh", replicas.map_refresh),
        ] {
            if time.as_millis() < 100 {
                refuse(
                    key,
                    "nothing is that quick".to_owned(),
                    "Write at least \"1s\"",
                );
            }
        }
        if !(1 << 20..=1 << 30).contains(&replicas.statement_limit.bytes()) {
            refuse(
                "statement_limit",
                "queries with long lists would not pass, or one would take all memory".to_owned(),
                "Write from \"1MiB\" to \"1GiB\"",
            );
        }
        for (name, section) in &self.replica_sections {
            let mut refuse = |key: &'static str, reason: String, fix: &str| {
                refuse_in(written, ("replica_section", name), key, reason, fix);
            };
            if section.backends.is_empty() {
                refuse(
                    "backends",
                    "the section has no server".to_owned(),
                    "Write backends = [\"host:3306\"]",
                );
            }
            for backend in &section.backends {
                let lawful = backend.rsplit_once(':').is_some_and(|(host, port)| {
                    !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
                });
                if !lawful || backend.contains(char::is_whitespace) {
                    refuse(
                        "backends",
                        format!("{backend:?} is not a host with a port"),
                        "Write for example \"db1.example.org:3306\"",
                    );
                }
            }
            if let Some(twice) = twice(&section.backends) {
                refuse(
                    "backends",
                    format!("{twice:?} stands there twice"),
                    "Write each server once",
                );
            }
            let known = |database: &String| {
                let others = self.replica_sections.iter();
                let mut before = others.take_while(|(other, _)| other != name);
                before.find(|(_, other)| other.databases.contains(database))
            };
            let elsewhere = section
                .databases
                .iter()
                .find_map(|database| Some((database, known(database)?)));
            if let Some((database, (other, _))) = elsewhere {
                refuse(
                    "databases",
                    format!("{database:?} is in section {other} already"),
                    "Write each database in the one section that has it",
                );
            }
            if section.tls_ca_file.is_some() && section.tls != ReplicaTls::Verify {
                refuse(
                    "tls_ca_file",
                    "certificates are not looked at".to_owned(),
                    "Write tls = \"verify\", or take it out",
                );
            }
        }
    }

    /// The accounts of the replica servers: names and passwords.
    ///
    /// # Errors
    /// What is wrong with their file, in words. Never a password.
    pub fn replica_accounts(&self) -> Result<Vec<(String, SecretString)>, String> {
        let (place, text) = match (&self.replicas.accounts, &self.replicas.accounts_file) {
            (Some(secret), _) => (
                "replicas.accounts".to_owned(),
                SecretString::from(secret.0.expose_secret().replace(';', "\n")),
            ),
            (None, Some(path)) => (path.display().to_string(), read(path)?),
            (None, None) => return Ok(Vec::new()),
        };
        let mut accounts: Vec<(String, SecretString)> = Vec::new();
        for (number, line) in text.expose_secret().lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, password)) = line.split_once(char::is_whitespace) else {
                return Err(format!(
                    "{place}, line {}: there is no password. Write the name, a space and the password",
                    number + 1
                ));
            };
            if accounts.iter().any(|(known, _)| known == name) {
                return Err(format!(
                    "{place}, line {}: account {name} stands there twice. Each serves one user at a time",
                    number + 1
                ));
            }
            accounts.push((name.to_owned(), password.trim().to_owned().into()));
        }
        if accounts.is_empty() {
            return Err(format!(
                "{place} holds no account. Write one a line: name, a space, password"
            ));
        }
        Ok(accounts)
    }

    /// Tells that others can read the accounts' file.
    #[must_use]
    pub fn replica_file_note(&self) -> Option<String> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.replicas.accounts_file.as_ref()?;
        let mode = std::fs::metadata(path).ok()?.permissions().mode();
        (mode & 0o077 != 0).then(|| {
            format!(
                "Note: replicas.accounts_file, {}, can be read by others than its owner: chmod 600 it, since it holds passwords.",
                path.display()
            )
        })
    }

    /// What an operator should know of the replica accounts, though it is no mistake.
    #[must_use]
    pub fn replica_note(&self) -> Option<String> {
        let count = self.replica_accounts().ok()?.len();
        if count > 0 && self.replicas.shared_account {
            return Some("Note: replicas.shared_account is on. Users with the same replica account see each other's queries in SHOW PROCESSLIST, with what is written in them; share its connection limit; and the replica servers' own logs tell users apart only by the comment before each query.".to_owned());
        }
        match count {
            0 => None,
            1 => Some("Note: there is one replica account, so one user works on the replicas at a time, and others wait; more stand in the accounts' file, one a line.".to_owned()),
            _ => Some(format!("Note: {count} users work on the replicas at a time, one for each account; more wait.")),
        }
    }
}

fn twice(texts: &[String]) -> Option<&String> {
    texts
        .iter()
        .enumerate()
        .find_map(|(at, text)| texts[..at].contains(text).then_some(text))
}

fn read(path: &Path) -> Result<SecretString, String> {
    std::fs::read_to_string(path).map(SecretString::from).map_err(|cause| {
        format!("replicas.accounts_file, {}, cannot be read: {cause}. Let the user who runs Holt read it, and nobody else", path.display())
    })
}

fn is_place(place: &str) -> bool {
    place.starts_with('/') || place.starts_with("https://") || place.starts_with("http://")
}
