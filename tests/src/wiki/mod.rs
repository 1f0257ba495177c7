//! A wiki to sign in with: MediaWiki's Extension:OAuth (1.0a and 2.0) and CentralAuth's `globaluserinfo`, as the recorded exchanges in
//! `spec/golden/mediawiki-oauth.json` show them, on a socket of its own.
//!
//! Browsers and programs can use it as they use the real one. A test says who has an account ([`Wiki::account`]), which applications are
//! registered ([`Wiki::consumer`]), and what goes wrong ([`Wiki::cause`], [`Wiki::tamper`], [`Wiki::down`], [`Wiki::set_clock`], ...).
//! Everything may be changed between any two requests. Refusals of OAuth 1.0a are HTTP 200, as they are there.
//! **Invariant:** it keeps to what the recorded wiki does, also where that is odd; what a newer release does is [`Release::Master`].

mod accounts;
mod answer;
mod api;
mod authorize;
mod consumers;
mod dialog;
mod identity;
mod oauth1;
mod oauth2;
mod pages;
mod php;
mod refusal;
mod request;
mod resource;
mod rest;
mod server;
mod signature;
mod site;
mod state;
mod trouble;
mod uploads;
mod visitor;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};

pub use self::accounts::{Account, Hidden};
pub use self::consumers::{CallbackRule, Consumer, Kind, Shape, Stage, Version};
pub use self::identity::Tamper;
pub use self::pages::Edit;
pub use self::php::{Json, Members};
pub use self::request::Seen;
use self::server::{Server, lock};
use self::state::{Clock, State};
pub use self::state::{ReadOnly, Release, Secret};
pub use self::trouble::{Often, Place, Trouble};
pub use self::uploads::Upload;
pub use self::visitor::{Arrived, Consent, Visitor};

/// A running wiki. Dropping it ends it.
pub struct Wiki {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Wiki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What it knows are secrets.
        f.debug_struct("Wiki")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

impl Wiki {
    /// Starts a wiki without accounts and applications, which takes its own address for its public one.
    ///
    /// # Errors
    /// When the machine has no port or thread left.
    pub fn start() -> Result<Self> {
        let (server, state) = Server::start(|address| State::new(&format!("http://{address}")))?;
        Ok(Self { server, state })
    }

    /// The origin that is dialled.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// `index.php`, where OAuth 1.0a is.
    #[must_use]
    pub fn index_url(&self) -> String {
        format!("{}/w/index.php", self.url())
    }

    /// `rest.php`, where OAuth 2.0 is.
    #[must_use]
    pub fn rest_url(&self) -> String {
        format!("{}/w/rest.php", self.url())
    }

    /// `api.php`, where locks are told.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("{}/w/api.php", self.url())
    }

    /// Creates an account, or renames the one with this number.
    pub fn account(&self, sub: u64, name: &str) {
        lock(&self.state).put_account(sub, name);
    }

    /// Gives an account another name; number and tokens stay.
    pub fn rename(&self, sub: u64, new_name: &str) {
        self.account(sub, new_name);
    }

    /// Changes an account.
    ///
    /// # Errors
    /// When there is none with this number.
    pub fn change_account(&self, sub: u64, change: impl FnOnce(&mut Account)) -> Result<()> {
        let mut state = lock(&self.state);
        change(state.accounts.get_mut(&sub).context("no such account")?);
        Ok(())
    }

    /// Registers an application, or replaces the one with this key.
    pub fn consumer(&self, consumer: Consumer) {
        lock(&self.state)
            .consumers
            .insert(consumer.key.clone(), consumer);
    }

    /// Changes a registered application.
    ///
    /// # Errors
    /// When there is none with this key.
    pub fn change_consumer(&self, key: &str, change: impl FnOnce(&mut Consumer)) -> Result<()> {
        let mut state = lock(&self.state);
        change(state.consumers.get_mut(key).context("no such consumer")?);
        Ok(())
    }

    /// Takes an application away.
    pub fn forget_consumer(&self, key: &str) {
        lock(&self.state).consumers.remove(key);
    }

    /// A person takes back what they allowed an application.
    pub fn revoke(&self, key: &str, sub: u64) {
        lock(&self.state).revoke(key, sub);
    }

    /// Decides who every browser is, without signing in; with `None` each browser is who it signed in as.
    pub fn browser_user(&self, sub: Option<u64>) {
        lock(&self.state).browser_user = sub;
    }

    /// Signs every browser out of the wiki.
    pub fn forget_browsers(&self) {
        let mut state = lock(&self.state);
        state.sessions.clear();
        state.browser_user = None;
    }

    /// `$wgServer`: the origin that the wiki takes for its own, which is signed and issues statements.
    pub fn set_server(&self, origin: &str) {
        origin.clone_into(&mut lock(&self.state).server);
    }

    /// `$wgCanonicalServer`, when statements are issued by another origin than is signed.
    pub fn set_canonical_server(&self, origin: &str) {
        lock(&self.state).canonical = Some(origin.to_owned());
    }

    /// Its site matrix (`action=sitematrix`) names these origins, each a wiki for everybody, or with a flag such as `private`.
    pub fn set_matrix(&self, wikis: &[(&str, Option<&str>)]) {
        let wikis = wikis
            .iter()
            .map(|(origin, flag)| ((*origin).to_owned(), flag.map(str::to_owned)));
        lock(&self.state).matrix = wikis.collect();
    }

    /// The wiki's clock stands at this second since 1970.
    pub fn set_clock(&self, moment: i64) {
        lock(&self.state).clock = Clock::At(moment);
    }

    /// The wiki's clock goes, so many seconds ahead of ours.
    pub fn set_clock_ahead(&self, seconds: i64) {
        lock(&self.state).clock = Clock::Off(seconds);
    }

    /// So many seconds pass on the wiki.
    pub fn pass(&self, seconds: i64) {
        match &mut lock(&self.state).clock {
            Clock::At(moment) => *moment += seconds,
            Clock::Off(ahead) => *ahead += seconds,
        }
    }

    /// Whose ways it has where releases differ; [`Release::Lts143`] unless set.
    pub fn set_release(&self, release: Release) {
        lock(&self.state).release = release;
    }

    /// What cannot be written.
    pub fn set_read_only(&self, read_only: ReadOnly) {
        lock(&self.state).read_only = read_only;
    }

    /// How long it thinks before each answer.
    pub fn set_pause(&self, pause: Duration) {
        lock(&self.state).pause = pause;
    }

    /// How long access tokens of OAuth 2.0 hold.
    pub fn set_access_token_seconds(&self, seconds: i64) {
        lock(&self.state).access_token_seconds = seconds;
    }

    /// It has no CentralAuth, so nothing can be asked about locks.
    pub fn without_central_auth(&self) {
        lock(&self.state).central_auth = false;
    }

    /// Refuses with 403 programs that do not say whom to write to.
    pub fn demand_user_agent(&self) {
        lock(&self.state).demands_user_agent = true;
    }

    /// Every request token and code is too old now.
    pub fn expire_sign_ins(&self) {
        let mut state = lock(&self.state);
        let state = &mut *state;
        state
            .request_tokens
            .values_mut()
            .for_each(|one| one.until = 0);
        state.codes.values_mut().for_each(|one| one.until = 0);
    }

    /// Every access token of OAuth 2.0 is too old now.
    pub fn expire_access_tokens(&self) {
        let mut state = lock(&self.state);
        state.bearers.values_mut().for_each(|one| one.until = 0);
    }

    /// Statements about people are wrong in this way too, until [`Wiki::tell_the_truth`].
    pub fn tamper(&self, tamper: Tamper) {
        lock(&self.state).tampers.push(tamper);
    }

    /// Statements are right again.
    pub fn tell_the_truth(&self) {
        lock(&self.state).tampers.clear();
    }

    /// Something goes wrong from now on. Of several that fit a request, the one that was caused first happens.
    pub fn cause(&self, place: Place, often: Often, trouble: Trouble) {
        lock(&self.state).troubles.push((place, often, trouble));
    }

    /// Something goes wrong with every request for `what`, a word as in [`Seen::what`].
    pub fn cause_at(&self, what: &str, trouble: Trouble) {
        self.cause(Place::At(what.to_owned()), Often::Always, trouble);
    }

    /// Nothing goes wrong any more. Requests that hang go on hanging.
    pub fn cure(&self) {
        lock(&self.state).troubles.clear();
    }

    /// Nothing listens, and connections that are there end.
    ///
    /// # Errors
    /// When the wiki has ended.
    pub fn down(&self) -> Result<()> {
        self.server.close()
    }

    /// It listens again, where it did.
    ///
    /// # Errors
    /// When somebody else took the port.
    pub fn up(&self) -> Result<()> {
        self.server.open()
    }

    /// The next random value of this kind is this one.
    pub fn give(&self, secret: Secret, value: &str) {
        let mut state = lock(&self.state);
        let given = state.given.entry(secret).or_default();
        given.push_back(value.to_owned());
    }

    /// Requests so far, oldest first.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state).seen.clone()
    }

    /// How many requests there were for `what`, a word as in [`Seen::what`].
    #[must_use]
    pub fn count(&self, what: &str) -> usize {
        let state = lock(&self.state);
        state.seen.iter().filter(|seen| seen.what == what).count()
    }

    /// Changes of pages so far, oldest first.
    #[must_use]
    pub fn edits(&self) -> Vec<Edit> {
        lock(&self.state).edits.clone()
    }

    /// Files that were uploaded so far, oldest first.
    #[must_use]
    pub fn uploads(&self) -> Vec<Upload> {
        lock(&self.state).uploads.clone()
    }

    /// Begins to count anew.
    pub fn forget_seen(&self) {
        lock(&self.state).seen.clear();
    }
}
