//! Headers on their way: what ends at a hop is removed, and who asked is told to the next.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use holt_spec::control::LISTENER_HEADER;

use super::Client;

/// The name of a request's own id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LISTENER: HeaderName = HeaderName::from_static(LISTENER_HEADER);
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Headers that end at each hop.
const HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Other words for who asked, which only a trusted peer may say.
const CLAIMS: [HeaderName; 4] = [
    header::FORWARDED,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-scheme"),
    HeaderName::from_static("x-forwarded-prefix"),
];

/// Removes what ends at this hop, in either direction.
///
/// `Connection` may name more; but it cannot make us drop what the next hop decides by.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|word| word.trim().parse().ok())
        .filter(|name| !is_protected(name))
        .collect();
    for name in HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

fn is_protected(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::HOST
            | header::COOKIE
            | header::AUTHORIZATION
            | header::CONTENT_LENGTH
            | header::CONTENT_TYPE
    ) || name.as_str().starts_with("x-forwarded-")
        || *name == LISTENER
        || *name == REQUEST_ID
}

/// Turns a client's headers into those for the next hop; gives back the request's id.
pub(crate) fn prepare(headers: &mut HeaderMap, client: Client) -> HeaderValue {
    let chunked = headers.contains_key(header::TRANSFER_ENCODING);
    remove_hop_by_hop(headers);
    if chunked {
        headers.insert(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
    }
    // hyper answers it to the client once the body is wanted.
    headers.remove(header::EXPECT);
    headers.insert(LISTENER, HeaderValue::from_static(client.listener.name()));
    remove_look_alikes(headers);
    tell_who_asked(headers, client);
    let sound = |id: &&HeaderValue| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        client.trusted && !id.is_empty() && id.len() <= 64 && id.as_bytes().iter().all(plain)
    };
    let id = headers
        .get(&REQUEST_ID)
        .filter(sound)
        .cloned()
        .unwrap_or_else(fresh_id);
    headers.insert(REQUEST_ID, id.clone());
    id
}

/// `X_Forwarded_For` becomes `X-Forwarded-For` in the eyes of some servers.
fn remove_look_alikes(headers: &mut HeaderMap) {
    let look_alikes: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().contains('_'))
        .filter(|name| {
            let plain = name.as_str().replace('_', "-");
            plain.starts_with("x-forwarded-")
                || matches!(
                    plain.as_str(),
                    "transfer-encoding"
                        | "content-length"
                        | "x-real-ip"
                        | "x-scheme"
                        | LISTENER_HEADER
                )
        })
        .cloned()
        .collect();
    for name in look_alikes {
        headers.remove(name);
    }
}

fn tell_who_asked(headers: &mut HeaderMap, client: Client) {
    let peer = client.peer.ip().to_canonical().to_string();
    if client.trusted {
        let mut chain: Vec<&str> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .collect();
        chain.push(&peer);
        let chain = chain.join(", ");
        set(headers, FORWARDED_FOR, &chain);
    } else {
        for name in &CLAIMS {
            headers.remove(name);
        }
        for name in [FORWARDED_HOST, FORWARDED_PROTO, FORWARDED_PORT] {
            headers.remove(name);
        }
        set(headers, FORWARDED_FOR, &peer);
    }
    let host = headers.get(header::HOST).cloned();
    let port = host
        .as_ref()
        .and_then(|host| host.to_str().ok())
        .and_then(|host| host.parse::<http::uri::Authority>().ok())
        .and_then(|host| host.port_u16())
        .unwrap_or(80);
    if let Some(host) = host {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
    headers
        .entry(FORWARDED_PROTO)
        .or_insert(HeaderValue::from_static("http"));
    headers.entry(FORWARDED_PORT).or_insert(port.into());
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Sixteen hexadecimal digits that nobody can foresee.
fn fresh_id() -> HeaderValue {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = KEYS.hash_one(NEXT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::try_from(format!("{id:016x}")).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Listener;

    fn prepared(trusted: bool, lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let client = Client {
            peer: "192.0.2.1:5".parse().unwrap(),
            listener: Listener::Public,
            trusted,
        };
        prepare(&mut headers, client);
        headers
    }

    #[test]
    fn what_a_stranger_claims_is_replaced() {
        let headers = prepared(
            false,
            &[
                ("host", "hub.example:8443"),
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-for", "7.7.7.7"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil"),
                ("x-forwarded-port", "1"),
                ("x-real-ip", "6.6.6.6"),
                ("x-scheme", "https"),
                ("x_forwarded_for", "6.6.6.6"),
                ("forwarded", "for=6.6.6.6"),
                ("x-holt-listener", "internal"),
                ("x-request-id", "mine"),
            ],
        );
        assert_eq!(headers["x-forwarded-for"], "192.0.2.1");
        assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "hub.example:8443");
        assert_eq!(headers["x-forwarded-port"], "8443");
        assert_eq!(headers["x-holt-listener"], "public");
        assert_eq!(headers["host"], "hub.example:8443");
        assert_eq!(headers["x-request-id"].len(), 16);
        for name in ["x-real-ip", "x-scheme", "forwarded", "x_forwarded_for"] {
            assert!(!headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn what_a_trusted_peer_says_is_kept() {
        let headers = prepared(
            true,
            &[
                ("host", "hub.example"),
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-proto", "https"),
                ("x-request-id", "abc-1"),
                ("x-holt-listener", "internal"),
            ],
        );
        assert_eq!(headers["x-forwarded-for"], "6.6.6.6, 192.0.2.1");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-request-id"], "abc-1");
        assert_eq!(headers["x-holt-listener"], "public");
    }

    #[test]
    fn connection_cannot_remove_what_decides() {
        let headers = prepared(
            false,
            &[
                ("host", "h"),
                (
                    "connection",
                    "close, X-Secret, Cookie, X-Forwarded-For, Host, x-holt-listener",
                ),
                ("x-secret", "1"),
                ("cookie", "a=b"),
                ("keep-alive", "5"),
                ("te", "trailers"),
                ("upgrade", "h2c"),
                ("proxy-authorization", "Basic x"),
                ("transfer-encoding", "chunked"),
            ],
        );
        for name in [
            "connection",
            "x-secret",
            "keep-alive",
            "te",
            "upgrade",
            "proxy-authorization",
        ] {
            assert!(!headers.contains_key(name), "{name}");
        }
        assert_eq!(headers["cookie"], "a=b");
        assert_eq!(headers["host"], "h");
        assert_eq!(headers["transfer-encoding"], "chunked");
        assert_eq!(headers["x-holt-listener"], "public");
    }
}
