//! Requests to wikis on a person's behalf: a notebook says what it wants sent, and the hub signs and sends it.
//!
//! A notebook is known by a token that sends requests and does nothing else, from its launch's own address, while the launch is wanted to
//! run. What a request may be is decided in `sites` (addresses) and `request` (all else); what it is authorised with comes out of a
//! sealed row for each attempt (`credentials`); answers stream back.
//!
//! A request that may have been carried out is never sent twice: what certainly did not leave is *not sent*, what left and was not
//! answered is *unknown*, and only who asked can find out what became of it. Reading is repeated once, signed anew.
//!
//! A request under way is broken off within a second or two of the moment in which its launch is wished to end, its owner stops it, or
//! takes the permission back (`watch`).
//!
//! **Invariant:** no credential of a wiki leaves this room but in a request to a wiki of the list, over TLS or on this machine; and, where
//! the operator wants it, into the environment of its owner's launches.

mod actions;
mod attempt;
mod body;
mod consent;
mod credentials;
mod delivery;
mod dial;
mod kind;
mod limits;
mod list;
mod looks;
mod memory;
mod parts;
mod refusal;
mod request;
mod sites;
#[cfg(test)]
pub(crate) mod tests;
mod watch;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::Body;
use reqwest::redirect::Policy;
use secrecy::ExposeSecret as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use self::actions::{Actions, Entry};
use self::attempt::Attempt;
use self::body::Passing;
pub use self::consent::{ConsentError, Own, Permission};
use self::credentials::Credentials;
pub use self::delivery::Given;
pub use self::dial::Dial;
use self::kind::BodyKind;
pub use self::limits::Limits;
use self::limits::{Turn, Turns};
use self::list::List;
pub use self::list::Matrix;
use self::looks::Looks;
use self::memory::Memory;
use self::parts::Parts;
pub use self::refusal::{Bad, BrokerError, Outcome};
pub use self::sites::{Site, Sites};
use crate::access::Revoke;
use crate::login::provider::LoginError;
use crate::login::sign_in::SignIn;
use crate::secret;
use crate::store::broker::{BrokerCaller, WikiAction};
use crate::store::launches::{LaunchRow, Lease, ServerRow};
use crate::store::{Store, StoreError};

/// The largest form: it is read whole, since it is signed.
const FORM_BYTES: usize = 16 << 20;
/// How long what was read about a launch may be gone by.
pub(crate) const FRESH: Duration = Duration::from_millis(100);
const CONNECT: Duration = Duration::from_secs(10);
/// Shorter than wikis keep a resting connection, so that a request hardly ever meets one that ends.
const RESTING: Duration = Duration::from_secs(4);

/// What the broker goes by.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// The provider whose people act, by its consumer or by another one there.
    pub provider: String,
    /// What the provider is called.
    pub label: String,
    /// The page of the wiki where people take back what they allowed.
    pub manage_url: String,
    /// The wiki's names for what the consumer asks for, as far as the settings say.
    pub asks_for: Vec<String>,
    /// Wikis that may be called.
    pub sites: Vec<Site>,
    /// Which wiki tells of more of them.
    pub matrix: Option<Matrix>,
    /// Where they are dialled, when it is not where their addresses say.
    pub dial: Dial,
    /// `Name/version (contact)`.
    pub user_agent: String,
    /// What one user may do.
    pub limits: Limits,
    /// The largest body that is sent.
    pub body_bytes: u64,
    /// How long a wiki may take to answer.
    pub timeout: Duration,
    /// Whether launches are given the credentials themselves too, under PAWS's names.
    pub paws_environment: bool,
}

/// A request as a notebook describes it.
pub struct Asked<'a> {
    /// What the launch shows.
    pub token: &'a str,
    /// Where it comes from, if that is known.
    pub from: Option<IpAddr>,
    /// The method.
    pub method: &'a str,
    /// The whole address.
    pub url: &'a str,
    /// All headers that came; few of them are sent.
    pub headers: &'a HeaderMap,
}

/// By what a caller is known.
struct Shown<'a> {
    token: &'a str,
    from: Option<IpAddr>,
}

/// What a wiki answered. The body streams; a turn of the user is held until it ends.
pub struct Answer {
    /// The status.
    pub status: http::StatusCode,
    /// Headers that a notebook may see.
    pub headers: HeaderMap,
    /// The body.
    pub body: Answering,
}

/// The way to wikis. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    settings: BrokerSettings,
    credentials: Credentials,
    looks: Looks,
    client: reqwest::Client,
    list: List,
    turns: Turns,
    forms: Memory,
    actions: Actions,
    /// Taken by the task that writes.
    written: Mutex<Option<mpsc::Receiver<WikiAction>>>,
    /// Where launches reach the hub, once it is known.
    met: RwLock<String>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("settings", &self.inner.settings)
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Makes ready; nobody is asked anything. With a consumer of its own people must allow it first. Renewals run on `tasks`.
    ///
    /// # Errors
    /// [`LoginError::Operator`] when there can be no HTTP client.
    pub fn new(
        store: Store,
        sign_in: Arc<SignIn>,
        revoke: Arc<dyn Revoke>,
        settings: BrokerSettings,
        own: Option<Own>,
        tasks: TaskTracker,
    ) -> Result<Self, LoginError> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(settings.timeout)
            .pool_idle_timeout(RESTING)
            .no_proxy()
            .build()
            .map_err(|error| LoginError::Operator {
                reason: format!("no HTTP client can be made: {}", crate::error_chain(&error)),
            })?;
        let (actions, written) = Actions::new();
        let provider: Arc<str> = Arc::from(settings.provider.as_str());
        let credentials = Credentials {
            store: store.clone(),
            sign_in,
            revoke,
            provider: Arc::clone(&provider),
            own: own.map(Arc::new),
            tasks,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                looks: Looks::new(store.clone(), provider, credentials.consumer()),
                store,
                turns: Turns::new(settings.limits),
                list: List::new(settings.sites.clone(), settings.matrix.clone()),
                settings,
                credentials,
                client,
                forms: Memory::new(),
                actions,
                written: Mutex::new(Some(written)),
                met: RwLock::default(),
            }),
        })
    }

    /// Says where launches reach the hub: `http://address:port`.
    pub fn meet(&self, origin: &str) {
        let mut met = self
            .inner
            .met
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        origin.clone_into(&mut met);
    }

    /// Takes over the list of wikis that was fetched last.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn recall_sites(&self) -> Result<(), StoreError> {
        self.inner.list.recall(&self.inner.store).await?;
        Ok(())
    }

    /// Fetches the list of wikis whenever it is due, until `stop`.
    pub async fn keep_sites(self, stop: CancellationToken) {
        let inner = &self.inner;
        let settings = &inner.settings;
        inner
            .list
            .keep(
                &inner.store,
                &inner.client,
                &settings.dial,
                &settings.user_agent,
                stop,
            )
            .await;
    }

    /// Writes down what is sent, until `stop`. A second call does nothing.
    pub async fn run(self, stop: CancellationToken) {
        let from = self
            .inner
            .written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(from) = from {
            actions::write_down(self.inner.store.clone(), from, stop).await;
        }
    }

    /// Makes a token for a launch, in place of an earlier one; it works once the launch runs, from there alone. Nothing where the owner has
    /// no account at the provider, where the lease was lost, or before it is known where launches reach the hub.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn give(
        &self,
        lease: &Lease,
        server: &ServerRow,
        launch: &LaunchRow,
    ) -> Result<Given, StoreError> {
        let inner = &self.inner;
        let met = inner
            .met
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let name = inner
            .store
            .name_at(server.user_id, &inner.settings.provider)
            .await?;
        let (Some(name), false) = (name, met.is_empty()) else {
            return Ok(Given::default());
        };
        let token = secret::random_token();
        let hash = secret::hash(&token);
        if !inner
            .store
            .keep_broker_grant(lease, &launch.id, &hash)
            .await?
        {
            return Ok(Given::default());
        }
        let url = format!("{met}/hub/api/broker");
        let mut given = delivery::given(&url, &token, &name, &inner.list.now());
        if inner.settings.paws_environment {
            let all = inner.credentials.paws_environment(server.user_id).await?;
            if !all.is_empty() {
                given.env.insert("USER".to_owned(), name);
            }
            let all = all.into_iter();
            given.env.extend(
                all.map(|(name, value)| (name.to_owned(), value.expose_secret().to_owned())),
            );
        }
        Ok(given)
    }

    /// Whose request this is, by its token and where it comes from.
    ///
    /// # Errors
    /// [`BrokerError::NoCaller`], [`BrokerError::Halted`], or the database.
    pub async fn caller(
        &self,
        token: &str,
        address: Option<IpAddr>,
    ) -> Result<BrokerCaller, BrokerError> {
        if token.len() != secret::TOKEN_CHARS {
            return Err(BrokerError::NoCaller);
        }
        let caller = self
            .inner
            .looks
            .look(&secret::hash(token))
            .await?
            .ok_or(BrokerError::NoCaller)?;
        if !caller.address.is_unspecified() && address != Some(caller.address) {
            if self.inner.actions.may_tell(&caller.launch) {
                info!(
                    launch.id = caller.launch,
                    "A token of launch {} was shown from elsewhere", caller.launch
                );
            }
            return Err(BrokerError::NoCaller);
        }
        if caller.halted {
            return Err(BrokerError::Halted);
        }
        Ok(caller)
    }

    /// Whose request this is, if there is something to act with too.
    async fn actor(&self, shown: &Shown<'_>) -> Result<BrokerCaller, BrokerError> {
        let caller = self.caller(shown.token, shown.from).await?;
        if caller.auth_state.is_none() {
            return Err(self.inner.credentials.nothing());
        }
        Ok(caller)
    }

    /// Sends a request as the owner of the launch that asks, and returns what the wiki answered, whatever it is.
    ///
    /// # Errors
    /// [`BrokerError`], which says whether the wiki may have carried it out.
    pub async fn send<B>(&self, asked: Asked<'_>, body: B) -> Result<Answer, BrokerError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let looked = Instant::now();
        let caller = self.caller(asked.token, asked.from).await;
        let caller = caller.inspect_err(|error| self.inner.actions.turned_away(error))?;
        let launch = caller.launch.clone();
        let mut entry = self.inner.actions.begin(&caller, asked.method);
        match self.carry(caller, looked, asked, body, &mut entry).await {
            Ok(answer) => {
                let code = answer.headers.get("mediawiki-api-error");
                let code = code.and_then(|code| code.to_str().ok()).unwrap_or_default();
                entry.answered(answer.status.as_u16(), code);
                Ok(answer)
            }
            Err(error) => {
                debug!(launch.id = launch, error = %crate::error_chain(&error), "A request to a wiki has no answer");
                entry.failed(&error);
                Err(error)
            }
        }
    }

    async fn carry<B>(
        &self,
        mut caller: BrokerCaller,
        looked: Instant,
        asked: Asked<'_>,
        mut body: B,
        entry: &mut Entry,
    ) -> Result<Answer, BrokerError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let settings = &self.inner.settings;
        // What is refused counts too: a flood of it is a flood.
        let turn = self.inner.turns.take(caller.user_id).await?;
        entry.asks_for(asked.url);
        let target = self.inner.list.now().target(asked.url)?;
        entry.is_for(&target.host, "");
        let method = request::method(asked.method, &target.door)?;
        let headers = request::headers(asked.headers, &settings.user_agent, &caller.user)?;
        let kind = kind::of(asked.headers, body.is_end_stream(), &target.door)?;
        let reads = matches!(method, http::Method::GET | http::Method::HEAD);
        if reads && kind != BodyKind::Empty && target.door == sites::Door::Api {
            // PHP reads no fields in it, so nothing there could say what is asked for.
            return Err(Bad::ContentType.into());
        }
        if body.size_hint().lower() > settings.body_bytes {
            return Err(Bad::TooLarge.into());
        }
        // Held until the wiki has answered: the form is signed and may be sent again.
        let mut held = self.inner.forms.of(caller.user_id);
        let (begun, is_over) = match kind {
            BodyKind::Empty => (Bytes::new(), true),
            BodyKind::Form => (
                body::read_form(&mut body, FORM_BYTES, &mut held, body::FORMS).await?,
                true,
            ),
            BodyKind::Multipart(_) | BodyKind::Other => {
                body::read(&mut body, request::PEEK).await?
            }
        };
        let query: Vec<(String, String)> =
            request::fields(target.url.query().unwrap_or_default().as_bytes())?;
        let form = match kind {
            BodyKind::Form => request::fields_of(&begun).await?,
            _ => Vec::new(),
        };
        let mut parts = match &kind {
            BodyKind::Multipart(boundary) => {
                let taken = query.iter().map(|(name, _)| name.clone());
                Some(Parts::new(boundary, taken))
            }
            BodyKind::Empty | BodyKind::Form | BodyKind::Other => None,
        };
        if let Some(parts) = &mut parts {
            parts.take(&begun)?;
            if is_over {
                parts.end()?;
            }
        }
        let module = request::module(&target, &query, &form, parts.as_ref())?;
        if let Some(parts) = &mut parts {
            parts.decided();
        }
        entry.is_for(&target.host, &module);
        let whole = is_over.then(|| begun.clone());
        let attempt = Attempt {
            broker: self,
            shown: Shown {
                token: asked.token,
                from: asked.from,
            },
            target: &target,
            method,
            headers,
            form,
        };
        let stream = match &whole {
            Some(_) => None,
            None => Some(reqwest::Body::wrap(Passing::new(
                begun,
                body,
                settings.body_bytes,
                is_over,
                parts,
            ))),
        };
        if looked.elapsed() > FRESH {
            // It waited for its turn or its body, and may not be wished any more.
            caller = self.caller(asked.token, asked.from).await?;
        }
        attempt.go(caller, whole, stream, turn, entry).await
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A wiki's answer on its way, which holds its user's turn.
#[derive(Debug)]
pub struct Answering {
    body: reqwest::Body,
    _turn: Turn,
}

impl Body for Answering {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, reqwest::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
