//! What every way to sign in elsewhere has in common: the browser is sent there and comes back with something that only the provider
//! can be asked about.
//!
//! A provider knows nothing of cookies, rows or pages: it says where the browser goes, what must be kept until it is back, and who it
//! was. **Invariant:** a person comes out of [`Provider::finish`] only after everything the protocol lets us check was checked.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

/// Fields of a callback's query, in order.
pub type Query = [(String, String)];

/// A way to sign in elsewhere, as one section `[provider.<name>]` declares it.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Begins a sign-in. `callback` is our address for the way back. Asked twice, these are two sign-ins.
    ///
    /// # Errors
    /// [`LoginError`]; nothing is left behind then.
    async fn begin(&self, callback: &str) -> Result<Begun, LoginError>;

    /// What the browser came back with. Pure.
    fn came_back(&self, query: &Query) -> CameBack;

    /// Finishes the sign-in that [`Provider::begin`] began, with what it wanted kept. May be asked once for each.
    ///
    /// # Errors
    /// [`LoginError`].
    async fn finish(
        &self,
        callback: &str,
        kept: &SecretString,
        query: &Query,
    ) -> Result<Person, LoginError>;

    /// How an account stands now; `None` where the provider cannot tell.
    ///
    /// # Errors
    /// [`LoginError`]: nothing is known then, which says neither good nor bad.
    async fn standing(&self, sub: &str) -> Result<Option<Standing>, LoginError> {
        let _ = sub;
        Ok(None)
    }

    /// Asks whether what was given at a sign-in, its auth state, still holds, and has it renewed where it ran out. Returns the auth state to
    /// keep from now on, or `None` where nothing changed or the provider cannot tell.
    ///
    /// # Errors
    /// [`LoginError::Over`] when the person took it back, or it cannot be renewed any more: they have to sign in again. Others say nothing
    /// of it.
    async fn renew(&self, auth_state: &Value) -> Result<Option<Value>, LoginError> {
        let _ = auth_state;
        Ok(None)
    }

    /// What goes into `Authorization` when one request is sent there as the owner of this auth state. Each attempt needs another one.
    ///
    /// # Errors
    /// [`LoginError::Over`] when there is nothing to authorise with, so the person has to sign in again; [`LoginError::Operator`] where
    /// nobody can act by this provider.
    fn authorize(
        &self,
        auth_state: &Value,
        request: &Outgoing<'_>,
    ) -> Result<SecretString, LoginError> {
        let _ = (auth_state, request);
        Err(LoginError::Operator {
            reason: "nobody can act by this provider".to_owned(),
        })
    }

    /// What PAWS put into the environment of every notebook: the consumer's key and secret, and its owner's, under PAWS's names. Nothing
    /// where requests are authorised in another way.
    fn paws_environment(&self, auth_state: &Value) -> Vec<(&'static str, SecretString)> {
        let _ = auth_state;
        Vec::new()
    }

    /// Whether an auth state runs out within `margin`, so that [`Provider::renew`] should come first.
    fn runs_out(&self, auth_state: &Value, margin: Duration) -> bool {
        let _ = (auth_state, margin);
        false
    }

    /// Whether what an auth state gives can be renewed: a refusal may then mean that it ran out.
    fn can_renew(&self) -> bool {
        false
    }

    /// Whether [`Provider::standing`] can tell.
    fn tells_standing(&self) -> bool {
        false
    }
}

/// A request as a provider authorises it.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// `GET`, `POST`, ...
    pub method: &'a str,
    /// The address as the public calls it, with its query.
    pub url: &'a Url,
    /// The fields of a form in the body, in order; none where the body is no form.
    pub form: &'a [(String, String)],
}

/// A sign-in that has begun.
#[derive(Debug)]
pub struct Begun {
    /// The address the browser goes to.
    pub go_to: String,
    /// What names this sign-in when the browser is back: the `oauth_token` of OAuth 1.0a, the `state` of OAuth 2.0.
    pub handle: String,
    /// What [`Provider::finish`] needs.
    pub kept: SecretString,
}

/// What a callback's query says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CameBack {
    /// It belongs to the sign-in with this handle.
    With {
        /// As in [`Begun::handle`].
        handle: String,
    },
    /// The provider says that it will not be, with or without the handle of a sign-in.
    Denied {
        /// As in [`Begun::handle`], where the provider sent it back.
        handle: Option<String>,
        /// Its word for why, at most 100 letters, digits, `_` and `-`.
        error: String,
    },
    /// Something is missing, or it is nothing a provider sends.
    Nothing,
}

/// Who signed in, by the provider's word.
#[derive(Debug, Clone)]
pub struct Person {
    /// Who says so: an origin, or the issuer of OpenID Connect.
    pub issuer: String,
    /// The account's number there, which never changes.
    pub sub: String,
    /// What it is called there now, byte for byte.
    pub name: String,
    /// Groups there.
    pub groups: Vec<String>,
    /// Whether the provider's claims make this person an administrator.
    pub admin: bool,
    /// Whether an address of e-mail was confirmed; `None` where it is not said.
    pub confirmed_email: Option<bool>,
    /// When the account was made, in milliseconds since 1970; `None` where it is not said.
    pub registered: Option<i64>,
    /// Edits; `None` where it is no wiki.
    pub edits: Option<u64>,
    /// Whether the account is blocked on the wiki that was asked: weak evidence.
    pub blocked: bool,
    /// Credentials at the provider and what it said, to be kept encrypted.
    pub auth_state: Value,
}

/// How an account stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It may go on, under this name.
    Good {
        /// Its present name.
        name: String,
    },
    /// It is locked everywhere.
    Locked,
    /// There is no such account for the public: hidden, or gone.
    Missing,
}

/// Why nobody is signed in, or nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The person, or the provider for them, said no.
    #[error("the sign-in was not authorised")]
    Denied,
    /// It took too long, or was used before: another try helps.
    #[error("this sign-in is over: it took too long, or was finished before")]
    Over,
    /// What came back does not fit what the provider knows: forged, or damaged.
    #[error("what came back does not belong to this sign-in")]
    Forged,
    /// The account may not sign in; the words say why, as a whole sentence.
    #[error("{0}")]
    Refused(String),
    /// The provider does not answer, or not as it should.
    #[error("the provider does not answer ({reason})")]
    Away {
        /// For the log: what was seen, without secrets.
        reason: String,
        /// How long it asks us to wait.
        retry_after: Option<Duration>,
    },
    /// The provider answers, but nothing can be written there for the moment.
    #[error("the provider is read-only for the moment")]
    ReadOnly,
    /// Our clock and the provider's are apart by so many seconds; positive: ours is ahead.
    #[error("our clock is {0} s away from the provider's")]
    Clock(i64),
    /// Something that only the operator can mend.
    #[error("the sign-in is not set up right: {reason}")]
    Operator {
        /// For the log: what is wrong and what to do, without secrets.
        reason: String,
    },
    /// A signed statement of the provider does not hold; which check failed.
    #[error("the provider's statement does not hold: {0}")]
    Unproven(&'static str),
}
