//! Longest prefix by path segment, compared decoded.
//!
//! A pure and persistent value: no I/O, no locks, a lookup allocates nothing, and a changed copy shares all but the way to its
//! change, so that one route among ten thousand is added in microseconds while readers go on with the table they have.
//! `/user/a` and `/user/%61/x` both find what `/user/a/` leads to; `/user/ab` does not.

use std::sync::Arc;

/// The longest segment, decoded, that can be a part of a prefix: more than any name may have.
const SEGMENT_BYTES: usize = 1024;

/// Segments of a prefix: more than any route has, and few enough to be walked without care.
pub(crate) const SEGMENTS: usize = 64;

/// Why a prefix was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPrefix {
    /// It must be `/like/this/`.
    #[error("a prefix begins and ends with '/'")]
    Slashes,
    /// Too many segments.
    #[error("a prefix has at most 64 segments")]
    Deep,
    /// An empty, dotted, overlong or badly escaped segment.
    #[error("a segment of the prefix is empty, made of dots, too long or badly escaped")]
    Segment,
}

/// A path whose escaped slash could be read as a way to another route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path has an escaped slash where a route could begin")]
pub(crate) struct Ambiguous;

/// Prefixes and what they lead to.
#[derive(Debug, Clone)]
pub(crate) struct Trie<T> {
    root: Arc<Node<T>>,
}

#[derive(Debug, Clone)]
struct Node<T> {
    value: Option<T>,
    children: imbl::HashMap<Box<[u8]>, Arc<Node<T>>>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Node {
            value: None,
            children: imbl::HashMap::new(),
        }
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Trie {
            root: Arc::default(),
        }
    }
}

/// The segments of a prefix in escaped form, decoded; none for `/`.
///
/// # Errors
/// The first [`BadPrefix`] that applies.
pub(crate) fn segments(prefix: &str) -> Result<Vec<Box<[u8]>>, BadPrefix> {
    if prefix == "/" {
        return Ok(Vec::new());
    }
    let inner = prefix
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'))
        .ok_or(BadPrefix::Slashes)?;
    if memchr::memchr_iter(b'/', inner.as_bytes()).count() >= SEGMENTS {
        return Err(BadPrefix::Deep);
    }
    inner
        .split('/')
        .map(|raw| {
            let mut space = [0; SEGMENT_BYTES];
            let segment = decode(raw.as_bytes(), &mut space).ok_or(BadPrefix::Segment)?;
            let dots = segment.iter().all(|byte| *byte == b'.') && segment.len() <= 2;
            if dots || segment.contains(&b'/') || std::str::from_utf8(segment).is_err() {
                return Err(BadPrefix::Segment);
            }
            Ok(segment.into())
        })
        .collect()
}

impl<T: Clone> Trie<T> {
    /// Adds a prefix, given by its decoded segments, or replaces what it led to.
    pub(crate) fn insert(&mut self, segments: &[Box<[u8]>], value: T) {
        self.root = Arc::new(self.root.with(segments, value));
    }

    /// Takes a prefix away; one that is not there is no error.
    pub(crate) fn remove(&mut self, segments: &[Box<[u8]>]) {
        self.root = Arc::new(self.root.without(segments));
    }
}

impl<T> Trie<T> {
    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// What the longest matching prefix leads to.
    ///
    /// # Errors
    /// [`Ambiguous`] when a server that takes an escaped slash for a separator would read the way to another route.
    pub(crate) fn find(&self, path: &[u8]) -> Result<Option<&T>, Ambiguous> {
        let mut node = &*self.root;
        let mut found = node.value.as_ref();
        let Some(mut rest) = path.strip_prefix(b"/") else {
            return Ok(found);
        };
        while !node.children.is_empty() {
            let end = memchr::memchr(b'/', rest).unwrap_or(rest.len());
            let raw = &rest[..end];
            if memchr::memchr(b'%', raw).is_some() && node.could_be_parted(raw) {
                return Err(Ambiguous);
            }
            let mut space = [0; SEGMENT_BYTES];
            let Some(segment) = decode(raw, &mut space) else {
                break;
            };
            let Some(next) = node.children.get(segment) else {
                break;
            };
            node = next;
            found = node.value.as_ref().or(found);
            match rest.get(end + 1..) {
                Some(tail) => rest = tail,
                None => break,
            }
        }
        Ok(found)
    }
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        self.value.is_none() && self.children.is_empty()
    }

    /// Whether a segment, of any length, with an escaped slash (or a backslash) in it begins with the name of a child.
    fn could_be_parted(&self, raw: &[u8]) -> bool {
        let Some(first) = parts(raw).find(|part| !part.is_empty()) else {
            return false;
        };
        let mut space = [0; SEGMENT_BYTES];
        first.len() < raw.len()
            && decode(first, &mut space).is_some_and(|part| self.children.contains_key(part))
    }
}

impl<T: Clone> Node<T> {
    fn with(&self, segments: &[Box<[u8]>], value: T) -> Self {
        let mut node = self.clone();
        match segments.split_first() {
            None => node.value = Some(value),
            Some((first, rest)) => {
                let child = match node.children.get(first) {
                    Some(child) => child.with(rest, value),
                    None => Node::default().with(rest, value),
                };
                node.children.insert(first.clone(), Arc::new(child));
            }
        }
        node
    }

    fn without(&self, segments: &[Box<[u8]>]) -> Self {
        let mut node = self.clone();
        match segments.split_first() {
            None => node.value = None,
            Some((first, rest)) => {
                if let Some(child) = node.children.get(first) {
                    let child = child.without(rest);
                    if child.is_empty() {
                        node.children.remove(first);
                    } else {
                        node.children.insert(first.clone(), Arc::new(child));
                    }
                }
            }
        }
        node
    }
}

/// What stands between the escaped slashes and the backslashes of a segment, still escaped.
fn parts(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(raw);
    std::iter::from_fn(move || {
        let here = rest?;
        let slash = (0..here.len()).find_map(|at| match here[at..] {
            [b'%', b'2', b'f' | b'F', ..] | [b'%', b'5', b'c' | b'C', ..] => Some((at, 3)),
            [b'\\', ..] => Some((at, 1)),
            _ => None,
        });
        rest = slash.map(|(at, length)| &here[at + length..]);
        Some(slash.map_or(here, |(at, _)| &here[..at]))
    })
}

/// Undoes percent-encoding of a segment; `None` when it does not fit or is badly escaped.
fn decode<'a>(raw: &'a [u8], space: &'a mut [u8; SEGMENT_BYTES]) -> Option<&'a [u8]> {
    if memchr::memchr(b'%', raw).is_none() {
        return (raw.len() <= SEGMENT_BYTES).then_some(raw);
    }
    let mut length = 0;
    let mut rest = raw;
    while let Some((byte, tail)) = rest.split_first() {
        let (byte, tail) = if *byte == b'%' {
            let high = hex_digit(*tail.first()?)?;
            let low = hex_digit(*tail.get(1)?)?;
            (high << 4 | low, &tail[2..])
        } else {
            (*byte, tail)
        };
        *space.get_mut(length)? = byte;
        length += 1;
        rest = tail;
    }
    Some(&space[..length])
}

/// The value of a hexadecimal digit.
pub(crate) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trie(prefixes: &[&'static str]) -> Trie<&'static str> {
        let mut trie = Trie::default();
        for prefix in prefixes {
            trie.insert(&segments(prefix).unwrap(), *prefix);
        }
        trie
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_is_found() {
        let trie = trie(&[
            "/user/a/",
            "/user/a/lab/",
            "/user/a%20b/",
            "/user/%C3%A9@x/",
        ]);
        for (path, found) in [
            ("/user/a", Some("/user/a/")),
            ("/user/a/", Some("/user/a/")),
            ("/user/%61/x%2Fy", Some("/user/a/")),
            ("/user/a/lab/tree", Some("/user/a/lab/")),
            ("/user/a/laboratory", Some("/user/a/")),
            ("/user/ab", None),
            ("/user/A/", None),
            ("/user//a/", None),
            ("/user/a%20b/x", Some("/user/a%20b/")),
            ("/user/a+b/x", None),
            ("/user/%c3%a9%40x/", Some("/user/%C3%A9@x/")),
            ("/user/a%zz", None),
            ("/", None),
            ("*", None),
        ] {
            assert_eq!(
                trie.find(path.as_bytes()).unwrap().copied(),
                found,
                "{path}"
            );
        }
    }

    #[test]
    fn an_escaped_slash_where_a_route_could_begin_is_refused() {
        let trie = trie(&["/", "/user/a/", "/user/a/lab/"]);
        for path in [
            "/user%2Fa/x",
            "/%2fuser/a",
            "/user/a%2Flab/",
            "/user/a%5clab/",
            "/user/a/lab%2Ftree",
        ] {
            assert_eq!(trie.find(path.as_bytes()), Err(Ambiguous), "{path}");
        }
        let long = format!("/user/a%2F{}", "x".repeat(SEGMENT_BYTES));
        assert_eq!(trie.find(long.as_bytes()), Err(Ambiguous));
        for path in ["/user/a/x%2Flab", "/user/b%2Fx", "/x%2Fuser/a"] {
            assert!(trie.find(path.as_bytes()).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_changed_copy_leaves_the_old_one_as_it_was() {
        let before = trie(&["/user/a/", "/user/b/"]);
        let mut after = before.clone();
        after.insert(&segments("/user/a/lab/").unwrap(), "new");
        after.remove(&segments("/user/b/").unwrap());
        after.remove(&segments("/user/c/d/").unwrap());
        let find =
            |trie: &Trie<&'static str>, path: &str| trie.find(path.as_bytes()).unwrap().copied();
        assert_eq!(find(&before, "/user/a/lab"), Some("/user/a/"));
        assert_eq!(find(&before, "/user/b"), Some("/user/b/"));
        assert_eq!(find(&after, "/user/a/lab"), Some("new"));
        assert_eq!(find(&after, "/user/b"), None);
        after.remove(&segments("/user/a/lab/").unwrap());
        after.remove(&segments("/user/a/").unwrap());
        assert!(after.is_empty());
        after.insert(&[], "root");
        assert_eq!(find(&after, "/anything"), Some("root"));
    }

    #[test]
    fn prefixes_that_would_confuse_are_refused() {
        for (prefix, reason) in [
            ("/user/a", BadPrefix::Slashes),
            ("user/a/", BadPrefix::Slashes),
            ("//", BadPrefix::Segment),
            ("/user//", BadPrefix::Segment),
            ("/user/../", BadPrefix::Segment),
            ("/user/%2e/", BadPrefix::Segment),
            ("/user/a%2fb/", BadPrefix::Segment),
            ("/user/%zz/", BadPrefix::Segment),
            ("/user/%ff/", BadPrefix::Segment),
        ] {
            assert_eq!(segments(prefix), Err(reason), "{prefix}");
        }
        assert!(segments(&format!("/{}", "a/".repeat(SEGMENTS))).is_ok());
        let deep = format!("/{}", "a/".repeat(SEGMENTS + 1));
        assert_eq!(segments(&deep), Err(BadPrefix::Deep));
    }

    proptest! {
        #[test]
        fn every_name_is_found_under_its_own_prefix(name in "\\PC{1,40}", other in "\\PC{1,40}") {
            prop_assume!(holt_spec::names::check_user_name(&name).is_ok() && name != other);
            prop_assume!(!name.contains('\\') && !other.contains(['\\', '/']));
            let mut trie = Trie::default();
            let prefix = holt_spec::names::server_prefix(&name, "");
            trie.insert(&segments(&prefix).unwrap(), ());
            let deep = format!("{prefix}lab?x");
            let foreign = holt_spec::names::server_prefix(&other, "");
            prop_assert!(trie.find(deep.as_bytes()).unwrap().is_some());
            prop_assert!(trie.find(foreign.as_bytes()).unwrap().is_none());
        }

        #[test]
        fn no_path_makes_it_panic(path in "\\PC*") {
            let _ = trie(&["/user/a/"]).find(path.as_bytes());
        }
    }
}
