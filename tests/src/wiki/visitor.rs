//! A person with a browser at the wiki, without a real browser: signs in, allows or denies, and says where the wiki sends them.

use anyhow::{Context as _, Result, bail};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use url::Url;

/// The longest way through the wiki.
const STEPS: usize = 12;

/// What a person answers when asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Allow.
    Accept,
    /// Cancel.
    Decline,
}

/// A browser that keeps the wiki's cookies.
#[derive(Debug, Clone)]
pub struct Visitor {
    client: Client,
    name: String,
}

/// Where the way through the wiki ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrived {
    /// The wiki sends the browser here; nobody went.
    Away(Url),
    /// The browser stays on a page of the wiki.
    Stays {
        /// Its status.
        status: u16,
        /// Its HTML.
        page: String,
    },
}

impl Visitor {
    /// Somebody who signs in to the wiki under this name when it asks.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(name: &str) -> Result<Self> {
        let client = Client::builder()
            .cookie_store(true)
            .redirect(Policy::none())
            .user_agent("Mozilla/5.0 (a visitor)")
            .build()?;
        Ok(Self {
            client,
            name: name.to_owned(),
        })
    }

    /// Goes to an address of the wiki and through its pages, until it sends the browser elsewhere or shows something else.
    ///
    /// # Errors
    /// When the wiki does not answer, or sends the browser round and round.
    pub async fn go(&self, address: &str, consent: Consent) -> Result<Arrived> {
        let mut here: Url = address.parse()?;
        let origin = here.origin();
        let mut response = self.client.get(here.clone()).send().await?;
        let mut has_tried = false;
        for _ in 0..STEPS {
            if let Some(next) = location(&here, &response)? {
                if next.origin() != origin {
                    return Ok(Arrived::Away(next));
                }
                here = next;
                response = self.client.get(here.clone()).send().await?;
                continue;
            }
            let status = response.status().as_u16();
            let page = response.text().await?;
            let fields: &[(&str, &str)] = if page.contains("id=\"wpLoginAttempt\"") && !has_tried {
                has_tried = true;
                &[("wpName", &self.name)]
            } else if page.contains("id=\"mw-oauth-accept\"") {
                match consent {
                    Consent::Accept => &[("accept", "Allow")],
                    Consent::Decline => &[("cancel", "Cancel")],
                }
            } else {
                return Ok(Arrived::Stays { status, page });
            };
            response = self.client.post(here.clone()).form(fields).send().await?;
        }
        bail!("the wiki sends the browser round and round")
    }

    /// As [`Visitor::go`], for where only the way back is right.
    ///
    /// # Errors
    /// Also when the browser stays at the wiki.
    pub async fn comes_back(&self, address: &str, consent: Consent) -> Result<Url> {
        match self.go(address, consent).await? {
            Arrived::Away(url) => Ok(url),
            Arrived::Stays { status, page } => bail!("the browser stays ({status}): {page}"),
        }
    }
}

fn location(here: &Url, response: &Response) -> Result<Option<Url>> {
    let Some(to) = response.headers().get(reqwest::header::LOCATION) else {
        return Ok(None);
    };
    let to = to.to_str().context("a bad Location")?;
    Ok(Some(here.join(to)?))
}
