//! Which wikis may be called, and by which addresses: an exact list, never a rule about names.
//!
//! **Invariant:** what is not an `api.php` or `rest.php` of the list is not sent anywhere.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::{Position, Url};

use super::refusal::Bad;

/// The longest address, in bytes.
const LONGEST: usize = 24 << 10;
const API: &str = "/w/api.php";
const REST: &str = "/w/rest.php";

/// One wiki.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Scheme, host and port.
    pub origin: String,
    /// The path of `api.php`.
    pub api: String,
    /// The path of `rest.php`.
    pub rest: String,
}

/// Wikis that may be called.
#[derive(Debug, Clone, Default)]
pub struct Sites {
    by_origin: BTreeMap<String, Site>,
}

/// What of a wiki is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Door {
    /// `api.php`.
    Api,
    /// Below `rest.php`; the first part of the path there that says something.
    Rest(String),
}

/// A wiki's address that may be called.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) door: Door,
    /// The host, with a port where there is one.
    pub(super) host: String,
}

/// Whether nobody reads on the way what is sent there: it goes by TLS, or stays on this machine.
pub(super) fn is_private(url: &Url) -> bool {
    let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    url.scheme() == "https" || (url.scheme() == "http" && is_here)
}

impl Site {
    /// A site as the settings name it: a host, an origin, or the whole address of its `api.php`. Without TLS only this machine.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let whole = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let url = Url::parse(&whole).map_err(|_| {
            format!("{text:?} is no host and no address: write \"en.wikipedia.org\", or the whole address of an api.php")
        })?;
        if url.host_str().is_some_and(|host| host.contains('*')) {
            return Err(format!(
                "{text:?} stands for more than one wiki, and each is named: write their hosts, or broker.sites_matrix for all of a farm"
            ));
        }
        if !is_private(&url) {
            return Err(format!(
                "{text:?} is not https, so what people are allowed to do there could be read on the way"
            ));
        }
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(format!("{text:?} holds more than a wiki's address"));
        }
        let (api, rest) = match url.path() {
            "" | "/" => (API.to_owned(), REST.to_owned()),
            path => match path.strip_suffix("/api.php") {
                Some(folder) => (path.to_owned(), format!("{folder}/rest.php")),
                None => {
                    return Err(format!(
                        "{text:?} does not lead to a wiki's api.php: write its whole address, or the host alone where that is {API}"
                    ));
                }
            },
        };
        Ok(Self {
            origin: url.origin().ascii_serialization(),
            api,
            rest,
        })
    }
}

impl Sites {
    /// Sites of a file: one a line, with `#` before remarks; or what `action=sitematrix` of a wiki answers in JSON.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(text: &str) -> Result<Vec<Site>, String> {
        if text.trim_start().starts_with('{') {
            return Self::of_matrix(text);
        }
        let lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim());
        lines
            .filter(|line| !line.is_empty())
            .map(Site::parse)
            .collect()
    }

    /// All of these. One that comes twice is there once.
    #[must_use]
    pub fn new(sites: impl IntoIterator<Item = Site>) -> Self {
        Self {
            by_origin: sites
                .into_iter()
                .map(|site| (site.origin.clone(), site))
                .collect(),
        }
    }

    /// The public wikis of a site matrix, closed ones too, since they can be read.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn of_matrix(text: &str) -> Result<Vec<Site>, String> {
        of_matrix(text)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.by_origin.len()
    }

    /// In the order of their origins.
    pub fn all(&self) -> impl Iterator<Item = &Site> {
        self.by_origin.values()
    }

    /// The address, if it may be called. It must be written as everybody writes it: what two programs could read in two ways is refused.
    pub(super) fn target(&self, text: &str) -> Result<Target, Bad> {
        let bad = |why| Err(Bad::Address(why));
        if text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return bad("it is too long, or holds what no address holds");
        }
        let Ok(url) = Url::parse(text) else {
            return bad("it is none");
        };
        let is_plain = text.split('?').next() == Some(&url[..Position::AfterPath]);
        let has_user = !url.username().is_empty() || url.password().is_some();
        if text.contains(['#', '\\']) || has_user || !is_plain {
            return bad(
                "it is not written as it is meant: host and path in their plain form, no fragment",
            );
        }
        let Some(site) = self.by_origin.get(&url.origin().ascii_serialization()) else {
            return bad("it is no wiki that this hub sends requests to");
        };
        let path = url.path();
        let door = if path == site.api {
            Door::Api
        } else if let Some(below) = path
            .strip_prefix(&site.rest)
            .and_then(|below| below.strip_prefix('/'))
        {
            Door::Rest(of_rest(below)?)
        } else {
            return bad("only api.php and rest.php of a wiki are called");
        };
        let host = url[Position::BeforeHost..Position::AfterPort].to_owned();
        Ok(Target { url, door, host })
    }
}

/// What is asked of `rest.php`; nothing of OAuth, however it is spelt. The first part leads to OAuth or elsewhere (so do the first two where
/// versions come first); titles stand behind, with slashes and words of their own, as long as nothing leads back out of them.
fn of_rest(below: &str) -> Result<String, Bad> {
    let two_ways = Err(Bad::Address(
        "its path has parts that could be read in two ways",
    ));
    let mut parts = below.split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let is_plain = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if first.is_empty() || !is_plain(first) || below.contains("//") {
        return two_ways;
    }
    let second = second.map(|second| percent_decode_str(second).decode_utf8_lossy());
    if second
        .as_ref()
        .is_some_and(|second| second.contains(['/', '\\', '%']))
        && is_version(first)
    {
        return two_ways;
    }
    // Whoever stands between may decode it once more.
    let mut decoded = below.to_owned();
    for _ in 0..3 {
        if decoded
            .split(['/', '\\'])
            .any(|part| matches!(part, "." | ".."))
        {
            return two_ways;
        }
        decoded = percent_decode_str(&decoded)
            .decode_utf8_lossy()
            .into_owned();
    }
    let firsts = [Some(first), second.as_deref().filter(|_| is_version(first))];
    if firsts
        .into_iter()
        .flatten()
        .any(|part| part.trim_start().to_ascii_lowercase().starts_with("oauth"))
    {
        return Err(Bad::Address("nothing of OAuth is called for a notebook"));
    }
    Ok(match second {
        Some(second) if is_version(first) => second.to_ascii_lowercase(),
        _ => first.to_ascii_lowercase(),
    })
}

/// `v1`, as in `rest.php/v1/page/Earth`.
fn is_version(part: &str) -> bool {
    part.strip_prefix(['v', 'V'])
        .is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
}

/// Sites of a site matrix: the public ones, closed ones too, since they can be read.
fn of_matrix(text: &str) -> Result<Vec<Site>, String> {
    let matrix: Value = serde_json::from_str(text).map_err(|_| "it is not JSON".to_owned())?;
    let matrix = matrix
        .get("sitematrix")
        .and_then(Value::as_object)
        .ok_or("it holds no \"sitematrix\"")?;
    let mut sites = Vec::new();
    for value in matrix.values() {
        let list = value.get("site").unwrap_or(value).as_array();
        for site in list.into_iter().flatten() {
            let is_closed_to_public = ["private", "fishbowl", "nonglobal"].iter().any(|flag| {
                site.get(flag)
                    .is_some_and(|value| *value != Value::Bool(false))
            });
            if let Some(url) = site.get("url").and_then(Value::as_str)
                && !is_closed_to_public
            {
                sites.push(Site::parse(url)?);
            }
        }
    }
    if sites.is_empty() {
        return Err("its site matrix holds no wiki".to_owned());
    }
    Ok(sites)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites() -> Sites {
        Sites::new(
            [
                "en.wikipedia.org",
                "https://wiki.example/x/api.php",
                "http://127.0.0.1:8080",
            ]
            .map(|text| Site::parse(text).expect("a site")),
        )
    }

    #[test]
    fn addresses_of_the_list_are_called() {
        let sites = sites();
        for (text, door) in [
            (
                "https://en.wikipedia.org/w/api.php?action=query&titles=A'B%7CC",
                Door::Api,
            ),
            (
                "https://en.wikipedia.org/w/rest.php/v1/page/Earth",
                Door::Rest("page".into()),
            ),
            (
                "https://en.wikipedia.org/w/rest.php/v1/page/User%3AAda%2Fsandbox",
                Door::Rest("page".into()),
            ),
            (
                "https://en.wikipedia.org/w/rest.php/v1/page/OAuth",
                Door::Rest("page".into()),
            ),
            (
                "https://en.wikipedia.org/w/rest.php/v1/page/OAuth_2.0/history",
                Door::Rest("page".into()),
            ),
            (
                "https://en.wikipedia.org/w/rest.php/v1/page/Who%3F...%5C100%25",
                Door::Rest("page".into()),
            ),
            (
                "https://en.wikipedia.org/w/rest.php/wikibase/v1/entities/items/Q42",
                Door::Rest("wikibase".into()),
            ),
            ("https://wiki.example/x/api.php", Door::Api),
            ("http://127.0.0.1:8080/w/api.php", Door::Api),
        ] {
            assert_eq!(sites.target(text).expect(text).door, door);
        }
    }

    #[test]
    fn everything_else_is_not() {
        let sites = sites();
        for text in [
            "http://en.wikipedia.org/w/api.php",
            "https://en.wikipedia.org:8443/w/api.php",
            "https://en.wikipedia.org./w/api.php",
            "https://en.wikipedia.org.evil.example/w/api.php",
            "https://evil-en.wikipedia.org/w/api.php",
            "https://xen.wikipedia.org/w/api.php",
            "https://wikipedia.org/w/api.php",
            "https://en.wikipedia.org@evil.example/w/api.php",
            "https://evil.example@en.wikipedia.org/w/api.php",
            "https://evil.example/?https://en.wikipedia.org/w/api.php",
            "https://evil.example#@en.wikipedia.org/w/api.php",
            "https://evil.example\\@en.wikipedia.org/w/api.php",
            "https://en.wikipedia.org\\w\\api.php",
            "https:en.wikipedia.org/w/api.php",
            "https:///en.wikipedia.org/w/api.php",
            "HTTPS://EN.wikipedia.org/w/api.php",
            "https://en%2Ewikipedia.org/w/api.php",
            "https://\u{ff45}n.wikipedia.org/w/api.php",
            "https://en.wikipedia.org/w/index.php?title=Special:OAuth/identify",
            "https://en.wikipedia.org/w/api.php/../index.php",
            "https://en.wikipedia.org/w/x/../api.php",
            "https://en.wikipedia.org/w/api.php/x",
            "https://en.wikipedia.org/w/API.php",
            "https://en.wikipedia.org/w/api.php5",
            "https://en.wikipedia.org/wiki/Special:OAuth/identify",
            "https://en.wikipedia.org/w/rest.php",
            "https://en.wikipedia.org/w/rest.php/oauth2/resource/profile",
            "https://en.wikipedia.org/w/rest.php/OAuth2/access_token",
            "https://en.wikipedia.org/w/rest.php/%6fauth2/access_token",
            "https://en.wikipedia.org/w/rest.php//oauth2/access_token",
            "https://en.wikipedia.org/w/rest.php/v1/..%2foauth2/access_token",
            "https://en.wikipedia.org/w/rest.php/v1/page/..%2f..%2Foauth2/access_token",
            "https://en.wikipedia.org/w/rest.php/v1/page/..%5c..%5Coauth2/access_token",
            "https://en.wikipedia.org/w/rest.php/v1/page/%252e%252E%252f..%2foauth2",
            "https://en.wikipedia.org/w/rest.php/page/x%2F..%2F..%2Foauth2",
            "https://en.wikipedia.org/w/rest.php/.%2foauth2/access_token",
            "https://en.wikipedia.org/w/rest.php/%2foauth2/access_token",
            "https://en.wikipedia.org/w/rest.php/oauth2%2faccess_token",
            "https://en.wikipedia.org/w/rest.php/%256fauth2/access_token",
            "https://en.wikipedia.org/w/rest.php/v1/%6fauth2/access_token",
            "https://en.wikipedia.org/w/rest.php/v1/%256fauth2/access_token",
            "https://en.wikipedia.org/w/rest.php/v1%2foauth2/access_token",
            "https://en.wikipedia.org/w/rest.php/v1/%2e%2e/oauth2/access_token",
            "https://en.wikipedia.org/w/api.php#x",
            "https://en.wikipedia.org/w/api.php?a=b\r\nHost:%20evil.example",
            "https://en.wikipedia.org /w/api.php",
            "file:///etc/passwd",
            "http://127.0.0.1:8081/w/api.php",
            "http://localhost:8080/w/api.php",
            "https://127.0.0.1:8080/w/api.php",
            "",
        ] {
            assert!(sites.target(text).is_err(), "{text:?} is called");
        }
    }

    #[test]
    fn settings_name_hosts_origins_or_addresses() {
        for bad in [
            "http://wiki.example",
            "ftp://wiki.example",
            "https://wiki.example/wiki/",
            "https://a:b@wiki.example",
            "a b",
        ] {
            assert!(Site::parse(bad).is_err(), "{bad}");
        }
        let lines =
            Sites::read("# mine\nen.wikipedia.org\n\nde.wikipedia.org # his\n").expect("lines");
        assert_eq!(lines.len(), 2);
        let matrix = r#"{"sitematrix": {"count": 3, "0": {"code": "aa", "site": [{"url": "https://aa.wikipedia.org", "closed": ""}]},
            "specials": [{"url": "https://commons.wikimedia.org"}, {"url": "https://board.wikimedia.org", "private": ""}]}}"#;
        let sites = Sites::new(Sites::read(matrix).expect("a matrix"));
        let origins: Vec<&str> = sites.all().map(|site| site.origin.as_str()).collect();
        assert_eq!(
            origins,
            ["https://aa.wikipedia.org", "https://commons.wikimedia.org"]
        );
    }
}
