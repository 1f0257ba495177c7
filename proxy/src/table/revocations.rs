//! What is no longer let through: hashes of session cookies and access tokens.
//!
//! The proxy does not know whose they are. It looks for them where a request may carry them; while there is none to look for,
//! a request pays one atomic load.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use holt_spec::control;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::activity::now_ms;
use super::persist::StateDir;

const FILE: &str = "revocations.json";
/// More hashes than this at a time are refused.
const MOST: usize = 100_000;
/// Credentials of one request: more than any honest one carries.
const PER_REQUEST: usize = 64;

/// A hash of a session id or of a token.
pub(crate) type Hash = [u8; 32];

/// A request with so many credentials that one of them could hide among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request carries more than {PER_REQUEST} credentials")]
pub(crate) struct TooManyCredentials;

/// The hashes, each with the time at which it may be forgotten.
#[derive(Debug, Default)]
pub(crate) struct Revoked {
    any: AtomicBool,
    // Held for a few map look-ups, never across an await.
    hashes: Mutex<HashMap<Hash, u64>>,
}

#[derive(Serialize, Deserialize)]
struct Kept(Vec<(String, u64)>);

impl Revoked {
    /// What was kept on disk.
    pub(crate) fn load(dir: &StateDir) -> io::Result<Self> {
        let revoked = Revoked::default();
        if let Some(Kept(kept)) = dir.load::<Kept>(FILE)? {
            let now = now_ms();
            let mut hashes = revoked.hashes.lock().expect("no panic under this lock");
            hashes.extend(
                kept.into_iter()
                    .filter(|(_, until)| *until > now)
                    .filter_map(|(text, until)| Some((parse(&text)?, until))),
            );
            revoked.any.store(!hashes.is_empty(), Ordering::SeqCst);
        }
        Ok(revoked)
    }

    /// Adds hashes; gives back what was added, or the text that is no hash.
    pub(crate) fn add(&self, wanted: &control::Revocations) -> Result<Vec<Hash>, String> {
        let fresh = wanted
            .sessions
            .iter()
            .chain(&wanted.tokens)
            .map(|text| parse(text).ok_or_else(|| "a hash is 64 hexadecimal digits".to_owned()))
            .collect::<Result<Vec<Hash>, String>>()?;
        let until = now_ms().saturating_add(wanted.keep_seconds.saturating_mul(1000));
        let mut hashes = self.hashes.lock().expect("no panic under this lock");
        if hashes.len() + fresh.len() > MOST {
            let now = now_ms();
            hashes.retain(|_, until| *until > now);
        }
        if hashes.len() + fresh.len() > MOST {
            return Err(format!(
                "more than {MOST} revocations at a time are not kept"
            ));
        }
        for hash in &fresh {
            let entry = hashes.entry(*hash).or_insert(until);
            *entry = until.max(*entry);
        }
        self.any.store(!hashes.is_empty(), Ordering::SeqCst);
        Ok(fresh)
    }

    /// Forgets what has expired.
    pub(crate) fn expire(&self) {
        if self.is_empty() {
            return;
        }
        let now = now_ms();
        let mut hashes = self.hashes.lock().expect("no panic under this lock");
        hashes.retain(|_, until| *until > now);
        self.any.store(!hashes.is_empty(), Ordering::SeqCst);
    }

    /// Writes them down.
    pub(crate) fn save(&self, dir: &StateDir) -> io::Result<()> {
        let kept = {
            let hashes = self.hashes.lock().expect("no panic under this lock");
            Kept(
                hashes
                    .iter()
                    .map(|(hash, until)| (hex::encode(hash), *until))
                    .collect(),
            )
        };
        dir.save(FILE, &kept)
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::SeqCst)
    }

    /// Whether one of these hashes is revoked.
    pub(crate) fn holds(&self, hashes: &[Hash]) -> bool {
        if self.is_empty() || hashes.is_empty() {
            return false;
        }
        let now = now_ms();
        let revoked = self.hashes.lock().expect("no panic under this lock");
        hashes
            .iter()
            .any(|hash| revoked.get(hash).is_some_and(|until| *until > now))
    }
}

impl Revoked {
    /// Takes a server's own cookies out of a request when the token in them is revoked, and leaves the rest as it came.
    ///
    /// Such a cookie outlives its server in the browser. Without it the next server knows nobody and lets the hub decide anew;
    /// a refusal here would keep its owner out as long as the browser keeps the cookie.
    ///
    /// `None` when there is nothing to take out; else one line with what is left.
    pub(crate) fn cookies_left<'b>(
        &self,
        lines: impl Iterator<Item = &'b [u8]> + Clone,
    ) -> Option<Vec<u8>> {
        if self.is_empty() {
            return None;
        }
        let is_revoked = |pair: &[u8]| {
            let token = cookie_pair(pair).and_then(|(_, value)| signed_value(&value));
            token.is_some_and(|token| self.holds(&[hash(&token)]))
        };
        let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
        if !pairs.clone().any(is_revoked) {
            return None;
        }
        let left: Vec<&[u8]> = pairs
            .filter(|pair| !is_revoked(pair))
            .map(<[u8]>::trim_ascii)
            .filter(|pair| !pair.is_empty())
            .collect();
        Some(left.join(b"; ".as_slice()))
    }
}

fn parse(text: &str) -> Option<Hash> {
    hex::decode(text).ok()?.try_into().ok()
}

/// Hashes of every session id and token that a request carries: in the values of `Authorization` and `Cookie`, and in its query.
///
/// They are read as Tornado reads them, which notebook servers run on: who wants to hide one spells it in another way.
///
/// # Errors
/// [`TooManyCredentials`] when not all could be looked at.
pub(crate) fn credentials<'b>(
    authorization: impl Iterator<Item = &'b [u8]>,
    cookies: impl Iterator<Item = &'b [u8]>,
    query: &str,
) -> Result<Vec<Hash>, TooManyCredentials> {
    let mut found = Vec::new();
    for value in authorization {
        if let Some(token) = authorization_token(value) {
            found.push(hash(token));
        }
    }
    let pairs = cookies.flat_map(|line| line.split(|byte| *byte == b';'));
    for (name, value) in pairs.filter_map(cookie_pair) {
        if name == b"jupyterhub-session-id" {
            found.push(hash(&value));
        }
        // A server's own cookie can have any name; the form of its value tells.
        if let Some(token) = signed_value(&value) {
            found.push(hash(&token));
        }
    }
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if percent_encoding::percent_decode_str(name).eq(*b"token") {
            let value = value.replace('+', " ");
            let value = percent_encoding::percent_decode_str(&value).decode_utf8_lossy();
            let value = value.trim_matches(|c: char| c.is_whitespace() || c.is_control());
            found.push(hash(value.as_bytes()));
        }
    }
    if found.len() > PER_REQUEST {
        return Err(TooManyCredentials);
    }
    Ok(found)
}

fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// White space of Latin-1, in which header values are read.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | 0x1c..=b' ' | 0x85 | 0xa0)
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_blank(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_blank(*last)
    {
        bytes = rest;
    }
    bytes
}

fn authorization_token(value: &[u8]) -> Option<&[u8]> {
    let value = trim(value);
    let at = value.iter().position(|byte| is_blank(*byte))?;
    let (scheme, token) = value.split_at(at);
    (scheme.eq_ignore_ascii_case(b"token") || scheme.eq_ignore_ascii_case(b"bearer"))
        .then(|| trim(token))
}

fn cookie_pair(pair: &[u8]) -> Option<(&[u8], Cow<'_, [u8]>)> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let value = trim(&pair[at + 1..]);
    let quoted = value
        .strip_prefix(b"\"")
        .and_then(|inner| inner.strip_suffix(b"\""));
    let value = quoted.map_or(Cow::Borrowed(value), unquote);
    Some((trim(&pair[..at]), value))
}

/// Undoes what may be escaped between quotes: `\"` for a character, `\164` for its number.
fn unquote(quoted: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', quoted).is_none() {
        return Cow::Borrowed(quoted);
    }
    let mut plain = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            (b'\\', [escaped, tail @ ..]) => {
                plain.push(*escaped);
                rest = tail;
            }
            _ => plain.push(*first),
        }
    }
    Cow::Owned(plain)
}

/// The value inside a Tornado signed cookie, version 2: `2|1:0|10:<time>|<n>:<name>|<n>:<base64 value>|<signature>`.
/// The signature is the server's to check: a forged one is refused there, and refusing it here as well harms nobody.
fn signed_value(cookie: &[u8]) -> Option<Vec<u8>> {
    let mut rest = cookie.strip_prefix(b"2|")?;
    let mut field = b"".as_slice();
    for _ in 0..4 {
        let colon = rest.iter().position(|byte| *byte == b':')?;
        let length: usize = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
        let body = &rest[colon + 1..];
        field = body.get(..length)?;
        rest = body.get(length..)?.strip_prefix(b"|")?;
    }
    base64::engine::general_purpose::STANDARD.decode(field).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(headers: &[(&'static str, &str)], uri: &str) -> Vec<Hash> {
        let of = |wanted: &'static str| {
            let lines = headers.iter().filter(move |(name, _)| *name == wanted);
            lines.map(|(_, value)| value.as_bytes())
        };
        let query = uri.split_once('?').map_or("", |(_, query)| query);
        credentials(of("authorization"), of("cookie"), query).unwrap()
    }

    #[test]
    fn a_credential_is_found_wherever_a_request_carries_it() {
        let token = [hash(b"t0k")];
        let signed = "2|1:0|10:1700000000|17:jupyterhub-user-a|4:dDBr|0123abcd";
        assert_eq!(seen(&[("authorization", "token t0k")], "/"), token);
        assert_eq!(seen(&[("authorization", "BEARER  t0k")], "/"), token);
        assert_eq!(seen(&[], "/x?a=1&token=t0k"), token);
        assert_eq!(seen(&[], "/x?%74oken=t%30k"), token);
        assert_eq!(
            seen(&[("cookie", "x=1; jupyterhub-session-id=t0k")], "/"),
            token
        );
        assert_eq!(
            seen(
                &[("cookie", "x=1"), ("cookie", "jupyterhub-session-id=t0k")],
                "/"
            ),
            token
        );
        assert_eq!(
            seen(&[("cookie", &format!("jupyterhub-user-a={signed}"))], "/"),
            token
        );
        assert_eq!(
            seen(
                &[("cookie", &format!("jupyterhub-user-a=\"{signed}\""))],
                "/"
            ),
            token
        );
        assert!(
            seen(
                &[
                    ("cookie", "a=2|99999999999999999999:x"),
                    ("authorization", "Basic eDp5")
                ],
                "/?q"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_credential_cannot_be_hidden_by_its_spelling_or_among_others() {
        let token = [hash(b"t0k")];
        for header in [
            ("authorization", "Token\tt0k"),
            ("authorization", "bearer\u{a0}t0k"),
            ("cookie", "jupyterhub-session-id=\"\\1640\\k\""),
            ("cookie", "\tjupyterhub-session-id\t= t0k"),
        ] {
            // Latin-1, as header values come.
            let value: Vec<u8> = header.1.chars().map(|c| c as u8).collect();
            let lines = |name| (header.0 == name).then_some(&value[..]).into_iter();
            let found = credentials(lines("authorization"), lines("cookie"), "");
            assert_eq!(found.as_deref(), Ok(&token[..]), "{header:?}");
        }
        assert_eq!(seen(&[], "/?token=+%00t0k%C2%A0"), token);
        let many = "jupyterhub-session-id=x; ".repeat(PER_REQUEST);
        let cookies = [many.as_bytes(), b"jupyterhub-session-id=t0k"];
        let found = credentials(std::iter::empty(), cookies.into_iter(), "");
        assert_eq!(found, Err(TooManyCredentials));
    }

    #[test]
    fn only_revoked_cookies_of_servers_are_taken_out() {
        let revoked = Revoked::default();
        let wanted = control::Revocations {
            sessions: vec![],
            tokens: vec![hex::encode(hash(b"t0k"))],
            keep_seconds: 60,
        };
        revoked.add(&wanted).unwrap();
        let signed = "a=\"2|1:0|10:1700000000|17:jupyterhub-user-a|4:dDBr|0123abcd\"";
        let other = "b=2|1:0|10:1700000000|17:jupyterhub-user-a|4:b3Ro|0123abcd";
        let left = |lines: &[&str]| {
            let left = revoked.cookies_left(lines.iter().map(|line| line.as_bytes()));
            left.map(|left| String::from_utf8(left).unwrap())
        };
        assert_eq!(
            left(&[&format!("x=1; {signed};y=2; {other}")]),
            Some(format!("x=1; y=2; {other}"))
        );
        assert_eq!(left(&[signed, "x=1;y"]).as_deref(), Some("x=1; y"));
        assert_eq!(left(&[signed]).as_deref(), Some(""));
        assert_eq!(left(&["x=1;y;;", other]), None);
        let session = "jupyterhub-session-id=t0k";
        assert_eq!(left(&[session]), None, "that one is refused, not taken out");
    }

    #[test]
    fn a_revocation_expires_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let revoked = Revoked::default();
        assert!(revoked.is_empty());
        let wanted = |word: &[u8], keep_seconds| control::Revocations {
            sessions: vec![hex::encode(hash(word))],
            tokens: vec![],
            keep_seconds,
        };
        revoked.add(&wanted(b"long", 60)).unwrap();
        revoked.add(&wanted(b"gone", 0)).unwrap();
        assert!(revoked.holds(&[hash(b"long")]));
        assert!(!revoked.holds(&[hash(b"gone")]));
        assert!(!revoked.holds(&[hash(b"other")]));
        revoked.save(&state).unwrap();
        assert!(Revoked::load(&state).unwrap().holds(&[hash(b"long")]));
        let bad = control::Revocations {
            sessions: vec!["xyz".into()],
            ..Default::default()
        };
        assert!(revoked.add(&bad).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_cookie_makes_it_panic(text in "\\PC*", tail in "2[|:0-9a-z]*") {
            signed_value(text.as_bytes());
            signed_value(tail.as_bytes());
        }
    }
}
