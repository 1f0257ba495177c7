//! From the settings of `[broker]` to the way to wikis. Reads the file with the list of wikis.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::task::TaskTracker;

use super::providers;
use crate::access::Revoke;
use crate::broker::{Broker, BrokerSettings, Limits, Site, Sites};
use crate::config::Settings;
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
    let Some(provider) = settings.broker.provider.clone() else {
        return Ok(None);
    };
    let broker = &settings.broker;
    let settings = BrokerSettings {
        provider,
        sites: Sites::new(sites(settings)?),
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
        tasks.clone(),
    )?))
}

/// What is wrong with the list of wikis, for `holt check`.
pub(super) fn mistakes(settings: &Settings) -> Vec<String> {
    match &settings.broker.provider {
        Some(_) => sites(settings)
            .err()
            .map(|error| format!("{error:#}"))
            .into_iter()
            .collect(),
        None => Vec::new(),
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
        let own = settings
            .providers
            .iter()
            .find(|(name, _)| Some(name) == broker.provider.as_ref())
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
