//! What a request to a wiki may be. Pure: nothing is sent here.
//!
//! What decides is looked for wherever the wiki would look: in the address, in a form, and in the parts of a multipart body. A name that
//! comes twice is refused, since the wiki would take the last one and we might look at the first.
//! **Invariant:** nothing that a notebook sends becomes a credential: no `Authorization`, no cookie, no parameter of OAuth.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_TYPE, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, LOCATION, RETRY_AFTER, USER_AGENT, VARY, WARNING,
};
use url::form_urlencoded;

use super::parts::Parts;
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
pub(super) const NAMES: usize = 500;
/// From here on a form takes a while to read, in bytes.
const LARGE: usize = 256 << 10;
/// Of the client's own name.
const AGENT_BYTES: usize = 300;

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

/// The fields of a form, or of an address. They are counted before any is read.
pub(super) fn fields(encoded: &[u8]) -> Result<Vec<(String, String)>, Bad> {
    let separators = encoded.iter().filter(|byte| **byte == b'&');
    if separators.count() > NAMES {
        return Err(Bad::Parameter("there are too many"));
    }
    Ok(form_urlencoded::parse(encoded).into_owned().collect())
}

/// The fields of a form; of a large one, where nobody else waits for it.
pub(super) async fn fields_of(form: &Bytes) -> Result<Vec<(String, String)>, Bad> {
    if form.len() <= LARGE {
        return fields(form);
    }
    let form = form.clone();
    let reading = tokio::task::spawn_blocking(move || fields(&form));
    reading.await.unwrap_or(Err(Bad::Body))
}

/// What is asked for, if all of it may be.
pub(super) fn module(
    target: &Target,
    query: &[(String, String)],
    form: &[(String, String)],
    parts: Option<&Parts>,
) -> Result<String, Bad> {
    let in_parts = parts.map(Parts::found).unwrap_or_default();
    let mut seen: Vec<&str> = Vec::new();
    for (name, _) in query.iter().chain(form) {
        check_name(name)?;
        if seen.contains(&name.as_str()) {
            return Err(Bad::Parameter(
                "one comes twice; join several values with \"|\"",
            ));
        }
        if seen.len() == NAMES {
            return Err(Bad::Parameter("there are too many"));
        }
        seen.push(name);
    }
    let all = || query.iter().chain(form).chain(in_parts);
    if all().any(|(name, value)| name == "title" && names_oauth(value)) {
        return Err(Bad::Address("nothing of OAuth is called for a notebook"));
    }
    if let Door::Rest(first) = &target.door {
        return Ok(word(first));
    }
    match all().find(|(name, _)| name == "action") {
        Some((_, action)) if CLOSED.contains(&action.trim().to_ascii_lowercase().as_str()) => {
            Err(Bad::Module)
        }
        Some((_, action)) => Ok(word(action)),
        None if parts.is_none_or(Parts::is_over) => Ok("help".to_owned()),
        None => Err(Bad::Parts(
            "\"action\" has to stand in the address, or in the first 64 KiB",
        )),
    }
}

/// Names are plain, since PHP writes others anew and then no signature holds; and none is OAuth's.
pub(super) fn check_name(name: &str) -> Result<(), Bad> {
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
        let mut parts = peeked.map(|_| Parts::new("x", []));
        if let (Some(parts), Some(peeked)) = (&mut parts, peeked) {
            parts.take(peeked)?;
        }
        module(
            &target,
            &fields(query.as_bytes())?,
            &fields(form.as_bytes())?,
            parts.as_ref(),
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
        let pieces = b"--x\nContent-Type: text/plain\nContent-disposition: form-data; name=\"action\"\n\nupload\n--x--\n";
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
        let pieces = b"--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nSpecial:OAuth/identify\r\n--x--\r\n";
        assert!(asked("action=query", "", Some(pieces)).is_err());
        // Where it may come later, it is not called "help".
        let pieces = b"--x\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nlogin";
        assert!(asked("", "", Some(pieces)).is_err());
        assert_eq!(asked("action=edit", "", Some(pieces)), Ok("edit".into()));
    }

    #[tokio::test]
    async fn fields_are_counted_before_they_are_read() {
        let many = Bytes::from("a&".repeat(8 << 20));
        let begun = std::time::Instant::now();
        let refused = fields_of(&many).await;
        assert_eq!(refused, Err(Bad::Parameter("there are too many")));
        assert!(begun.elapsed().as_secs() < 2, "{:?}", begun.elapsed());
        let large = Bytes::from(format!("action=edit&text={}", "%41".repeat(1 << 20)));
        let read = fields_of(&large).await.expect("two fields");
        assert_eq!((read.len(), read[1].1.len()), (2, 1 << 20));
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
