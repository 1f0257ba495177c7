//! Sends plain requests on to https.

use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;

use super::serve::{Answer, Service, empty, text};

/// Sends requests on.
#[derive(Debug)]
pub(super) struct Redirect {
    /// The port they are sent to.
    pub(super) to: u16,
    /// Whether the port is written out.
    pub(super) written: bool,
}

impl Service for Redirect {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let host = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host_name(host.as_bytes()));
        let Some(host) = host else {
            let port = self.to;
            return text(
                StatusCode::BAD_REQUEST,
                format!(
                    "Only https is spoken here, on port {port}, and the request does not say on which host."
                ),
            );
        };
        let port = match self.written {
            true => format!(":{}", self.to),
            false => String::new(),
        };
        let target = request
            .uri()
            .path_and_query()
            .map_or("/", |target| target.as_str());
        match HeaderValue::try_from(format!("https://{host}{port}{target}")) {
            Ok(location) => {
                let mut answer = empty(StatusCode::MOVED_PERMANENTLY);
                answer.headers_mut().insert(header::LOCATION, location);
                answer
            }
            Err(_) => empty(StatusCode::BAD_REQUEST),
        }
    }
}

/// The host without its port, when it is one that a URL may hold.
fn host_name(host: &[u8]) -> Option<&str> {
    let host = std::str::from_utf8(host).ok()?;
    let (name, allowed): (&str, fn(char) -> bool) = match host.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            (host.get(..end + 2)?, |c| {
                c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '[' | ']')
            })
        }
        None => (host.split(':').next()?, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
        }),
    };
    (!name.is_empty() && name.chars().all(allowed)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for (host, name) in [
            ("hub.example:8000", Some("hub.example")),
            ("hub.example", Some("hub.example")),
            ("127.0.0.1:80", Some("127.0.0.1")),
            ("[::1]:80", Some("[::1]")),
            ("[::1", None),
            ("a@b", None),
            ("a/b", None),
            ("", None),
            (":80", None),
        ] {
            assert_eq!(host_name(host.as_bytes()), name, "{host}");
        }
    }
}
