//! A person with a browser of their own: cookies, forms, redirects, but no script.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::cookie::{CookieStore, Jar};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;
use url::Url;

use crate::hub::Hub;
use crate::wait::eventually;

/// Longest wait for a server; the image may have to be built first.
const START: Duration = Duration::from_secs(900);

/// Someone who uses the hub.
#[derive(Debug, Clone)]
pub struct Person {
    jar: Arc<Jar>,
    follows: Client,
    stays: Client,
    base: Url,
    name: String,
}

impl Person {
    /// Somebody not signed in.
    ///
    /// # Errors
    /// When the hub's address is none.
    pub fn stranger(hub: &Hub) -> Result<Self> {
        Self::at(&hub.url())
    }

    /// Somebody not signed in, before whatever answers at an address.
    ///
    /// # Errors
    /// When the address is none.
    pub fn at(base: &str) -> Result<Self> {
        Self::with(Arc::new(Jar::default()), Url::parse(base)?, None)
    }

    /// The same browser, all of whose requests go to a hub's own socket instead of the proxy.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn at_socket(&self, socket: &Path) -> Result<Self> {
        let person = Self::with(Arc::clone(&self.jar), self.base.clone(), Some(socket))?;
        Ok(Self {
            name: self.name.clone(),
            ..person
        })
    }

    fn with(jar: Arc<Jar>, base: Url, socket: Option<&Path>) -> Result<Self> {
        let client = |policy| {
            let mut builder = Client::builder();
            if let Some(socket) = socket {
                builder = builder.unix_socket(socket);
            }
            builder
                .cookie_provider(Arc::clone(&jar))
                .redirect(policy)
                .timeout(Duration::from_secs(60))
                .user_agent("holt-tests")
                .no_proxy()
                .build()
        };
        Ok(Self {
            follows: client(reqwest::redirect::Policy::limited(15))?,
            stays: client(reqwest::redirect::Policy::none())?,
            jar,
            base,
            name: String::new(),
        })
    }

    /// The first administrator, signed in by the link that `holt up` printed.
    ///
    /// # Errors
    /// When the link does not sign in.
    pub async fn admin(hub: &Hub) -> Result<Self> {
        Self::by_link(hub, hub.link()).await
    }

    /// A user of that name, made now, signed in.
    ///
    /// # Errors
    /// When they cannot be.
    pub async fn user(hub: &Hub, name: &str) -> Result<Self> {
        hub.add_user(name).await?;
        let link = hub.user_link(name).await?;
        let person = Self::by_link(hub, &link).await?;
        ensure!(
            person.name == name,
            "signed in as {:?}, not {name:?}",
            person.name
        );
        Ok(person)
    }

    /// Whoever the link signs in.
    ///
    /// # Errors
    /// When it does not.
    pub async fn by_link(hub: &Hub, link: &str) -> Result<Self> {
        let mut person = Self::stranger(hub)?;
        let answer = person.navigation(&person.follows, link).send().await?;
        ensure!(
            answer.status().is_success(),
            "the link answered {} {}",
            answer.status(),
            answer.text().await?
        );
        let place = answer.url().clone();
        if place.path() == "/hub/welcome" {
            person.skip_welcome(&place).await?;
        }
        person.name = person.who().await?;
        Ok(person)
    }

    /// Whoever this account of a wiki is, signed in by the hub's provider `wiki`.
    ///
    /// # Errors
    /// With the page that says why not.
    pub async fn by_wiki(hub: &Hub, account: &str) -> Result<Self> {
        let mut person = Self::stranger(hub)?;
        let page = person.through_wiki(account, "accept", "/hub/home").await?;
        let (status, url) = (page.status(), page.url().clone());
        ensure!(
            status.is_success() && url.path() == "/hub/home",
            "{account:?} ended at {url}: {status} {}",
            page.text().await?
        );
        person.name = person.who().await?;
        Ok(person)
    }

    /// The same, by the name that the hub knows them by now.
    ///
    /// # Errors
    /// When nobody is signed in.
    pub async fn known(mut self) -> Result<Self> {
        self.name = self.who().await?;
        Ok(self)
    }

    /// The way through the wiki: its sign-in form as this account, its question answered with `accept` or `cancel`, and on to `next`.
    /// Returns the page where that ends.
    ///
    /// # Errors
    /// When something does not answer.
    pub async fn through_wiki(&self, account: &str, answer: &str, next: &str) -> Result<Response> {
        let mut page = self.open(&format!("/hub/login/wiki?next={next}")).await?;
        let is_form =
            |page: &Response| page.status().is_success() && page.url().path().starts_with("/w/");
        let is_sign_in = |page: &Response| {
            page.url()
                .query_pairs()
                .any(|(_, value)| value == "Special:UserLogin")
        };
        // Whoever is known there already is asked at once.
        if is_form(&page) && is_sign_in(&page) {
            page = self.send_form(page.url(), ("wpName", account)).await?;
        }
        if is_form(&page) && !is_sign_in(&page) {
            page = self.send_form(page.url(), (answer, "1")).await?;
        }
        Ok(page)
    }

    async fn send_form(&self, url: &Url, field: (&str, &str)) -> Result<Response> {
        Ok(self
            .follows
            .post(url.clone())
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .form(&[field])
            .send()
            .await?)
    }

    /// Name and password are offered, not demanded.
    async fn skip_welcome(&self, place: &Url) -> Result<()> {
        let mut path = place.path().to_owned();
        if let Some(query) = place.query() {
            path = format!("{path}?{query}");
        }
        let answer = self.post(&path, &[("skip", "1")]).await?;
        ensure!(
            answer.status().is_redirection(),
            "the welcome cannot be skipped: {}",
            answer.status()
        );
        Ok(())
    }

    /// Signs in with name and password at JupyterHub's own form.
    ///
    /// # Errors
    /// When it does not let them in.
    pub async fn log_in(mut self, name: &str, password: &str) -> Result<Self> {
        self.open("/hub/login").await?.error_for_status()?;
        let fields = [("username", name), ("password", password)];
        let answer = self.post("/hub/login", &fields).await?;
        ensure!(
            answer.status().is_redirection(),
            "the form answered {} {}",
            answer.status(),
            answer.text().await?
        );
        self.name = self.who().await?;
        Ok(self)
    }

    /// Their name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path of their server `server`, with slashes at both ends.
    #[must_use]
    pub fn prefix(&self, server: &str) -> String {
        holt_spec::names::server_prefix(&self.name, server)
    }

    /// The address of a path.
    ///
    /// # Errors
    /// When it is none.
    pub fn url(&self, path: &str) -> Result<Url> {
        Ok(self.base.join(path)?)
    }

    fn navigation(&self, client: &Client, url: impl reqwest::IntoUrl) -> reqwest::RequestBuilder {
        client
            .get(url)
            .header("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("Sec-Fetch-Mode", "navigate")
            .header("Sec-Fetch-Dest", "document")
            .header("Sec-Fetch-Site", "same-origin")
    }

    /// Opens a page, following redirects.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn open(&self, path: &str) -> Result<Response> {
        Ok(self
            .navigation(&self.follows, self.url(path)?)
            .send()
            .await?)
    }

    /// Opens a page, following redirects; going round in circles is told step by step.
    ///
    /// # Errors
    /// When nothing answers, or there is no end of redirects.
    pub async fn follow(&self, path: &str) -> Result<Response> {
        let mut url = self.url(path)?;
        let mut way = Vec::new();
        while way.len() < 10 {
            let answer = self.navigation(&self.stays, url.clone()).send().await?;
            let Some(next) = answer.headers().get("location") else {
                return Ok(answer);
            };
            way.push(format!("{} {url}", answer.status()));
            url = url.join(next.to_str()?)?;
        }
        bail!(
            "it goes round in circles: {}; cookies {}",
            way.join(", "),
            self.cookies(path)?
        )
    }

    /// Opens a page and stays where it answers.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn look(&self, path: &str) -> Result<Response> {
        Ok(self.navigation(&self.stays, self.url(path)?).send().await?)
    }

    /// The value of a cookie that would be sent to `path`.
    ///
    /// # Errors
    /// When the path is none.
    pub fn cookie(&self, path: &str, name: &str) -> Result<Option<String>> {
        let header = self.cookies(path)?;
        Ok(header
            .split("; ")
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned()))
    }

    /// All cookies that would be sent to `path`, as one header.
    ///
    /// # Errors
    /// When the path is none.
    pub fn cookies(&self, path: &str) -> Result<String> {
        let header = self.jar.cookies(&self.url(path)?);
        Ok(header
            .and_then(|value| value.to_str().ok().map(str::to_owned))
            .unwrap_or_default())
    }

    /// Puts a cookie into the browser.
    ///
    /// # Errors
    /// When the path is none.
    pub fn set_cookie(&self, path: &str, cookie: &str) -> Result<()> {
        self.jar.add_cookie_str(cookie, &self.url(path)?);
        Ok(())
    }

    /// Posts a form with the right `_xsrf`, and stays where it answers.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
        let xsrf = self.cookie(path, "_xsrf")?.unwrap_or_default();
        let mut form = fields.to_vec();
        form.push(("_xsrf", &xsrf));
        Ok(self
            .stays
            .post(self.url(path)?)
            .header("Accept", "text/html")
            .header("Sec-Fetch-Mode", "navigate")
            .header("Sec-Fetch-Site", "same-origin")
            .form(&form)
            .send()
            .await?)
    }

    /// Calls the API, of the hub or of a server, as a page's script does.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn api(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response> {
        let mut request = self
            .stays
            .request(method, self.url(path)?)
            .header("Accept", "application/json")
            .header("Sec-Fetch-Mode", "cors")
            .header("Sec-Fetch-Site", "same-origin")
            .header("Referer", self.url("/hub/home")?.as_str());
        if let Some(xsrf) = self.cookie(path, "_xsrf")? {
            request = request.header("X-XSRFToken", xsrf);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Ok(request.send().await?)
    }

    /// Who the hub says this is.
    ///
    /// # Errors
    /// When they are not signed in.
    pub async fn who(&self) -> Result<String> {
        let answer = self.api(Method::GET, "/hub/api/user", None).await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "GET /hub/api/user: {status} {text}");
        let user: Value = serde_json::from_str(&text)?;
        Ok(user["name"]
            .as_str()
            .context("a user without a name")?
            .to_owned())
    }

    fn api_path(&self, server: &str) -> String {
        let user = self.prefix("").replace("/user/", "/hub/api/users/");
        if server.is_empty() {
            format!("{user}server")
        } else {
            format!("{user}servers/{server}")
        }
    }

    /// Asks for a server and returns the answer's status.
    ///
    /// # Errors
    /// When nothing answers, or the hub fails.
    pub async fn ask_start(&self, server: &str) -> Result<StatusCode> {
        let answer = self.api(Method::POST, &self.api_path(server), None).await?;
        let status = answer.status();
        ensure!(
            !status.is_server_error(),
            "start: {status} {}",
            answer.text().await?
        );
        Ok(status)
    }

    /// Asks that a server stop and returns the answer's status.
    ///
    /// # Errors
    /// When nothing answers, or the hub fails.
    pub async fn ask_stop(&self, server: &str) -> Result<StatusCode> {
        self.ask_end(server, None).await
    }

    /// Asks that a named server be forgotten.
    ///
    /// # Errors
    /// When nothing answers, or the hub fails.
    pub async fn ask_delete(&self, server: &str) -> Result<StatusCode> {
        self.ask_end(server, Some(&serde_json::json!({"remove": true})))
            .await
    }

    async fn ask_end(&self, server: &str, body: Option<&Value>) -> Result<StatusCode> {
        let answer = self
            .api(Method::DELETE, &self.api_path(server), body)
            .await?;
        let status = answer.status();
        ensure!(
            !status.is_server_error(),
            "stop: {status} {}",
            answer.text().await?
        );
        Ok(status)
    }

    /// The server as the API describes it; `None` when it is not active.
    ///
    /// # Errors
    /// When the hub does not tell.
    pub async fn server(&self, server: &str) -> Result<Option<Value>> {
        let path = self
            .prefix("")
            .replace("/user/", "/hub/api/users/")
            .trim_end_matches('/')
            .to_owned();
        let answer = self.api(Method::GET, &path, None).await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "GET {path}: {status} {text}");
        let user: Value = serde_json::from_str(&text)?;
        Ok(user["servers"].get(server).cloned())
    }

    /// Waits until a server is ready.
    ///
    /// # Errors
    /// With how it is instead.
    pub async fn until_ready(&self, server: &str, deadline: Duration) -> Result<()> {
        eventually("the server is ready", deadline, || async {
            match self.server(server).await {
                Ok(Some(model)) if model["ready"] == Value::Bool(true) => Ok(()),
                Ok(model) => Err(format!("{model:?}")),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await
    }

    /// Waits until a server is not active.
    ///
    /// # Errors
    /// With how it is instead.
    pub async fn until_stopped(&self, server: &str, deadline: Duration) -> Result<()> {
        eventually("the server is stopped", deadline, || async {
            match self.server(server).await {
                Ok(None) => Ok(()),
                Ok(Some(model)) if model["ready"] == false && model["pending"].is_null() => Ok(()),
                Ok(model) => Err(format!("{model:?}")),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await
    }

    /// Starts the server, waits, and signs in to it through the OAuth round.
    ///
    /// # Errors
    /// When one of these does not come about.
    pub async fn start(&self, server: &str) -> Result<()> {
        let status = self.ask_start(server).await?;
        ensure!(
            status.is_success(),
            "the hub answered {status} to a wish to start"
        );
        let began = std::time::Instant::now();
        loop {
            let model = self.server(server).await?;
            if model.as_ref().is_some_and(|model| model["ready"] == true) {
                return self.enter(server).await;
            }
            ensure!(
                model.is_some_and(|model| !model["pending"].is_null()),
                "the start came to nothing; the home page says: {}",
                self.open("/hub/home").await?.text().await?
            );
            ensure!(began.elapsed() < START, "not ready within {START:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Opens the server's page; ends there, signed in.
    ///
    /// # Errors
    /// When it ends somewhere else.
    pub async fn enter(&self, server: &str) -> Result<()> {
        let page = format!("{}lab", self.prefix(server));
        let mut answer = self.follow(&page).await?;
        if answer.url().path() == "/hub/welcome" {
            self.skip_welcome(answer.url()).await?;
            answer = self.follow(&page).await?;
        }
        let (status, url) = (answer.status(), answer.url().clone());
        if !status.is_success() || !url.path().starts_with(&self.prefix(server)) {
            bail!(
                "{page} ended at {url} with {status}: {}",
                answer.text().await?.chars().take(600).collect::<String>()
            );
        }
        Ok(())
    }
}
