//! Values of the network: addresses, networks, and what the outside calls the hub.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use toml::de::DeValue;

use super::{Refusal, Value, kind_of};

impl Value for SocketAddr {
    const FORM: &'static str = "address:port";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        let text = text
            .strip_prefix("localhost:")
            .map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
        text.parse().map_err(|_| {
            Refusal::new(
                format!("{text:?} is not an address with a port"),
                "Write for example \"127.0.0.1:8000\", \"0.0.0.0:8000\" or \"[::1]:8000\"",
            )
        })
    }
}

impl Value for Option<SocketAddr> {
    const FORM: &'static str = "address:port; \"\" is none";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            Ok(None)
        } else {
            SocketAddr::from_text(text).map(Some)
        }
    }
}

impl Value for Option<IpNet> {
    const FORM: &'static str = "a network such as \"10.89.0.0/22\"; \"\" is none";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            Ok(None)
        } else {
            parse_network(text).map(Some)
        }
    }
}

fn parse_network(text: &str) -> Result<IpNet, Refusal> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| {
            Refusal::new(
                format!("{text:?} is neither a network nor an address"),
                "Write for example \"10.0.0.0/8\" or \"192.0.2.7\"",
            )
        })
}

impl Value for Vec<IpNet> {
    const FORM: &'static str = "a list of networks such as [\"10.0.0.0/8\", \"192.0.2.7\"]";
    const QUOTED: bool = false;

    fn from_text(text: &str) -> Result<Self, Refusal> {
        let text = text.trim().trim_start_matches('[').trim_end_matches(']');
        text.split(',')
            .map(|part| part.trim().trim_matches('"'))
            .filter(|part| !part.is_empty())
            .map(parse_network)
            .collect()
    }

    fn from_file(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let DeValue::Array(items) = value else {
            return Err(Refusal::new(
                format!("{} stands where a list is wanted", kind_of(value)),
                format!("Write {}", Self::FORM),
            ));
        };
        items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => parse_network(text),
                other => Err(Refusal::new(
                    format!("{} stands where a network is wanted", kind_of(other)),
                    format!("Write {}", Self::FORM),
                )),
            })
            .collect()
    }
}

/// What the outside calls the hub: scheme, host and port, no slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(pub String);

impl Value for Option<PublicUrl> {
    const FORM: &'static str =
        "a URL such as \"https://hub.example.org\"; \"\" is made from proxy.listen";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Ok(None);
        }
        let fix = "Write scheme, host and, if need be, port: \"https://hub.example.org\"";
        let refused = |reason: String| Refusal::new(reason, fix);
        let url: http::Uri = text
            .parse()
            .map_err(|_| refused(format!("{text:?} is not a URL")))?;
        let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(refused(format!("{text:?} is not a whole URL")));
        };
        if !matches!(scheme, "http" | "https") {
            return Err(refused(format!("{scheme:?} is neither http nor https")));
        }
        if authority.as_str().contains('@') {
            return Err(refused("it contains a user name".to_owned()));
        }
        if url.query().is_some() || text.contains('#') {
            return Err(refused("it has a query or a fragment".to_owned()));
        }
        if !matches!(url.path(), "" | "/") {
            return Err(refused(format!(
                "it has a path ({}), but Holt needs the whole host",
                url.path()
            )));
        }
        Ok(Some(PublicUrl(format!(
            "{scheme}://{}",
            authority.as_str().to_ascii_lowercase()
        ))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_host_alone() {
        let read = <Option<PublicUrl>>::from_text;
        assert_eq!(
            read("https://Hub.Example.org/"),
            Ok(Some(PublicUrl("https://hub.example.org".into())))
        );
        for text in [
            "hub.example.org",
            "ftp://x",
            "https://x/?a=1",
            "https://x/#a",
            "https://x/hub",
            "https://u@x",
            "/x",
            "http://",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
