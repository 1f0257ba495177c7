//! Longest prefix by path segment, compared decoded.
//!
//! A pure value: no I/O, no locks, and a lookup allocates nothing.
//! `/user/a` and `/user/%61/x` both find what `/user/a/` leads to; `/user/ab` does not.

use std::collections::HashMap;

/// The longest segment, decoded, that can be a part of a prefix: more than any name may have.
const SEGMENT_BYTES: usize = 1024;

/// Why a prefix was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPrefix {
    /// It must be `/like/this/`.
    #[error("a prefix begins and ends with '/'")]
    Slashes,
    /// The root belongs to the hubs.
    #[error("the root is the default route and has no entry of its own")]
    Root,
    /// An empty, dotted, overlong or badly escaped segment.
    #[error("a segment of the prefix is empty, made of dots, too long or badly escaped")]
    Segment,
}

/// Prefixes and what they lead to.
#[derive(Debug)]
pub(crate) struct Trie<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    value: Option<T>,
    children: HashMap<Box<[u8]>, Node<T>>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Node {
            value: None,
            children: HashMap::new(),
        }
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Trie {
            root: Node::default(),
        }
    }
}

impl<T> Trie<T> {
    /// Adds a prefix in escaped form, or replaces what it led to.
    pub(crate) fn insert(&mut self, prefix: &str, value: T) -> Result<(), BadPrefix> {
        if prefix == "/" {
            return Err(BadPrefix::Root);
        }
        let inner = prefix
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'))
            .ok_or(BadPrefix::Slashes)?;
        let mut node = &mut self.root;
        for raw in inner.split('/') {
            let mut space = [0; SEGMENT_BYTES];
            let segment = decode(raw.as_bytes(), &mut space).ok_or(BadPrefix::Segment)?;
            let dots = segment.iter().all(|byte| *byte == b'.') && segment.len() <= 2;
            if dots || segment.contains(&b'/') || std::str::from_utf8(segment).is_err() {
                return Err(BadPrefix::Segment);
            }
            node = node.children.entry(segment.into()).or_default();
        }
        node.value = Some(value);
        Ok(())
    }

    /// What the longest matching prefix leads to.
    pub(crate) fn find(&self, path: &str) -> Option<&T> {
        let mut node = &self.root;
        let mut found = None;
        for raw in path.strip_prefix('/')?.split('/') {
            let mut space = [0; SEGMENT_BYTES];
            let Some(segment) = decode(raw.as_bytes(), &mut space) else {
                break;
            };
            let Some(next) = node.children.get(segment) else {
                break;
            };
            node = next;
            found = node.value.as_ref().or(found);
        }
        found
    }
}

/// Undoes percent-encoding of a segment; `None` when it does not fit or is badly escaped.
fn decode<'a>(raw: &'a [u8], space: &'a mut [u8; SEGMENT_BYTES]) -> Option<&'a [u8]> {
    if !raw.contains(&b'%') {
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
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trie(prefixes: &[&'static str]) -> Trie<&'static str> {
        let mut trie = Trie::default();
        for prefix in prefixes {
            trie.insert(prefix, *prefix).unwrap();
        }
        trie
    }

    #[test]
    fn the_longest_prefix_by_segment_wins() {
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
            ("/user/a%2Flab/", None),
            ("/user/a%20b/x", Some("/user/a%20b/")),
            ("/user/a+b/x", None),
            ("/user/%c3%a9%40x/", Some("/user/%C3%A9@x/")),
            ("/user/a%zz", None),
            ("/", None),
            ("*", None),
        ] {
            assert_eq!(trie.find(path).copied(), found, "{path}");
        }
    }

    #[test]
    fn prefixes_that_would_confuse_are_refused() {
        let mut trie = Trie::default();
        for (prefix, reason) in [
            ("/", BadPrefix::Root),
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
            assert_eq!(trie.insert(prefix, ()), Err(reason), "{prefix}");
        }
    }

    proptest! {
        #[test]
        fn every_name_is_found_under_its_own_prefix(name in "\\PC{1,40}", other in "\\PC{1,40}") {
            prop_assume!(holt_spec::names::check_user_name(&name).is_ok() && name != other);
            let mut trie = Trie::default();
            let prefix = holt_spec::names::server_prefix(&name, "");
            trie.insert(&prefix, ()).unwrap();
            let deep = format!("{prefix}lab?x");
            let foreign = holt_spec::names::server_prefix(&other, "");
            prop_assert!(trie.find(&deep).is_some());
            prop_assert!(trie.find(&foreign).is_none());
        }

        #[test]
        fn no_path_makes_it_panic(path in "\\PC*") {
            trie(&["/user/a/"]).find(&path);
        }
    }
}
