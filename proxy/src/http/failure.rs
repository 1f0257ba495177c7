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
    /// The head is larger than heads may be.
    #[error("the request's head is larger than 64 KiB or has more than 256 lines")]
    HeadTooLarge,
    /// The target is longer than targets may be.
    #[error("the request's target is longer than 32 KiB")]
    LongTarget,
    /// Not HTTP/1.0 or 1.1.
    #[error("only HTTP/1.0 and HTTP/1.1 are spoken here")]
    Version,
    /// A transfer coding that is not known here.
    #[error("only the transfer coding 'chunked' is known here")]
    Coding,
    /// `CONNECT`, `TRACE`.
    #[error("this method is not for here")]
    Method,
    /// `Expect` with something else than `100-continue`.
    #[error("only 100-continue can be expected")]
    Expectation,
    /// A version of the websocket protocol that nobody speaks.
    #[error("only version 13 of the websocket protocol is spoken here")]
    WebsocketVersion,
    /// A head that did not come in time.
    #[error("the request did not come in time")]
    Slow,
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
    /// A page of another origin opens a websocket.
    #[error("pages of this origin may not open websockets here")]
    Origin,
    /// No route, and no default one.
    #[error("nothing is served here")]
    NoRoute,
    /// The server did not come in time.
    #[error("the notebook server is still starting")]
    StillStarting,
    /// The bound on waiting requests.
    #[error("too many requests wait for notebook servers")]
    TooManyWaiting,
    /// The bound on what one route carries.
    #[error("too many requests and websockets are open to this server")]
    Crowded,
    /// No hub answers.
    #[error("the hub is restarting; notebook servers go on running")]
    HubAway,
    /// The server does not take connections.
    #[error("the notebook server does not answer")]
    ServerAway,
    /// The route's target is no address.
    #[error("the route leads to no address")]
    NoAddress,
    /// The connection broke before an answer.
    #[error("the connection broke before there was an answer")]
    Broken,
    /// What came was no answer, or one with two readings.
    #[error("the answer could not be understood")]
    BadAnswer,
    /// The upstream was silent for too long.
    #[error("no answer came in time")]
    Silent,
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
            Kind::Malformed(_)
            | Kind::HeadTooLarge
            | Kind::LongTarget
            | Kind::Version
            | Kind::Coding
            | Kind::Method
            | Kind::Expectation
            | Kind::WebsocketVersion
            | Kind::Slow => (Side::Client, Phase::Normalize, Retry::Useless),
            Kind::NotTheApi | Kind::Revoked | Kind::Origin | Kind::NoRoute | Kind::TooLarge => {
                (Side::Client, Phase::Route, Retry::Useless)
            }
            Kind::BodyLost => (Side::Client, Phase::Answer, Retry::Unsafe),
            Kind::StillStarting => (Side::Upstream, Phase::Route, Retry::Safe),
            Kind::TooManyWaiting | Kind::Crowded => (Side::Proxy, Phase::Route, Retry::Safe),
            Kind::NoAddress => (Side::Proxy, Phase::Route, Retry::Useless),
            Kind::HubAway | Kind::ServerAway => (Side::Upstream, Phase::Connect, Retry::Safe),
            Kind::Broken | Kind::BadAnswer | Kind::Silent => {
                (Side::Upstream, Phase::Answer, Retry::Unsafe)
            }
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

    /// Whether the connection must not be read any further: what has no single meaning may be followed by more of the same.
    pub(crate) fn closes(&self) -> bool {
        self.phase == Phase::Normalize || matches!(self.kind, Kind::TooLarge | Kind::BodyLost)
    }
}

impl From<super::head::BadHead> for Failure {
    fn from(bad: super::head::BadHead) -> Self {
        use super::head::BadHead;
        Failure::new(match bad {
            BadHead::Malformed(why) => Kind::Malformed(why),
            BadHead::TooManyLines => Kind::HeadTooLarge,
            BadHead::LongTarget => Kind::LongTarget,
            BadHead::Version => Kind::Version,
        })
    }
}

impl From<super::framing::BadFraming> for Failure {
    fn from(bad: super::framing::BadFraming) -> Self {
        use super::framing::BadFraming;
        Failure::new(match bad {
            BadFraming::Ambiguous(why) => Kind::Malformed(why),
            BadFraming::Coding => Kind::Coding,
        })
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
