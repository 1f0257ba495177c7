//! Every URL of the hub: pages for people, the API for programs.
//!
//! `router` has the URLs, this file the layers around them in order, `error` the one way from a failure to an answer.
//! A handler says who, what, whether they may, does it, and answers; the rules themselves are in the rooms below.
//!
//! **Invariant:** requests come through our proxy alone, which sets `X-Forwarded-*`, `X-Request-Id` and the listener's header; links,
//! redirects and cookies are made from `public_url`, never from `Host`.

mod api;
mod browser;
mod caller;
mod door;
mod error;
mod layers;
mod next;
mod pages;
mod router;
mod serve;
mod settings;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

pub use self::door::ServerDoor;
pub use self::serve::serve;
pub use self::settings::HttpSettings;
use crate::access::Revoke;
use crate::access::xsrf::Xsrf;
use crate::broker::Broker;
use crate::login::sign_in::SignIn;
use crate::replicas::Replicas;
use crate::secret;
use crate::store::{Store, StoreError};

/// The largest body of a request: our forms and JSON are far smaller.
const BODY_BYTES: usize = 256 << 10;

/// What handlers share. Cheap to clone: every request does, several times.
#[derive(Clone)]
pub struct HubState(Arc<Shared>);

/// The parts themselves.
pub struct Shared {
    pub(crate) store: Store,
    pub(crate) servers: Arc<dyn ServerDoor>,
    pub(crate) settings: Arc<HttpSettings>,
    pub(crate) sign_in: Arc<SignIn>,
    pub(crate) revoke: Arc<dyn Revoke>,
    pub(crate) replicas: Option<Replicas>,
    pub(crate) broker: Option<Broker>,
    pub(crate) metrics: Option<PrometheusHandle>,
    pub(crate) xsrf: Xsrf,
    pub(crate) stop: CancellationToken,
}

impl std::ops::Deref for HubState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl HubState {
    /// Puts the parts together, with the hub's kept key for form proofs.
    ///
    /// # Errors
    /// When the database does not answer.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of its own, named where it is given"
    )]
    pub async fn new(
        store: Store,
        servers: Arc<dyn ServerDoor>,
        settings: HttpSettings,
        sign_in: Arc<SignIn>,
        revoke: Arc<dyn Revoke>,
        replicas: Option<Replicas>,
        broker: Option<Broker>,
        metrics: Option<PrometheusHandle>,
        stop: CancellationToken,
    ) -> Result<Self, StoreError> {
        let key = store
            .keep_setting("xsrf_key", &secret::random_token())
            .await?;
        Ok(Self(Arc::new(Shared {
            xsrf: Xsrf::new(&key),
            store,
            servers,
            settings: Arc::new(settings),
            sign_in,
            revoke,
            replicas,
            broker,
            metrics,
            stop,
        })))
    }
}

/// All URLs with all layers.
pub fn router(state: HubState) -> Router {
    // The last layer is the outermost.
    router::routes()
        // A body is read as a whole before a handler runs: bound it.
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        // A request that takes longer than any of ours may (a slow body, a stuck database) ends, so that it cannot pile up.
        .layer(from_fn(layers::limit_time))
        // More at once than we can serve are told so at once.
        .layer(from_fn_with_state(
            layers::Turns::new(),
            layers::limit_number,
        ))
        // Requests to wikis are large, long and many: they have bounds of their own, in their room.
        .merge(router::broker())
        // A bug in one request is that request's alone.
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(
            layers::answer_panic,
        ))
        .layer(from_fn_with_state(state.clone(), layers::around))
        .with_state(state)
}
