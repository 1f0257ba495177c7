//! A program that signs in by OAuth 1.0a, written apart from both the hub and the wiki, with every part open to a test.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use holt_tests::wiki::{Consent, Consumer, Visitor, Wiki};
use reqwest::redirect::Policy;
use serde_json::Value;
use sha1::Sha1;

use crate::recording::field;

pub(crate) const KEY: &str = "ff68fd86be55839e0bc4db271de8860c";
pub(crate) const SECRET: &str = "707b147bc75e3b420d4220edb2da8d3d6bd70d40";
pub(crate) const CALLBACK: &str = "http://127.0.0.1:8000/hub/oauth_callback";
pub(crate) const NAME: &str = "Ordinary user";
pub(crate) const SUB: u64 = 7_000_003;

/// A pair of key and secret.
pub(crate) type Token = (String, String);

/// A wiki with one account and one consumer for signing in only.
pub(crate) fn wiki() -> Result<Wiki> {
    let wiki = Wiki::start()?;
    wiki.account(SUB, NAME);
    wiki.consumer(Consumer::oauth1(KEY, SECRET, CALLBACK));
    Ok(wiki)
}

/// What is signed, and how; a test changes what it wants wrong.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) sub: &'static str,
    pub(crate) server: String,
    pub(crate) key: String,
    pub(crate) secret: String,
    pub(crate) method: String,
    pub(crate) nonce: String,
    pub(crate) timestamp: i64,
    pub(crate) token: Option<Token>,
    pub(crate) more: Vec<(&'static str, String)>,
    /// Whether `title` is signed, as it must be.
    pub(crate) signs_title: bool,
    pub(crate) scheme: &'static str,
}

impl Call {
    pub(crate) fn new(wiki: &Wiki, sub: &'static str) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            sub,
            server: wiki.url(),
            key: KEY.to_owned(),
            secret: SECRET.to_owned(),
            method: "HMAC-SHA1".to_owned(),
            nonce: hex::encode(rand::random::<[u8; 16]>()),
            timestamp: i64::try_from(now.as_secs()).unwrap_or_default(),
            token: None,
            more: Vec::new(),
            signs_title: true,
            scheme: "OAuth",
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.more.push((name, value.to_owned()));
        self
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("oauth_consumer_key", self.key.clone()),
            ("oauth_nonce", self.nonce.clone()),
            ("oauth_signature_method", self.method.clone()),
            ("oauth_timestamp", self.timestamp.to_string()),
            ("oauth_version", "1.0".to_owned()),
        ];
        if let Some((key, _)) = &self.token {
            all.push(("oauth_token", key.clone()));
        }
        all.extend(self.more.iter().cloned());
        all
    }

    pub(crate) fn base_string(&self) -> String {
        let mut all = self.parameters();
        if self.signs_title {
            all.push(("title", format!("Special:OAuth/{}", self.sub)));
        }
        let mut pairs: Vec<String> = all
            .iter()
            .map(|(name, value)| format!("{name}={}", escape(value)))
            .collect();
        pairs.sort();
        let address = format!("{}/w/index.php", self.server);
        format!("POST&{}&{}", escape(&address), escape(&pairs.join("&")))
    }

    fn hmac(&self) -> Result<String> {
        let secret = self.token.as_ref().map_or("", |(_, secret)| secret);
        let mut mac = Hmac::<Sha1>::new_from_slice(format!("{}&{secret}", self.secret).as_bytes())?;
        mac.update(self.base_string().as_bytes());
        Ok(STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// The body of the answer, which is 200 whatever it says.
    pub(crate) async fn send(&self, wiki: &Wiki) -> Result<String> {
        self.send_signed(wiki, &self.hmac()?).await
    }

    pub(crate) async fn send_signed(&self, wiki: &Wiki, signature: &str) -> Result<String> {
        let mut all = self.parameters();
        all.push(("oauth_signature", signature.to_owned()));
        let pairs: Vec<String> = all
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
            .collect();
        let address = format!("{}?title=Special%3AOAuth%2F{}", wiki.index_url(), self.sub);
        let answer = http()?
            .post(address)
            .header(
                "authorization",
                format!("{} {}", self.scheme, pairs.join(", ")),
            )
            .send()
            .await?;
        anyhow::ensure!(answer.status() == 200, "status {}", answer.status());
        Ok(answer.text().await?)
    }
}

pub(crate) fn escape(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
        .replace('*', "%2A")
        .replace("%7E", "~")
}

pub(crate) fn http() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .redirect(Policy::none())
        .user_agent("wiki-tests/1 (tests@example.org)")
        .build()?)
}

pub(crate) fn token_of(body: &str) -> Result<Token> {
    Ok((
        field(body, "oauth_token")?,
        field(body, "oauth_token_secret")?,
    ))
}

pub(crate) fn dialog(wiki: &Wiki, request: &Token) -> String {
    format!(
        "{}?title=Special:OAuth/authenticate&oauth_token={}&oauth_consumer_key={KEY}",
        wiki.index_url(),
        request.0
    )
}

/// A request token, and the verifier that its browser brought.
pub(crate) async fn approved(wiki: &Wiki) -> Result<(Token, String)> {
    let body = Call::new(wiki, "initiate")
        .with("oauth_callback", "oob")
        .send(wiki)
        .await?;
    let request = token_of(&body)?;
    let back = Visitor::new(NAME)?
        .comes_back(&dialog(wiki, &request), Consent::Accept)
        .await?;
    let verifier = field(back.query().context("a query")?, "oauth_verifier")?;
    Ok((request, verifier))
}

/// An access token, by the whole way.
pub(crate) async fn access(wiki: &Wiki) -> Result<Token> {
    let (request, verifier) = approved(wiki).await?;
    let mut call = Call::new(wiki, "token").with("oauth_verifier", &verifier);
    call.token = Some(request);
    token_of(&call.send(wiki).await?)
}

/// What `identify` answers.
pub(crate) async fn identify(wiki: &Wiki, access: &Token) -> Result<String> {
    let mut call = Call::new(wiki, "identify");
    call.token = Some(access.clone());
    call.send(wiki).await
}

/// A part of a JWT.
pub(crate) fn part(jwt: &str, place: usize) -> Result<Value> {
    let part = jwt.split('.').nth(place).context("three parts")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}
