//! A request's head for the next hop: what ends here is left out, who asked is added, the rest is copied as it came.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use super::Client;
use super::fields::Field;
use super::framing::itoa;
use super::head::{Line, Lines, RequestHead};
use super::normalize::{Visit, port_of};
use super::settings::{Forwarded, Settings};
use crate::table::{Leaf, Target};

/// What of a request's head must be other than it came.
pub(crate) struct Changes<'a> {
    /// The route's target, where the request's path or host depends on it.
    pub(crate) to: Option<(&'a Leaf, &'a Target)>,
    /// Cookies in place of those that came.
    pub(crate) cookies: Option<Vec<u8>>,
    /// Whether the body is put behind whole: its framing is left out, and nobody waits for its start.
    pub(crate) held: bool,
}

/// Writes the head for the next hop, whole but for its empty line's follower: a body may be put right behind.
pub(crate) fn write_request(
    to: &mut Vec<u8>,
    head: &RequestHead<'_, '_>,
    visit: &Visit<'_>,
    changes: &Changes<'_>,
    client: &Client,
    settings: &Settings,
) {
    to.extend_from_slice(head.method_name.as_bytes());
    to.push(b' ');
    write_target(to, visit, changes.to, settings);
    to.extend_from_slice(b" HTTP/1.1\r\n");
    let believed = client.trusted || settings.forwarded != Forwarded::Replace;
    head.lines.copy_kept(to, |line| {
        is_kept(line, head.old, believed, visit, changes, settings)
    });
    let custom = |name: &str| is_custom(settings, name.as_bytes());
    if (settings.change_origin || visit.host.is_none()) && !custom("host") {
        let host = changes
            .to
            .map_or("localhost", |(_, target)| &*target.authority);
        put(to, b"Host", host.as_bytes());
    }
    if let Some(cookies) = &changes.cookies
        && !cookies.is_empty()
    {
        put(to, b"Cookie", cookies);
    }
    if !changes.held {
        visit.said.write(to);
    }
    if visit.websocket {
        to.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    match settings.forwarded {
        Forwarded::Off => {}
        Forwarded::Append => append_forwarded(to, &head.lines, visit, client, settings),
        Forwarded::Replace => replace_forwarded(to, &head.lines, visit, client, settings),
    }
    if settings.marks {
        put(to, b"X-Holt-Listener", client.listener.name().as_bytes());
        if !custom("x-request-id") {
            write_id(to, &head.lines, client);
        }
    }
    for (name, value) in &settings.custom_headers {
        put(to, name.as_bytes(), value.as_bytes());
    }
    to.extend_from_slice(b"\r\n");
}

fn is_kept(
    line: &Line<'_>,
    old: bool,
    believed: bool,
    visit: &Visit<'_>,
    changes: &Changes<'_>,
    settings: &Settings,
) -> bool {
    let kept = match line.field {
        Field::Hop
        | Field::Connection
        | Field::Upgrade
        | Field::ContentLength
        | Field::TransferEncoding
        | Field::LookAlike => false,
        Field::Host => !settings.change_origin,
        Field::Expect => !old && !changes.held,
        Field::Cookie => changes.cookies.is_none(),
        Field::ForwardedFor => settings.forwarded == Forwarded::Off,
        Field::ForwardedPort | Field::ForwardedProto => match settings.forwarded {
            Forwarded::Off => true,
            Forwarded::Append => false,
            Forwarded::Replace => believed,
        },
        Field::ForwardedHost | Field::Claim => believed,
        Field::RequestId | Field::Listener => !settings.marks,
        Field::Authorization
        | Field::Origin
        | Field::Accept
        | Field::SecFetchMode
        | Field::SecWebSocketVersion
        | Field::Date
        | Field::Location
        | Field::ContentType
        | Field::Other => true,
    };
    kept && !visit.named.has(line.field, line.name) && !is_custom(settings, line.name)
}

/// Whether a line of the settings stands in place of any other with this name.
fn is_custom(settings: &Settings, name: &[u8]) -> bool {
    settings
        .custom_headers
        .iter()
        .any(|(custom, _)| custom.as_bytes().eq_ignore_ascii_case(name))
}

fn put(to: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    begin(to, name);
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}

fn write_target(
    to: &mut Vec<u8>,
    visit: &Visit<'_>,
    way: Option<(&Leaf, &Target)>,
    settings: &Settings,
) {
    let Some((leaf, target)) = way else {
        return to.extend_from_slice(visit.target.as_bytes());
    };
    let (path, query) = visit.target.split_at(visit.path.len());
    let path = if settings.include_prefix {
        path
    } else {
        after_segments(path, leaf.depth)
    };
    if settings.prepend_path && !target.path.is_empty() {
        to.extend_from_slice(target.path.as_bytes());
        if !path.starts_with('/') {
            to.push(b'/');
        }
    } else if !path.starts_with('/') && path != "*" {
        to.push(b'/');
    }
    to.extend_from_slice(path.as_bytes());
    if settings.prepend_path && !target.query.is_empty() {
        to.push(b'?');
        to.extend_from_slice(target.query.as_bytes());
        if let Some(query) = query.strip_prefix('?') {
            to.push(b'&');
            to.extend_from_slice(query.as_bytes());
        }
    } else {
        to.extend_from_slice(query.as_bytes());
    }
}

/// A path without its first segments.
fn after_segments(path: &str, count: usize) -> &str {
    let mut rest = path;
    for _ in 0..count {
        let inner = rest.strip_prefix('/').unwrap_or(rest);
        rest = &inner[inner.find('/').unwrap_or(inner.len())..];
    }
    // What would begin with two slashes names a host to some, and is refused where it comes from a client.
    while rest.starts_with("//") {
        rest = &rest[1..];
    }
    rest
}

/// As configurable-http-proxy does it: everybody's claims are continued.
fn append_forwarded(
    to: &mut Vec<u8>,
    lines: &Lines<'_, '_>,
    visit: &Visit<'_>,
    client: &Client,
    settings: &Settings,
) {
    let proto: &[u8] = match (visit.websocket, settings.secure) {
        (false, false) => b"http",
        (false, true) => b"https",
        (true, false) => b"ws",
        (true, true) => b"wss",
    };
    for (field, name, own) in [
        (
            Field::ForwardedFor,
            b"X-Forwarded-For".as_slice(),
            client.shown.as_bytes(),
        ),
        (
            Field::ForwardedPort,
            b"X-Forwarded-Port",
            port(visit, settings),
        ),
        (Field::ForwardedProto, b"X-Forwarded-Proto", proto),
    ] {
        if is_custom(settings, name) {
            continue;
        }
        begin(to, name);
        // Most requests say none: their lines need not be looked through for each.
        if visit.forwarded {
            for line in lines.iter().filter(|line| line.field == field) {
                to.extend_from_slice(line.value);
                to.push(b',');
            }
        }
        to.extend_from_slice(own);
        to.extend_from_slice(b"\r\n");
    }
    let said = visit.forwarded && lines.iter().any(|line| line.field == Field::ForwardedHost);
    if let Some(host) = visit.host
        && !said
        && !visit.websocket
        && !is_custom(settings, b"x-forwarded-host")
    {
        put(to, b"X-Forwarded-Host", host.as_bytes());
    }
}

/// A stranger's claims were left out; a trusted peer's stand, and are completed.
fn replace_forwarded(
    to: &mut Vec<u8>,
    lines: &Lines<'_, '_>,
    visit: &Visit<'_>,
    client: &Client,
    settings: &Settings,
) {
    let custom = |name: &str| is_custom(settings, name.as_bytes());
    let mut host = custom("x-forwarded-host");
    let mut proto = custom("x-forwarded-proto");
    let mut port_said = custom("x-forwarded-port");
    let chain = !custom("x-forwarded-for");
    if chain {
        begin(to, b"X-Forwarded-For");
    }
    if client.trusted {
        for line in lines.iter() {
            match line.field {
                Field::ForwardedFor if chain => {
                    to.extend_from_slice(line.value);
                    to.extend_from_slice(b", ");
                }
                Field::ForwardedHost => host = true,
                Field::ForwardedProto => proto = true,
                Field::ForwardedPort => port_said = true,
                _ => {}
            }
        }
    }
    if chain {
        to.extend_from_slice(client.shown.as_bytes());
        to.extend_from_slice(b"\r\n");
    }
    if let Some(name) = visit.host
        && !host
    {
        put(to, b"X-Forwarded-Host", name.as_bytes());
    }
    if !proto {
        let proto: &[u8] = if settings.secure { b"https" } else { b"http" };
        put(to, b"X-Forwarded-Proto", proto);
    }
    if !port_said {
        put(to, b"X-Forwarded-Port", port(visit, settings));
    }
}

fn begin(to: &mut Vec<u8>, name: &[u8]) {
    to.extend_from_slice(name);
    to.extend_from_slice(b": ");
}

fn port<'b>(visit: &Visit<'b>, settings: &Settings) -> &'b [u8] {
    let own = if settings.secure { "443" } else { "80" };
    visit.host.and_then(port_of).unwrap_or(own).as_bytes()
}

fn write_id(to: &mut Vec<u8>, lines: &Lines<'_, '_>, client: &Client) {
    begin(to, b"X-Request-Id");
    match said_id(lines, client) {
        Some(id) => to.extend_from_slice(id),
        None => to.extend_from_slice(&fresh_id()),
    }
    to.extend_from_slice(b"\r\n");
}

/// The id that a trusted peer gave.
fn said_id<'b>(lines: &Lines<'_, 'b>, client: &Client) -> Option<&'b [u8]> {
    if !client.trusted {
        return None;
    }
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    lines
        .iter()
        .find(|line| line.field == Field::RequestId)
        .map(|line| line.value)
        .filter(|id| !id.is_empty() && id.len() <= 64 && id.iter().all(plain))
}

/// Sixteen hexadecimal digits that nobody can foresee.
fn fresh_id() -> [u8; 16] {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    thread_local! {
        // Beginning apart in each thread, so that no two threads count alike.
        static NEXT: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
    }
    let number = NEXT.get();
    NEXT.set(number.wrapping_add(1));
    let id = KEYS.hash_one(number);
    let mut text = [0; 16];
    for (at, digit) in text.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(id >> (60 - 4 * at) & 15) as usize];
    }
    text
}

/// `Content-Length` and a number.
pub(crate) fn put_length(to: &mut Vec<u8>, length: u64) {
    begin(to, b"Content-Length");
    to.extend_from_slice(itoa(length, &mut [0; 20]));
    to.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Listener;
    use crate::http::head::{read_request, space};
    use crate::http::normalize::normalize;

    fn written(
        text: &str,
        trusted: bool,
        settings: &Settings,
        target: Option<(&str, usize)>,
    ) -> String {
        let mut space = space();
        let head = read_request(text.as_bytes(), &mut space).unwrap();
        let visit = normalize(&head).unwrap();
        let client = Client::new("192.0.2.1:5".parse().unwrap(), Listener::Public, trusted);
        let target = target.map(|(url, depth)| {
            (
                Leaf::new(None, std::sync::Arc::default(), depth),
                Target::parse(url).unwrap(),
            )
        });
        let changes = Changes {
            to: target.as_ref().map(|(leaf, target)| (leaf, target)),
            cookies: None,
            held: false,
        };
        let mut to = Vec::new();
        write_request(&mut to, &head, &visit, &changes, &client, settings);
        String::from_utf8(to).unwrap()
    }

    fn with(lines: &str, trusted: bool, settings: &Settings) -> Vec<String> {
        let text = format!("GET /x HTTP/1.1\r\nHost: hub.example:8443\r\n{lines}\r\n");
        let written = written(&text, trusted, settings, None);
        let mut lines: Vec<_> = written
            .trim_end()
            .lines()
            .skip(1)
            .map(str::to_lowercase)
            .collect();
        lines.retain(|line| {
            !line.starts_with("x-request-id: ") || !trusted || line.ends_with("abc-1")
        });
        lines
    }

    const CLAIMS: &str = "x-forwarded-for: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nx-forwarded-proto: https\r\n\
        x-forwarded-host: evil\r\nx-forwarded-port: 1\r\nx-real-ip: 6.6.6.6\r\nx-scheme: https\r\n\
        x_forwarded_for: 6.6.6.6\r\nforwarded: for=6.6.6.6\r\nx-holt-listener: internal\r\nx-request-id: abc-1\r\n";

    #[test]
    fn what_a_stranger_claims_is_replaced() {
        let lines = with(CLAIMS, false, &Settings::holt());
        assert_eq!(
            lines[..6],
            [
                "host: hub.example:8443",
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-host: hub.example:8443",
                "x-forwarded-proto: http",
                "x-forwarded-port: 8443",
                "x-holt-listener: public",
            ]
        );
        assert_eq!(lines.len(), 7);
        assert_eq!(lines[6].len(), "x-request-id: ".len() + 16);
    }

    #[test]
    fn what_a_trusted_peer_says_is_kept() {
        assert_eq!(
            with(CLAIMS, true, &Settings::holt()),
            [
                "host: hub.example:8443",
                "x-forwarded-proto: https",
                "x-forwarded-host: evil",
                "x-forwarded-port: 1",
                "x-real-ip: 6.6.6.6",
                "x-scheme: https",
                "forwarded: for=6.6.6.6",
                "x-forwarded-for: 6.6.6.6, 7.7.7.7, 192.0.2.1",
                "x-holt-listener: public",
                "x-request-id: abc-1",
            ]
        );
    }

    #[test]
    fn under_the_other_name_everybody_is_continued() {
        let lines = with(CLAIMS, true, &Settings::chp());
        for line in [
            "x-forwarded-for: 6.6.6.6,7.7.7.7,192.0.2.1",
            "x-forwarded-proto: https,http",
            "x-forwarded-port: 1,8443",
            "x-forwarded-host: evil",
            "x-real-ip: 6.6.6.6",
        ] {
            assert!(
                lines.iter().any(|found| found == line),
                "{line} in {lines:?}"
            );
        }
        assert!(!lines.iter().any(|line| line.starts_with("x_forwarded_for")));
        let off = Settings {
            forwarded: Forwarded::Off,
            ..Settings::chp()
        };
        assert_eq!(with("", false, &off), ["host: hub.example:8443"]);
    }

    #[test]
    fn connection_cannot_remove_what_decides() {
        let lines = with(
            "connection: close, X-Secret, Cookie, X-Forwarded-For, Host, x-holt-listener\r\nx-secret: 1\r\n\
             cookie: a=b\r\nkeep-alive: 5\r\nte: trailers\r\nupgrade: h2c\r\nproxy-authorization: Basic x\r\n\
             content-length: 003\r\n",
            false,
            &Settings::holt(),
        );
        assert_eq!(
            lines[..3],
            ["host: hub.example:8443", "cookie: a=b", "content-length: 3"]
        );
        assert_eq!(lines.len(), 9);
    }

    #[test]
    fn the_target_is_rewritten_as_asked() {
        let line = |path: &str, settings: &Settings, url: &str, depth| {
            let text = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
            let written = written(&text, false, settings, Some((url, depth)));
            written.lines().next().unwrap().to_owned()
        };
        let chp = Settings::chp();
        let stripped = Settings {
            include_prefix: false,
            ..Settings::chp()
        };
        let bare = Settings {
            prepend_path: false,
            ..Settings::chp()
        };
        for (path, settings, url, depth, wanted) in [
            ("/user/a/x?y=1", &chp, "http://t:1", 2, "/user/a/x?y=1"),
            (
                "/user/a/x?y=1",
                &chp,
                "http://t:1/base/?z=2",
                2,
                "/base/user/a/x?z=2&y=1",
            ),
            ("/user/a/x", &bare, "http://t:1/base?z=2", 2, "/user/a/x"),
            ("/user/b%20c/x?y", &stripped, "http://t:1", 2, "/x?y"),
            ("/user/a", &stripped, "http://t:1", 2, "/"),
            (
                "/user/a//b.test//x",
                &stripped,
                "http://t:1",
                2,
                "/b.test//x",
            ),
            ("/user/a/x", &stripped, "http://t:1/base", 2, "/base/x"),
            ("/user/a?y", &stripped, "http://t:1/base", 2, "/base/?y"),
        ] {
            assert_eq!(
                line(path, settings, url, depth),
                format!("GET {wanted} HTTP/1.1"),
                "{path} {url}"
            );
        }
    }

    #[test]
    fn custom_headers_and_the_targets_host_take_the_place_of_the_clients() {
        let settings = Settings {
            change_origin: true,
            custom_headers: vec![
                ("X-Team".into(), "blue".into()),
                ("X-Forwarded-Proto".into(), "https".into()),
            ],
            ..Settings::chp()
        };
        let text = "GET / HTTP/1.1\r\nHost: h\r\nx-team: red\r\n\r\n";
        let written = written(text, false, &settings, Some(("http://t:81/", 0)));
        assert!(written.contains("\r\nHost: t:81\r\n"));
        assert!(!written.contains("red") && !written.contains("\r\nHost: h\r\n"));
        assert!(written.contains("\r\nX-Team: blue\r\n"));
        assert_eq!(written.matches("X-Forwarded-Proto: ").count(), 1);
        assert!(written.contains("\r\nX-Forwarded-Proto: https\r\n"));
    }
}
