//! How values are written on the command line.

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// `30s`, `500ms`, `2m`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    let number: u64 = number
        .parse()
        .map_err(|_| "a time is written like 30s or 500ms".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err("a time is written like 30s, 500ms or 2m".to_owned()),
    }
}

/// Milliseconds; nothing and 0 are the same as not given.
pub(crate) fn milliseconds(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Ok(Duration::ZERO);
    }
    text.parse()
        .map(Duration::from_millis)
        .map_err(|_| "it is a number of milliseconds".to_owned())
}

/// A port; nothing and 0 are the same as not given, where 0 has no meaning of its own.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse()
        .map_err(|_| "a port is a number up to 65535".to_owned())
}

/// A port that may be any free one, which is 0.
pub(crate) fn free_port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| "a port is a number up to 65535".to_owned())
}

/// A path that may be empty, which is the same as not given.
pub(crate) fn path(text: &str) -> Result<PathBuf, Infallible> {
    Ok(text.into())
}

/// A path after `unix:`.
pub(crate) fn unix_path(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(path.into()),
        _ => Err("the control socket is written unix:/path".to_owned()),
    }
}

/// Headers that say where a message ends, or are between two neighbours alone.
const FRAMING: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A network, or the one address that is one.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "a network is written like 10.0.0.0/8, 192.0.2.1 or fd00::/8".to_owned())
}

/// A header line `name:value`.
pub(crate) fn header(text: &str) -> Result<(Box<str>, Box<str>), String> {
    let colon = || format!("A colon was expected in custom header: {}", text.trim());
    let (name, value) = text.trim().split_once(':').ok_or_else(colon)?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() {
        return Err(colon());
    }
    http::HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("'{name}' cannot be the name of a header"))?;
    if FRAMING
        .iter()
        .any(|framing| framing.eq_ignore_ascii_case(name))
    {
        return Err(format!(
            "'{name}' belongs to each message, or to each connection, and cannot be set for all"
        ));
    }
    http::HeaderValue::from_str(value)
        .map_err(|_| format!("the value of '{name}' cannot stand in a header"))?;
    Ok((name.into(), value.into()))
}

/// A field's name, in lower case.
pub(crate) fn field(text: &str) -> Result<Box<str>, String> {
    http::HeaderName::from_bytes(text.trim().as_bytes())
        .map(|name| name.as_str().into())
        .map_err(|_| format!("'{text}' cannot be the name of a header"))
}

/// An origin as browsers write it, in lower case: `https://host` or `https://host:port`.
pub(crate) fn origin(text: &str) -> Result<Box<str>, String> {
    let origin = text.trim().trim_end_matches('/').to_ascii_lowercase();
    let host = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']) => {
            Ok(origin.into())
        }
        _ => Err("an origin is written like https://hub.example".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert!(duration("soon").is_err());
        assert_eq!(milliseconds("1500"), Ok(Duration::from_millis(1500)));
        assert_eq!(milliseconds(""), Ok(Duration::ZERO));
        assert!(milliseconds("1s").is_err());
    }

    #[test]
    fn a_header_is_split_at_its_first_colon() {
        assert_eq!(header(" X-A : b:c "), Ok(("X-A".into(), "b:c".into())));
        for text in ["x", ":x", " : x"] {
            let error = header(text).unwrap_err();
            assert!(error.starts_with("A colon was expected"), "{text}: {error}");
        }
        assert!(header("a b: c").is_err());
        assert!(header("Content-length: 5").is_err());
        assert!(header("a: b\r\nc: d").is_err());
    }

    #[test]
    fn an_address_is_a_network_of_one() {
        assert_eq!(network("10.0.0.0/8"), Ok("10.0.0.0/8".parse().unwrap()));
        assert_eq!(network("192.0.2.1"), Ok("192.0.2.1/32".parse().unwrap()));
        assert_eq!(network("::1"), Ok("::1/128".parse().unwrap()));
        assert!(network("hub").is_err());
    }

    #[test]
    fn origins_are_compared_in_lower_case() {
        assert_eq!(
            origin("HTTPS://Hub.Example/"),
            Ok("https://hub.example".into())
        );
        for text in ["hub.example", "https://", "https://a/b", "ftp://a"] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_socket_has_a_whole_path() {
        assert!(unix_path("/x").is_err());
        assert_eq!(unix_path("unix:/x"), Ok("/x".into()));
    }
}
