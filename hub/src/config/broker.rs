//! Rules between the settings of the broker and those of the provider whose consumer acts.

use super::written::Written;
use super::{ProviderKind, Settings, refuse_in};

impl Settings {
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
