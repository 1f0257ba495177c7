//! Rules between the settings of the broker and those of the provider whose consumer acts.

use super::written::Written;
use super::{Callback, Protocol, ProviderKind, ProviderSettings, Settings, Signature, refuse_in};

impl Settings {
    /// What an operator should know of the broker, though it is no mistake.
    #[must_use]
    pub fn broker_note(&self) -> Option<String> {
        let provider = self.broker.provider.as_ref()?;
        if !self.broker.paws_environment {
            return None;
        }
        if self.broker.client_id.is_some() {
            return Some("Note: broker.paws_environment is on. Every notebook of people who allowed it holds the secret of the consumer of [broker] and its owner's access token: whoever runs code in a notebook, or reads its environment, can act as the owner from anywhere until the owner withdraws it at the wiki, even after the server stopped, and can pass for this consumer at the wiki. Requests signed that way are neither bounded nor listed by the hub. Who signs in cannot be forged with it: that is the consumer of the provider.".to_owned());
        }
        Some(format!(
            "Note: broker.paws_environment is on. Every notebook holds the secret of the consumer of [provider.{provider}] and its owner's access token: whoever runs code in a notebook, or reads its environment, can act as the owner from anywhere until the owner withdraws it at the wiki, even after the server stopped; can pass for this hub at the wiki; and can forge who signs in, if another service believes statements made with this consumer. Requests signed that way are neither bounded nor listed by the hub."
        ))
    }

    /// By which protocol is acted.
    fn broker_protocol(&self, provider: &ProviderSettings) -> Protocol {
        match self.broker.client_id {
            Some(_) => self.broker.protocol,
            None => provider.protocol,
        }
    }

    /// The consumer that acts, where it is another than the provider's.
    fn check_broker_client(&self, refuse: &mut impl FnMut(&'static str, String, &str)) {
        let broker = &self.broker;
        let has_secret = broker.client_secret_file.is_some() || broker.client_secret.is_some();
        let Some(client_id) = &broker.client_id else {
            if has_secret || broker.private_key_file.is_some() || !broker.scopes.is_empty() {
                refuse(
                    "client_id",
                    "there is more of a consumer, and not its key".to_owned(),
                    "Write the key of the consumer that acts, or take the other settings of it out",
                );
            }
            return;
        };
        let Some(named) = &broker.provider else {
            refuse(
                "provider",
                "there is a consumer, and nobody says at which wiki".to_owned(),
                "Write the name of a [provider.<name>] of kind mediawiki",
            );
            return;
        };
        let provider = self.providers.iter().find(|(name, _)| name == named);
        if provider.is_some_and(|(_, provider)| provider.client_id == *client_id) {
            refuse(
                "client_id",
                format!("it is the consumer of [provider.{named}]"),
                "Take it out, and that one acts; or register another with the grants that notebooks may use",
            );
        }
        let is_ours =
            ["/hub/wiki/callback", "/hub/oauth_callback"].contains(&broker.callback_path.as_str());
        // Who comes back must be asked about where they were (RFC 9700, 4.4).
        let is_shared = self
            .providers
            .iter()
            .find(|(_, provider)| provider.callback_path == broker.callback_path);
        if !is_ours {
            refuse(
                "callback_path",
                "browsers that come back there find nothing".to_owned(),
                "Write \"/hub/wiki/callback\" or \"/hub/oauth_callback\"",
            );
        } else if let Some((name, _)) = is_shared {
            refuse(
                "callback_path",
                format!("[provider.{name}] has the same way back"),
                "Register and write another one for that provider, \"/hub/oauth_callback/<name>\"",
            );
        }
        if broker.client_secret_file.is_some() && broker.client_secret.is_some() {
            refuse(
                "client_secret_file",
                "the secret is given twice, here and by the environment".to_owned(),
                "Take one away",
            );
        }
        if broker.protocol == Protocol::Oauth1 && !has_secret {
            refuse(
                "client_secret_file",
                "OAuth 1.0a needs the consumer's secret, with RSA-SHA1 too".to_owned(),
                "Name a file with it, mode 0600",
            );
        }
        let is_rsa = broker.protocol == Protocol::Oauth1 && broker.signature == Signature::RsaSha1;
        if is_rsa != broker.private_key_file.is_some() {
            refuse(
                "private_key_file",
                "a private key and signature = \"rsa-sha1\" with protocol = \"oauth1\" belong together".to_owned(),
                "Set both or neither",
            );
        }
        if broker.protocol == Protocol::Oauth2 && broker.callback == Callback::Sent {
            refuse(
                "callback",
                "OAuth 2.0 always sends the whole address".to_owned(),
                "Take it out",
            );
        }
    }

    /// Where the consumer that acts sends browsers back to, where it is another than the provider's.
    #[must_use]
    pub fn broker_callback_note(&self) -> Option<String> {
        let broker = &self.broker;
        broker.client_id.as_ref()?;
        let has_secret = broker.client_secret_file.is_some() || broker.client_secret.is_some();
        let kind = if has_secret {
            ""
        } else {
            ". It has no secret here, so it must be registered as one that is not confidential"
        };
        Some(format!(
            "[broker]: register its consumer at the wiki with the callback {}{}, and with the grants that people's notebooks may use{kind}",
            self.public_url(),
            broker.callback_path
        ))
    }

    pub(super) fn check_broker(&self, written: &mut Written<'_>) {
        let broker = &self.broker;
        let mut refuse = |key: &'static str, reason: String, fix: &str| {
            refuse_in(written, ("broker", ""), key, reason, fix);
        };
        let has_sites = !broker.sites.is_empty()
            || broker.sites_file.is_some()
            || broker.sites_matrix.is_some();
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
                        if broker.paws_environment
                            && self.broker_protocol(provider) != Protocol::Oauth1 =>
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
        self.check_broker_client(&mut refuse);
        let is_api = |url: &url::Url| {
            url.scheme() == "https"
                && url.path().ends_with("/api.php")
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
        };
        if broker.sites_matrix.as_ref().is_some_and(|url| !is_api(url)) {
            refuse(
                "sites_matrix",
                "it is no https address of an api.php, so who stands in for it could name any wiki"
                    .to_owned(),
                "Write it as the public calls it: \"https://meta.wikimedia.org/w/api.php\"",
            );
        }
        if !(1..=90 * 24 * 3600).contains(&broker.sites_refresh.as_secs()) {
            refuse(
                "sites_refresh",
                "a list that old, or asked for that often, serves nobody".to_owned(),
                "Write from \"1s\" to \"90d\"; \"1d\" is usual",
            );
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
            (
                "provider = \"wiki\"\nscopes = [\"basic\"]",
                "broker.client_id",
            ),
            ("provider = \"wiki\"\nclient_id = \"c\"", "broker.client_id"),
            ("client_id = \"d\"", "broker.provider"),
            (
                "provider = \"wiki\"\nclient_id = \"d\"\ncallback_path = \"/hub/x\"",
                "broker.callback_path",
            ),
            (
                "provider = \"wiki\"\nclient_id = \"d\"\ncallback_path = \"/hub/oauth_callback\"",
                "broker.callback_path",
            ),
            (
                "sites_matrix = \"https://wiki.example/w/api.php\"",
                "broker.provider",
            ),
            (
                "provider = \"wiki\"\nsites_matrix = \"http://wiki.example/w/api.php\"",
                "broker.sites_matrix",
            ),
            (
                "provider = \"wiki\"\nsites_matrix = \"https://wiki.example/\"",
                "broker.sites_matrix",
            ),
            (
                "provider = \"wiki\"\nsites_refresh = \"0s\"",
                "broker.sites_refresh",
            ),
            (
                "provider = \"wiki\"\nclient_id = \"d\"\nprotocol = \"oauth1\"",
                "broker.client_secret_file",
            ),
            (
                "provider = \"wiki\"\nclient_id = \"d\"\ncallback = \"url\"",
                "broker.callback",
            ),
            (
                "provider = \"wiki\"\nclient_id = \"d\"\nprivate_key_file = \"/k\"",
                "broker.private_key_file",
            ),
        ] {
            assert_eq!(load(broker).expect_err(broker), [key], "{broker}");
        }
        assert!(load("provider = \"wiki\"").is_ok_and(|settings| settings.broker_note().is_none()));
    }
}
