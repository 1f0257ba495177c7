//! A hub to test, and browsers with cookies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::pretend::{Forgotten, PretendServers};
use crate::http::{HttpSettings, HubState};
use crate::login::password;
use crate::login::sign_in::SignIn;
use crate::oauth_provider::{ServerClient, ServerSecrets, register_client};
use crate::replicas::Replicas;
use crate::secret;
use crate::secret::seal::Seal;
use crate::servers::ServerState;
use crate::store::Store;
use crate::store::links::LinkKind;
use crate::store::users::User;

pub(super) type Tried = Result<(), Box<dyn std::error::Error>>;

/// The password of everybody made by [`TestHub::user`].
pub(super) const PASSWORD: &str = "correct horse battery";

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
        let seal = Arc::new(Seal::from_text(&Seal::new_key())?);
        Self::with_sign_in(
            settings,
            Arc::new(SignIn::local(seal)),
            Store::in_memory().await?,
        )
        .await
    }

    /// A hub on this database, with these ways to sign in.
    pub(super) async fn with_sign_in(
        settings: HttpSettings,
        sign_in: Arc<SignIn>,
        store: Store,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        Self::with_parts(settings, sign_in, store, None).await
    }

    /// The same, with a way to the replicas.
    pub(super) async fn with_parts(
        settings: HttpSettings,
        sign_in: Arc<SignIn>,
        store: Store,
        replicas: Option<Replicas>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let servers = Arc::new(PretendServers::new(store.clone()));
        let forgotten = Arc::new(Forgotten::default());
        let state = HubState::new(
            store.clone(),
            servers.clone(),
            settings,
            sign_in,
            forgotten.clone(),
            replicas,
            None,
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
