//! A request as MediaWiki sees it: path, title, query, form, cookies.
//!
//! **Invariant:** what is remembered of requests ([`Seen`]) holds no query, no header but the user agent and the host, and no body.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderName, USER_AGENT};

use super::php::{decode, pairs};

/// What came in.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    /// As sent, still encoded: it is signed so.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    /// Empty unless the body is a form.
    pub(super) form: Vec<(String, String)>,
    /// Parts of a multipart body; they are not signed.
    pub(super) parts: Vec<(String, Vec<u8>)>,
    /// Empty unless the body is JSON.
    pub(super) json: Vec<u8>,
    pub(super) headers: HeaderMap,
    pub(super) from: IpAddr,
}

/// A request that the wiki has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `GET`, `POST`, ...
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// What was asked for: `initiate`, `authenticate`, `token`, `identify`, `UserLogin`, `access_token`, `profile`, `globaluserinfo`, ...
    pub what: String,
    /// How the client names itself; empty where it does not.
    pub user_agent: String,
    /// The host it is asked as.
    pub host: String,
}

impl Request {
    pub(super) fn new(
        method: &str,
        target: (&str, &str),
        headers: HeaderMap,
        body: &[u8],
        from: IpAddr,
    ) -> Self {
        let (path, raw_query) = target;
        let mut request = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: pairs(raw_query),
            form: Vec::new(),
            parts: Vec::new(),
            json: Vec::new(),
            headers,
            from,
        };
        if request.is_form() {
            request.form = pairs(&String::from_utf8_lossy(body));
        }
        if let Some(boundary) = request.boundary() {
            request.parts = parts(body, &boundary);
        }
        if request.header(CONTENT_TYPE).starts_with("application/json") {
            request.json = body.to_vec();
        }
        request
    }

    /// What parts a multipart body.
    fn boundary(&self) -> Option<String> {
        let kind = self.header(CONTENT_TYPE);
        let (_, rest) = kind
            .strip_prefix("multipart/form-data")?
            .split_once("boundary=")?;
        Some(rest.trim_matches('"').to_owned())
    }

    /// A part of a multipart body.
    pub(super) fn part(&self, name: &str) -> Option<&[u8]> {
        let found = self.parts.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_slice())
    }

    pub(super) fn is_form(&self) -> bool {
        self.header(CONTENT_TYPE)
            .to_ascii_lowercase()
            .starts_with("application/x-www-form-urlencoded")
    }

    pub(super) fn header(&self, name: HeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(super) fn authorization(&self) -> Option<&str> {
        self.headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
    }

    /// A field of the form, else of the query; the last of several, as PHP has it.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        last(&self.form, name)
            .or_else(|| {
                self.part(name)
                    .and_then(|part| std::str::from_utf8(part).ok())
            })
            .or_else(|| last(&self.query, name))
    }

    pub(super) fn form_field(&self, name: &str) -> Option<&str> {
        last(&self.form, name)
    }

    pub(super) fn cookie(&self, name: &str) -> Option<&str> {
        self.header(COOKIE).split(';').find_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name).then_some(value)
        })
    }

    /// The page of `index.php` that is wanted: `Special:OAuth/initiate`; from the query, or from a pretty path.
    pub(super) fn title(&self) -> Option<String> {
        let pretty = ["/w/index.php/", "/wiki/"]
            .iter()
            .find_map(|start| self.path.strip_prefix(start));
        let title = match pretty {
            Some(rest) => decode(rest),
            None if self.path == "/w/index.php" => {
                last(&self.query, "title").unwrap_or_default().to_owned()
            }
            None => return None,
        };
        Some(title.replace(' ', "_"))
    }

    pub(super) fn seen(&self) -> Seen {
        Seen {
            method: self.method.clone(),
            path: self.path.clone(),
            what: self.what(),
            user_agent: self.header(USER_AGENT).to_owned(),
            host: self.header(HOST).to_owned(),
        }
    }

    /// One word for what is asked.
    pub(super) fn what(&self) -> String {
        if let Some(title) = self.title() {
            let page = title.strip_prefix("Special:").unwrap_or(&title);
            return page.strip_prefix("OAuth/").unwrap_or(page).to_owned();
        }
        if self.path == "/w/api.php" {
            let asked = self.field("meta").or_else(|| self.field("action"));
            return asked.unwrap_or("api").to_owned();
        }
        match self.path.rsplit('/').next() {
            // The browser's page of OAuth 2.0 is not the one of 1.0a.
            Some("authorize") => "oauth2/authorize".to_owned(),
            Some(end) => end.to_owned(),
            None => String::new(),
        }
    }
}

/// The last value of that name.
pub(super) fn last<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .rev()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

/// The parts of a multipart body with their names; line ends of either kind part heads from bodies.
fn parts(body: &[u8], boundary: &str) -> Vec<(String, Vec<u8>)> {
    let mark = format!("--{boundary}");
    let find = memchr::memmem::find;
    let mut found = Vec::new();
    let mut rest = body;
    while let Some(start) = find(rest, mark.as_bytes()) {
        rest = &rest[start + mark.len()..];
        let end = find(rest, mark.as_bytes()).unwrap_or(rest.len());
        let piece = &rest[..end];
        let heads = [b"\r\n\r\n".as_slice(), b"\n\n"];
        let Some((at, line_end)) = heads
            .iter()
            .filter_map(|head| find(piece, head).map(|at| (at, head.len())))
            .min()
        else {
            continue;
        };
        let head = String::from_utf8_lossy(&piece[..at]).into_owned();
        let mut content = &piece[at + line_end..];
        content = content.strip_suffix(b"\n").unwrap_or(content);
        content = content.strip_suffix(b"\r").unwrap_or(content);
        if let Some((_, name)) = head.split_once(" name=") {
            let name = name.trim_start_matches('"');
            let end = name.find(['"', ';', '\r', '\n']).unwrap_or(name.len());
            found.push((name[..end].to_owned(), content.to_vec()));
        }
    }
    found
}
