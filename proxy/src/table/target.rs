//! Where a route or a hub is reached.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::activity::now_ms;

/// A target that refused is not asked again for so long.
const REFUSED_MS: u64 = 1000;

/// A transport address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// An address and port.
    Ip(SocketAddr),
    /// A name, to be resolved at each connection, and a port.
    Name(Box<str>, u16),
    /// A socket file.
    Unix(PathBuf),
    /// A text that is no address.
    Nowhere,
}

/// Whether the connection is enciphered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    /// Plain.
    Http,
    /// TLS.
    Https,
}

/// A place to connect to, and whether it refused a moment ago.
#[derive(Debug)]
pub(crate) struct Target {
    /// The same for every target with the same scheme and address: connections are kept by it.
    pub(crate) id: u64,
    /// Where.
    pub(crate) address: Address,
    /// Whether by TLS.
    pub(crate) scheme: Scheme,
    /// Host, and port where it is not the scheme's own: what `Host` says when the origin is changed.
    pub(crate) authority: Box<str>,
    /// The path that goes before a request's own; no slash at its end.
    pub(crate) path: Box<str>,
    /// The query that goes before a request's own, without `?`.
    pub(crate) query: Box<str>,
    refused: AtomicU64,
}

/// A text that is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no target: it must be like 'http://host:port', 'https://host:port', 'http+unix://%2Fpath' or 'unix:/path'"
)]
pub(crate) struct BadTarget(String);

impl Target {
    /// Reads `http://…`, `https://…`, `http+unix://<escaped path>` (or `unix+http`), or `unix:/path`.
    pub(crate) fn parse(text: &str) -> Result<Self, BadTarget> {
        parse(text).ok_or_else(|| BadTarget(text.to_owned()))
    }

    /// Where a text leads that makes no sense, for those who want to be told only when it is used.
    pub(crate) fn nowhere() -> Self {
        target(Scheme::Http, Address::Nowhere, "nowhere", "")
    }

    /// Whether it is an address and nothing else: what Holt's own table holds.
    pub(crate) fn is_plain(&self) -> bool {
        self.scheme == Scheme::Http && self.path.is_empty() && self.query.is_empty()
    }

    /// It refused a connection just now.
    pub(crate) fn note_refused(&self) {
        self.refused.store(now_ms(), Ordering::Relaxed);
    }

    /// It took a connection just now.
    pub(crate) fn note_reached(&self) {
        if self.refused.load(Ordering::Relaxed) > 0 {
            self.refused.store(0, Ordering::Relaxed);
        }
    }

    /// Whether it refused within the last second.
    pub(crate) fn refused_lately(&self) -> bool {
        let refused = self.refused.load(Ordering::Relaxed);
        refused > 0 && now_ms().saturating_sub(refused) < REFUSED_MS
    }
}

fn parse(text: &str) -> Option<Target> {
    if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return None;
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return path
            .starts_with('/')
            .then(|| target(Scheme::Http, Address::Unix(path.into()), "localhost", "/"));
    }
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        "http+unix" | "unix+http" => {
            let path = percent_encoding::percent_decode_str(authority)
                .decode_utf8()
                .ok()
                .filter(|path| path.starts_with('/') && !path.contains('\0'))?;
            let address = Address::Unix(path.as_ref().into());
            return Some(target(Scheme::Http, address, "localhost", tail));
        }
        _ => return None,
    };
    let parsed: http::uri::Authority = authority.parse().ok()?;
    let host = parsed.host().trim_start_matches('[').trim_end_matches(']');
    let spelled_port = parsed.as_str().len() > parsed.host().len();
    if parsed.as_str().contains('@') || host.is_empty() || spelled_port != parsed.port().is_some() {
        return None;
    }
    let own = match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    let port = if spelled_port {
        parsed.port_u16()?
    } else {
        own
    };
    let shown = if port == own {
        parsed.host()
    } else {
        parsed.as_str()
    };
    let address = match host.parse::<IpAddr>() {
        Ok(ip) => Address::Ip(SocketAddr::new(ip, port)),
        Err(_) => Address::Name(host.into(), port),
    };
    Some(target(scheme, address, shown, tail))
}

fn target(scheme: Scheme, address: Address, authority: &str, tail: &str) -> Target {
    // Hashed with keys of this process, so that nobody can make two addresses share their connections.
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let tail = tail.split('#').next().unwrap_or_default();
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    Target {
        id: KEYS.hash_one((&address, scheme)),
        address,
        scheme,
        authority: authority.into(),
        path: path.trim_end_matches('/').into(),
        query: query.into(),
        refused: AtomicU64::new(0),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        match &self.address {
            Address::Ip(address) => write!(f, "{scheme}://{address}"),
            Address::Name(host, port) => write!(f, "{scheme}://{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Nowhere => f.write_str("nowhere"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        for (text, shown) in [
            ("http://127.0.0.1:8888", Some("http://127.0.0.1:8888")),
            ("http://[::1]:8888/", Some("http://[::1]:8888")),
            ("http://hub:1", Some("http://hub:1")),
            ("HTTP://hub", Some("http://hub:80")),
            ("https://hub", Some("https://hub:443")),
            ("unix:/run/hub.sock", Some("unix:/run/hub.sock")),
            (
                "http+unix://%2Frun%2Fhub.sock/x",
                Some("unix:/run/hub.sock"),
            ),
            ("unix+http://%2Frun%2Fhub.sock", Some("unix:/run/hub.sock")),
            ("http+unix://run", None),
            ("unix:hub.sock", None),
            ("http://a@b:1", None),
            ("http://a:", None),
            ("http://a:99999", None),
            ("http://", None),
            ("ftp://a:1", None),
            ("not a url", None),
            ("http://a\r\nb", None),
            ("", None),
        ] {
            let target = Target::parse(text).ok().map(|target| target.to_string());
            assert_eq!(target.as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn path_query_and_origin_are_kept_apart() {
        let target = Target::parse("http://hub.example:80/base/?a=1#x").unwrap();
        assert_eq!((&*target.path, &*target.query), ("/base", "a=1"));
        assert_eq!(&*target.authority, "hub.example");
        assert!(!target.is_plain());
        let same = Target::parse("http://hub.example").unwrap();
        assert_eq!(same.id, target.id);
        assert!(same.is_plain());
        let other = Target::parse("https://hub.example:80").unwrap();
        assert_ne!(other.id, target.id);
        assert_eq!(&*other.authority, "hub.example:80");
    }
}
