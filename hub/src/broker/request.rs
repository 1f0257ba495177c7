//! What a request to a wiki may be. Pure: nothing is sent here.
//!
//! What decides is looked for wherever the wiki would look: in the address, in a form, and in the first parts of a multipart body. A name
//! that comes twice is refused, since the wiki would take the last one and we might look at the first.
//! **Invariant:** nothing that a notebook sends becomes a credential: no `Authorization`, no cookie, no parameter of OAuth.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_TYPE, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, LOCATION, RETRY_AFTER, USER_AGENT, VARY, WARNING,
};
use url::form_urlencoded;

use super::refusal::Bad;
use super::sites::{Door, Target};

/// Headers of a notebook that a wiki gets.
const SENT: [HeaderName; 8] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    CONTENT_TYPE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    HeaderName::from_static("promise-non-write-api-action"),
];
/// Headers of a wiki that a notebook gets. No cookie is among them.
const BROUGHT: [HeaderName; 16] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    LOCATION,
    RETRY_AFTER,
    VARY,
    WARNING,
    HeaderName::from_static("mediawiki-api-error"),
    HeaderName::from_static("mediawiki-login-suppressed"),
    HeaderName::from_static("content-disposition"),
    HeaderName::from_static("x-database-lag"),
    HeaderName::from_static("x-request-id"),
];
/// Modules of the API that sign in or out, change how an account signs in, or hand out what acts as the account elsewhere.
const CLOSED: [&str; 12] = [
    "centralauthtoken",
    "changeauthenticationdata",
    "clientlogin",
    "createaccount",
    "linkaccount",
    "login",
    "logout",
    "removeauthenticationdata",
    "resetpassword",
    "unlinkaccount",
    "validatepassword",
    "webauthn",
];
/// How far a multipart body is read to find what it asks for.
pub(super) const PEEK: usize = 64 << 10;
/// Parameters of one request.
const NAMES: usize = 500;
/// Of the client's own name.
const AGENT_BYTES: usize = 300;

/// What the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// None.
    Empty,
    /// A form, which is read whole, because OAuth 1.0a signs its fields.
    Form,
    /// A multipart form: streamed, and not signed over.
    Multipart,
    /// Anything else: streamed.
    Other,
}

/// The method, if wikis take it there.
pub(super) fn method(text: &str, door: &Door) -> Result<http::Method, Bad> {
    let known: &[http::Method] = match door {
        Door::Api => &[http::Method::GET, http::Method::HEAD, http::Method::POST],
        Door::Rest(_) => &[
            http::Method::GET,
            http::Method::HEAD,
            http::Method::POST,
            http::Method::PUT,
            http::Method::PATCH,
            http::Method::DELETE,
        ],
    };
    let found = known.iter().find(|method| method.as_str() == text);
    found.cloned().ok_or(Bad::Method)
}

/// What is sent along of what a notebook said, and who we say we are.
pub(super) fn headers(given: &HeaderMap, us: &str, user: &str) -> Result<HeaderMap, Bad> {
    let mut sent = HeaderMap::new();
    for name in &SENT {
        if let Some(value) = given.get(name) {
            sent.insert(name, value.clone());
        }
    }
    let theirs = given
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let theirs: String = theirs.chars().take(AGENT_BYTES).collect();
    let agent = format!(
        "{us} user/{} {theirs}",
        holt_spec::names::escape_segment(user)
    );
    let agent = HeaderValue::from_str(agent.trim_end()).map_err(|_| Bad::Header)?;
    sent.insert(USER_AGENT, agent);
    Ok(sent)
}

/// What is brought back of what a wiki said.
pub(super) fn brought(answered: &HeaderMap) -> HeaderMap {
    let mut brought = HeaderMap::new();
    for name in &BROUGHT {
        for value in answered.get_all(name) {
            brought.append(name, value.clone());
        }
    }
    brought
}

pub(super) fn body_kind(given: &HeaderMap, is_empty: bool) -> BodyKind {
    if is_empty {
        return BodyKind::Empty;
    }
    let kind = given
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match kind.as_str() {
        "application/x-www-form-urlencoded" => BodyKind::Form,
        "multipart/form-data" => BodyKind::Multipart,
        _ => BodyKind::Other,
    }
}

/// The fields of a form, or of an address.
pub(super) fn fields(encoded: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(encoded).into_owned().collect()
}

/// What is asked for, if all of it may be.
pub(super) fn module(
    target: &Target,
    query: &[(String, String)],
    form: &[(String, String)],
    peeked: Option<&[u8]>,
) -> Result<String, Bad> {
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in query.iter().chain(form) {
        check_name(name)?;
        if seen.contains(&name.as_str()) {
            return Err(Bad::Parameter(
                "one comes twice; join several values with \"|\"",
            ));
        }
        if name == "title" && names_oauth(value) {
            return Err(Bad::Address("nothing of OAuth is called for a notebook"));
        }
        if seen.len() == NAMES {
            return Err(Bad::Parameter("there are too many"));
        }
        seen.push(name);
    }
    if let Door::Rest(first) = &target.door {
        return Ok(word(first));
    }
    let in_parts = peeked.and_then(|bytes| part(bytes, "action"));
    let action = query
        .iter()
        .chain(form)
        .find(|(name, _)| name == "action")
        .map(|(_, value)| value.clone());
    for action in action.iter().chain(&in_parts) {
        if CLOSED.contains(&action.trim().to_ascii_lowercase().as_str()) {
            return Err(Bad::Module);
        }
    }
    Ok(in_parts
        .or(action)
        .map_or_else(|| "help".to_owned(), |action| word(&action)))
}

/// Names are plain, since PHP writes others anew and then no signature holds; and none is OAuth's.
fn check_name(name: &str) -> Result<(), Bad> {
    if name.len() > 128
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    {
        return Err(Bad::Parameter(
            "names are letters, digits, \"-\" and \"_\", as the API has them",
        ));
    }
    if name.to_ascii_lowercase().starts_with("oauth_") || name.eq_ignore_ascii_case("access_token")
    {
        return Err(Bad::Parameter("OAuth's are the hub's own"));
    }
    Ok(())
}

fn names_oauth(title: &str) -> bool {
    let plain: String = title
        .chars()
        .filter(|letter| !matches!(letter, ' ' | '_' | ':'))
        .collect();
    plain.to_ascii_lowercase().starts_with("specialoauth")
}

/// The value of a part of a multipart body, if it is in its beginning.
fn part(bytes: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let at = [
        format!("name=\"{name}\""),
        format!("name={name}\n"),
        format!("name={name}\r"),
    ]
    .iter()
    .filter_map(|mark| text.find(mark.as_str()))
    .min()?;
    let rest = &text[at..];
    let value = [("\r\n\r\n", "\r\n"), ("\n\n", "\n")]
        .iter()
        .filter_map(|(head, end)| {
            let start = rest.find(head)?;
            let value = &rest[start + head.len()..];
            Some((
                start,
                value.split(end).next().unwrap_or_default().to_owned(),
            ))
        })
        .min_by_key(|(start, _)| *start)?;
    Some(value.1)
}

/// A short plain word for a row.
fn word(text: &str) -> String {
    let plain = text
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '+' | '.'))
        .take(40)
        .collect::<String>()
        .to_ascii_lowercase();
    if plain.is_empty() {
        "other".to_owned()
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::sites::{Site, Sites};

    fn target(text: &str) -> Target {
        let sites = Sites::new([Site::parse("wiki.example").expect("a site")]);
        sites.target(text).expect("an address of the list")
    }

    fn asked(query: &str, form: &str, peeked: Option<&[u8]>) -> Result<String, Bad> {
        let target = target("https://wiki.example/w/api.php");
        module(
            &target,
            &fields(query.as_bytes()),
            &fields(form.as_bytes()),
            peeked,
        )
    }

    #[test]
    fn what_is_asked_for_is_found_wherever_it_stands() {
        assert_eq!(
            asked("action=query&meta=tokens", "", None),
            Ok("query".into())
        );
        assert_eq!(
            asked("", "action=edit&text=Special:OAuth", None),
            Ok("edit".into())
        );
        let pieces = b"--x\nContent-Type: text/plain\nContent-disposition: form-data; name=\"action\"\n\nupload\n--x\n";
        assert_eq!(asked("", "", Some(pieces)), Ok("upload".into()));
        assert_eq!(asked("", "", None), Ok("help".into()));
    }

    #[test]
    fn what_signs_in_or_is_oauths_is_refused() {
        for (query, form) in [
            ("action=clientlogin", ""),
            ("", "action=LOGIN"),
            ("action=query", "action=edit"),
            ("action=query&action=edit", ""),
            ("oauth_token=x", ""),
            ("", "OAuth_Signature=x"),
            ("access_token=x", ""),
            ("a[]=x", ""),
            ("a.b=x", ""),
            ("title=special: oauth/identify", ""),
            ("title=Special:OAuth/identify&action=query", ""),
        ] {
            assert!(asked(query, form, None).is_err(), "{query} {form}");
        }
        let pieces =
            b"--x\r\nContent-Disposition: form-data; name=\"action\"\r\n\r\nlogin\r\n--x\r\n";
        assert_eq!(asked("", "", Some(pieces)), Err(Bad::Module));
    }

    #[test]
    fn no_credential_of_a_notebook_goes_along() {
        let mut given = HeaderMap::new();
        for name in [
            "authorization",
            "cookie",
            "x-forwarded-for",
            "host",
            "proxy-authorization",
            "content-type",
            "user-agent",
        ] {
            given.insert(name, HeaderValue::from_static("x"));
        }
        let sent = headers(&given, "Holt/1 (https://hub.example)", "O'Brien (WMF)").expect("plain");
        let mut names: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "user-agent"]);
        assert_eq!(
            sent[USER_AGENT],
            "Holt/1 (https://hub.example) user/O%27Brien%20%28WMF%29 x"
        );
        let mut answered = HeaderMap::new();
        answered.insert("set-cookie", HeaderValue::from_static("a=b"));
        assert!(brought(&answered).is_empty());
    }
}
