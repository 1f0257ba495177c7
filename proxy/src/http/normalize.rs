//! One meaning per request, or none.
//!
//! What two programs could read differently is refused here: hosts, paths, framing, upgrades.
//! The path is never rewritten: the bytes that were routed are the bytes that are forwarded.

use super::failure::{Failure, Kind};
use super::fields::{Field, words};
use super::framing::{Framing, Said};
use super::head::{Method, RequestHead};
use crate::table::trie::hex_digit;

/// Fields that `Connection` may name: more than any honest client does.
const NAMED: usize = 16;

/// What a request is about, as far as its way depends on it.
#[derive(Debug)]
pub(crate) struct Visit<'b> {
    /// The path and query, in origin form.
    pub(crate) target: &'b str,
    /// The path alone.
    pub(crate) path: &'b str,
    /// Its host, checked; absent only in HTTP/1.0.
    pub(crate) host: Option<&'b str>,
    /// What is said of its body.
    pub(crate) said: Said,
    /// A person looks at a page.
    pub(crate) navigation: bool,
    /// It wants to become a websocket.
    pub(crate) websocket: bool,
    /// The client would send another request afterwards.
    pub(crate) keep: bool,
    /// It says of whom it was forwarded.
    pub(crate) forwarded: bool,
    /// It waits for `100 Continue` before it sends its body.
    pub(crate) expects: bool,
    /// The page that opens a websocket.
    pub(crate) origin: Option<&'b [u8]>,
    /// Fields that end here because `Connection` says so.
    pub(crate) named: Named<'b>,
}

/// Fields named by `Connection`.
#[derive(Debug, Default)]
pub(crate) struct Named<'b> {
    names: [&'b [u8]; NAMED],
    count: usize,
}

impl<'b> Named<'b> {
    /// Whether a field is named; the protected ones never are.
    pub(crate) fn has(&self, field: Field, name: &[u8]) -> bool {
        self.count > 0
            && !field.is_protected()
            && self.names[..self.count]
                .iter()
                .any(|named| named.eq_ignore_ascii_case(name))
    }

    /// Takes one more; false when there are too many.
    pub(crate) fn take(&mut self, name: &'b [u8]) -> bool {
        match self.names.get_mut(self.count) {
            Some(place) => {
                *place = name;
                self.count += 1;
                true
            }
            None => false,
        }
    }
}

/// What one look through the lines gathers.
#[derive(Default)]
struct Gathered<'b> {
    host: Option<&'b [u8]>,
    said: Said,
    close: bool,
    keep_alive: bool,
    connection_upgrade: bool,
    upgrade_websocket: bool,
    websocket_version: Option<&'b [u8]>,
    forwarded: bool,
    expects: bool,
    origin: Option<&'b [u8]>,
    accept: Option<&'b [u8]>,
    fetch_mode: Option<&'b [u8]>,
    named: Named<'b>,
}

/// Checks a request and tells what it is about.
pub(crate) fn normalize<'b>(head: &RequestHead<'_, 'b>) -> Result<Visit<'b>, Failure> {
    if matches!(head.method, Method::Connect | Method::Trace) {
        return Err(Failure::new(Kind::Method));
    }
    let gathered = gather(head)?;
    let host = check_host(gathered.host, head.old).map_err(malformed)?;
    let target = origin_form(head, host).map_err(malformed)?;
    let path = target.split('?').next().unwrap_or_default();
    check_path(path).map_err(malformed)?;
    let websocket = gathered.upgrade_websocket && gathered.connection_upgrade && !head.old;
    if websocket {
        check_websocket(head.method, &gathered)?;
    }
    Ok(Visit {
        target,
        path,
        host,
        said: gathered.said,
        navigation: !websocket && is_navigation(head.method, &gathered),
        websocket,
        keep: !gathered.close && (!head.old || gathered.keep_alive),
        forwarded: gathered.forwarded,
        expects: gathered.expects,
        origin: gathered.origin,
        named: gathered.named,
    })
}

fn malformed(why: &'static str) -> Failure {
    Failure::new(Kind::Malformed(why))
}

fn gather<'b>(head: &RequestHead<'_, 'b>) -> Result<Gathered<'b>, Failure> {
    let mut gathered = Gathered::default();
    for line in head.lines.iter() {
        match line.field {
            Field::Host if gathered.host.is_some() => {
                return Err(malformed("there is more than one Host header"));
            }
            Field::Host => gathered.host = Some(line.value),
            Field::ContentLength => gathered.said.take_length(line.value)?,
            Field::TransferEncoding => gathered.said.take_coding(line.value, head.old)?,
            Field::Connection => take_connection(&mut gathered, line.value)?,
            Field::Upgrade => {
                gathered.upgrade_websocket |=
                    words(line.value).any(|word| word.eq_ignore_ascii_case(b"websocket"));
            }
            Field::Expect if !line.value.eq_ignore_ascii_case(b"100-continue") => {
                return Err(Failure::new(Kind::Expectation));
            }
            Field::ForwardedFor
            | Field::ForwardedHost
            | Field::ForwardedPort
            | Field::ForwardedProto => gathered.forwarded = true,
            Field::Expect => gathered.expects = !head.old,
            Field::Origin if gathered.origin.is_some() => {
                return Err(malformed("there is more than one Origin header"));
            }
            Field::Origin => gathered.origin = Some(line.value),
            Field::Accept if gathered.accept.is_none() => gathered.accept = Some(line.value),
            Field::SecFetchMode => gathered.fetch_mode = Some(line.value),
            Field::SecWebSocketVersion => gathered.websocket_version = Some(line.value),
            _ => {}
        }
    }
    Ok(gathered)
}

fn take_connection<'b>(gathered: &mut Gathered<'b>, value: &'b [u8]) -> Result<(), Failure> {
    for word in words(value) {
        if word.eq_ignore_ascii_case(b"keep-alive") {
            gathered.keep_alive = true;
        } else if word.eq_ignore_ascii_case(b"close") {
            gathered.close = true;
        } else if word.eq_ignore_ascii_case(b"upgrade") {
            gathered.connection_upgrade = true;
        } else if !gathered.named.take(word) {
            return Err(malformed("Connection names too many fields"));
        }
    }
    Ok(())
}

fn check_host(host: Option<&[u8]>, old: bool) -> Result<Option<&str>, &'static str> {
    let Some(host) = host else {
        return if old {
            Ok(None)
        } else {
            Err("the Host header is missing")
        };
    };
    let wrong = "the Host header names no host";
    let text = std::str::from_utf8(host).map_err(|_| wrong)?;
    let (name, rest) = if let Some(inner) = text.strip_prefix('[') {
        let (address, rest) = inner.split_once(']').ok_or(wrong)?;
        address.parse::<std::net::Ipv6Addr>().map_err(|_| wrong)?;
        (address, rest)
    } else {
        let end = text.find(':').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !name.bytes().all(sound) {
            return Err(wrong);
        }
        (name, rest)
    };
    let port = match rest.strip_prefix(':') {
        None => rest.is_empty(),
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
    };
    if name.is_empty() || !port {
        return Err(wrong);
    }
    Ok(Some(text))
}

/// The request's target as path and query, whatever form it came in (RFC 9112, section 3.2).
fn origin_form<'b>(
    head: &RequestHead<'_, 'b>,
    host: Option<&str>,
) -> Result<&'b str, &'static str> {
    let target = head.target;
    if !target
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return Err("the request's target has characters that must be escaped");
    }
    if target.starts_with('/') {
        return Ok(target);
    }
    if target == "*" && head.method == Method::Options {
        return Ok(target);
    }
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let Some(rest) = rest else {
        return Err("the request's target is not a path");
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    check_host(Some(authority.as_bytes()), false)?;
    if host.is_some_and(|host| !host.eq_ignore_ascii_case(authority)) {
        return Err("the request's target and its Host differ");
    }
    match target {
        "" => Ok("/"),
        query if query.starts_with('?') => Err("the request's target has no path"),
        target => Ok(target),
    }
}

/// Whether everybody reads this path alike.
fn check_path(path: &str) -> Result<(), &'static str> {
    if path.starts_with("//") {
        return Err("the path begins with two slashes");
    }
    if memchr::memchr2(b'%', b'\\', path.as_bytes()).is_none() {
        // Most paths have no dot after a slash at all.
        return if memchr::memmem::find(path.as_bytes(), b"/.").is_none() {
            Ok(())
        } else {
            dots(path.as_bytes())
        };
    }
    if path.contains('\\') {
        return Err("the path has characters that must be escaped");
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

fn check_websocket(method: Method, gathered: &Gathered<'_>) -> Result<(), Failure> {
    if method != Method::Get {
        return Err(malformed("a websocket begins with GET"));
    }
    if gathered.said.of_request() != Framing::None {
        return Err(malformed("a websocket's request has no body"));
    }
    // Older programs speak versions 7 and 8, which are relayed alike.
    match gathered.websocket_version {
        None | Some(b"13" | b"8" | b"7") => Ok(()),
        Some(_) => Err(Failure::new(Kind::WebsocketVersion)),
    }
}

fn is_navigation(method: Method, gathered: &Gathered<'_>) -> bool {
    if !matches!(method, Method::Get | Method::Head) {
        return false;
    }
    if let Some(mode) = gathered.fetch_mode {
        return mode == b"navigate";
    }
    let accept = gathered.accept.unwrap_or_default();
    let first = words(accept).next().unwrap_or_default();
    let kind = first
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    kind.eq_ignore_ascii_case(b"text/html") || kind.eq_ignore_ascii_case(b"application/xhtml+xml")
}

/// The port that a checked host names.
pub(crate) fn port_of(host: &str) -> Option<&str> {
    let after = host.rfind(']').map_or(0, |at| at + 1);
    host[after..].rsplit_once(':').map(|(_, port)| port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{read_request, space};
    use proptest::prelude::*;

    /// What a request is about: its target, whether it is a navigation, whether a websocket.
    fn visit(target: &str, headers: &[(&str, &str)]) -> Result<(String, bool, bool), Kind> {
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let text = format!("GET {target} HTTP/1.1\r\n{lines}\r\n");
        let mut space = space();
        let head = read_request(text.as_bytes(), &mut space).unwrap();
        normalize(&head)
            .map(|visit| (visit.target.to_owned(), visit.navigation, visit.websocket))
            .map_err(|failure| failure.kind)
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        for path in [
            "//x/user/a",
            "/user/a/../b/",
            "/user/a/%2e%2e/b",
            "/user/a/.%2E/b",
            "/user/a/./b",
            "/user/a/..",
            "/user/a%2f..%2fb",
            "/user/a/..%5cb",
            "/user/a\\b",
            "/user/a/%00",
            "/user/%zz",
            "/user/%",
            "/user/%c0%ae/",
            "/user/%ff",
            "/user/a#b",
            "/user/\u{e9}",
            "user/a",
            "*",
            "http://h?x",
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
            "/user/a/.hidden",
            "/user/a//b",
            "/user/%C3%A9/%252e%252e/",
            "/x?next=/../%zz",
        ] {
            assert_eq!(visit(path, &[("host", "h")]).unwrap().0, path);
        }
    }

    #[test]
    fn there_is_one_host() {
        for hosts in [
            &["a", "a"] as &[&str],
            &[],
            &[""],
            &["a b"],
            &["a,b"],
            &["a/b"],
            &["u@a"],
            &["a:x"],
            &["a:"],
            &[":80"],
            &["a:99999"],
            &["[::1"],
            &["[x]"],
            &["[::1]x"],
            &["\u{e9}"],
        ] {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert!(visit("/", &headers).is_err(), "{hosts:?}");
        }
        for host in [
            "a",
            "a.example:8000",
            "127.0.0.1",
            "[::1]:8000",
            "[::1]",
            "a_b.",
        ] {
            assert!(visit("/", &[("host", host)]).is_ok(), "{host}");
        }
        assert_eq!(visit("http://a/x", &[("host", "A")]).unwrap().0, "/x");
        assert_eq!(visit("HTTPS://a", &[("host", "a")]).unwrap().0, "/");
        assert!(visit("http://b/x", &[("host", "a")]).is_err());
        assert_eq!(port_of("a:80"), Some("80"));
        assert_eq!(port_of("[::1]:81"), Some("81"));
        assert_eq!(port_of("[::1]"), None);
    }

    #[test]
    fn only_continue_can_be_expected() {
        assert_eq!(
            visit("/", &[("host", "h"), ("expect", "tea")]),
            Err(Kind::Expectation)
        );
        assert!(visit("/", &[("host", "h"), ("expect", "100-Continue")]).is_ok());
    }

    #[test]
    fn a_person_is_told_from_a_program() {
        let navigation = |name, value| visit("/", &[("host", "h"), (name, value)]).unwrap().1;
        assert!(navigation("accept", "text/html,*/*;q=0.8"));
        assert!(navigation("sec-fetch-mode", "navigate"));
        assert!(!navigation("accept", "application/json, text/html"));
        assert!(!navigation("sec-fetch-mode", "cors"));
        assert!(!navigation("accept", "*/*"));
    }

    #[test]
    fn a_websocket_is_asked_for_in_both_lines() {
        let websocket = |more: &[(&str, &str)]| {
            let mut headers = vec![("host", "h")];
            headers.extend(more);
            visit("/", &headers).map(|visit| visit.2)
        };
        let both = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
        ];
        assert_eq!(websocket(&both), Ok(true));
        assert_eq!(websocket(&both[..1]), Ok(false));
        assert_eq!(websocket(&both[1..]), Ok(false));
        assert_eq!(websocket(&[both[0], ("upgrade", "h2c")]), Ok(false));
        assert!(websocket(&[both[0], both[1], ("content-length", "3")]).is_err());
        assert_eq!(
            websocket(&[both[0], both[1], ("sec-websocket-version", "1337")]),
            Err(Kind::WebsocketVersion)
        );
    }

    #[test]
    fn the_hubs_api_is_told_from_its_pages() {
        for (path, is) in [
            ("/hub/api", true),
            ("/hub/%61pi/users", true),
            ("/hub/apis", false),
            ("/hub/home", false),
            ("/", false),
        ] {
            assert_eq!(is_hub_api(path), is, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(path in "[ -~]{0,40}") {
            let _ = check_path(&path);
            let _ = is_hub_api(&path);
            let _ = check_host(Some(path.as_bytes()), false);
        }
    }
}
