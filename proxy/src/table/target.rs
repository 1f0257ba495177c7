//! Where a route or a hub is reached.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::activity::now_ms;

/// A target that refused is not asked again for so long.
const REFUSED_MS: u64 = 1000;

/// A transport address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// Host (a name or an address without brackets) and port.
    Tcp(Box<str>, u16),
    /// A socket file.
    Unix(PathBuf),
}

/// A place to connect to, and whether it refused a moment ago.
#[derive(Debug)]
pub(crate) struct Target {
    /// Where.
    pub(crate) address: Arc<Address>,
    refused: AtomicU64,
}

/// A text that is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no target: it must be 'http://host:port' or 'unix:/path'")]
pub(crate) struct BadTarget(String);

impl Target {
    /// Reads `http://host:port` or `unix:/path`.
    pub(crate) fn parse(text: &str) -> Result<Self, BadTarget> {
        let address = address(text).ok_or_else(|| BadTarget(text.to_owned()))?;
        Ok(Target {
            address: Arc::new(address),
            refused: AtomicU64::new(0),
        })
    }

    /// It refused a connection just now.
    pub(crate) fn note_refused(&self) {
        self.refused.store(now_ms(), Ordering::Relaxed);
    }

    /// Whether it refused within the last second.
    pub(crate) fn refused_lately(&self) -> bool {
        now_ms().saturating_sub(self.refused.load(Ordering::Relaxed)) < REFUSED_MS
    }
}

fn address(text: &str) -> Option<Address> {
    if let Some(path) = text.strip_prefix("unix:") {
        return path.starts_with('/').then(|| Address::Unix(path.into()));
    }
    let authority = text.strip_prefix("http://")?.trim_end_matches('/');
    let authority: http::uri::Authority = authority.parse().ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    Some(Address::Tcp(host.into(), authority.port_u16()?))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        for (text, shown) in [
            ("http://127.0.0.1:8888", Some("127.0.0.1:8888")),
            ("http://[::1]:8888/", Some("[::1]:8888")),
            ("http://hub:1", Some("hub:1")),
            ("unix:/run/hub.sock", Some("unix:/run/hub.sock")),
            ("unix:hub.sock", None),
            ("http://hub", None),
            ("http://a@b:1", None),
            ("http://a:1/path", None),
            ("https://a:1", None),
            ("", None),
        ] {
            let target = Target::parse(text)
                .ok()
                .map(|target| target.address.to_string());
            assert_eq!(target.as_deref(), shown, "{text}");
        }
    }
}
