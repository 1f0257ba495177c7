//! From the settings of `[provider.*]`, `[access]` and `[auth_state]` to ways to sign in. Reads the files that hold secrets.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use secrecy::SecretString;
use url::Url;

use crate::config::{self, ProviderKind, ProviderSettings, Settings};
use crate::login::admission::Rules;
use crate::login::mediawiki::{Mediawiki, MediawikiSettings, Protocol, Signature};
use crate::login::oidc::{Oidc, OidcSettings};
use crate::login::provider::Provider;
use crate::login::sign_in::{Registered, SignIn};
use crate::secret::seal::Seal;

/// The largest file with a secret.
const SECRET_BYTES: u64 = 64 << 10;

/// All ways to sign in, as the settings have them. Nobody is asked yet.
///
/// # Errors
/// When a file with a secret or key cannot be read or holds none; the words name the setting.
pub(crate) fn sign_in(settings: &Settings) -> anyhow::Result<SignIn> {
    let providers = settings
        .providers
        .iter()
        .map(|(name, provider)| {
            registered(settings, name, provider).with_context(|| format!("[provider.{name}]"))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let access = &settings.access;
    Ok(SignIn {
        providers,
        rules: Rules {
            allow_all: access.allow_all,
            allow: access.allow.clone(),
            allow_groups: access.allow_groups.clone(),
            block: access.block.clone(),
            admins: access.admins.clone(),
            min_account_age_ms: access
                .min_account_age
                .map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
            min_edits: u64::from(access.min_edits),
            refuse_blocked: access.refuse_blocked,
            require_confirmed_email: access.require_confirmed_email,
        },
        seal: Arc::new(seal(settings)?),
        is_local_on: settings.is_local_login_on(),
        is_auto: settings.hub.auto_login,
        is_home_of_sub: settings.server.home_path == config::HomePath::Sub,
        public_url: settings.public_url(),
        max_age: settings.lock_check.max_age,
    })
}

/// Reads everything that [`sign_in`] would read, and makes nothing: for `holt check`. All that is wrong, each in one line.
pub(crate) fn mistakes(settings: &Settings) -> Vec<String> {
    let providers = settings.providers.iter().filter_map(|(name, provider)| {
        let error = registered(settings, name, provider).err()?;
        Some(format!("[provider.{name}]: {error:#}"))
    });
    let keys = match (&settings.auth_state.keys, &settings.auth_state.keys_file) {
        (None, None) => None,
        _ => seal(settings).err().map(|error| format!("{error:#}")),
    };
    providers.chain(keys).collect()
}

/// A provider as one section declares it. Reads the files that hold its secrets.
pub(super) fn registered(
    settings: &Settings,
    name: &str,
    provider: &ProviderSettings,
) -> anyhow::Result<Registered> {
    let user_agent = user_agent(settings);
    let client_secret = match (&provider.client_secret, &provider.client_secret_file) {
        (Some(secret), _) => Some(secret.0.clone()),
        (None, Some(path)) => Some(secret_file("client_secret_file", path)?),
        (None, None) => None,
    };
    let made: Arc<dyn Provider> = match provider.kind {
        ProviderKind::Mediawiki => Arc::new(Mediawiki::new(MediawikiSettings {
            client_secret,
            ..wiki(provider, user_agent)?
        })?),
        ProviderKind::Oidc => Arc::new(Oidc::new(OidcSettings {
            issuer: provider.issuer.clone(),
            authorize_url: provider.authorize_url.clone(),
            token_url: provider.token_url.clone(),
            userinfo_url: provider.userinfo_url.clone(),
            client_id: provider.client_id.clone(),
            client_secret,
            scopes: provider.scopes.clone(),
            claim_id: provider.claim_id.clone(),
            claim_name: provider.claim_name.clone(),
            claim_groups: provider.claim_groups.clone(),
            admin_groups: provider.admin_groups.clone(),
            claim_admin: provider.claim_admin.clone(),
            issuer_name: None,
            user_agent,
            connect_to: provider.connect_to.clone(),
            leeway: provider.leeway,
        })?),
    };
    Ok(Registered {
        name: name.to_owned(),
        label: provider.label.clone().unwrap_or_else(|| name.to_owned()),
        callback_path: provider.callback_path.clone(),
        decides_admins: !provider.admin_groups.is_empty() || provider.claim_admin.is_some(),
        provider: made,
    })
}

/// All but the secret.
fn wiki(provider: &ProviderSettings, user_agent: String) -> anyhow::Result<MediawikiSettings> {
    let index_url = provider.index_url.clone().context("index_url is missing")?;
    let signature = match (provider.signature, &provider.private_key_file) {
        (config::Signature::RsaSha1, Some(path)) => Signature::RsaSha1 {
            private_key: secret_file("private_key_file", path)?,
        },
        _ => Signature::HmacSha1,
    };
    Ok(MediawikiSettings {
        protocol: match provider.protocol {
            config::Protocol::Oauth1 => Protocol::Oauth1,
            config::Protocol::Oauth2 => Protocol::Oauth2,
        },
        signature,
        issuer: provider.issuer.clone(),
        connect_to: provider.connect_to.clone(),
        client_id: provider.client_id.clone(),
        client_secret: None,
        callback_oob: provider.callback == config::Callback::Registered,
        scopes: provider.scopes.clone(),
        user_agent,
        leeway: provider.leeway,
        lock_check_url: provider
            .lock_check
            .then(|| beside(&index_url, "api.php"))
            .flatten(),
        admin_groups: provider.admin_groups.clone(),
        index_url,
    })
}

/// Another file in an address's directory.
fn beside(url: &Url, file: &str) -> Option<Url> {
    url.join(file).ok()
}

/// `Holt/<version> (<contact>)`, as the operators of wikis ask for.
pub(super) fn user_agent(settings: &Settings) -> String {
    let contact = settings
        .hub
        .contact
        .clone()
        .unwrap_or_else(|| settings.public_url());
    format!("Holt/{} ({contact})", env!("CARGO_PKG_VERSION"))
}

/// The text of a file with one secret.
fn secret_file(key: &str, path: &Path) -> anyhow::Result<SecretString> {
    let text =
        read_small(path).with_context(|| format!("{key}: {} cannot be read", path.display()))?;
    let text = text.trim();
    anyhow::ensure!(
        !text.is_empty(),
        "{key}: {} is empty: write the secret into it",
        path.display()
    );
    Ok(SecretString::from(text.to_owned()))
}

fn read_small(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > SECRET_BYTES {
        return Err(std::io::Error::other("it is too large for a secret"));
    }
    std::fs::read_to_string(path)
}

/// The keys for auth states: from the environment, from the named file, or from one in the data directory, made when it is not there.
fn seal(settings: &Settings) -> anyhow::Result<Seal> {
    if let Some(keys) = &settings.auth_state.keys {
        use secrecy::ExposeSecret as _;

        return Seal::from_text(keys.0.expose_secret()).context("auth_state.keys");
    }
    let path = match &settings.auth_state.keys_file {
        Some(path) => path.clone(),
        None => {
            let path = settings.data_dir.path().join("auth-state.keys");
            make_keys(&path).with_context(|| format!("{} cannot be made", path.display()))?;
            path
        }
    };
    let text = read_small(&path)
        .with_context(|| format!("auth_state.keys_file: {} cannot be read", path.display()))?;
    Seal::from_text(&text).with_context(|| format!("auth_state.keys_file: {}", path.display()))
}

/// Makes the file with one new key, unless it is there. Of two hubs that do it at once, one wins, and both read the same key.
fn make_keys(path: &Path) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    writeln!(
        file,
        "# Keys for credentials of people at their providers, the newest first.\n{}",
        Seal::new_key()
    )?;
    file.sync_all()?;
    // A link takes no other file's place, as a rename would.
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
