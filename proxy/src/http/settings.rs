//! How patient the edge is, whom it believes, and what it does to a request on its way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use tokio_rustls::TlsConnector;

/// All of it. [`Settings::holt`] has what Holt needs; the face of configurable-http-proxy begins with [`Settings::chp`].
#[derive(Clone)]
pub(crate) struct Settings {
    /// So long may a request wait for a server that is on its way.
    pub(crate) pending_wait: Duration,
    /// So long is a server's request held while no hub answers.
    pub(crate) hold: Duration,
    /// Requests that may wait at one time.
    pub(crate) most_waiting: usize,
    /// From a head's first byte (and the connection's opening) to the head's end.
    pub(crate) head: Duration,
    /// Between an answer and the next request.
    pub(crate) idle: Duration,
    /// A body that makes no progress for so long, in the direction that is waited for, ends its request.
    pub(crate) stall: Duration,
    /// Without a byte from or to the client for so long its connection is closed; websockets too.
    pub(crate) client_silence: Option<Duration>,
    /// Without a byte from the upstream for so long a request fails; websockets not.
    pub(crate) answer_silence: Option<Duration>,
    /// Peers whose forwarded headers, and PROXY lines where asked for, are believed.
    pub(crate) trusted: Vec<IpNet>,
    /// Whether trusted peers begin each connection with a PROXY header.
    pub(crate) proxy_protocol: bool,
    /// What is told to the upstream of who asks.
    pub(crate) forwarded: Forwarded,
    /// Whether the request's listener and an id of its own are told to the upstream.
    pub(crate) marks: bool,
    /// Whether the public listener speaks TLS.
    pub(crate) secure: bool,
    /// Whether a request keeps the prefix of its route.
    pub(crate) include_prefix: bool,
    /// Whether the target's own path goes before the request's.
    pub(crate) prepend_path: bool,
    /// Whether `Host` becomes the target's.
    pub(crate) change_origin: bool,
    /// Whether a redirect to the target's host becomes one to the client's.
    pub(crate) auto_rewrite: bool,
    /// The scheme that a redirect to the target's host gets.
    pub(crate) protocol_rewrite: Option<Box<str>>,
    /// Header lines for every request, names and values, in place of the client's.
    pub(crate) custom_headers: Vec<(Box<str>, Box<str>)>,
    /// Fields that may pass as trailers, in lower case.
    pub(crate) trailers: Vec<Box<str>>,
    /// Origins that may open websockets, in lower case; `None`: the server's business.
    pub(crate) origins: Option<Vec<Box<str>>>,
    /// Connections that one address may hold; trusted peers have no limit.
    pub(crate) per_address: Option<u32>,
    /// Requests and websockets that one route may have at a time.
    pub(crate) per_route: Option<u32>,
    /// Whether websocket control frames from the client do not count as use of a route.
    pub(crate) ignore_control_frames: bool,
    /// Whether data frames from the server count as use of a route.
    pub(crate) count_output: bool,
    /// The path that is answered by `{"status": "OK"}`.
    pub(crate) health: Option<&'static str>,
    /// Whether it stands in for configurable-http-proxy: no route is 404, and whatever an upstream does wrong is 503.
    pub(crate) stand_in: bool,
    /// Whose words failures are told in.
    pub(crate) pages: Option<Arc<dyn Pages>>,
    /// How upstreams are spoken to by TLS.
    pub(crate) upstream_tls: Option<TlsConnector>,
}

/// Where lines of the log go that are written in configurable-http-proxy's own words.
pub(crate) const STAND_IN_LOG: &str = "chp";

/// What is told to the upstream of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarded {
    /// A stranger's claims are replaced, a trusted peer's kept and continued.
    Replace,
    /// Everybody's claims are kept and continued.
    Append,
    /// Nothing is told, and nothing taken away.
    Off,
}

/// A page for a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// Its `Content-Type`.
    pub(crate) kind: Option<String>,
    /// Its `Content-Encoding`.
    pub(crate) encoding: Option<String>,
    /// Its body.
    pub(crate) body: Bytes,
}

/// Whoever has pages for failures.
pub(crate) trait Pages: Send + Sync {
    /// The page for a status; `asked` is the request's target as it came. Never fails: the bare status text is a page too.
    fn page<'a>(
        &'a self,
        status: u16,
        asked: &'a str,
    ) -> Pin<Box<dyn Future<Output = Page> + Send + 'a>>;
}

impl Settings {
    /// What Holt's own proxy begins with.
    pub(crate) fn holt() -> Self {
        Settings {
            pending_wait: Duration::from_secs(30),
            hold: Duration::from_secs(15),
            most_waiting: 4096,
            head: Duration::from_secs(15),
            // Longer than the 75 s for which load balancers keep a connection.
            idle: Duration::from_secs(90),
            stall: Duration::from_secs(60),
            client_silence: None,
            answer_silence: None,
            trusted: Vec::new(),
            proxy_protocol: false,
            forwarded: Forwarded::Replace,
            marks: true,
            secure: false,
            include_prefix: true,
            prepend_path: true,
            change_origin: false,
            auto_rewrite: false,
            protocol_rewrite: None,
            custom_headers: Vec::new(),
            trailers: Vec::new(),
            origins: None,
            per_address: Some(4096),
            per_route: Some(4096),
            ignore_control_frames: false,
            count_output: false,
            health: None,
            stand_in: false,
            pages: None,
            upstream_tls: None,
        }
    }

    /// What configurable-http-proxy begins with.
    pub(crate) fn chp() -> Self {
        Settings {
            idle: Duration::from_secs(5),
            forwarded: Forwarded::Append,
            marks: false,
            per_address: None,
            per_route: None,
            health: Some("/_chp_healthz"),
            stand_in: true,
            ..Self::holt()
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}
