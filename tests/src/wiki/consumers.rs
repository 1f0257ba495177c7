//! Applications that are registered with the wiki: consumers of OAuth 1.0a and clients of 2.0, which are one table there.

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use rsa::PublicKey;
use rsa::pkcs8::DecodePublicKey as _;

use super::php::Json;

/// A registered application. Everything may be changed at any time.
#[derive(Debug, Clone)]
pub struct Consumer {
    /// Consumer key, or client id.
    pub key: String,
    /// Consumer secret, or client secret.
    pub secret: String,
    /// What people see.
    pub name: String,
    /// Which protocol it may speak.
    pub version: Version,
    /// Whether it can keep a secret; OAuth 2.0 only.
    pub kind: Kind,
    /// The registered address of the way back; `oob` for a program without one.
    pub callback: String,
    /// Whether `callback` is a prefix.
    pub callback_rule: CallbackRule,
    /// With this, requests are signed by RSA.
    pub public_key: Option<PublicKey>,
    /// What it may ask people for.
    pub grants: Vec<String>,
    /// Whether PHP's list of grants has lost an element, and so is written as an object.
    pub grants_shape: Shape,
    /// How far its registration is.
    pub stage: Stage,
    /// Only its owner may use it, without any sign-in.
    pub owner_only: bool,
    /// The one wiki it is for; `None` is all.
    pub only_wiki: Option<String>,
    /// The only addresses it may call from; empty is all.
    pub ip_ranges: Vec<IpNet>,
    /// `authorization_code`, `refresh_token`; OAuth 2.0 only.
    pub grant_types: Vec<String>,
}

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// OAuth 1.0a.
    One,
    /// OAuth 2.0.
    Two,
}

/// Whether a client can keep a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It has one.
    Confidential,
    /// It has none, and must prove itself by PKCE.
    Public,
}

/// What a consumer of OAuth 1.0a may send as callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackRule {
    /// Only `oob`; the registered address is used.
    Fixed,
    /// `oob`, or an address that begins with the registered one.
    Prefix,
}

/// How PHP writes a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `["a","b"]`.
    List,
    /// `{"0":"a","2":"b"}`.
    Holes,
}

/// How far a registration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It may be used.
    Approved,
    /// Nobody has approved it yet.
    Proposed,
    /// It was switched off.
    Disabled,
}

impl Consumer {
    /// A consumer of OAuth 1.0a with a fixed callback, for signing in only: it sends `oob`.
    #[must_use]
    pub fn oauth1(key: &str, secret: &str, callback: &str) -> Self {
        Self {
            key: key.to_owned(),
            secret: secret.to_owned(),
            name: "Holt".to_owned(),
            version: Version::One,
            kind: Kind::Confidential,
            callback: callback.to_owned(),
            callback_rule: CallbackRule::Fixed,
            public_key: None,
            grants: vec!["mwoauth-authonly".to_owned()],
            grants_shape: Shape::List,
            stage: Stage::Approved,
            owner_only: false,
            only_wiki: None,
            ip_ranges: Vec::new(),
            grant_types: Vec::new(),
        }
    }

    /// A confidential client of OAuth 2.0, for signing in only.
    #[must_use]
    pub fn oauth2(id: &str, secret: &str, redirect_uri: &str) -> Self {
        Self {
            version: Version::Two,
            grant_types: ["authorization_code", "refresh_token"]
                .map(str::to_owned)
                .to_vec(),
            ..Self::oauth1(id, secret, redirect_uri)
        }
    }

    /// A client of OAuth 2.0 without a secret.
    #[must_use]
    pub fn oauth2_public(id: &str, redirect_uri: &str) -> Self {
        Self {
            kind: Kind::Public,
            ..Self::oauth2(id, "", redirect_uri)
        }
    }

    /// May send an own callback that begins with the registered one.
    #[must_use]
    pub fn with_prefix(mut self) -> Self {
        self.callback_rule = CallbackRule::Prefix;
        self
    }

    /// With a name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// May ask for these, which makes the dialog appear at every sign-in unless they are for signing in only.
    #[must_use]
    pub fn with_grants(mut self, grants: &[&str]) -> Self {
        self.grants = grants.iter().map(|&grant| grant.to_owned()).collect();
        self
    }

    /// Signs by RSA; the key is in PEM, `BEGIN PUBLIC KEY`.
    ///
    /// # Errors
    /// When it is no such key.
    pub fn with_public_key(mut self, pem: &str) -> Result<Self> {
        self.public_key = Some(PublicKey::from_public_key_pem(pem).context("no RSA public key")?);
        Ok(self)
    }

    /// Whether nothing is asked of people but who they are.
    pub(super) fn only_identifies(&self) -> bool {
        self.grants
            .iter()
            .all(|grant| ["mwoauth-authonly", "mwoauth-authonlyprivate"].contains(&grant.as_str()))
    }

    /// Its grants as they are said.
    pub(super) fn grants_said(&self) -> Json {
        match self.grants_shape {
            Shape::List => Json::texts(&self.grants),
            Shape::Holes => with_holes(&self.grants),
        }
    }
}

/// A list whose second element was lost.
pub(super) fn with_holes(texts: &[String]) -> Json {
    let members = texts.iter().enumerate().map(|(place, text)| {
        let key = if place == 0 { 0 } else { place + 1 };
        (key.to_string(), text.as_str().into())
    });
    Json::Map(members.collect())
}
