//! Rules between the settings of the broker and those of the provider whose consumer acts.

use super::written::Written;
use super::{Protocol, ProviderKind, Settings, refuse_in};

impl Settings {
    /// What an operator should know of the broker, though it is no mistake.
    #[must_use]
    pub fn broker_note(&self) -> Option<String> {
        let provider = self.broker.provider.as_ref()?;
        self.broker.paws_environment.then(|| format!(
            "Note: broker.paws_environment is on. Every notebook holds the secret of the consumer of [provider.{provider}] and its owner's access token: whoever runs code in a notebook, or reads its environment, can act as the owner from anywhere until the owner withdraws it at the wiki, even after the server stopped; can pass for this hub at the wiki; and can forge who signs in, if another service believes statements made with this consumer. Requests signed that way are neither bounded nor listed by the hub."
        ))
    }

    pub(super) fn check_broker(&self, written: &mut Written<'_>) {
        let broker = &self.broker;
        let mut refuse = |key: &'static str, reason: String, fix: &str| {
            refuse_in(written, ("broker", ""), key, reason, fix);
        };
        let has_sites = !broker.sites.is_empty() || broker.sites_file.is_some();
        match &broker.provider {
            None if has_sites => refuse(
                "provider",
                "there are wikis, and nobody says whose consumer acts there".to_owned(),
                "Write the name of a [provider.<name>] of kind mediawiki",
            ),
            None => {}
            Some(named) => {
                let found = self.providers.iter().find(|(name, _)| name == named);
                match found {
                    None => refuse(
                        "provider",
                        format!("there is no [provider.{named}]"),
                        "Write the name of one of your providers of kind mediawiki",
                    ),
                    Some((_, provider)) if provider.kind != ProviderKind::Mediawiki => refuse(
                        "provider",
                        format!("[provider.{named}] is no wiki"),
                        "Write the name of one of your providers of kind mediawiki",
                    ),
                    Some((_, provider))
                        if broker.paws_environment && provider.protocol != Protocol::Oauth1 =>
                    {
                        refuse(
                            "paws_environment",
                            "these variables are those of OAuth 1.0a".to_owned(),
                            "Take it out, or register a consumer of OAuth 1.0a and write protocol = \"oauth1\" for the provider",
                        );
                    }
                    Some(_) => {}
                }
            }
        }
        for (key, number) in [
            ("requests_per_second", broker.requests_per_second),
            ("burst", broker.burst),
            ("concurrent", broker.concurrent),
        ] {
            if !(1..=10_000).contains(&number) {
                refuse(
                    key,
                    format!("{number} lets nobody work, or everybody do everything"),
                    "Write a number from 1 to 10000",
                );
            }
        }
        if broker.body_limit.bytes() < 1 << 20 {
            refuse(
                "body_limit",
                "pages of a wiki may be larger".to_owned(),
                "Write at least \"1MiB\"; \"256MiB\" takes most files",
            );
        }
        if !(1..=3600).contains(&broker.timeout.as_secs()) {
            refuse(
                "timeout",
                "wikis take some seconds, and at most some minutes".to_owned(),
                "Write from \"1s\" to \"1h\"; \"3m\" is usual",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Settings, Sources};

    fn load(broker: &str) -> Result<Settings, Vec<String>> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("holt.toml");
        let text = format!(
            "[broker]\n{broker}\n[provider.wiki]\nclient_id = \"c\"\nprotocol = \"oauth2\"\n\
             index_url = \"https://wiki.example/w/index.php\"\n[provider.realm]\nkind = \"oidc\"\nclient_id = \"c\"\n\
             issuer = \"https://realm.example\"\ncallback_path = \"/hub/oauth_callback/realm\"\n"
        );
        std::fs::write(&path, text).expect("it can be written");
        let sources = Sources {
            config: Some(path),
            data_dir: Some(directory.path().to_owned()),
            ..Sources::default()
        };
        let words = |problems: Vec<crate::config::Problem>| {
            problems
                .iter()
                .map(|problem| problem.key.clone().unwrap_or_default())
                .collect()
        };
        Settings::load(&sources).map_err(words)
    }

    #[test]
    fn mistakes_are_told_by_field() {
        for (broker, key) in [
            ("sites = [\"en.wikipedia.org\"]", "broker.provider"),
            ("provider = \"nobody\"", "broker.provider"),
            ("provider = \"realm\"", "broker.provider"),
            ("provider = \"wiki\"\nburst = 0", "broker.burst"),
            ("provider = \"wiki\"\nconcurrent = 0", "broker.concurrent"),
            (
                "provider = \"wiki\"\nbody_limit = \"1KiB\"",
                "broker.body_limit",
            ),
            ("provider = \"wiki\"\ntimeout = \"2h\"", "broker.timeout"),
            (
                "provider = \"wiki\"\npaws_environment = true",
                "broker.paws_environment",
            ),
        ] {
            assert_eq!(load(broker).expect_err(broker), [key], "{broker}");
        }
        assert!(load("provider = \"wiki\"").is_ok_and(|settings| settings.broker_note().is_none()));
    }
}
