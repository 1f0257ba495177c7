//! A wiki for tests: MediaWiki's Extension:OAuth in both versions, and CentralAuth's answers, on a real socket.
//!
//! It checks what the real one checks, in the order it does, and answers in its words and with its statuses: refusals of OAuth 1.0a are
//! 200, a denied 2.0 comes back without its state. A browser is somebody there when it has the wiki's cookie, which the wiki's own
//! sign-in form sets. [`Fault`] makes it fail as wikis fail.

mod accounts;
mod oauth1;
mod oauth2;
mod pages;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

pub use accounts::Account;

/// The consumer of OAuth 1.0a that every wiki knows.
pub const CONSUMER: &str = "ff68fd86be55839e0bc4db271de8860c";
/// Its secret, which is one of tests only.
pub const CONSUMER_SECRET: &str = "707b147bc75e3b420d4220edb2da8d3d6bd70d40";
/// The client of OAuth 2.0 that every wiki knows, confidential.
pub const CLIENT: &str = "3cabb77d846d0a7d9a5e4946f1095b90";
/// Its secret, which is one of tests only.
pub const CLIENT_SECRET: &str = "1a86b09c5bfbd1d1dc2f5e3a1c4e6f708192a3b4";

/// How a wiki fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// It does not.
    #[default]
    None,
    /// 500 with a page.
    Broken,
    /// 200 with a page, as of a captive portal.
    Captive,
    /// 429, and how many seconds to wait.
    TooMany(u64),
    /// 403 with a page, for a user agent it does not like.
    Agent,
    /// 301 to another address.
    Moved,
    /// The tables of OAuth are read-only.
    ReadOnly,
    /// Its statements are signed with another key.
    WrongKey,
    /// Its statements are for another consumer.
    WrongAudience,
    /// Its statements answer another request.
    WrongNonce,
    /// Its statements are over.
    Expired,
    /// Its statements are not signed at all.
    Unsigned,
    /// Only what tells of locks is away.
    LocksAway,
}

/// What it is like now.
#[derive(Debug, Default)]
pub struct World {
    /// Accounts by their central number.
    pub accounts: BTreeMap<u64, Account>,
    /// How it fails.
    pub fault: Fault,
    /// How many seconds its clock is ahead of ours.
    pub ahead: i64,
    /// Where OAuth 1.0a leads browsers back to.
    pub callback: String,
    /// Whether that is a prefix, so that the consumer says the whole.
    pub is_callback_prefix: bool,
    /// Where OAuth 2.0 may lead browsers back to, to the letter.
    pub callbacks_of_oauth2: BTreeSet<String>,
    /// Paths and pages that were asked for, oldest first: `initiate`, `token`, `identify`, `access_token`, `profile`, `globaluserinfo`.
    pub asked: Vec<String>,
    /// What those who asked called themselves.
    pub agents: BTreeSet<String>,
    oauth1: oauth1::Oauth1,
    oauth2: oauth2::Oauth2,
    /// Browsers by cookie.
    browsers: BTreeMap<String, u64>,
    count: u64,
}

/// A running wiki. Dropping it ends it.
#[derive(Debug)]
pub struct Wiki {
    address: SocketAddr,
    shared: Shared,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Shared {
    world: Arc<Mutex<World>>,
    base: String,
}

impl Wiki {
    /// Starts one on a free port. `callback` is where browsers are led back to, as registered for both protocols.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(callback: &str) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let world = World {
            callback: callback.to_owned(),
            callbacks_of_oauth2: BTreeSet::from([callback.to_owned()]),
            ..World::default()
        };
        let shared = Shared {
            world: Arc::new(Mutex::new(world)),
            base: format!("http://{address}"),
        };
        let router = Router::new()
            .route("/w/index.php", any(index))
            .route("/w/api.php", get(accounts::globaluserinfo))
            .route("/w/rest.php/oauth2/authorize", any(oauth2::authorize))
            .route(
                "/w/rest.php/oauth2/access_token",
                post(oauth2::access_token),
            )
            .route("/w/rest.php/oauth2/resource/profile", get(oauth2::profile))
            .layer(from_fn_with_state(shared.clone(), fail))
            .with_state(shared.clone());
        let task = tokio::spawn(async move {
            // It ends with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Its origin, as it calls itself.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its `index.php`.
    #[must_use]
    pub fn index_url(&self) -> String {
        format!("{}/w/index.php", self.url())
    }

    /// What it is like now, to look at and to change.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }

    /// Makes an account, or gives it another name.
    pub fn account(&self, sub: u64, name: &str) {
        self.world().accounts.entry(sub).or_default().name = name.to_owned();
    }
}

impl Drop for Wiki {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("nothing panics while it is held")
    }
}

impl World {
    /// A new key or secret: 32 hexadecimal digits that nobody has.
    fn random(&mut self) -> String {
        self.count += 1;
        let own = (self.count, std::process::id(), SystemTime::now());
        hex::encode(&Sha256::digest(format!("{own:?}").as_bytes())[..16])
    }

    /// Its clock.
    fn now(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX) + self.ahead
    }

    /// Who a browser is.
    fn browser(&self, headers: &HeaderMap) -> Option<u64> {
        let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
        let cookie = cookies
            .split(';')
            .find_map(|pair| pair.trim().strip_prefix("wikiSession="))?;
        self.browsers.get(cookie).copied()
    }
}

/// Notes who asked, and fails as it is told to.
async fn fail(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let fault = {
        let mut world = shared.world();
        let agent = request
            .headers()
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if !agent.starts_with("Mozilla/") {
            world.agents.insert(agent.to_owned());
        }
        world.fault
    };
    let page = |status: StatusCode| {
        (
            status,
            Html("<!DOCTYPE html><html><body>Something else</body></html>"),
        )
            .into_response()
    };
    match fault {
        Fault::Broken => page(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::LocksAway if path.ends_with("api.php") => page(StatusCode::BAD_GATEWAY),
        Fault::Captive => page(StatusCode::OK),
        Fault::Agent => page(StatusCode::FORBIDDEN),
        Fault::TooMany(seconds) => {
            let mut response = page(StatusCode::TOO_MANY_REQUESTS);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
            response
        }
        Fault::Moved => (
            StatusCode::MOVED_PERMANENTLY,
            [(header::LOCATION, "http://elsewhere.invalid/w/index.php")],
        )
            .into_response(),
        _ => next.run(request).await,
    }
}

/// `index.php?title=...`.
async fn index(
    State(shared): State<Shared>,
    method: axum::http::Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = pairs(uri.query().unwrap_or_default());
    let fields = pairs(&String::from_utf8_lossy(&body));
    let title = field(&query, "title").unwrap_or_default().to_owned();
    match title.as_str() {
        "Special:OAuth/initiate" | "Special:OAuth/token" | "Special:OAuth/identify" => {
            oauth1::answer(&shared, &method, &query, &headers, &title)
        }
        "Special:OAuth/authenticate" | "Special:OAuth/authorize" => {
            oauth1::dialog(&shared, &query, &headers, &fields)
        }
        "Special:UserLogin" => pages::sign_in(&shared, &query, &fields),
        _ => (StatusCode::NOT_FOUND, Html("There is no such page")).into_response(),
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}
