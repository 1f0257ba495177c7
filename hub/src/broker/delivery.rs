//! What a launch is given to reach the broker: a token of its own and the list of wikis, as files on tmpfs, and where they are.
//!
//! The token exists here and in the launch alone. A step that is taken again makes a new one.

use std::collections::BTreeMap;

use holt_spec::bundle::{BROKER_SITES_FILE, BROKER_TOKEN_FILE, File};
use serde_json::json;

use super::sites::Sites;

/// What goes into a launch's bundle.
#[derive(Clone, Default)]
pub struct Given {
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Files.
    pub files: Vec<File>,
}

/// What a launch is told: the broker's address, its token, the account's name at the wikis, and which wikis there are.
pub(super) fn given(url: &str, token: &str, name: &str, sites: &Sites) -> Given {
    let told = json!({ "user": name, "sites": sites.all().collect::<Vec<_>>() });
    let env = [
        ("HOLT_BROKER_URL", url),
        ("HOLT_BROKER_TOKEN_FILE", BROKER_TOKEN_FILE),
        ("HOLT_BROKER_SITES_FILE", BROKER_SITES_FILE),
    ];
    Given {
        env: env
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        files: vec![
            File {
                path: BROKER_TOKEN_FILE.to_owned(),
                mode: 0o400,
                content: token.to_owned(),
            },
            File {
                path: BROKER_SITES_FILE.to_owned(),
                mode: 0o444,
                content: told.to_string(),
            },
        ],
    }
}
