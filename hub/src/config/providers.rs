//! Rules between the settings of providers, and between them and the rest.

use super::written::{Written, is_name};
use super::{
    Callback, HomePath, LocalLogin, Protocol, ProviderKind, ProviderSettings, Settings, Signature,
    refuse_in,
};

impl Settings {
    /// Whether people sign in with names and passwords that Holt keeps itself.
    #[must_use]
    pub fn is_local_login_on(&self) -> bool {
        match self.hub.local_login {
            LocalLogin::Auto => self.providers.is_empty(),
            LocalLogin::On => true,
            LocalLogin::Off => false,
        }
    }

    pub(super) fn check_providers(&self, written: &mut Written<'_>) {
        for (name, provider) in &self.providers {
            let mut refuse = |key: &'static str, reason: &str, fix: &str| {
                refuse_in(written, ("provider", name), key, reason.to_owned(), fix);
            };
            if provider.client_id.is_empty() {
                refuse(
                    "client_id",
                    "nobody can sign in without it",
                    "Register the hub with the provider, and write the key or id that it gives",
                );
            }
            if provider.client_secret_file.is_some() && provider.client_secret.is_some() {
                refuse(
                    "client_secret_file",
                    "the secret is given twice, here and by the environment",
                    "Take one away",
                );
            }
            if provider.leeway.as_secs() > 300 {
                refuse(
                    "leeway",
                    "clocks that far apart prove nothing",
                    "Write at most \"5m\"",
                );
            }
            let own = format!("/hub/oauth_callback/{name}");
            if provider.callback_path != "/hub/oauth_callback" && provider.callback_path != own {
                refuse(
                    "callback_path",
                    "browsers that come back there find nothing",
                    &format!("Write \"/hub/oauth_callback\" or \"{own}\""),
                );
            }
            // Who comes back must be asked about where they were: shared ways back let one provider pass for another (RFC 9700, 4.4).
            let is_shared = |(other, settings): &(String, ProviderSettings)| {
                other != name && settings.callback_path == provider.callback_path
            };
            if self.providers.iter().any(is_shared) {
                refuse(
                    "callback_path",
                    "two providers have the same way back",
                    &format!("Register and write \"{own}\" for one of them"),
                );
            }
            match provider.kind {
                ProviderKind::Mediawiki => check_wiki(provider, &mut refuse),
                ProviderKind::Oidc => check_oidc(provider, &mut refuse),
            }
        }
        self.check_issuers(written);
        self.check_lists(written);
        if self.server.home_path == HomePath::Sub
            && (self.providers.len() != 1 || self.is_local_login_on())
        {
            refuse_in(
                written,
                ("server", ""),
                "home_path",
                "with \"{sub}\" a home is called as its owner's account at the provider, so there must be exactly one, and no names of Holt's own".to_owned(),
                "Declare one provider and leave hub.local_login off, or write \"{id}\"",
            );
        }
    }
}

impl Settings {
    /// People are known by who vouches for them and their number there: two providers of one issuer would be one. A wiki may be asked
    /// by both protocols.
    fn check_issuers(&self, written: &mut Written<'_>) {
        for (at, (name, provider)) in self.providers.iter().enumerate() {
            let is_same = |(_, other): &&(String, ProviderSettings)| {
                issuer(other).is_some()
                    && issuer(other) == issuer(provider)
                    && (other.kind, provider.kind)
                        != (ProviderKind::Mediawiki, ProviderKind::Mediawiki)
            };
            if let Some((other, _)) = self.providers[..at].iter().find(is_same) {
                refuse_in(
                    written,
                    ("provider", name),
                    "issuer",
                    format!(
                        "[provider.{other}] has the same, so equal numbers would be one person"
                    ),
                    "Give each an issuer of its own, such as the address of its realm",
                );
            }
        }
    }

    /// An entry for a provider that is not there means nobody, and a name means somebody else with another provider.
    fn check_lists(&self, written: &mut Written<'_>) {
        let access = &self.access;
        for (key, list) in [
            ("allow", &access.allow),
            ("block", &access.block),
            ("admins", &access.admins),
        ] {
            for entry in list {
                let named = entry.split_once(':').map(|(named, _)| named);
                match named.filter(|named| is_name(named)) {
                    Some(named) if !self.providers.iter().any(|(name, _)| name == named) => {
                        refuse_in(
                            written,
                            ("access", ""),
                            key,
                            format!(
                                "{entry:?} means an account at \"{named}\", and there is no [provider.{named}]"
                            ),
                            "Write \"<provider>:<number>\" with a provider that is declared, or take it out",
                        );
                    }
                    None if key == "admins" && self.providers.len() > 1 => {
                        refuse_in(
                            written,
                            ("access", ""),
                            key,
                            format!(
                                "{entry:?} is a name, and somebody else may have it at another provider"
                            ),
                            "Write \"<provider>:<number>\"",
                        );
                    }
                    Some(_) | None => {}
                }
            }
        }
    }
}

/// Who vouches for the accounts of a provider, as far as the settings tell.
fn issuer(provider: &ProviderSettings) -> Option<String> {
    let origin = |url: &url::Url| url.origin().ascii_serialization();
    match (provider.kind, &provider.issuer) {
        (ProviderKind::Mediawiki, issuer) => {
            issuer.as_ref().or(provider.index_url.as_ref()).map(origin)
        }
        (ProviderKind::Oidc, Some(issuer)) => {
            Some(issuer.as_str().trim_end_matches('/').to_owned())
        }
        (ProviderKind::Oidc, None) => provider.authorize_url.as_ref().map(origin),
    }
}

fn check_wiki(provider: &ProviderSettings, refuse: &mut impl FnMut(&'static str, &str, &str)) {
    if provider.index_url.as_ref().is_none_or(|url| {
        url.query().is_some() || url.path_segments().and_then(Iterator::last) != Some("index.php")
    }) {
        refuse(
            "index_url",
            "it does not lead to a wiki's index.php",
            "Write it as the public calls it: \"https://meta.wikimedia.org/w/index.php\"",
        );
    }
    let has_secret = provider.client_secret_file.is_some() || provider.client_secret.is_some();
    if provider.protocol == Protocol::Oauth1 && !has_secret {
        refuse(
            "client_secret_file",
            "OAuth 1.0a needs the consumer's secret, with RSA-SHA1 too",
            "Name a file with it, mode 0600",
        );
    }
    let is_rsa = provider.protocol == Protocol::Oauth1 && provider.signature == Signature::RsaSha1;
    if is_rsa != provider.private_key_file.is_some() {
        refuse(
            "private_key_file",
            "a private key and signature = \"rsa-sha1\" with protocol = \"oauth1\" belong together",
            "Set both or neither",
        );
    }
    if provider.protocol == Protocol::Oauth2 && provider.callback == Callback::Sent {
        refuse(
            "callback",
            "OAuth 2.0 always sends the whole address",
            "Take it out",
        );
    }
}

fn check_oidc(provider: &ProviderSettings, refuse: &mut impl FnMut(&'static str, &str, &str)) {
    let endpoints = [
        &provider.authorize_url,
        &provider.token_url,
        &provider.userinfo_url,
    ];
    let given = endpoints.iter().filter(|url| url.is_some()).count();
    if given == 0 && provider.issuer.is_none() {
        refuse(
            "issuer",
            "nothing says where the provider is",
            "Write the issuer for OpenID Connect, or authorize_url, token_url and userinfo_url",
        );
    }
    if given != 0 && given != 3 {
        refuse(
            "authorize_url",
            "authorize_url, token_url and userinfo_url belong together",
            "Write all three, or the issuer alone",
        );
    }
}
