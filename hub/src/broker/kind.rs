//! What kind a body is: the wiki must not read it as another kind than we do.
//!
//! PHP ends a content type at `;`, `,` or a blank, and reads nothing it does not know; so `api.php` gets two kinds in their plain spellings.

use http::header::{CONTENT_TYPE, HeaderMap};

use super::refusal::Bad;
use super::sites::Door;

const URLENCODED: &str = "application/x-www-form-urlencoded";

/// What the body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// None.
    Empty,
    /// A form, which is read whole, because OAuth 1.0a signs its fields.
    Form,
    /// A multipart form for `api.php`, and its boundary: streamed, looked at, and not signed over.
    Multipart(String),
    /// Anything else, for `rest.php` alone: streamed.
    Other,
}

/// What comes, by its content type. `api.php` gets forms in the spellings that PHP and we read alike, and nothing else.
pub(super) fn of(given: &HeaderMap, is_empty: bool, door: &Door) -> Result<BodyKind, Bad> {
    let mut all = given.get_all(CONTENT_TYPE).iter();
    let (kind, more) = (all.next(), all.next());
    if more.is_some() {
        return Err(Bad::ContentType);
    }
    if is_empty {
        return Ok(BodyKind::Empty);
    }
    let kind = kind.and_then(|value| value.to_str().ok());
    match (door, kind) {
        (Door::Rest(_), kind) => {
            let kind = kind.and_then(|kind| kind.split(';').next());
            let kind = kind.unwrap_or_default().trim();
            Ok(if kind.eq_ignore_ascii_case(URLENCODED) {
                BodyKind::Form
            } else {
                BodyKind::Other
            })
        }
        (Door::Api, Some(kind)) if is_form(kind) => Ok(BodyKind::Form),
        (Door::Api, Some(kind)) => boundary(kind)
            .map(|boundary| BodyKind::Multipart(boundary.to_owned()))
            .ok_or(Bad::ContentType),
        (Door::Api, None) => Err(Bad::ContentType),
    }
}

fn is_form(kind: &str) -> bool {
    let Some(more) = kind.strip_prefix(URLENCODED) else {
        return false;
    };
    let more = more.to_ascii_lowercase();
    matches!(more.as_str(), "" | "; charset=utf-8" | ";charset=utf-8")
}

/// The boundary, as a plain word or between quotes.
fn boundary(kind: &str) -> Option<&str> {
    let text = kind.strip_prefix("multipart/form-data; boundary=")?;
    let (word, more): (&str, &[u8]) = match text.strip_prefix('"') {
        Some(quoted) => (quoted.strip_suffix('"')?, b"-_.+'=/:?()"),
        None => (text, b"-_.+'"),
    };
    let is_plain = (1..=70).contains(&word.len())
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte));
    is_plain.then_some(word)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn kind(door: &Door, types: &[&[u8]]) -> Result<BodyKind, Bad> {
        let mut given = HeaderMap::new();
        for text in types {
            let value = HeaderValue::from_bytes(text).expect("a header");
            given.append(CONTENT_TYPE, value);
        }
        of(&given, false, door)
    }

    #[test]
    fn api_php_gets_forms_in_plain_spellings_alone() {
        for text in [
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded; charset=utf-8",
            "application/x-www-form-urlencoded;charset=UTF-8",
        ] {
            assert_eq!(kind(&Door::Api, &[text.as_bytes()]), Ok(BodyKind::Form));
        }
        for (text, boundary) in [
            ("multipart/form-data; boundary=0a1b", "0a1b"),
            (
                "multipart/form-data; boundary=----WebKit-x_1",
                "----WebKit-x_1",
            ),
            (
                "multipart/form-data; boundary=\"===============12==\"",
                "===============12==",
            ),
        ] {
            let found = kind(&Door::Api, &[text.as_bytes()]);
            assert_eq!(found, Ok(BodyKind::Multipart(boundary.to_owned())));
        }
        for text in [
            &b"multipart/form-data,boundary=b"[..],
            b"multipart/form-data;boundary=b",
            b"multipart/form-data; boundary=b; boundary=c",
            b"multipart/form-data; boundary=b,c",
            b"multipart/form-data; boundary=\"b\"c\"",
            b"multipart/form-data; boundary=\"b",
            b"multipart/form-data; boundary=",
            b"multipart/form-data; boundary=\"\"",
            b"multipart/form-data; x=boundary; boundary=b",
            b"multipart/form-data; boundary*=b",
            b"Multipart/Form-Data; boundary=b",
            b"multipart/form-data",
            b"application/x-www-form-urlencoded,x",
            b"application/x-www-form-urlencoded x",
            b"application/x-www-form-urlencoded; x=\xff",
            b"application/x-www-form-urlencoded; charset=utf-7",
            b"application/json",
            b"text/plain",
            b"",
        ] {
            let found = kind(&Door::Api, &[text]);
            assert_eq!(found, Err(Bad::ContentType), "{text:?}");
        }
        assert_eq!(kind(&Door::Api, &[]), Err(Bad::ContentType));
        let twice = [
            &b"application/x-www-form-urlencoded"[..],
            b"multipart/form-data; boundary=b",
        ];
        assert_eq!(kind(&Door::Api, &twice), Err(Bad::ContentType));
        let rest = Door::Rest("page".to_owned());
        assert_eq!(kind(&rest, &[b"application/json"]), Ok(BodyKind::Other));
        assert_eq!(kind(&rest, &[]), Ok(BodyKind::Other));
    }
}
