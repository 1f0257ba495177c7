//! One meaning per request, or none.
//!
//! What two programs could read differently is refused here: hosts, paths, framing as far as hyper lets us see it.
//! The path is never rewritten: the bytes that were routed are the bytes that are forwarded.

use http::header::{self, HeaderName};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Uri, Version};

use super::failure::{Failure, Kind};
use crate::table::trie::hex_digit;

/// What a request is about, as far as its way depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visit {
    /// A person looks at a page.
    pub(crate) navigation: bool,
    /// It wants to become a websocket.
    pub(crate) websocket: bool,
}

/// Checks a request and puts its target in origin form.
pub(crate) fn normalize<B>(request: &mut Request<B>) -> Result<Visit, Failure> {
    let malformed = |why| Failure::new(Kind::Malformed(why));
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Failure::new(Kind::Method));
    }
    if request.version() > Version::HTTP_11 || request.version() < Version::HTTP_10 {
        return Err(malformed("only HTTP/1.0 and HTTP/1.1 are spoken here"));
    }
    let host = check_host(request.version(), request.headers()).map_err(malformed)?;
    if let (Some(host), Some(authority)) = (host, request.uri().authority())
        && !host.as_str().eq_ignore_ascii_case(authority.as_str())
    {
        return Err(malformed("the request's target and its Host differ"));
    }
    check_framing(request.headers()).map_err(malformed)?;
    if let Some(expected) = request.headers().get(header::EXPECT)
        && !expected.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Failure::new(Kind::Expectation));
    }
    let target = request.uri().path_and_query().cloned();
    let Some(target) = target.filter(|target| target.as_str().starts_with('/')) else {
        return Err(malformed("the request's target is not a path"));
    };
    check_path(target.path()).map_err(malformed)?;
    *request.uri_mut() = Uri::from(target);
    let websocket = is_websocket(request).map_err(malformed)?;
    Ok(Visit {
        navigation: !websocket && is_navigation(request.method(), request.headers()),
        websocket,
    })
}

fn check_host(version: Version, headers: &HeaderMap) -> Result<Option<Authority>, &'static str> {
    let mut lines = headers.get_all(header::HOST).iter();
    let Some(host) = lines.next() else {
        return match version {
            Version::HTTP_11 => Err("the Host header is missing"),
            _ => Ok(None),
        };
    };
    if lines.next().is_some() {
        return Err("there is more than one Host header");
    }
    let host: Authority = host
        .to_str()
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or("the Host header names no host")?;
    let junk =
        host.as_str().contains('@') || host.host().is_empty() || host.as_str().ends_with(':');
    let port = host.as_str().len() > host.host().len();
    if junk || (port && host.port_u16().is_none()) {
        return Err("the Host header names no host");
    }
    Ok(Some(host))
}

fn check_framing(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err("Transfer-Encoding can only be 'chunked', once");
        }
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err("a body has a length or is chunked, not both");
        }
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        let digits = !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
        if lengths.next().is_some() || !digits {
            return Err("Content-Length must be one number");
        }
    }
    Ok(())
}

/// Whether everybody reads this path alike.
fn check_path(path: &str) -> Result<(), &'static str> {
    if path.starts_with("//") {
        return Err("the path begins with two slashes");
    }
    if path
        .bytes()
        .any(|byte| !byte.is_ascii_graphic() || byte == b'\\')
    {
        return Err("the path has characters that must be escaped");
    }
    if !path.contains('%') {
        return dots(path.as_bytes());
    }
    let decoded = decode(path).ok_or("the path has a broken percent escape")?;
    if decoded.contains(&0) || std::str::from_utf8(&decoded).is_err() {
        return Err("the path's escapes are not text");
    }
    dots(&decoded)
}

fn dots(decoded: &[u8]) -> Result<(), &'static str> {
    let dotted = |part: &[u8]| part == b"." || part == b"..";
    // Some servers take an escaped slash or a backslash for a separator, so no dots between those either.
    if decoded
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .any(dotted)
    {
        return Err("the path has '.' or '..' for a segment");
    }
    Ok(())
}

fn decode(path: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            plain => plain,
        });
    }
    Some(decoded)
}

/// Whether a path that was found to be sound belongs to the hub's API.
pub(crate) fn is_hub_api(path: &str) -> bool {
    let mut segments = path.split('/').skip(1).map(decode);
    let mut next_is =
        |word: &[u8]| matches!(segments.next(), Some(Some(segment)) if segment == word);
    next_is(b"hub") && next_is(b"api")
}

fn is_websocket<B>(request: &Request<B>) -> Result<bool, &'static str> {
    let headers = request.headers();
    let wanted = has_token(headers, &header::UPGRADE, "websocket")
        && has_token(headers, &header::CONNECTION, "upgrade")
        && request.version() == Version::HTTP_11;
    if !wanted {
        return Ok(false);
    }
    if request.method() != Method::GET {
        return Err("a websocket begins with GET");
    }
    let empty = headers
        .get(header::CONTENT_LENGTH)
        .is_none_or(|length| length == "0");
    if !empty || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err("a websocket's request has no body");
    }
    Ok(true)
}

/// Whether a header's list has this word.
pub(crate) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}

fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return false;
    }
    if let Some(mode) = headers.get("sec-fetch-mode") {
        return mode == "navigate";
    }
    let Some(accept) = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let first = accept.split(',').next().unwrap_or_default();
    let kind = first.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn visit(target: &str, headers: &[(&'static str, &str)]) -> Result<Visit, Kind> {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        normalize(&mut request.body(()).unwrap()).map_err(|failure| failure.kind)
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        for path in [
            "//x/user/a",
            "/user/a/../b/",
            "/user/a/%2e%2e/b",
            "/user/a/.%2E/b",
            "/user/a/./b",
            "/user/a%2f..%2fb",
            "/user/a/..%5cb",
            "/user/a/%00",
            "/user/%zz",
            "/user/%",
            "/user/%c0%ae/",
            "/user/%ff",
        ] {
            assert!(
                matches!(visit(path, &[("host", "h")]), Err(Kind::Malformed(_))),
                "{path}"
            );
        }
        for path in [
            "/",
            "/user/a/files/x%2Fy.ipynb",
            "/user/a/..;/b",
            "/user/a/...",
            "/user/a//b",
            "/user/%C3%A9/%252e%252e/",
            "/x?next=/../%zz",
        ] {
            assert!(visit(path, &[("host", "h")]).is_ok(), "{path}");
        }
    }

    #[test]
    fn there_is_one_host() {
        for hosts in [
            &["a", "a"] as &[&str],
            &[],
            &[""],
            &["a b"],
            &["a/b"],
            &["u@a"],
            &["a:x"],
            &["a:"],
            &["a:99999"],
        ] {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert!(visit("/", &headers).is_err(), "{hosts:?}");
        }
        for host in ["a", "a.example:8000", "127.0.0.1", "[::1]:8000", "[::1]"] {
            assert!(visit("/", &[("host", host)]).is_ok(), "{host}");
        }
        assert!(visit("http://a/x", &[("host", "A")]).is_ok());
        assert!(visit("http://b/x", &[("host", "a")]).is_err());
    }

    #[test]
    fn framing_is_said_once() {
        for headers in [
            [("transfer-encoding", "chunked"), ("content-length", "1")],
            [("transfer-encoding", "gzip, chunked"), ("x", "y")],
            [
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            [("transfer-encoding", ",chunked"), ("x", "y")],
            [("content-length", "1"), ("content-length", "1")],
            [("content-length", "+1"), ("x", "y")],
        ] {
            let headers = [headers[0], headers[1], ("host", "h")];
            assert!(visit("/", &headers).is_err(), "{headers:?}");
        }
        assert_eq!(
            visit("/", &[("host", "h"), ("expect", "tea")]),
            Err(Kind::Expectation)
        );
    }

    #[test]
    fn a_person_is_told_from_a_program() {
        let navigation = |name, value| {
            visit("/", &[("host", "h"), (name, value)])
                .unwrap()
                .navigation
        };
        assert!(navigation(
            "accept",
            "text/html,application/xhtml+xml,*/*;q=0.8"
        ));
        assert!(navigation("sec-fetch-mode", "navigate"));
        assert!(!navigation("accept", "application/json, text/html"));
        assert!(!navigation("accept", "*/*"));
        assert!(!navigation("sec-fetch-mode", "cors"));
        let websocket = [
            ("host", "h"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("accept", "text/html"),
        ];
        assert_eq!(
            visit("/", &websocket),
            Ok(Visit {
                navigation: false,
                websocket: true
            })
        );
        let other = [
            ("host", "h"),
            ("connection", "Upgrade, HTTP2-Settings"),
            ("upgrade", "h2c"),
        ];
        assert_eq!(
            visit("/", &other),
            Ok(Visit {
                navigation: false,
                websocket: false
            })
        );
    }

    #[test]
    fn the_api_is_told_by_decoded_segments() {
        for (path, is) in [
            ("/hub/api", true),
            ("/hub/api/users", true),
            ("/h%75b/%61pi/x", true),
            ("/hub/apis", false),
            ("/hub/", false),
            ("/hub/login", false),
            ("/hub%2Fapi/x", false),
            ("/x/hub/api", false),
        ] {
            assert_eq!(is_hub_api(path), is, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(path in "/[%a-f0-9./\\\\]*") {
            let _ = check_path(&path);
            is_hub_api(&path);
        }
    }
}
