//! From the settings of `[broker]` to the way to wikis. Reads the file with the list of wikis.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::task::TaskTracker;

use super::providers;
use crate::access::Revoke;
use crate::broker::{Broker, BrokerSettings, Dial, Limits, Matrix, Own, Site, Sites};
use crate::config::{ProviderSettings, Settings};
use crate::login::sign_in::SignIn;
use crate::store::Store;

/// The largest file with wikis.
const SITES_BYTES: u64 = 16 << 20;

/// The way to wikis, where the settings have one.
///
/// # Errors
/// When the list of wikis cannot be used; the words name the setting.
pub(super) fn broker(
    settings: &Settings,
    store: &Store,
    sign_in: Arc<SignIn>,
    revoke: Arc<dyn Revoke>,
    tasks: &TaskTracker,
) -> anyhow::Result<Option<Broker>> {
    let Some((name, provider)) = provider(settings) else {
        return Ok(None);
    };
    let broker = &settings.broker;
    let own = own(settings)?;
    let asked = match &own {
        Some(_) => &broker.scopes,
        None => &provider.scopes,
    };
    let settings = BrokerSettings {
        provider: name.to_owned(),
        label: provider.label.clone().unwrap_or_else(|| name.to_owned()),
        manage_url: provider
            .index_url
            .as_ref()
            .map_or_else(String::new, |index| {
                format!("{index}?title=Special:OAuthManageMyGrants")
            }),
        asks_for: asked.clone(),
        sites: sites(settings)?,
        matrix: broker.sites_matrix.clone().map(|api| Matrix {
            api,
            every: broker.sites_refresh,
        }),
        dial: dial(settings)?,
        user_agent: providers::user_agent(settings),
        limits: Limits {
            per_second: broker.requests_per_second,
            burst: broker.burst,
            concurrent: broker.concurrent,
        },
        body_bytes: broker.body_limit.bytes(),
        timeout: broker.timeout,
        paws_environment: broker.paws_environment,
    };
    Ok(Some(Broker::new(
        store.clone(),
        sign_in,
        revoke,
        settings,
        own,
        tasks.clone(),
    )?))
}

/// What is wrong with the list of wikis, for `holt check`.
pub(super) fn mistakes(settings: &Settings) -> Vec<String> {
    if settings.broker.provider.is_none() {
        return Vec::new();
    }
    let errors = [
        sites(settings).err(),
        dial(settings)
            .and_then(|dial| are_wikis(settings, &dial))
            .err(),
        own(settings).err(),
    ];
    let errors = errors.into_iter().flatten();
    errors.map(|error| format!("{error:#}")).collect()
}

/// The provider whose people act.
fn provider(settings: &Settings) -> Option<(&str, &ProviderSettings)> {
    let named = settings.broker.provider.as_ref()?;
    let found = settings.providers.iter().find(|(name, _)| name == named)?;
    Some((named, &found.1))
}

/// The consumer that acts, where it is not the provider's own: at the same wiki, registered apart.
fn own(settings: &Settings) -> anyhow::Result<Option<Own>> {
    let broker = &settings.broker;
    let (Some(client_id), Some((name, provider))) = (&broker.client_id, provider(settings)) else {
        return Ok(None);
    };
    let apart = ProviderSettings {
        client_id: client_id.clone(),
        client_secret: broker.client_secret.clone(),
        client_secret_file: broker.client_secret_file.clone(),
        protocol: broker.protocol,
        signature: broker.signature,
        private_key_file: broker.private_key_file.clone(),
        callback: broker.callback,
        callback_path: broker.callback_path.clone(),
        scopes: broker.scopes.clone(),
        ..provider.clone()
    };
    // A name that no section can have.
    let registered =
        providers::registered(settings, &format!("{name}/broker"), &apart).context("[broker]")?;
    Ok(Some(Own {
        client_id: client_id.clone(),
        registered,
    }))
}

/// Where wikis are dialled.
fn dial(settings: &Settings) -> anyhow::Result<Dial> {
    Dial::parse(&settings.broker.connect_to)
        .map_err(anyhow::Error::msg)
        .context("broker.connect_to")
}

/// Whether what is dialled elsewhere are wikis that may be called. A list that is fetched is not known here.
fn are_wikis(settings: &Settings, dial: &Dial) -> anyhow::Result<()> {
    let Ok(sites) = sites(settings) else {
        return Ok(());
    };
    if settings.broker.sites_matrix.is_some() {
        return Ok(());
    }
    let is_wiki = |host: &str| {
        let mut origins = sites
            .iter()
            .filter_map(|site| site.origin.split_once("://"));
        origins.any(|(_, authority)| authority == host)
    };
    match dial.hosts().find(|host| !is_wiki(host)) {
        Some(host) => anyhow::bail!(
            "broker.connect_to: {host:?} is none of the wikis that may be called: write it as in broker.sites, or take it out"
        ),
        None => Ok(()),
    }
}

/// Wikis that may be called: those of the list and of the file, or the provider's own.
fn sites(settings: &Settings) -> anyhow::Result<Vec<Site>> {
    let broker = &settings.broker;
    let mut sites = Vec::new();
    for text in &broker.sites {
        let site = Site::parse(text).map_err(anyhow::Error::msg);
        sites.push(site.context("broker.sites")?);
    }
    if let Some(path) = &broker.sites_file {
        let read = || -> anyhow::Result<Vec<Site>> {
            anyhow::ensure!(
                std::fs::metadata(path)?.len() <= SITES_BYTES,
                "it is too large for a list of wikis"
            );
            Sites::read(&std::fs::read_to_string(path)?).map_err(anyhow::Error::msg)
        };
        sites.extend(read().with_context(|| format!("broker.sites_file: {}", path.display()))?);
    }
    if sites.is_empty() {
        let own = provider(settings)
            .and_then(|(_, provider)| provider.index_url.as_ref())
            .and_then(|index| index.join("api.php").ok())
            .context("broker.sites: there is no wiki")?;
        let site = Site::parse(own.as_str()).map_err(anyhow::Error::msg);
        sites.push(site.context(
            "broker.sites: nothing is written, and the provider's own wiki cannot be called",
        )?);
    }
    Ok(sites)
}
