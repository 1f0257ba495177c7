//! From what went wrong to what is answered. Nowhere else do domain errors meet HTTP.
//!
//! A failure has two texts: words for the person or program that asked, and a cause for the log.
//! The words of a 5xx are fixed. `layers::render_failures` gives it its form: a page or JSON.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::broker::ConsentError;
use crate::login::local::LocalError;
use crate::login::password::Busy;
use crate::login::provider::LoginError;
use crate::login::sign_in::SignInError;
use crate::oauth_provider::authorize::AuthorizeError;
use crate::replicas::GatewayError;
use crate::servers::ServersError;
use crate::store::StoreError;
use crate::users::UsersError;

type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Words of every 500.
const OUR_FAULT: &str =
    "Something went wrong on our side. It was written to the log; try again in a moment.";
/// Words of every 503.
const NOT_NOW: &str = "The hub has too much to do at this moment. Try again in some seconds.";

/// What is answered instead of what was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    pub(crate) retry_after: Option<u64>,
    /// A word for programs, where what they do depends on it.
    pub(crate) code: Option<&'static str>,
    /// What to do about it: a label and a path of ours.
    pub(crate) advice: Option<(&'static str, String)>,
    pub(crate) cause: Option<Cause>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
            code: None,
            advice: None,
            cause: None,
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "There is nothing here, or it is not yours to see.",
        )
    }

    pub(crate) fn internal(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            cause: Some(Arc::new(cause)),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, OUR_FAULT)
        }
    }

    pub(crate) fn panicked() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, OUR_FAULT)
    }

    pub(crate) fn busy() -> Self {
        Self {
            retry_after: Some(2),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, NOT_NOW)
        }
    }

    pub(crate) fn called(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    pub(crate) fn advise(self, label: &'static str, path: impl Into<String>) -> Self {
        Self {
            advice: Some((label, path.into())),
            ..self
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Failure {
    fn from(cause: StoreError) -> Self {
        match cause {
            StoreError::Taken => Self::new(StatusCode::CONFLICT, "It exists already."),
            other => Self::internal(other),
        }
    }
}

impl From<ServersError> for Failure {
    fn from(cause: ServersError) -> Self {
        match cause {
            ServersError::Store(cause) => cause.into(),
            ServersError::NotFound => Self::not_found(),
            ServersError::TooManyNamed { .. }
            | ServersError::NamedOff
            | ServersError::SecondUser
            | ServersError::Name(_) => Self::bad_request(sentence(&cause)),
        }
    }
}

impl From<GatewayError> for Failure {
    fn from(cause: GatewayError) -> Self {
        match cause {
            GatewayError::Over => Self::not_found(),
            GatewayError::Away(_)
            | GatewayError::Refused { .. }
            | GatewayError::Unexpected { .. } => Self {
                retry_after: Some(10),
                cause: Some(Arc::new(cause)),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The way to the replicas does not answer at this moment. Try again in some seconds.",
                )
            },
        }
    }
}

impl From<UsersError> for Failure {
    fn from(cause: UsersError) -> Self {
        match cause {
            UsersError::Store(cause) => cause.into(),
            UsersError::Taken => Self::new(StatusCode::CONFLICT, sentence(&cause)),
            UsersError::Name(_)
            | UsersError::InUse
            | UsersError::PasswordShort
            | UsersError::PasswordLong => Self::bad_request(sentence(&cause)),
        }
    }
}

impl From<Busy> for Failure {
    fn from(cause: Busy) -> Self {
        Self {
            message: sentence(&cause),
            ..Self::busy()
        }
    }
}

impl From<LocalError> for Failure {
    fn from(cause: LocalError) -> Self {
        match cause {
            LocalError::Wrong => Self::forbidden("Invalid username or password."),
            LocalError::Wait(seconds) => Self {
                retry_after: Some(seconds),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, cause.to_string())
            },
            LocalError::Busy(cause) => cause.into(),
            LocalError::Store(cause) => cause.into(),
        }
    }
}

impl From<SignInError> for Failure {
    fn from(cause: SignInError) -> Self {
        let again = ("Sign in again", "/hub/login".to_owned());
        let refusal = match cause {
            SignInError::Store(cause) => return cause.into(),
            SignInError::TooMany(seconds) => Self {
                retry_after: Some(seconds),
                ..Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    format!(
                        "Too many sign-ins were begun from this address. Wait {} min.",
                        seconds.div_ceil(60)
                    ),
                )
            },
            SignInError::Login(cause) => return cause.into(),
            SignInError::NotBegun => Self::bad_request(
                "This sign-in was begun in another browser, took longer than 20 minutes, or is finished already. Begin again here.",
            ),
            SignInError::Incomplete => Self::bad_request(
                "Something is missing in what came back from the provider. Begin again here.",
            ),
            SignInError::NotAdmitted(words) => Self::forbidden(words),
        };
        Self {
            advice: Some(again),
            ..refusal
        }
    }
}

/// Each says what happened and what to do. What only the operator can mend is a 502, with the cause for the log alone.
impl From<LoginError> for Failure {
    fn from(cause: LoginError) -> Self {
        const MEND: &str = "The people who run this hub have to mend that; it was written to the log. Servers that run go on.";
        let failure = match &cause {
            LoginError::Denied => Self::forbidden(
                "The sign-in was not authorised, so nothing was changed. You can try again.",
            ),
            LoginError::Over => Self::bad_request(
                "This sign-in took too long, or was finished before. Begin again here.",
            ),
            LoginError::Forged => Self::forbidden(
                "What came back does not belong to this sign-in. Begin again here.",
            ),
            LoginError::Refused(words) => Self::forbidden(words.clone()),
            LoginError::Away { retry_after, .. } => Self {
                retry_after: Some(retry_after.map_or(30, whole_seconds)),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    match retry_after {
                        Some(wait) => format!(
                            "The provider asks us to wait {} s. Try again then; servers that run go on.",
                            whole_seconds(*wait)
                        ),
                        None => "The provider does not answer at this moment. Try again in a minute; servers that run go on.".to_owned(),
                    },
                )
            },
            LoginError::ReadOnly => Self {
                retry_after: Some(120),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The wiki is read-only at this moment, so nobody can sign in. Try again in a few minutes; servers that run go on.",
                )
            },
            LoginError::Clock(seconds) => Self::new(
                StatusCode::BAD_GATEWAY,
                format!("The clock of this hub and the provider's are {} s apart. {MEND}", seconds.unsigned_abs()),
            ),
            LoginError::Operator { .. } => Self::new(
                StatusCode::BAD_GATEWAY,
                format!("The sign-in is not set up right. {MEND}"),
            ),
            LoginError::Unproven(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                format!("What the provider said could not be verified. {MEND}"),
            ),
        };
        Self {
            advice: Some(("Sign in again", "/hub/login".to_owned())),
            cause: Some(Arc::new(cause)),
            ..failure
        }
    }
}

/// Not about a sign-in: who asked is signed in, and stays so.
impl From<ConsentError> for Failure {
    fn from(cause: ConsentError) -> Self {
        let failure = match cause {
            ConsentError::Store(cause) | ConsentError::Way(SignInError::Store(cause)) => {
                return cause.into();
            }
            ConsentError::NotApart => Self::bad_request(
                "On this hub the permission comes with signing in, so there is nothing to allow here.",
            ),
            ConsentError::TooMany(seconds) => Self {
                retry_after: Some(seconds),
                ..Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    format!(
                        "You began this too often. Wait {} min.",
                        seconds.div_ceil(60)
                    ),
                )
            },
            ConsentError::Other(name) => Self::forbidden(format!(
                "You allowed it at the wiki as {name:?}, and here you are signed in with another account. Nothing was kept. Sign out at the wiki, sign in there with the account that you use here, and allow it again; as {name:?} you can take back there what you allowed.",
            )),
            ConsentError::SignedOut => Self::forbidden(
                "You were signed out meanwhile, or your account is locked. Nothing was kept.",
            ),
            ConsentError::Way(SignInError::NotBegun | SignInError::Login(LoginError::Over)) => {
                Self::bad_request(
                    "This permission was begun in another browser or before you signed in, took longer than 20 minutes, or is finished already. Nothing was kept. Begin again on the page of wiki requests.",
                )
            }
            ConsentError::Way(SignInError::Login(LoginError::Denied)) => Self::forbidden(
                "It was not allowed at the wiki, so nothing was changed. You can try again.",
            ),
            ConsentError::Way(SignInError::Login(LoginError::Forged) | SignInError::Incomplete) => {
                Self::forbidden(
                    "What came back does not belong to what you began. Nothing was kept. Begin again on the page of wiki requests.",
                )
            }
            ConsentError::Way(SignInError::Login(LoginError::Operator { reason })) => {
                let cause = LoginError::Operator { reason };
                Self {
                    cause: Some(Arc::new(cause)),
                    ..Self::new(
                        StatusCode::BAD_GATEWAY,
                        "The consumer that acts for people is not set up right. The people who run this hub have to mend that; it was written to the log.",
                    )
                }
            }
            ConsentError::Way(other) => other.into(),
        };
        failure.advise("Wiki requests", "/hub/wiki")
    }
}

impl From<AuthorizeError> for Failure {
    fn from(cause: AuthorizeError) -> Self {
        match cause {
            AuthorizeError::Store(cause) => cause.into(),
            AuthorizeError::Invalid(_) | AuthorizeError::ToClient { .. } => {
                Self::bad_request(sentence(&cause))
            }
            AuthorizeError::NoAccess { .. } | AuthorizeError::SignedOut => {
                Self::forbidden(sentence(&cause)).advise("Go to your home page", "/hub/home")
            }
        }
    }
}

/// An error's own words as a sentence.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    let mut sentence: String = chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

/// At least one: whoever comes back at the said moment is not too early.
fn whole_seconds(wait: Duration) -> u64 {
    (wait + Duration::from_millis(999)).as_secs().max(1)
}
