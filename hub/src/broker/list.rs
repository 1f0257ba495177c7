//! Which wikis there are now: those the settings name, and those that a wiki's own list of wikis names, which is fetched, kept and
//! fetched again.
//!
//! What was fetched is a row, so that a hub that starts while that wiki is away knows them, and two hubs know the same. A list that does
//! not come, or is none, changes nothing. **Invariant:** what is fetched adds wikis by https alone: no list leads to this machine.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use super::dial::Dial;
use super::now_ms;
use super::sites::{Site, Sites};
use crate::store::{Store, StoreError};

/// Where it is kept.
const KEPT: &str = "broker.sites";
/// The largest list that is read.
const LARGEST: usize = 16 << 20;
/// How long it may take to come.
const WHOLE: Duration = Duration::from_secs(60);
/// The first pause after a failure; each is twice the one before.
const AGAIN: Duration = Duration::from_secs(5);
const LONGEST_AGAIN: Duration = Duration::from_secs(3600);

/// A wiki that knows which wikis there are.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// Its `api.php`.
    pub api: Url,
    /// How often it is asked.
    pub every: Duration,
}

/// The list.
#[derive(Debug)]
pub(super) struct List {
    named: Vec<Site>,
    matrix: Option<Matrix>,
    now: RwLock<Arc<Sites>>,
}

/// What was fetched.
#[derive(Debug, Serialize, Deserialize)]
struct Fetched {
    /// Whose it is: another wiki's, of earlier settings, is none.
    of: String,
    /// When, in milliseconds since 1970.
    at: u64,
    sites: Vec<Site>,
}

impl List {
    pub(super) fn new(named: Vec<Site>, matrix: Option<Matrix>) -> Self {
        Self {
            now: RwLock::new(Arc::new(Sites::new(named.clone()))),
            named,
            matrix,
        }
    }

    /// The wikis as they are known now.
    pub(super) fn now(&self) -> Arc<Sites> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }

    fn take(&self, fetched: &Fetched) {
        // What the settings name stands over what was fetched.
        let all = fetched.sites.iter().chain(&self.named).cloned();
        let sites = Arc::new(Sites::new(all));
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = sites;
    }

    /// Takes over what is kept; how old it is, `None` where there is nothing.
    pub(super) async fn recall(&self, store: &Store) -> Result<Option<Duration>, StoreError> {
        let Some(matrix) = &self.matrix else {
            return Ok(None);
        };
        let kept = store.setting(KEPT).await?;
        let fetched = kept
            .and_then(|text| serde_json::from_str::<Fetched>(&text).ok())
            .filter(|fetched| fetched.of == matrix.api.as_str());
        Ok(fetched.map(|fetched| {
            self.take(&fetched);
            Duration::from_millis(now_ms().saturating_sub(fetched.at))
        }))
    }

    /// Fetches it whenever it is due, until `stop`.
    pub(super) async fn keep(
        &self,
        store: &Store,
        client: &reqwest::Client,
        dial: &Dial,
        user_agent: &str,
        stop: CancellationToken,
    ) {
        let Some(matrix) = &self.matrix else { return };
        let mut again = AGAIN;
        loop {
            let wait = match self.recall(store).await {
                // Another hub may have fetched it.
                Ok(Some(age)) if age < matrix.every => matrix.every.saturating_sub(age),
                Ok(_) => match self.fetch(store, client, dial, user_agent, matrix).await {
                    Ok(()) => {
                        again = AGAIN;
                        matrix.every
                    }
                    Err(reason) => {
                        warn!(
                            api = %matrix.api,
                            reason,
                            wikis = self.now().count(),
                            "The list of wikis could not be fetched; those that are known go on"
                        );
                        again = (again * 2).min(LONGEST_AGAIN);
                        again.min(matrix.every)
                    }
                },
                Err(error) => {
                    warn!(error = %crate::error_chain(&error), "The list of wikis could not be read");
                    AGAIN
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn fetch(
        &self,
        store: &Store,
        client: &reqwest::Client,
        dial: &Dial,
        user_agent: &str,
        matrix: &Matrix,
    ) -> Result<(), String> {
        let asking = ask(client, dial, user_agent, &matrix.api);
        let text = tokio::time::timeout(WHOLE, asking)
            .await
            .map_err(|_| "it did not come in time".to_owned())??;
        let sites = Sites::of_matrix(&text)?;
        if let Some(site) = sites
            .iter()
            .find(|site| !site.origin.starts_with("https://"))
        {
            return Err(format!("it names {}, which is not https", site.origin));
        }
        let fetched = Fetched {
            of: matrix.api.to_string(),
            at: now_ms(),
            sites,
        };
        self.take(&fetched);
        info!(wikis = self.now().count(), "The list of wikis was fetched");
        let text = serde_json::to_string(&fetched).map_err(|error| error.to_string())?;
        store
            .replace_setting(KEPT, &text)
            .await
            .map_err(|error| crate::error_chain(&error))
    }
}

/// What the wiki says, whole.
async fn ask(
    client: &reqwest::Client,
    dial: &Dial,
    user_agent: &str,
    api: &Url,
) -> Result<String, String> {
    let mut url = api.clone();
    url.query_pairs_mut()
        .append_pair("action", "sitematrix")
        .append_pair("format", "json");
    let mut request = dial.request(Method::GET, &url);
    let agent = HeaderValue::from_str(user_agent).map_err(|error| error.to_string())?;
    request.headers_mut().insert(USER_AGENT, agent);
    let unread = |error: reqwest::Error| crate::error_chain(&error.without_url());
    let mut response = client.execute(request).await.map_err(unread)?;
    if response.status() != StatusCode::OK {
        return Err(format!("it answers {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unread)? {
        if body.len() + chunk.len() > LARGEST {
            return Err("it is too large".to_owned());
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())
}
