//! A hub to test, browsers with cookies, and servers that do as they are told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::access::Revoke;
use crate::http::{HttpSettings, HubState, ServerDoor};
use crate::login::password;
use crate::oauth_provider::{ServerClient, ServerSecrets, register_client};
use crate::secret;
use crate::servers::{
    ProgressEvent, QueuePlace, ServerState, ServerView, ServersError, StartOutcome,
};
use crate::spawner::Progress;
use crate::store::Store;
use crate::store::links::LinkKind;
use crate::store::users::User;

pub(super) type Tried = Result<(), Box<dyn std::error::Error>>;

/// The password of everybody made by [`TestHub::user`].
pub(super) const PASSWORD: &str = "correct horse battery";

/// Servers in a list.
pub(super) struct PretendServers {
    store: Store,
    views: Mutex<Vec<ServerView>>,
    events: Mutex<Vec<ProgressEvent>>,
    pub(super) activity: Mutex<Vec<(String, i64)>>,
    place: Mutex<Option<QueuePlace>>,
}

impl PretendServers {
    fn views(&self) -> std::sync::MutexGuard<'_, Vec<ServerView>> {
        self.views.lock().expect("no test panics while it holds it")
    }

    /// Makes a server be so.
    pub(super) async fn put(&self, user: &User, name: &str, state: ServerState) -> i64 {
        let id = self
            .store
            .ensure_server(user.id, name)
            .await
            .expect("in memory");
        let mut views = self.views();
        views.retain(|view| view.id != id);
        views.push(ServerView {
            id,
            user_id: user.id,
            user: user.name.clone(),
            name: name.to_owned(),
            state,
            started: (state == ServerState::Ready).then_some(1_767_323_045_678),
            last_activity: None,
            failure: None,
            version: None,
            options: None,
        });
        id
    }

    pub(super) fn fail(&self, id: i64, reason: &str) {
        for view in self.views().iter_mut().filter(|view| view.id == id) {
            view.state = ServerState::Stopped;
            view.failure = Some(reason.to_owned());
        }
    }

    pub(super) fn say(&self, kind: &str, percent: i64, message: &str) {
        let mut events = self
            .events
            .lock()
            .expect("no test panics while it holds it");
        let id = i64::try_from(events.len()).expect("few") + 1;
        events.push(ProgressEvent {
            id,
            kind: kind.to_owned(),
            percent,
            message: message.to_owned(),
        });
    }

    pub(super) fn queue(&self, position: u32, estimate_seconds: Option<u32>) {
        *self.place.lock().expect("no test panics while it holds it") = Some(QueuePlace {
            position,
            estimate_seconds,
        });
    }

    pub(super) fn state(&self, user: &User, name: &str) -> Option<ServerState> {
        self.views()
            .iter()
            .find(|view| view.user_id == user.id && view.name == name)
            .map(|view| view.state)
    }
}

#[async_trait]
impl ServerDoor for PretendServers {
    async fn start(
        &self,
        user_id: i64,
        name: &str,
        _options: Option<String>,
    ) -> Result<StartOutcome, ServersError> {
        holt_spec::names::check_server_name(name)?;
        let user = self
            .store
            .user(user_id)
            .await?
            .ok_or(ServersError::NotFound)?;
        let outcome = match self.state(&user, name) {
            Some(ServerState::Ready) => return Ok(StartOutcome::AlreadyReady),
            Some(ServerState::Queued | ServerState::Starting) => {
                return Ok(StartOutcome::AlreadyStarting);
            }
            Some(ServerState::Stopping) => StartOutcome::AfterStop,
            Some(ServerState::Stopped) | None => StartOutcome::Accepted,
        };
        self.put(&user, name, ServerState::Starting).await;
        Ok(outcome)
    }

    async fn stop(&self, user_id: i64, name: &str) -> Result<ServerState, ServersError> {
        let mut views = self.views();
        let view = views
            .iter_mut()
            .find(|view| view.user_id == user_id && view.name == name)
            .ok_or(ServersError::NotFound)?;
        view.state = ServerState::Stopped;
        Ok(ServerState::Stopped)
    }

    async fn delete(&self, user_id: i64, name: &str) -> Result<(), ServersError> {
        self.views()
            .retain(|view| view.user_id != user_id || view.name != name);
        Ok(())
    }

    async fn view(&self, user_id: i64, name: &str) -> Result<Option<ServerView>, ServersError> {
        Ok(self
            .views()
            .iter()
            .find(|view| view.user_id == user_id && view.name == name)
            .cloned())
    }

    async fn list(&self, user_id: i64) -> Result<Vec<ServerView>, ServersError> {
        Ok(self
            .views()
            .iter()
            .filter(|view| view.user_id == user_id)
            .cloned()
            .collect())
    }

    async fn list_all(&self) -> Result<Vec<ServerView>, ServersError> {
        Ok(self.views().clone())
    }

    async fn place(&self, _server_id: i64) -> Result<Option<QueuePlace>, ServersError> {
        Ok(*self.place.lock().expect("no test panics while it holds it"))
    }

    async fn progress(
        &self,
        _server_id: i64,
        after: i64,
    ) -> Result<Vec<ProgressEvent>, ServersError> {
        let events = self
            .events
            .lock()
            .expect("no test panics while it holds it");
        Ok(events
            .iter()
            .filter(|event| event.id > after)
            .cloned()
            .collect())
    }

    async fn changed(&self, _deadline: Duration) {
        tokio::task::yield_now().await;
    }

    async fn wait_ready(
        &self,
        server_id: i64,
        _deadline: Duration,
    ) -> Result<ServerState, ServersError> {
        let views = self.views();
        let view = views
            .iter()
            .find(|view| view.id == server_id)
            .ok_or(ServersError::NotFound)?;
        Ok(view.state)
    }

    async fn note_activity(
        &self,
        _user_id: i64,
        server: &str,
        at_ms: i64,
    ) -> Result<(), ServersError> {
        let mut activity = self
            .activity
            .lock()
            .expect("no test panics while it holds it");
        activity.push((server.to_owned(), at_ms));
        Ok(())
    }

    fn image_progress(&self) -> Option<Progress> {
        None
    }

    fn held(&self) -> Option<String> {
        None
    }
}

/// What the proxy was told to forget: hashes of sessions and of tokens.
#[derive(Default)]
pub(super) struct Forgotten(pub(super) Mutex<Vec<(Vec<String>, Vec<String>)>>);

#[async_trait]
impl Revoke for Forgotten {
    async fn revoke(&self, sessions: Vec<String>, tokens: Vec<String>) {
        self.0
            .lock()
            .expect("no test panics while it holds it")
            .push((sessions, tokens));
    }
}

/// A hub.
pub(super) struct TestHub {
    router: Router,
    pub(super) store: Store,
    pub(super) servers: Arc<PretendServers>,
    pub(super) forgotten: Arc<Forgotten>,
    password: String,
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn location(&self) -> &str {
        self.header("location")
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// Panics with the body unless the status is this.
    #[track_caller]
    pub(super) fn is(self, status: u16) -> Self {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{} {:?}",
            self.body,
            self.headers
        );
        self
    }
}

impl TestHub {
    pub(super) async fn new() -> Result<Self, Box<dyn std::error::Error>> {
        Self::with(HttpSettings {
            public_url: "https://hub.example".to_owned(),
            slow_start: Duration::from_millis(50),
            ..HttpSettings::default()
        })
        .await
    }

    pub(super) async fn with(settings: HttpSettings) -> Result<Self, Box<dyn std::error::Error>> {
        let store = Store::in_memory().await?;
        let servers = Arc::new(PretendServers {
            store: store.clone(),
            views: Mutex::default(),
            events: Mutex::default(),
            activity: Mutex::default(),
            place: Mutex::default(),
        });
        let forgotten = Arc::new(Forgotten::default());
        let state = HubState::new(
            store.clone(),
            servers.clone(),
            settings,
            forgotten.clone(),
            None,
            CancellationToken::new(),
        )
        .await?;
        Ok(Self {
            router: crate::http::router(state),
            store,
            servers,
            forgotten,
            password: password::keep(PASSWORD).await?,
        })
    }

    pub(super) async fn user(&self, name: &str) -> Result<User, Box<dyn std::error::Error>> {
        Ok(self
            .store
            .create_user(name, false, Some(&self.password))
            .await?)
    }

    pub(super) async fn admin(&self, name: &str) -> Result<User, Box<dyn std::error::Error>> {
        Ok(self
            .store
            .create_user(name, true, Some(&self.password))
            .await?)
    }

    pub(super) async fn link(
        &self,
        kind: LinkKind,
        user: Option<&User>,
        seconds: u64,
    ) -> Result<String, Box<dyn std::error::Error>> {
        let lifetime = Duration::from_secs(seconds);
        Ok(self
            .store
            .make_link(kind, user.map(|user| user.id), false, lifetime, None)
            .await?)
    }

    /// A running server, with its client and token.
    pub(super) async fn server(
        &self,
        user: &User,
        name: &str,
    ) -> Result<ServerSecrets, Box<dyn std::error::Error>> {
        let server_id = self.servers.put(user, name, ServerState::Ready).await;
        Ok(register_client(
            &self.store,
            &ServerClient {
                server_id,
                launch: "launch".to_owned(),
                user_id: user.id,
                user_name: user.name.clone(),
                server_name: name.to_owned(),
            },
        )
        .await?)
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("it never fails");
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .expect("bodies of ours end well")
            .to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    /// A call of the API with a token, as a server makes it.
    pub(super) async fn call(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("token {token}"))
            .header("x-holt-listener", "internal");
        self.send(
            request
                .body(Body::from(body.to_owned()))
                .expect("it is well formed"),
        )
        .await
    }

    /// A token request, as a server makes it.
    pub(super) async fn exchange(&self, fields: &[(&str, &str)]) -> Answer {
        let request = Request::post("/hub/api/oauth2/token")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(
            request
                .body(Body::from(form(fields)))
                .expect("it is well formed"),
        )
        .await
    }

    /// A token of a user's own, with all their rights.
    pub(super) async fn token(&self, user: &User) -> Result<String, Box<dyn std::error::Error>> {
        let raw = secret::random_token();
        self.store
            .create_api_token(
                user.id,
                &secret::hash(&raw),
                &["inherit".to_owned()],
                "",
                None,
            )
            .await?;
        Ok(raw)
    }

    pub(super) fn browser(&self) -> TestBrowser<'_> {
        TestBrowser {
            hub: self,
            cookies: BTreeMap::new(),
        }
    }

    /// A browser in which this user is signed in.
    pub(super) async fn signed_in(&self, user: &User) -> TestBrowser<'_> {
        let mut browser = self.browser();
        browser.get("/hub/login").await.is(200);
        let fields = [("username", user.name.as_str()), ("password", PASSWORD)];
        browser.post("/hub/login", &fields).await.is(303);
        browser
    }
}

/// A browser with its cookies.
pub(super) struct TestBrowser<'a> {
    pub(super) hub: &'a TestHub,
    pub(super) cookies: BTreeMap<String, String>,
}

impl TestBrowser<'_> {
    pub(super) async fn get(&mut self, path: &str) -> Answer {
        let request = Request::get(path)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header(header::ACCEPT, "text/html,*/*");
        self.send(request.body(Body::empty()).expect("it is well formed"))
            .await
    }

    /// Sends a form with the proof this browser has.
    pub(super) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let xsrf = self.cookies.get("_xsrf").cloned().unwrap_or_default();
        let mut all = fields.to_vec();
        all.push(("_xsrf", &xsrf));
        self.post_bare(path, &all).await
    }

    /// Sends a form as it is.
    pub(super) async fn post_bare(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = Request::post(path)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(
            request
                .body(Body::from(form(fields)))
                .expect("it is well formed"),
        )
        .await
    }

    pub(super) async fn send(&mut self, mut request: Request<Body>) -> Answer {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            let value = cookies.join("; ").parse().expect("cookies of ours");
            request.headers_mut().insert(header::COOKIE, value);
        }
        let answer = self.hub.send(request).await;
        for line in answer.headers.get_all(header::SET_COOKIE) {
            let line = line.to_str().expect("cookies of ours");
            let (name, rest) = line.split_once('=').expect("a cookie has a name");
            let value = rest.split(';').next().unwrap_or_default();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}

pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
        .collect();
    pairs.join("&")
}
