//! Where a request is really sent, when it is not where its address says: what stands inside of a network in front of wikis, or for them.

use std::collections::BTreeMap;

use http::header::HOST;
use http::{HeaderValue, Method};
use url::{Position, Url};

use super::sites::is_private;

/// Origins that are dialled, by the host that is meant; `*` is every other host. Addresses stay what they are for all else: they are
/// looked up in the list, signed, and told in `Host`.
#[derive(Debug, Clone, Default)]
pub struct Dial {
    by_host: BTreeMap<String, Url>,
}

impl Dial {
    /// As the settings name them: `host=origin`.
    ///
    /// # Errors
    /// What is wrong with one of them, in words.
    pub fn parse(written: &[String]) -> Result<Self, String> {
        let mut by_host = BTreeMap::new();
        for line in written {
            let (host, origin) = line
                .split_once('=')
                .ok_or_else(|| format!("{line:?} is not written \"host=origin\""))?;
            let is_host = host == "*"
                || Url::parse(&format!("https://{host}/"))
                    .is_ok_and(|url| url[Position::BeforeHost..Position::AfterPort] == *host);
            if !is_host {
                return Err(format!(
                    "{host:?} is no host as it stands in an address, with a port where there is one, nor \"*\""
                ));
            }
            let url = Url::parse(origin).map_err(|_| format!("{origin:?} is no address"))?;
            let is_origin = matches!(url.scheme(), "http" | "https")
                && url[Position::BeforePath..] == *"/"
                && url.username().is_empty()
                && url.password().is_none();
            if !is_origin {
                return Err(format!(
                    "{origin:?} is no origin, such as \"https://10.0.0.5\""
                ));
            }
            if !is_private(&url) {
                return Err(format!(
                    "{origin:?} is not https, so what people are allowed to do at {host:?} could be read on the way: write https://, or put what speaks TLS there on this machine"
                ));
            }
            if by_host.insert(host.to_owned(), url).is_some() {
                return Err(format!("{host:?} comes twice"));
            }
        }
        Ok(Self { by_host })
    }

    /// The hosts that are dialled elsewhere by their names.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let named = self.by_host.keys().filter(|host| *host != "*");
        named.map(String::as_str)
    }

    /// A request for this address, which goes where it shall.
    pub(super) fn request(&self, method: Method, url: &Url) -> reqwest::Request {
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        let found = self
            .by_host
            .get(authority)
            .or_else(|| self.by_host.get("*"));
        let (Some(origin), Ok(host)) = (found, HeaderValue::from_str(authority)) else {
            return reqwest::Request::new(method, url.clone());
        };
        let mut dialled = url.clone();
        // An origin has all three; none of the setters can fail then.
        let _ = dialled.set_scheme(origin.scheme());
        let _ = dialled.set_host(origin.host_str());
        let _ = dialled.set_port(origin.port());
        let mut request = reqwest::Request::new(method, dialled);
        request.headers_mut().insert(HOST, host);
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(pairs: &[(&str, &str)]) -> Result<Dial, String> {
        let written = pairs
            .iter()
            .map(|(host, origin)| format!("{host}={origin}"));
        Dial::parse(&written.collect::<Vec<_>>())
    }

    #[test]
    fn a_host_is_dialled_elsewhere_and_told_its_own_name() {
        let dial = dial(&[
            ("en.wikipedia.org", "http://127.0.0.1:8080"),
            ("*", "https://inside.example"),
        ])
        .expect("it is lawful");
        for (asked, sent, host) in [
            (
                "https://en.wikipedia.org/w/api.php?a=b%20c",
                "http://127.0.0.1:8080/w/api.php?a=b%20c",
                "en.wikipedia.org",
            ),
            (
                "https://de.wikipedia.org:8443/w/api.php",
                "https://inside.example/w/api.php",
                "de.wikipedia.org:8443",
            ),
        ] {
            let request = dial.request(Method::GET, &Url::parse(asked).expect("an address"));
            assert_eq!(request.url().as_str(), sent);
            assert_eq!(request.headers()[HOST], host);
        }
        let url = Url::parse("https://en.wikipedia.org/w/api.php").expect("an address");
        let request = Dial::default().request(Method::GET, &url);
        assert_eq!(request.url(), &url);
        assert!(request.headers().is_empty());
    }

    #[test]
    fn mistakes_are_told() {
        for pair in [
            ("EN.wikipedia.org", "http://127.0.0.1"),
            ("https://en.wikipedia.org", "http://127.0.0.1"),
            ("en.wikipedia.org/w", "http://127.0.0.1"),
            ("", "http://127.0.0.1"),
            ("a", "127.0.0.1:80"),
            ("a", "http://127.0.0.1/x"),
            ("a", "ftp://127.0.0.1"),
            ("a", "http://u@127.0.0.1"),
            ("a", "http://10.0.0.5:8080"),
            ("a", "http://127.0.0.1.example"),
        ] {
            assert!(dial(&[pair]).is_err(), "{pair:?}");
        }
        assert!(Dial::parse(&["a".to_owned()]).is_err());
        assert!(dial(&[("a", "https://b"), ("a", "https://c")]).is_err());
    }
}
