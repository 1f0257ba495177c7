//! What a launch is given to reach the replicas: a user name and a password of its own, and names of hosts.
//!
//! The password exists here and in the launch alone. A step that is taken again makes a new one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use holt_spec::bundle::{File, REPLICA_FILE};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::secret;
use crate::store::grants::NewGrant;

/// Parts of a launch's name that its user name ends with: short enough for every client, and unique enough.
const NAME_TAIL: usize = 10;
/// What Toolforge calls its replica servers, after a wiki's or a section's name.
const DOMAINS: [&str; 2] = [
    "analytics.db.svc.wikimedia.cloud",
    "web.db.svc.wikimedia.cloud",
];

/// Names of hosts that lead to the gateway.
pub type Hosts = Arc<[String]>;

/// What goes into a launch's bundle.
#[derive(Clone, Default)]
pub struct Given {
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Files.
    pub files: Vec<File>,
}

/// A password and how it is kept.
pub(super) struct Secret {
    pub(super) password: String,
    pub(super) grant: NewGrant,
}

impl Secret {
    /// A new one for a launch of the user.
    pub(super) fn new(user_id: i64) -> Self {
        let password = secret::random_token();
        let tail = &secret::random_id()[..NAME_TAIL];
        let native = Sha1::digest(Sha1::digest(password.as_bytes()));
        let sha2 = Sha256::digest(Sha256::digest(password.as_bytes()));
        Self {
            grant: NewGrant {
                username: format!("u{user_id}_{tail}"),
                native: hex::encode(native),
                sha2: hex::encode(sha2),
            },
            password,
        }
    }

    /// As the launch is told of it.
    pub(super) fn given(&self, gateway: SocketAddr) -> Given {
        let (host, port) = (gateway.ip().to_string(), gateway.port().to_string());
        let (user, password) = (&self.grant.username, &self.password);
        let env = [
            ("MYSQL_HOST", &host),
            ("MYSQL_PORT", &port),
            ("MYSQL_USERNAME", user),
            ("MYSQL_PASSWORD", password),
            ("TOOL_REPLICA_USER", user),
            ("TOOL_REPLICA_PASSWORD", password),
        ];
        let content = format!(
            "# Made for this run of the server. It works from here alone, and no longer than this run.\n\
             [client]\nhost={host}\nport={port}\nuser={user}\npassword={password}\n"
        );
        Given {
            env: env
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .collect(),
            files: vec![File {
                path: REPLICA_FILE.to_owned(),
                mode: 0o400,
                content,
            }],
        }
    }
}

/// Toolforge's names for these databases (`enwiki_p`) and sections.
pub(super) fn hosts(databases: &BTreeMap<String, String>) -> Hosts {
    let wikis = databases
        .keys()
        .map(|database| database.strip_suffix("_p").unwrap_or(database));
    let sections = databases.values().map(String::as_str);
    let mut names: Vec<&str> = wikis
        .chain(sections)
        .filter(|name| is_label(name))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
        .iter()
        .flat_map(|name| DOMAINS.map(|domain| format!("{name}.{domain}")))
        .collect()
}

/// Whether a name can be part of a host's name; a table of hosts is no place for anything else.
fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_what_is_given_and_not_in_what_is_kept() {
        let secret = Secret::new(7);
        let given = secret.given("172.30.0.1:3306".parse().unwrap());
        assert_eq!(given.env["MYSQL_PASSWORD"], secret.password);
        assert_eq!(given.env["TOOL_REPLICA_USER"], secret.grant.username);
        assert!(given.files[0].content.contains(&secret.password));
        assert_eq!(given.files[0].mode, 0o400);
        assert!(!format!("{:?}", secret.grant).contains(&secret.password));
        assert!(secret.grant.username.len() <= 32);
        assert_ne!(Secret::new(7).grant.username, secret.grant.username);
    }

    #[test]
    fn a_verifier_is_the_servers_own_form() {
        // As `SELECT PASSWORD('holt')` of a MariaDB has it, without the star and in lower case.
        let native = hex::encode(Sha1::digest(Sha1::digest(b"holt")));
        assert_eq!(native, "621e6174c32f33d209094cc78ca061e2e3f6ca56");
    }

    #[test]
    fn only_lawful_names_become_hosts() {
        let databases = BTreeMap::from([
            ("enwiki_p".to_owned(), "s1".to_owned()),
            ("meta_p".to_owned(), "s7".to_owned()),
            ("x y_p".to_owned(), "s1\n127.0.0.1".to_owned()),
        ]);
        let hosts = hosts(&databases);
        assert_eq!(hosts.len(), 8, "{hosts:?}");
        assert_eq!(&hosts[0], "enwiki.analytics.db.svc.wikimedia.cloud");
        assert!(hosts.contains(&"s7.web.db.svc.wikimedia.cloud".to_owned()));
    }
}
