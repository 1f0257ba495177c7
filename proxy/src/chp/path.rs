//! From the path of an API call to a route's key, and from a key to its place in the table.

use url::Url;

use crate::table::host_key;
use crate::table::trie::{SEGMENTS, hex_digit};

/// What every route's path in the API begins with.
const ROUTES: &str = "/api/routes";
/// No name has longer parts, and the table finds none.
const LONGEST: usize = 1024;

/// A path that cannot be a route's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadPath {
    /// A `%` without two hexadecimal digits, or bytes that are no text.
    #[error("the path is badly escaped")]
    Escape,
    /// A part that no request could mean.
    #[error(
        "the path has a part of dots alone, or with control characters, or longer than 1024 bytes"
    )]
    Part,
    /// More parts than a route has.
    #[error("the path has more than 64 parts")]
    Deep,
    /// Not a host.
    #[error("the path begins with no host that requests could be for")]
    Host,
}

/// What a call is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The whole table.
    Table,
    /// One route, by its key.
    Route(String),
    /// Nothing that there is.
    Nothing,
}

/// Reads a call's target as browsers read URLs: dots are followed, then escapes undone, once.
pub(super) fn asked(target: &str) -> Result<Asked, BadPath> {
    let base = Url::parse("http://localhost").map_err(|_| BadPath::Escape)?;
    let url = base.join(target).map_err(|_| BadPath::Escape)?;
    let Some(rest) = url.path().strip_prefix(ROUTES) else {
        return Ok(Asked::Nothing);
    };
    match rest {
        "" | "/" => Ok(Asked::Table),
        rest if rest.starts_with('/') => Ok(Asked::Route(key(&decode(rest)?))),
        _ => Ok(Asked::Nothing),
    }
}

/// A route's key: one slash at its beginning, and up to two less at its end.
pub(super) fn key(path: &str) -> String {
    let mut key = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        key.push('/');
    }
    key.push_str(path);
    for _ in 0..2 {
        if key.len() > 1 && key.ends_with('/') {
            key.pop();
        }
    }
    key
}

fn decode(text: &str) -> Result<String, BadPath> {
    let bytes = text.as_bytes();
    let whole = |at: usize| {
        let digit = |at: usize| bytes.get(at).copied().and_then(hex_digit).is_some();
        digit(at + 1) && digit(at + 2)
    };
    if !memchr::memchr_iter(b'%', bytes).all(whole) {
        return Err(BadPath::Escape);
    }
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map(|decoded| decoded.into_owned())
        .map_err(|_| BadPath::Escape)
}

/// Whose route it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hosts {
    /// Every host's.
    All,
    /// That of the host which the path begins with.
    First,
}

/// Where a route is in the table. Two keys may mean the same place: `//x` and `/x`, or a host in capitals.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The host, as the table keeps it.
    pub(super) host: Option<Box<[u8]>>,
    /// The parts of the path.
    pub(super) segments: Vec<Box<[u8]>>,
}

/// The place of a key.
pub(super) fn place(key: &str, hosts: Hosts) -> Result<Place, BadPath> {
    let inner = key.trim_matches('/');
    if inner.is_empty() {
        return Ok(Place {
            host: None,
            segments: Vec::new(),
        });
    }
    let (host, path) = match hosts {
        Hosts::All => (None, Some(inner)),
        Hosts::First => match inner.split_once('/') {
            Some((host, path)) => (Some(host), Some(path)),
            None => (Some(inner), None),
        },
    };
    let host = host.map(host_of).transpose()?;
    if path.is_some_and(|path| path.split('/').count() > SEGMENTS) {
        return Err(BadPath::Deep);
    }
    let segments = path
        .into_iter()
        .flat_map(|path| path.split('/'))
        .map(|part| {
            let dots = matches!(part, "." | "..");
            if dots || part.len() > LONGEST || part.chars().any(char::is_control) {
                return Err(BadPath::Part);
            }
            Ok(part.as_bytes().into())
        })
        .collect::<Result<_, _>>()?;
    Ok(Place { host, segments })
}

fn host_of(text: &str) -> Result<Box<[u8]>, BadPath> {
    if text.chars().any(char::is_control) {
        return Err(BadPath::Host);
    }
    let mut space = [0; _];
    match host_key(text.as_bytes(), &mut space) {
        Some(key) if !key.is_empty() => Ok(key.into()),
        _ => Err(BadPath::Host),
    }
}

/// The host that a key begins with, as it is written.
pub(super) fn first_part(key: &str) -> Option<&str> {
    key.split('/').find(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_call_is_read_as_browsers_read_urls() {
        let route = |key: &str| Ok(Asked::Route(key.to_owned()));
        for (target, read) in [
            ("/api/routes", Ok(Asked::Table)),
            ("/api/routes/", Ok(Asked::Table)),
            ("/api/routes?inactiveSince=2024", Ok(Asked::Table)),
            ("/api/routes//", route("/")),
            ("/api/routes/a/", route("/a")),
            ("/api/routes/a///", route("/a/")),
            ("/api/routes//dbl//x", route("//dbl//x")),
            ("/api/routes/x/../y", route("/y")),
            ("/api/routes/b%20c%2Fd", route("/b c/d")),
            ("/api/routes/a%252Fb", route("/a%2Fb")),
            ("/api/routes/%C3%A9@x", route("/é@x")),
            ("http://elsewhere/api/routes/a", route("/a")),
            ("/api/routes/../../x", Ok(Asked::Nothing)),
            ("/api/routesx", Ok(Asked::Nothing)),
            ("/api", Ok(Asked::Nothing)),
            ("/api/routes/%zz", Err(BadPath::Escape)),
            ("/api/routes/%", Err(BadPath::Escape)),
            ("/api/routes/%ff", Err(BadPath::Escape)),
        ] {
            assert_eq!(asked(target), read, "{target}");
        }
    }

    #[test]
    fn a_path_with_too_many_parts_is_refused() {
        let deep = "/a".repeat(SEGMENTS + 1);
        assert_eq!(place(&deep, Hosts::All), Err(BadPath::Deep));
        assert!(place(&deep[2..], Hosts::All).is_ok());
    }

    #[test]
    fn two_spellings_of_a_place_are_one() {
        let all = |key: &str| place(key, Hosts::All).unwrap();
        assert_eq!(all("//x"), all("/x"));
        assert_ne!(all("/X"), all("/x"));
        let first = |key: &str| place(key, Hosts::First).unwrap();
        assert_eq!(first("/Hub.Example/x"), first("/hub.example/x"));
        assert_eq!(first("/hub.example").segments.len(), 0);
        assert_eq!(first("/").host, None);
    }

    #[test]
    fn what_no_request_can_mean_is_refused() {
        for key in ["/../x", "/a/.", "/a\0b"] {
            assert_eq!(place(key, Hosts::All), Err(BadPath::Part), "{key:?}");
        }
        let long = format!("/{}", "a".repeat(1025));
        assert_eq!(place(&long, Hosts::All), Err(BadPath::Part));
        assert_eq!(place(&long, Hosts::First), Err(BadPath::Host));
    }

    proptest! {
        #[test]
        fn no_call_makes_it_panic(target in "/api/routes\\PC*") {
            if let Ok(Asked::Route(key)) = asked(&target) {
                let _ = place(&key, Hosts::First);
                prop_assert_eq!(super::key(&key.clone()).starts_with('/'), true);
            }
        }
    }
}
