//! Why a request was not sent, or nothing is known of it.

use std::sync::Arc;

use crate::login::provider::LoginError;
use crate::store::StoreError;

/// Whether the wiki was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The wiki answered; what it says is its own.
    Answered,
    /// It certainly heard nothing: sending it again is safe.
    NotSent,
    /// It may have carried it out: only who asked can find out.
    Unknown,
}

impl Outcome {
    /// Its word in headers, rows and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NotSent => "not-sent",
            Self::Unknown => "unknown",
        }
    }
}

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// The address, and why.
    #[error("This address is not called for you: {0}.")]
    Address(&'static str),
    /// The method is none that wikis take there.
    #[error("This method is not sent to wikis.")]
    Method,
    /// A parameter, and why.
    #[error("A parameter of this request is not sent: {0}.")]
    Parameter(&'static str),
    /// The API's module would change how the account signs in, or hand out a credential.
    #[error(
        "This action is not sent for a notebook: it signs in or out, changes how the account signs in, or hands out a credential."
    )]
    Module,
    /// A body for `api.php` of a kind that is not looked at.
    #[error(
        "The body is of no kind that is sent to api.php: it takes \"application/x-www-form-urlencoded\", or \"multipart/form-data; boundary=\" and a plain word."
    )]
    ContentType,
    /// A multipart body, and why.
    #[error("The multipart body is not sent: {0}.")]
    Parts(&'static str),
    /// A header cannot be sent.
    #[error("A header of this request cannot be sent.")]
    Header,
    /// The body is larger than may be sent.
    #[error("The body is larger than may be sent.")]
    TooLarge,
    /// The body did not come whole.
    #[error("The body did not arrive.")]
    Body,
    /// The body hardly came.
    #[error("The body came too slowly, so nothing was sent. Send it in one go.")]
    Slow,
}

/// Why there is no answer of a wiki.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The token is none, or is shown from elsewhere, or its launch ends.
    #[error("this token sends nothing to wikis")]
    NoCaller,
    /// The owner stopped this server's requests.
    #[error("the owner stopped this server's requests to wikis")]
    Halted,
    /// The request is refused.
    #[error(transparent)]
    Bad(#[from] Bad),
    /// There is nothing to act with: the owner has to sign in again.
    #[error("there is no permission of the wiki to act with")]
    NoCredential,
    /// The owner has not allowed the hub to act for them, or took it back: they do so on the hub's page.
    #[error("the owner has not allowed the hub to act on wikis for them")]
    NeedsGrant,
    /// Too many of one user; seconds after which the next may come.
    #[error("too many requests to wikis")]
    TooMany(u64),
    /// All users together send more than the hub holds; seconds after which there may be room.
    #[error("the hub has no memory for the form")]
    Busy(u64),
    /// The wiki was not reached; how long to wait.
    #[error("the wiki was not reached ({0})")]
    Away(String),
    /// It was reached and gave no answer.
    #[error("the wiki may have carried it out, and did not answer ({0})")]
    Unknown(String),
    /// It was under way when it was no longer wished, and was broken off; why.
    #[error("it was broken off on its way to the wiki: {0}")]
    Stopped(String),
    /// Something that only the operator can mend.
    #[error(transparent)]
    Provider(LoginError),
    /// The database failed before anything was sent, perhaps for several who asked at once.
    #[error(transparent)]
    Store(Arc<StoreError>),
}

impl BrokerError {
    /// What is known of the request.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unknown(_) | Self::Stopped(_) => Outcome::Unknown,
            Self::NoCaller
            | Self::Halted
            | Self::Bad(_)
            | Self::NoCredential
            | Self::NeedsGrant
            | Self::TooMany(_)
            | Self::Busy(_)
            | Self::Away(_)
            | Self::Provider(_)
            | Self::Store(_) => Outcome::NotSent,
        }
    }

    /// One word for rows.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::NoCaller => "no-caller",
            Self::Halted => "halted",
            Self::Bad(_) => "refused",
            Self::NoCredential => "no-credential",
            Self::NeedsGrant => "needs-grant",
            Self::TooMany(_) => "too-many",
            Self::Busy(_) => "busy",
            Self::Away(_) => "away",
            Self::Unknown(_) => "no-answer",
            Self::Stopped(_) => "stopped",
            Self::Provider(_) | Self::Store(_) => "failed",
        }
    }
}

/// Why somebody may send no more, once more: of what looking at a launch and its credential says.
pub(super) fn ended(error: &BrokerError) -> BrokerError {
    match error {
        BrokerError::Halted => BrokerError::Halted,
        BrokerError::NeedsGrant => BrokerError::NeedsGrant,
        BrokerError::NoCredential => BrokerError::NoCredential,
        BrokerError::Store(error) => BrokerError::Store(Arc::clone(error)),
        _ => BrokerError::NoCaller,
    }
}

impl From<StoreError> for BrokerError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<Arc<StoreError>> for BrokerError {
    fn from(error: Arc<StoreError>) -> Self {
        Self::Store(error)
    }
}

impl From<LoginError> for BrokerError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Over | LoginError::Denied => Self::NoCredential,
            LoginError::Away { reason, .. } => Self::Away(reason),
            other => Self::Provider(other),
        }
    }
}
