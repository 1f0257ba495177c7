//! What can go wrong on a request's way: on which side, in which phase, and whether the client may simply try again.

use std::error::Error;

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The one who asks.
    Client,
    /// Us.
    Proxy,
    /// A server or a hub.
    Upstream,
}

/// How far the request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its meaning was being found.
    Normalize,
    /// Its way was being found.
    Route,
    /// The upstream was being connected.
    Connect,
    /// It was sent and no answer had begun.
    Answer,
}

/// Whether it is safe to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Nothing was done.
    Safe,
    /// It may have been done.
    Unsafe,
    /// It will be refused again.
    Useless,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Kind {
    /// The request has no single meaning.
    #[error("{0}")]
    Malformed(&'static str),
    /// `CONNECT`, `TRACE`.
    #[error("this method is not for here")]
    Method,
    /// `Expect` with something else than `100-continue`.
    #[error("only 100-continue can be expected")]
    Expectation,
    /// The internal listener carries only the hub's API.
    #[error("only /hub/api is served here")]
    NotTheApi,
    /// A held request must fit in memory.
    #[error("the request's body is larger than one mebibyte")]
    TooLarge,
    /// The client went away or broke the rules in the middle of its body.
    #[error("the request's body did not arrive")]
    BodyLost,
    /// A session or a token that was signed out.
    #[error("this session or token is signed out")]
    Revoked,
    /// The server did not come in time.
    #[error("the notebook server is still starting")]
    StillStarting,
    /// The bound on waiting requests.
    #[error("too many requests wait for notebook servers")]
    TooManyWaiting,
    /// No hub answers.
    #[error("the hub is restarting; notebook servers go on running")]
    HubAway,
    /// The server does not take connections.
    #[error("the notebook server does not answer")]
    ServerAway,
    /// The connection broke before an answer.
    #[error("the connection broke before there was an answer")]
    Broken,
}

/// A request that could not be carried.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub(crate) struct Failure {
    /// Whose fault.
    pub(crate) side: Side,
    /// How far it came.
    pub(crate) phase: Phase,
    /// Whether to try again.
    pub(crate) retry: Retry,
    /// What happened.
    pub(crate) kind: Kind,
    #[source]
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure of this kind; side, phase and retry follow from it.
    pub(crate) fn new(kind: Kind) -> Self {
        let (side, phase, retry) = match &kind {
            Kind::Malformed(_) | Kind::Method | Kind::Expectation => {
                (Side::Client, Phase::Normalize, Retry::Useless)
            }
            Kind::NotTheApi | Kind::Revoked => (Side::Client, Phase::Route, Retry::Useless),
            Kind::TooLarge => (Side::Client, Phase::Route, Retry::Useless),
            Kind::BodyLost => (Side::Client, Phase::Answer, Retry::Unsafe),
            Kind::StillStarting => (Side::Upstream, Phase::Route, Retry::Safe),
            Kind::TooManyWaiting => (Side::Proxy, Phase::Route, Retry::Safe),
            Kind::HubAway | Kind::ServerAway => (Side::Upstream, Phase::Connect, Retry::Safe),
            Kind::Broken => (Side::Upstream, Phase::Answer, Retry::Unsafe),
        };
        Failure {
            side,
            phase,
            retry,
            kind,
            cause: None,
        }
    }

    /// With what caused it.
    pub(crate) fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

impl Side {
    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Proxy => "proxy",
            Side::Upstream => "upstream",
        }
    }
}

impl Phase {
    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Normalize => "normalize",
            Phase::Route => "route",
            Phase::Connect => "connect",
            Phase::Answer => "answer",
        }
    }
}
