//! All that the wiki knows, and its clock. One value behind one lock, so that a test may change anything between two requests.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngExt as _;

use super::accounts::Account;
use super::consumers::{Consumer, Shape};
use super::identity::Tamper;
use super::pages::Edit;
use super::php::Json;
use super::request::Seen;
use super::trouble::{Often, Place, Trouble};
use super::uploads::{Stash, Upload};

/// How long request tokens and codes live.
pub(super) const SHORT: i64 = 600;

pub(super) struct State {
    /// `$wgServer`: what the wiki takes its own origin for, and reckons signatures with.
    pub(super) server: String,
    /// `$wgCanonicalServer`, when it is another: who issues statements.
    pub(super) canonical: Option<String>,
    pub(super) wiki_id: String,
    pub(super) clock: Clock,
    pub(super) release: Release,
    pub(super) read_only: ReadOnly,
    pub(super) central_auth: bool,
    pub(super) demands_user_agent: bool,
    pub(super) pause: Duration,
    pub(super) access_token_seconds: i64,
    pub(super) refresh_token_seconds: i64,
    pub(super) accounts: BTreeMap<u64, Account>,
    pub(super) consumers: BTreeMap<String, Consumer>,
    pub(super) acceptances: Vec<Acceptance>,
    pub(super) request_tokens: HashMap<String, RequestToken>,
    /// By consumer, token and nonce: until when.
    pub(super) nonces: HashMap<(String, String, String), i64>,
    /// When nonces were last forgotten.
    pub(super) swept: i64,
    pub(super) codes: HashMap<String, Code>,
    pub(super) bearers: HashMap<String, Bearer>,
    pub(super) refreshes: HashMap<String, Refresh>,
    /// Browsers that are signed in, by their cookie.
    pub(super) sessions: HashMap<String, u64>,
    /// Who every browser is, cookie or not.
    pub(super) browser_user: Option<u64>,
    pub(super) given: HashMap<Secret, VecDeque<String>>,
    pub(super) tampers: Vec<Tamper>,
    pub(super) troubles: Vec<(Place, Often, Trouble)>,
    pub(super) seen: Vec<Seen>,
    /// By title, as they were last changed.
    pub(super) pages: BTreeMap<String, Edit>,
    pub(super) edits: Vec<Edit>,
    pub(super) uploads: Vec<Upload>,
    /// Files that were uploaded and are not published.
    pub(super) stash: Stash,
    /// Origins that its site matrix names, each with a flag of a wiki that is not for everybody, or none.
    pub(super) matrix: Vec<(String, Option<String>)>,
}

/// Whose ways the wiki has, where releases differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// MediaWiki 1.43, as recorded.
    Lts143,
    /// As Wikimedia runs it today.
    Master,
}

/// What cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOnly {
    /// All can.
    No,
    /// The database: nothing can be approved.
    Wiki,
    /// `$wgMWOAuthReadOnly`: no sign-in can begin either.
    OAuth,
}

/// A value that is random unless a test gives it ([`super::Wiki::give`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Secret {
    /// The request token of OAuth 1.0a.
    RequestToken,
    /// Its secret.
    RequestSecret,
    /// The verifier.
    Verifier,
    /// The access token of OAuth 1.0a.
    AccessToken,
    /// Its secret.
    AccessSecret,
    /// The code of OAuth 2.0.
    Code,
    /// The access token of OAuth 2.0.
    Bearer,
    /// The refresh token.
    RefreshToken,
}

/// What time it is on the wiki.
#[derive(Debug, Clone, Copy)]
pub(super) enum Clock {
    /// So many seconds away from ours.
    Off(i64),
    /// It stands.
    At(i64),
}

/// A person has allowed a consumer; one for each pair.
#[derive(Debug, Clone)]
pub(super) struct Acceptance {
    pub(super) consumer: String,
    pub(super) sub: u64,
    pub(super) grants: Vec<String>,
    pub(super) key: String,
    pub(super) secret: String,
}

#[derive(Debug, Clone)]
pub(super) struct RequestToken {
    pub(super) consumer: String,
    pub(super) secret: String,
    /// Gone after it was read once.
    pub(super) callback: Option<String>,
    pub(super) until: i64,
    pub(super) approved: Option<Approved>,
    pub(super) used: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Approved {
    pub(super) verifier: String,
    pub(super) access_key: String,
}

#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) client: String,
    pub(super) sub: u64,
    pub(super) scopes: Vec<String>,
    /// As it was sent, if it was.
    pub(super) redirect_uri: Option<String>,
    pub(super) challenge: Option<(String, String)>,
    pub(super) until: i64,
    pub(super) spent: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Bearer {
    pub(super) client: String,
    pub(super) sub: u64,
    pub(super) scopes: Vec<String>,
    pub(super) until: i64,
    pub(super) revoked: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Refresh {
    pub(super) client: String,
    pub(super) sub: u64,
    pub(super) scopes: Vec<String>,
    pub(super) bearer: String,
    pub(super) until: i64,
    /// Since when it is spent.
    pub(super) spent: Option<i64>,
}

impl State {
    pub(super) fn new(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            canonical: None,
            wiki_id: "peerwiki".to_owned(),
            clock: Clock::Off(0),
            release: Release::Lts143,
            read_only: ReadOnly::No,
            central_auth: true,
            demands_user_agent: false,
            pause: Duration::ZERO,
            access_token_seconds: 3600,
            refresh_token_seconds: 30 * 86400,
            accounts: BTreeMap::new(),
            consumers: BTreeMap::new(),
            acceptances: Vec::new(),
            request_tokens: HashMap::new(),
            nonces: HashMap::new(),
            swept: 0,
            codes: HashMap::new(),
            bearers: HashMap::new(),
            refreshes: HashMap::new(),
            sessions: HashMap::new(),
            browser_user: None,
            given: HashMap::new(),
            tampers: Vec::new(),
            troubles: Vec::new(),
            seen: Vec::new(),
            pages: BTreeMap::new(),
            edits: Vec::new(),
            uploads: Vec::new(),
            stash: Stash::new(),
            matrix: Vec::new(),
        }
    }

    /// Seconds since 1970 by the wiki's clock.
    pub(super) fn now(&self) -> i64 {
        match self.clock {
            Clock::At(moment) => moment,
            Clock::Off(seconds) => {
                let ours = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                i64::try_from(ours.as_secs()).unwrap_or(i64::MAX) + seconds
            }
        }
    }

    /// The given value, or a random one of the recorded form.
    pub(super) fn secret(&mut self, which: Secret) -> String {
        if let Some(given) = self.given.get_mut(&which).and_then(VecDeque::pop_front) {
            return given;
        }
        match which {
            Secret::AccessSecret => random_hex(20),
            Secret::Code | Secret::RefreshToken => format!("def50200{}", random_hex(300)),
            _ => random_hex(16),
        }
    }

    pub(super) fn acceptance(&self, consumer: &str, sub: u64) -> Option<&Acceptance> {
        self.acceptances
            .iter()
            .find(|one| one.consumer == consumer && one.sub == sub)
    }

    /// Allows the consumer these grants; the token of an earlier time stays.
    pub(super) fn accept(&mut self, consumer: &str, sub: u64, grants: &[String]) -> Acceptance {
        if let Some(known) = self
            .acceptances
            .iter_mut()
            .find(|one| one.consumer == consumer && one.sub == sub)
        {
            grants.clone_into(&mut known.grants);
            return known.clone();
        }
        let acceptance = Acceptance {
            consumer: consumer.to_owned(),
            sub,
            grants: grants.to_vec(),
            key: self.secret(Secret::AccessToken),
            secret: self.secret(Secret::AccessSecret),
        };
        self.acceptances.push(acceptance.clone());
        acceptance
    }

    /// The person takes it back: every token is worth nothing from now on.
    pub(super) fn revoke(&mut self, consumer: &str, sub: u64) {
        let now = self.now();
        self.acceptances
            .retain(|one| one.consumer != consumer || one.sub != sub);
        for bearer in self.bearers.values_mut() {
            bearer.revoked |= bearer.client == consumer && bearer.sub == sub;
        }
        for refresh in self.refreshes.values_mut() {
            if refresh.client == consumer && refresh.sub == sub {
                // Long enough ago that no grace is left.
                refresh.spent = Some(now - SHORT - 1);
            }
        }
    }

    pub(super) fn consumer(&self, key: &str) -> Option<&Consumer> {
        self.consumers.get(key)
    }

    /// The grants of an acceptance as they are said: like those of the consumer when they are the same.
    pub(super) fn grants_said(&self, consumer: &Consumer, grants: &[String]) -> Json {
        if consumer.grants == grants && consumer.grants_shape == Shape::Holes {
            consumer.grants_said()
        } else {
            Json::texts(grants)
        }
    }
}

pub(super) fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    rand::rng().fill(random.as_mut_slice());
    hex::encode(random)
}
