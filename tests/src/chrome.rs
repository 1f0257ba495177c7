//! A real Chromium, driven through its WebDriver, that writes down when websockets open and close.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::{ParseError, Url};

use crate::wait::eventually;

/// Put into every page before its own scripts: `window.__sockets` lists each websocket with when it opened and closed.
const WATCH_SOCKETS: &str = "(() => { const Real = window.WebSocket; window.__sockets = []; \
    window.WebSocket = class extends Real { constructor(...args) { super(...args); \
    const seen = {url: String(args[0]), opened: false, closed: false, code: null}; \
    window.__sockets.push(seen); \
    this.addEventListener('open', () => { seen.opened = true; }); \
    this.addEventListener('close', (event) => { seen.closed = true; seen.code = event.code; }); } }; })();";

/// A browser. Dropping it ends it.
#[derive(Debug)]
pub struct Chrome {
    /// What it can do.
    pub page: Client,
    driver: Child,
    _profile: TempDir,
}

#[derive(Debug)]
struct DevTools {
    method: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/goog/cdp/execute"))
    }

    fn method_and_body(&self, _url: &Url) -> (http::Method, Option<String>) {
        let body = json!({"cmd": self.method, "params": self.parameters});
        (http::Method::POST, Some(body.to_string()))
    }
}

impl Chrome {
    /// Starts Chromium without a window.
    ///
    /// # Errors
    /// When it or its driver is missing.
    pub async fn start() -> Result<Self> {
        let port = crate::free_port()?;
        let profile = tempfile::Builder::new().prefix("holt-chrome-").tempdir()?;
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("chromedriver is needed: apt-get install chromium chromium-driver")?;
        let mut browser = Unfinished(Some(driver));
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
        ];
        let mut all = arguments.map(str::to_owned).to_vec();
        all.push(format!(
            "--user-data-dir={}",
            profile.path().join("p").display()
        ));
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".into(), json!({"args": all}));
        let address = format!("http://127.0.0.1:{port}");
        let page = eventually("chromedriver answers", Duration::from_secs(60), || {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities.clone());
            let address = address.clone();
            async move { builder.connect(&address).await }
        })
        .await?;
        let chrome = Self {
            page,
            driver: browser.0.take().context("taken once")?,
            _profile: profile,
        };
        chrome
            .dev_tools(
                "Page.addScriptToEvaluateOnNewDocument",
                json!({"source": WATCH_SOCKETS}),
            )
            .await?;
        Ok(chrome)
    }

    async fn dev_tools(&self, method: &'static str, parameters: Value) -> Result<Value> {
        Ok(self.page.issue_cmd(DevTools { method, parameters }).await?)
    }

    /// Goes to an address.
    ///
    /// # Errors
    /// When the page does not load.
    pub async fn go(&self, url: &str) -> Result<()> {
        Ok(self.page.goto(url).await?)
    }

    /// Waits for an element.
    ///
    /// # Errors
    /// With where the browser is instead.
    pub async fn element(&self, css: &str, deadline: Duration) -> Result<Element> {
        eventually(css, deadline, || async {
            match self.page.find(Locator::Css(css)).await {
                Ok(element) => Ok(element),
                Err(error) => Err(self.place(&error).await),
            }
        })
        .await
    }

    /// Clicks what is found there, waiting for it.
    ///
    /// # Errors
    /// With where the browser is instead.
    pub async fn click(&self, css: &str, deadline: Duration) -> Result<()> {
        eventually(&format!("a click on {css}"), deadline, || async {
            let clicked = match self.page.find(Locator::Css(css)).await {
                Ok(element) => element.click().await,
                Err(error) => Err(error),
            };
            match clicked {
                Ok(()) => Ok(()),
                Err(error) => Err(self.place(&error).await),
            }
        })
        .await
    }

    async fn place(&self, error: &CmdError) -> String {
        let url = self.page.current_url().await.map(String::from);
        let text = self
            .script("return document.body ? document.body.innerText.slice(0, 300) : ''")
            .await;
        format!(
            "at {} ({error}): {}",
            url.unwrap_or_default(),
            text.unwrap_or_default()
        )
    }

    /// Waits until a script's value is true.
    ///
    /// # Errors
    /// With the value it had.
    pub async fn until(&self, what: &str, script: &str, deadline: Duration) -> Result<()> {
        eventually(what, deadline, || async {
            match self.script(script).await {
                Ok(Value::Bool(true)) => Ok(()),
                Ok(value) => Err(value.to_string()),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await
    }

    /// Runs a script in the page.
    ///
    /// # Errors
    /// When it fails.
    pub async fn script(&self, script: &str) -> Result<Value> {
        Ok(self.page.execute(script, Vec::new()).await?)
    }

    /// Websockets of this page that were opened: `(url, closed)`.
    ///
    /// # Errors
    /// When the page does not answer.
    pub async fn sockets(&self) -> Result<Vec<(String, bool)>> {
        let list = self.script("return window.__sockets || []").await?;
        Ok(list
            .as_array()
            .into_iter()
            .flatten()
            .filter(|seen| seen["opened"] == true)
            .map(|seen| {
                (
                    seen["url"].as_str().unwrap_or_default().to_owned(),
                    seen["closed"] == true,
                )
            })
            .collect())
    }

    /// Keeps a picture of the page in the output directory.
    ///
    /// # Errors
    /// When there is none.
    pub async fn picture(&self, name: &str) -> Result<()> {
        let png = self.page.screenshot().await?;
        std::fs::write(
            crate::output_dir().join(Path::new(name).with_extension("png")),
            png,
        )?;
        Ok(())
    }

    /// Types into the element that has the keyboard.
    ///
    /// # Errors
    /// When none has.
    pub async fn type_keys(&self, keys: &str) -> Result<()> {
        Ok(self.page.active_element().await?.send_keys(keys).await?)
    }

    /// Shows pages as a person with a light or a dark screen, on a desk or a phone, sees them.
    ///
    /// # Errors
    /// When the browser cannot.
    pub async fn look_like(&self, scheme: &str, width: u32, height: u32) -> Result<()> {
        self.dev_tools(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        )
        .await?;
        self.dev_tools(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}),
        )
        .await?;
        Ok(())
    }

    /// Ends the browser in peace.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn close(self) -> Result<()> {
        Ok(self.page.clone().close().await?)
    }
}

struct Unfinished(Option<Child>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Chrome {
    fn drop(&mut self) {
        // Asked nicely it takes its browser with it; killed it would leave it behind.
        if let Ok(pid) = i32::try_from(self.driver.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        for _ in 0..100 {
            if !matches!(self.driver.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
