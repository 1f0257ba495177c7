//! Everything that a wiki, a browser or an operator can do to a sign-in, one after the other, through the hub's own door.
//!
//! Numbers of accounts are the tests' own: each case has somebody new, who has never allowed anything at the wiki.

mod always;
mod oauth1;
mod oauth2;
mod renewal;
mod set_up;

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use holt_tests::docker;
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::person::Person;
use holt_tests::wiki::{Consent, Consumer, Kind, Visitor, Wiki};
use reqwest::Response;
use url::Url;

use crate::wiki::{KEY, SECRET};

/// A wiki, and a hub whose people are that wiki's.
struct Scene {
    hub: Hub,
    wiki: Wiki,
    next: AtomicU64,
}

/// Somebody at the wiki, with a browser of their own.
struct Somebody {
    sub: u64,
    name: String,
    person: Person,
    visitor: Visitor,
}

impl Scene {
    /// With further lines for the section of the provider, and for what stands before it.
    async fn new(
        consumer: impl Fn(&str) -> Consumer,
        provider: &str,
        others: &str,
    ) -> Result<Self> {
        docker::engine_answers().await?;
        let image = images::single_user().await?;
        let is_public = consumer("").kind == Kind::Public;
        let wish = if is_public {
            Wish::default()
        } else {
            Wish::default().env("HOLT__PROVIDER__WIKI__CLIENT_SECRET", SECRET)
        };
        let mut hub = Hub::new(wish)?;
        let wiki = Wiki::start()?;
        wiki.consumer(consumer(&format!("{}/hub/oauth_callback", hub.url())));
        let index = if provider.contains("index_url") {
            String::new()
        } else {
            format!("index_url = \"{}\"\n", wiki.index_url())
        };
        hub.configure(&format!(
            "{others}\n[docker]\nimage = \"{image}\"\n[access]\nallow_all = true\n[provider.wiki]\nclient_id = \"{KEY}\"\n{index}{}\n",
            provider.replace("{wiki}", &wiki.url()),
        ))?;
        hub.up().await?;
        Ok(Self {
            hub,
            wiki,
            next: AtomicU64::new(1),
        })
    }

    async fn oauth1() -> Result<Self> {
        Self::new(
            |back| Consumer::oauth1(KEY, SECRET, back),
            "protocol = \"oauth1\"",
            "",
        )
        .await
    }

    async fn oauth2() -> Result<Self> {
        Self::new(
            |back| Consumer::oauth2(KEY, SECRET, back),
            "protocol = \"oauth2\"",
            "",
        )
        .await
    }

    /// An account that nobody had before.
    fn somebody(&self) -> Result<Somebody> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sub, name) = (8_000_000 + number, format!("Person {number}"));
        self.wiki.account(sub, &name);
        Ok(Somebody {
            sub,
            person: Person::stranger(&self.hub)?,
            visitor: Visitor::new(&name)?,
            name,
        })
    }

    /// Nothing goes wrong any more, and somebody new can sign in.
    async fn is_well_again(&self) -> Result<()> {
        self.wiki.cure();
        self.wiki.tell_the_truth();
        let somebody = self.somebody()?;
        let page = somebody.whole_way().await?;
        said(page, 200, "").await.context("afterwards")?;
        ensure!(somebody.person.who().await? == somebody.name);
        Ok(())
    }

    async fn count(&self, statement: &'static str) -> Result<i64> {
        self.hub.rows().await?.count(statement).await
    }
}

impl Somebody {
    /// Presses the button; where the browser is sent.
    async fn begin(&self) -> Result<Url> {
        let page = self.person.look("/hub/login/wiki?next=/hub/home").await?;
        let to = page.headers().get("location").cloned();
        match to {
            Some(to) => Ok(Url::parse(to.to_str()?)?),
            None => anyhow::bail!(
                "no way to the wiki: {} {}",
                page.status(),
                page.text().await?
            ),
        }
    }

    /// Presses the button and allows; where the wiki sends the browser then.
    async fn approved(&self) -> Result<Url> {
        let to = self.begin().await?;
        self.visitor.comes_back(to.as_str(), Consent::Accept).await
    }

    /// Comes back to the hub.
    async fn back(&self, callback: &Url) -> Result<Response> {
        let query = callback.query().unwrap_or_default();
        self.person
            .open(&format!("{}?{query}", callback.path()))
            .await
    }

    /// From the button to where it ends.
    async fn whole_way(&self) -> Result<Response> {
        let page = self.person.look("/hub/login/wiki?next=/hub/home").await?;
        let Some(to) = page.headers().get("location").cloned() else {
            return Ok(page);
        };
        let callback = self
            .visitor
            .comes_back(to.to_str()?, Consent::Accept)
            .await?;
        self.back(&callback).await
    }
}

/// The page has this status and says these words; every refusal has a way to sign in again.
async fn said(page: Response, status: u16, words: &str) -> Result<()> {
    let (found, url) = (page.status().as_u16(), page.url().clone());
    let text = page.text().await?;
    ensure!(
        found == status && text.contains(words),
        "expected {status} {words:?}, found {found} at {url}: {text}"
    );
    ensure!(
        status < 400 || text.contains("href=\"/hub/login\""),
        "no way to sign in again: {text}"
    );
    Ok(())
}
