//! Credentials: whatever a request carries beside it, one that is signed out is seen, and nothing else is lost with it.

use base64::Engine;
use holt_spec::control;
use sha2::{Digest, Sha256};

use crate::table::{Hash, Revoked, credentials};

/// A word that is a session's id and a token.
const WORD: &[u8] = b"t0k";
/// More lines only cost time.
const LINES: usize = 24;
/// Credentials of one request, at most.
const MOST: usize = 64;

/// What a request brings.
#[derive(Debug, Default, Clone)]
struct Brought {
    authorization: Vec<Vec<u8>>,
    cookies: Vec<Vec<u8>>,
    query: String,
}

impl Brought {
    /// Lines that begin with `Authorization: ` or `Cookie: `; any other is the query.
    fn read(bytes: &[u8]) -> Self {
        let mut brought = Brought::default();
        for line in bytes.split(|byte| *byte == b'\n').take(LINES) {
            if let Some(value) = line.strip_prefix(b"Authorization: ") {
                brought.authorization.push(value.to_vec());
            } else if let Some(value) = line.strip_prefix(b"Cookie: ") {
                brought.cookies.push(value.to_vec());
            } else {
                brought.query = String::from_utf8_lossy(line).into_owned();
            }
        }
        brought
    }

    /// The hashes of what is found; `None` when it is too much to be looked through.
    fn hashes(&self) -> Option<Vec<Hash>> {
        let authorization = self.authorization.iter().map(Vec::as_slice);
        let cookies = self.cookies.iter().map(Vec::as_slice);
        credentials(authorization, cookies, &self.query).ok()
    }

    /// Whether a word is found, or the whole is refused.
    fn shows(&self, word: &[u8]) -> bool {
        let hash: Hash = Sha256::digest(word).into();
        self.hashes().is_none_or(|found| found.contains(&hash))
    }

    fn left(&self, revoked: &Revoked) -> Option<Vec<u8>> {
        revoked.cookies_left(self.cookies.iter().map(Vec::as_slice))
    }
}

/// A cookie as a server signs it.
fn signed(token: &[u8]) -> Vec<u8> {
    let value = base64::engine::general_purpose::STANDARD.encode(token);
    format!("a=2|1:0|10:1700000000|1:a|{}:{value}|0123abcd", value.len()).into_bytes()
}

/// Lines that may carry credentials.
///
/// # Panics
/// When a property is broken.
pub fn cookies(bytes: &[u8]) {
    let brought = Brought::read(bytes);
    if let Some(found) = brought.hashes() {
        assert!(found.len() <= MOST);
    }
    check_seen(&brought, bytes);
    check_taken_out(&brought);
}

/// One more credential is seen, wherever it stands.
fn check_seen(brought: &Brought, bytes: &[u8]) {
    let token = &bytes[..bytes.len().min(40)];
    for (cookie, word) in [
        (b"jupyterhub-session-id=t0k".to_vec(), WORD),
        (b"jupyterhub-session-id=\"t0k\"".to_vec(), WORD),
        (br#"jupyterhub-session-id="\1640\k""#.to_vec(), WORD),
        (b"\xa0jupyterhub-session-id\t=\xa0t0k\x85".to_vec(), WORD),
        (signed(token), token),
    ] {
        let mut more = brought.clone();
        more.cookies.push(cookie.clone());
        assert!(more.shows(word), "in a line of its own");
        for line in 0..brought.cookies.len() {
            let mut more = brought.clone();
            more.cookies[line].extend(b"; ");
            more.cookies[line].extend(&cookie);
            assert!(more.shows(word), "behind others");
            more.cookies[line] = [&cookie, &b";"[..], &brought.cookies[line]].concat();
            assert!(more.shows(word), "before others");
        }
    }
    for value in [
        &b"token t0k"[..],
        b"Bearer  t0k",
        b"BEARER\tt0k",
        b"token\xa0t0k",
    ] {
        let mut more = brought.clone();
        more.authorization.push(value.to_vec());
        assert!(more.shows(WORD), "{value:?}");
    }
    for query in ["token=t0k", "%74oken=%74%30k", "token=+%00t0k%C2%A0"] {
        let mut more = brought.clone();
        more.query = format!("{}&{query}", brought.query);
        assert!(more.shows(WORD), "behind others");
        more.query = format!("{query}&{}", brought.query);
        assert!(more.shows(WORD), "before others");
    }
}

/// Only what is signed out is taken out, and all of it.
fn check_taken_out(brought: &Brought) {
    let revoked = Revoked::default();
    let wanted = control::Revocations {
        sessions: Vec::new(),
        tokens: vec![hex::encode(Sha256::digest(WORD))],
        keep_seconds: 3600,
    };
    revoked.add(&wanted).expect("it is a hash");
    let pairs: Vec<&[u8]> = brought
        .cookies
        .iter()
        .flat_map(|line| line.split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
        .collect();
    let left = |lines: &[Vec<u8>]| {
        let lines = Brought {
            cookies: lines.to_vec(),
            ..Brought::default()
        };
        lines.left(&revoked)
    };
    match left(&brought.cookies) {
        None => assert!(!pairs.iter().any(|pair| left(&[pair.to_vec()]).is_some())),
        Some(kept) => {
            assert_eq!(left(std::slice::from_ref(&kept)), None, "some is left");
            let mut others = pairs.clone();
            others.retain(|pair| left(&[pair.to_vec()]).is_none());
            assert!(others.len() < pairs.len(), "nothing was taken out");
            assert_eq!(kept, others.join(&b"; "[..]));
        }
    }
    let mut more = brought.cookies.clone();
    more.push(signed(WORD));
    assert!(left(&more).is_some(), "a signed cookie is looked into");
}
