//! Paths: what is let through has one reading, and the route found for it is the one that a plain search finds.

use crate::http::parsers::{is_hub_api, normalize, read_request, space};
use crate::table::segments;
use crate::table::trie::{Ambiguous, Trie};

/// Prefixes that are always there.
const PREFIXES: [&str; 9] = [
    "/user/a/",
    "/user/a/lab/",
    "/user/a%20b/",
    "/user/%C3%A9/",
    "/hub/",
    "/a/",
    "/a/b/",
    "/a/b/c/d/",
    "/b/",
];
/// More prefixes that the bytes may bring.
const MORE: usize = 6;

/// A target in the first line, and prefixes in those behind it.
///
/// # Panics
/// When a property is broken.
pub fn path(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    let more = lines
        .take(MORE)
        .filter_map(|line| std::str::from_utf8(line).ok());
    let mut trie = Trie::default();
    let mut prefixes: Vec<(Vec<Vec<u8>>, usize)> = Vec::new();
    for (value, prefix) in PREFIXES.into_iter().chain(more).enumerate() {
        let Ok(parts) = segments(prefix) else {
            continue;
        };
        trie.insert(&parts, value);
        let plain = check_prefix(prefix);
        prefixes.retain(|(known, _)| *known != plain);
        prefixes.push((plain, value));
    }
    // Whatever is looked up, nothing breaks.
    check_route(target, &trie, &prefixes);
    let request = [b"GET ", target, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
    let mut space = space();
    let Ok(head) = read_request(&request, &mut space) else {
        return;
    };
    let Ok(visit) = normalize(&head) else {
        return;
    };
    assert!(visit.target == "/" || head.target.ends_with(visit.target));
    assert!(visit.target.starts_with(visit.path) && !visit.path.contains('?'));
    check_accepted(visit.path);
    check_route(visit.path.as_bytes(), &trie, &prefixes);
}

/// The segments of a prefix that was taken.
fn check_prefix(prefix: &str) -> Vec<Vec<u8>> {
    if prefix == "/" {
        return Vec::new();
    }
    let inner = &prefix[1..prefix.len() - 1];
    let plain: Vec<Vec<u8>> = inner
        .split('/')
        .map(|raw| unescape(raw.as_bytes()).expect("its escapes are whole"))
        .collect();
    for segment in &plain {
        let text = std::str::from_utf8(segment).expect("it is text");
        assert!(!["", ".", ".."].contains(&text) && !text.contains('/'));
    }
    plain
}

/// A path that was let through is read alike by everybody.
fn check_accepted(path: &str) {
    assert!(path.starts_with('/') && !path.starts_with("//"), "{path}");
    let whole = unescape(path.as_bytes()).expect("its escapes are whole");
    let text = String::from_utf8(whole).expect("it is text");
    assert!(!text.contains('\0') && !path.contains(['\\', '#', ' ']));
    for segment in path.split('/') {
        let plain = unescape(segment.as_bytes()).expect("its escapes are whole");
        for part in plain.split(|byte| matches!(byte, b'/' | b'\\')) {
            assert!(!matches!(part, b"." | b".."), "{path}");
        }
    }
    let mut plain = path.split('/').skip(1).map(|raw| unescape(raw.as_bytes()));
    let mut is = |word: &[u8]| plain.next().flatten().is_some_and(|part| part == word);
    assert_eq!(is_hub_api(path), is(b"hub") && is(b"api"), "{path}");
}

fn check_route(path: &[u8], trie: &Trie<usize>, prefixes: &[(Vec<Vec<u8>>, usize)]) {
    let shown = String::from_utf8_lossy(path);
    let raw: Vec<&[u8]> = match path.strip_prefix(b"/") {
        Some(inner) => inner.split(|byte| *byte == b'/').collect(),
        None => Vec::new(),
    };
    // Nothing is found behind what cannot be read.
    let plain: Vec<Vec<u8>> = raw.iter().map_while(|raw| unescape(raw)).collect();
    match trie.find(path) {
        Ok(found) => {
            let wanted = longest(&plain, prefixes);
            assert_eq!(found.copied(), wanted.map(|found| found.1), "{shown}");
            // A server that takes escaped slashes for separators finds no other route.
            for keeps_empty in [true, false] {
                let parted: Vec<Vec<u8>> = raw
                    .iter()
                    .zip(&plain)
                    .flat_map(|(raw, plain)| part(raw, plain, keeps_empty))
                    .collect();
                let Some((other, _)) = longest(&parted, prefixes) else {
                    continue;
                };
                assert!(
                    wanted.is_some_and(|(known, _)| known.starts_with(other)),
                    "{shown} could be read as a path below {other:?}"
                );
            }
        }
        Err(Ambiguous) => assert!(
            ["%2F", "%2f", "%5C", "%5c", "\\"]
                .iter()
                .any(|slash| shown.contains(slash)),
            "{shown} is refused for nothing"
        ),
    }
}

/// A segment parted at its escaped slashes and its backslashes.
fn part(raw: &[u8], plain: &[u8], keeps_empty: bool) -> Vec<Vec<u8>> {
    if raw == plain {
        return vec![plain.to_vec()];
    }
    let mut parts: Vec<Vec<u8>> = plain
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .map(<[u8]>::to_vec)
        .collect();
    if !keeps_empty && parts.len() > 1 {
        parts.retain(|part| !part.is_empty());
        if parts.is_empty() {
            parts.push(Vec::new());
        }
    }
    parts
}

/// The longest prefix of these segments.
fn longest<'p>(
    path: &[Vec<u8>],
    prefixes: &'p [(Vec<Vec<u8>>, usize)],
) -> Option<&'p (Vec<Vec<u8>>, usize)> {
    prefixes
        .iter()
        .filter(|(prefix, _)| path.starts_with(prefix))
        .max_by_key(|(prefix, _)| prefix.len())
}

/// Undoes percent-encoding; `None` when an escape is broken.
fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    let mut parts = raw.split(|byte| *byte == b'%');
    let mut plain = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let digits = std::str::from_utf8(digits).ok()?;
        plain.push(u8::from_str_radix(digits, 16).ok()?);
        plain.extend_from_slice(rest);
    }
    Some(plain)
}
