//! Signing in by a provider, from the button to the user: begin, keep, and, when the browser is back, finish, admit, arrive.
//!
//! What is on its way is a row bound to one browser, so any hub can finish it, and nobody finishes another's. The row goes before the
//! provider is asked: whatever happens then, it is used up.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use holt_spec::names::{USER_NAME_BYTES, check_user_name};
use secrecy::{ExposeSecret as _, SecretString};

use super::admission::{Admitted, Rules};
use super::provider::{CameBack, LoginError, Person, Provider, Query, Standing};
use crate::secret::{
    self,
    seal::{Seal, Sealed},
};
use crate::store::identities::Arrival;
use crate::store::pending::PendingLogin;
use crate::store::users::User;
use crate::store::{Store, StoreError};

/// How long a browser may be away.
pub const PATIENCE: Duration = Duration::from_secs(20 * 60);
/// Sign-ins begun from one address within [`WINDOW`]: a room full of people has one address.
const MOST_OF_ADDRESS: u32 = 1000;
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Names tried before a person cannot be called anything.
const TRIES: usize = 50;

/// A provider as the settings declare it.
#[derive(Clone)]
pub struct Registered {
    /// Its name in the settings and in addresses.
    pub name: String,
    /// What stands on its button.
    pub label: String,
    /// The path it sends browsers back to.
    pub callback_path: String,
    /// Whether its claims decide who administers: then they also take it away.
    pub decides_admins: bool,
    /// The protocol.
    pub provider: Arc<dyn Provider>,
}

/// All ways to sign in, and who may.
pub struct SignIn {
    /// In the order of their names.
    pub providers: Vec<Registered>,
    /// Who may come in by them.
    pub rules: Rules,
    /// Seals what is kept of people at their providers.
    pub seal: Arc<Seal>,
    /// Whether names and passwords of Holt's own are asked for.
    pub is_local_on: bool,
    /// Whether the sign-in page leads to the only provider at once.
    pub is_auto: bool,
    /// Whether homes are called after the account at the provider.
    pub is_home_of_sub: bool,
    /// The outside's name of the hub, without a slash at the end.
    pub public_url: String,
    /// How long the last good answer about an account holds while its provider cannot be asked.
    pub max_age: Duration,
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The provider, or what it said.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// This browser began no such sign-in, or finished it before.
    #[error("this browser began no such sign-in, or it is over")]
    NotBegun,
    /// What came back is nothing a provider sends.
    #[error("something is missing in what the provider sent back")]
    Incomplete,
    /// The rules do not let the person in; a whole sentence.
    #[error("{0}")]
    NotAdmitted(String),
    /// Too many were begun from one address; seconds to wait.
    #[error("too many sign-ins were begun from this address")]
    TooMany(u64),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Somebody who is signed in now.
#[derive(Debug)]
pub struct Welcome {
    /// Who.
    pub user: User,
    /// Where they wanted to go.
    pub next: Option<String>,
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.providers.iter().map(|one| &one.name))
            .finish()
    }
}

impl SignIn {
    /// Names and passwords of Holt's own alone.
    #[must_use]
    pub fn local(seal: Arc<Seal>) -> Self {
        Self {
            providers: Vec::new(),
            rules: Rules::default(),
            seal,
            is_local_on: true,
            is_auto: false,
            is_home_of_sub: false,
            public_url: String::new(),
            max_age: Duration::ZERO,
        }
    }

    /// A provider by its name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Registered> {
        self.providers.iter().find(|one| one.name == name)
    }

    /// The provider that sends browsers back to this path.
    #[must_use]
    pub fn at_path(&self, path: &str) -> Option<&Registered> {
        self.providers.iter().find(|one| one.callback_path == path)
    }

    /// Begins a sign-in in a browser at an address, and says where it goes.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn begin(
        &self,
        store: &Store,
        registered: &Registered,
        browser: &str,
        address: Option<IpAddr>,
        next: Option<String>,
    ) -> Result<String, SignInError> {
        // Each is a row, and with some protocols a question to the provider.
        let key = secret::hash(&format!("sign-in\0{}", super::local::group(address)));
        if let Some(seconds) = store.throttled(&key, MOST_OF_ADDRESS, WINDOW).await? {
            return Err(SignInError::TooMany(seconds));
        }
        store.count_try(&[key], WINDOW).await?;
        self.set_out(store, registered, browser, next).await
    }

    /// Sends a browser to a provider, with what is kept until it is back.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn set_out(
        &self,
        store: &Store,
        registered: &Registered,
        browser: &str,
        next: Option<String>,
    ) -> Result<String, SignInError> {
        let begun = registered
            .provider
            .begin(&self.callback(registered))
            .await?;
        let sealed = self.seal.seal(
            &pending_owner(&registered.name, &begun.handle),
            begun.kept.expose_secret(),
        );
        let login = PendingLogin {
            provider: registered.name.clone(),
            kept: format!("{}:{}", sealed.key_id, sealed.text),
            next,
        };
        store
            .keep_login(browser, &begun.handle, &login, PATIENCE)
            .await?;
        Ok(begun.go_to)
    }

    /// Finishes what a browser began, when it is back with this query.
    ///
    /// # Errors
    /// [`SignInError`]. What was begun is over then, unless it was another browser's.
    pub async fn finish(
        &self,
        store: &Store,
        registered: &Registered,
        browser: &str,
        query: &Query,
    ) -> Result<Welcome, SignInError> {
        let (person, next) = self.come_back(store, registered, browser, query).await?;
        let is_confirmed = self.check_standing(store, registered, &person).await?;
        let user = self
            .welcome(store, registered, &person, is_confirmed)
            .await?;
        Ok(Welcome { user, next })
    }

    /// Who came back from a provider with this query, and where they wanted to go.
    ///
    /// # Errors
    /// [`SignInError`]. What was begun is over then, unless it was another browser's.
    pub async fn come_back(
        &self,
        store: &Store,
        registered: &Registered,
        browser: &str,
        query: &Query,
    ) -> Result<(Person, Option<String>), SignInError> {
        let handle = match registered.provider.came_back(query) {
            CameBack::With { handle } => handle,
            CameBack::Denied { handle, error } => {
                tracing::info!(
                    provider = registered.name,
                    error,
                    "A sign-in was not authorised"
                );
                if let Some(handle) = handle {
                    store.take_login(browser, &handle).await?;
                }
                return Err(LoginError::Denied.into());
            }
            CameBack::Nothing => return Err(SignInError::Incomplete),
        };
        let pending = store
            .take_login(browser, &handle)
            .await?
            .filter(|pending| pending.provider == registered.name)
            .ok_or(SignInError::NotBegun)?;
        let kept = self
            .open_pending(&pending, &handle)
            .ok_or(SignInError::NotBegun)?;
        let person = registered
            .provider
            .finish(&self.callback(registered), &kept, query)
            .await?;
        Ok((person, pending.next))
    }

    /// Keeps out accounts that are locked or hidden. While the provider cannot be asked, its last good answer holds for a while: `false`
    /// then.
    async fn check_standing(
        &self,
        store: &Store,
        registered: &Registered,
        person: &Person,
    ) -> Result<bool, SignInError> {
        let refused = |words: &str| Err(LoginError::Refused(words.to_owned()).into());
        match registered.provider.standing(&person.sub).await {
            Ok(None | Some(Standing::Good { .. })) => Ok(true),
            Ok(Some(Standing::Locked)) => refused(
                "This account is locked on all wikis, so it cannot be used here. If that is a mistake, the stewards of the wikis can mend it.",
            ),
            Ok(Some(Standing::Missing)) => {
                refused("This account is hidden on the wikis, so it cannot be used here.")
            }
            Err(error) => {
                let known = store.identity(&person.issuer, &person.sub).await?;
                let max_age = i64::try_from(self.max_age.as_millis()).unwrap_or(i64::MAX);
                let now = store.now().await?;
                match known {
                    Some(known)
                        if known.standing == "good"
                            && now.saturating_sub(known.confirmed) < max_age =>
                    {
                        Ok(false)
                    }
                    Some(_) | None => Err(error.into()),
                }
            }
        }
    }

    /// Admits a person and makes them a user, or the user they are.
    async fn welcome(
        &self,
        store: &Store,
        registered: &Registered,
        person: &Person,
        is_confirmed: bool,
    ) -> Result<User, SignInError> {
        let admitted = self
            .rules
            .admit(&registered.name, person, store.now().await?)
            .map_err(SignInError::NotAdmitted)?;
        let user = store
            .arrive(Arrival {
                issuer: &person.issuer,
                sub: &person.sub,
                provider: &registered.name,
                name: &person.name,
                wanted: &wanted_names(&person.name, &registered.name),
                admin: match admitted {
                    Admitted::Admin => Some(true),
                    Admitted::User => registered.decides_admins.then_some(false),
                },
                is_confirmed,
                home: self.is_home_of_sub.then_some(person.sub.as_str()),
            })
            .await?;
        let sealed = self.seal.seal(
            &auth_state_owner(&person.issuer, &person.sub, ""),
            &person.auth_state.to_string(),
        );
        store
            .keep_auth_state(&person.issuer, &person.sub, &sealed)
            .await?;
        Ok(user)
    }

    fn open_pending(&self, pending: &PendingLogin, handle: &str) -> Option<SecretString> {
        let (key_id, text) = pending.kept.split_once(':')?;
        let sealed = Sealed {
            key_id: key_id.to_owned(),
            text: text.to_owned(),
        };
        self.seal
            .open(&pending_owner(&pending.provider, handle), &sealed)
            .map(SecretString::from)
    }

    fn callback(&self, registered: &Registered) -> String {
        format!("{}{}", self.public_url, registered.callback_path)
    }

    /// How an account stands, when its provider can tell.
    ///
    /// # Errors
    /// [`LoginError`]: nothing is known then.
    pub async fn standing(
        &self,
        provider: &str,
        sub: &str,
    ) -> Result<Option<Standing>, LoginError> {
        match self.named(provider) {
            Some(registered) => registered.provider.standing(sub).await,
            None => Ok(None),
        }
    }
}

/// What a sealed sign-in on its way is bound to.
fn pending_owner(provider: &str, handle: &str) -> String {
    format!("pending\0{provider}\0{handle}")
}

/// What a sealed auth state is bound to: an account, and the consumer it was given to; the empty one is that of signing in.
#[must_use]
pub fn auth_state_owner(issuer: &str, sub: &str, consumer: &str) -> String {
    match consumer {
        "" => format!("auth state\0{issuer}\0{sub}"),
        _ => format!("auth state\0{issuer}\0{sub}\0{consumer}"),
    }
}

/// Names for somebody whom a provider calls `name`, best first. The name itself comes first, byte for byte; what cannot be a name here
/// is mended; and where somebody else has it the provider's name is added, then a number.
#[must_use]
pub fn wanted_names(name: &str, provider: &str) -> Vec<String> {
    let base = if check_user_name(name).is_ok() {
        name.to_owned()
    } else {
        mended(name)
    };
    let with = |end: &str| {
        let mut cut = USER_NAME_BYTES.saturating_sub(end.len()).min(base.len());
        while !base.is_char_boundary(cut) {
            cut -= 1;
        }
        format!("{}{end}", base[..cut].trim_end())
    };
    let mut names = vec![base.clone(), with(&format!("-{provider}"))];
    names.extend((2..TRIES).map(|number| with(&format!("-{provider}-{number}"))));
    names
}

/// A name that is one here, from one that is not.
fn mended(name: &str) -> String {
    let mut text: String = name
        .trim()
        .chars()
        .map(|letter| {
            let is_bad =
                letter == '/' || letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
            if is_bad { '_' } else { letter }
        })
        .collect();
    let mut cut = text.len().min(USER_NAME_BYTES);
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    text.truncate(cut);
    let text = text.trim().to_owned();
    if check_user_name(&text).is_ok() {
        text
    } else {
        "user".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_kept_byte_for_byte_where_it_can_be() {
        assert_eq!(wanted_names("U\u{308}n", "wiki")[0], "U\u{308}n");
        assert_eq!(
            &wanted_names("Rook", "hub2")[..3],
            ["Rook", "Rook-hub2", "Rook-hub2-2"]
        );
        assert_eq!(wanted_names("a/b\n", "x")[0], "a_b");
        assert_eq!(wanted_names("..", "x")[0], "user");
    }

    proptest! {
        #[test]
        fn every_wanted_name_is_one(name in ".{0,300}") {
            for wanted in wanted_names(&name, "wiki") {
                prop_assert!(check_user_name(&wanted).is_ok(), "{wanted:?}");
            }
        }
    }
}
