//! Where a browser goes next: only ever to a path of ours.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What must be escaped to stand in a `Location`; `%` stays, for the path is escaped already.
const LOCATION: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'|')
    .add(b'^');
/// What must be escaped in the value of a query's field.
const VALUE: &AsciiSet = &LOCATION
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'?')
    .add(b'=')
    .add(b';')
    .add(b'\'');

/// The path `next` leads to, if that is one of ours: it begins with one slash, or with `public_url`.
pub(super) fn own_path(next: &str, public_url: &str) -> Option<String> {
    let public = public_url.trim_end_matches('/');
    let path = next.strip_prefix(public).unwrap_or(next);
    let ours = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && !path.chars().any(char::is_control)
        // A browser takes `/./` and `/../` away before it looks for `//`.
        && !path.starts_with("/.")
        && path.len() <= 16 << 10;
    ours.then(|| utf8_percent_encode(path, LOCATION).to_string())
}

/// A path of ours with `next` in its query.
pub(super) fn with_next(path: &str, next: &str) -> String {
    format!("{path}?next={}", utf8_percent_encode(next, VALUE))
}

/// A path of ours with `next` in its query, if there is one.
pub(super) fn with_some_next(path: &str, next: Option<&str>) -> String {
    next.map_or_else(|| path.to_owned(), |next| with_next(path, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_own_paths_are_followed() {
        let hub = "https://hub.example";
        for (next, path) in [
            ("/user/a%20b/lab?x=1#y", Some("/user/a%20b/lab?x=1#y")),
            ("https://hub.example/hub/home", Some("/hub/home")),
            ("/user/Ünï/", Some("/user/%C3%9Cn%C3%AF/")),
            ("/", Some("/")),
            ("https://hub.example.evil/", None),
            ("https://hub.example@evil/", None),
            ("//evil.example/", None),
            ("///evil.example/", None),
            ("/\\evil.example/", None),
            ("\\\\evil.example/", None),
            ("/.//evil.example", None),
            ("/\t/evil.example", None),
            ("https://evil.example/", None),
            ("javascript:alert(1)", None),
            ("hub/home", None),
            ("", None),
        ] {
            assert_eq!(own_path(next, hub).as_deref(), path, "{next}");
        }
    }

    #[test]
    fn next_survives_being_a_field() {
        assert_eq!(
            with_next("/hub/login", "/hub/api/oauth2/authorize?a=b&c=%20d"),
            "/hub/login?next=/hub/api/oauth2/authorize%3Fa%3Db%26c%3D%2520d"
        );
    }

    proptest! {
        #[test]
        fn a_followed_path_is_a_header(next in "\\PC{0,40}") {
            if let Some(path) = own_path(&next, "http://h") {
                prop_assert!(axum::http::HeaderValue::from_str(&path).is_ok());
                prop_assert!(path.starts_with('/') && !path.starts_with("//"));
            }
        }
    }
}
