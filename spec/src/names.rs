//! Names of users and servers, and the one way to write them in paths.
//!
//! A name is for display and for `/user/<name>/` paths only; nothing is stored under it.
//! Escaping follows JupyterHub: UTF-8 percent-encoding of everything but the unreserved characters of RFC 3986, `@` included in
//! the plain ones.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Characters written as themselves in a path segment: letters, digits and `- . _ ~ @`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@');

/// Characters written as themselves in an OAuth client id: JupyterHub's `quote(name, safe="")`.
const CLIENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The longest user name, in bytes of UTF-8: a MediaWiki name's limit.
pub const USER_NAME_BYTES: usize = 255;

/// The longest server name, in characters.
pub const SERVER_NAME_CHARS: usize = 30;

/// Why a name was refused. The text is for the person who typed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left after trimming.
    #[error("a name must not be empty")]
    Empty,
    /// More bytes than [`USER_NAME_BYTES`].
    #[error("a name must not be longer than 255 bytes")]
    TooLong,
    /// A `/` would split the path.
    #[error("a name must not contain '/'")]
    Slash,
    /// A control character or a line separator.
    #[error("a name must not contain control characters")]
    Control,
    /// `.` or `..`, which browsers resolve away.
    #[error("a name must not consist of dots only")]
    Dots,
    /// Leading or trailing white space.
    #[error("a name must not begin or end with a space")]
    Space,
    /// Not a server name.
    #[error(
        "a server name has 1 to 30 lower-case letters, digits and single hyphens, begins with a letter and ends with a letter or digit"
    )]
    Slug,
}

/// Checks a user's name.
///
/// # Errors
/// The first [`NameError`] that applies.
pub fn check_user_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > USER_NAME_BYTES {
        return Err(NameError::TooLong);
    }
    if name.contains('/') {
        return Err(NameError::Slash);
    }
    if name
        .chars()
        .any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
    {
        return Err(NameError::Control);
    }
    if name.trim() != name {
        return Err(NameError::Space);
    }
    // A browser resolves `%2e` as a dot too.
    if name
        .to_ascii_lowercase()
        .replace("%2e", ".")
        .chars()
        .all(|c| c == '.')
    {
        return Err(NameError::Dots);
    }
    Ok(())
}

/// Checks a server's name; the empty name is the default server's.
///
/// # Errors
/// [`NameError::Slug`] when it is not a slug as JupyterHub 6 has it.
pub fn check_server_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Ok(());
    }
    let bytes = name.as_bytes();
    let fits = bytes.len() <= SERVER_NAME_CHARS
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && bytes[0].is_ascii_lowercase()
        && !name.ends_with('-')
        && !name.contains("--");
    if fits { Ok(()) } else { Err(NameError::Slug) }
}

/// A name as one path segment.
#[must_use]
pub fn escape_segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// Undoes percent-encoding of one path segment; `None` when it is not UTF-8.
#[must_use]
pub fn unescape_segment(segment: &str) -> Option<String> {
    percent_decode_str(segment)
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

/// The public path of a server: `/user/<name>/` or `/user/<name>/<server>/`.
#[must_use]
pub fn server_prefix(user: &str, server: &str) -> String {
    if server.is_empty() {
        format!("/user/{}/", escape_segment(user))
    } else {
        format!("/user/{}/{}/", escape_segment(user), escape_segment(server))
    }
}

/// The OAuth client id of a server, as JupyterHub makes it.
#[must_use]
pub fn server_client_id(user: &str, server: &str) -> String {
    let user = utf8_percent_encode(user, CLIENT);
    if server.is_empty() {
        format!("jupyterhub-user-{user}")
    } else {
        format!(
            "jupyterhub-user-{user}-{}",
            utf8_percent_encode(server, CLIENT)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wiki_names_are_taken() {
        for name in [
            "Ünï \"Cödé\" (WMF)'s",
            "'; rm -rf ~",
            "a",
            "100% sure?",
            "a\\b",
            "...x",
        ] {
            assert_eq!(check_user_name(name), Ok(()), "{name}");
        }
        let emoji: String = "🦦".repeat(63) + "abc";
        assert_eq!(emoji.len(), 255);
        assert_eq!(check_user_name(&emoji), Ok(()));
    }

    #[test]
    fn hostile_names_are_refused_with_their_reason() {
        for (name, reason) in [
            ("", NameError::Empty),
            (".", NameError::Dots),
            ("..", NameError::Dots),
            ("%2e%2E", NameError::Dots),
            ("a/b", NameError::Slash),
            ("a\nb", NameError::Control),
            ("a\0", NameError::Control),
            ("a\u{2028}b", NameError::Control),
            (" a", NameError::Space),
        ] {
            assert_eq!(check_user_name(name), Err(reason), "{name:?}");
        }
        assert_eq!(check_user_name(&"x".repeat(256)), Err(NameError::TooLong));
    }

    #[test]
    fn server_names_are_slugs() {
        for name in ["", "a", "lab-2", &"a".repeat(30)] {
            assert_eq!(check_server_name(name), Ok(()), "{name}");
        }
        for name in ["1a", "Lab", "a--b", "a-", "a b", "a\n", &"a".repeat(31)] {
            assert_eq!(check_server_name(name), Err(NameError::Slug), "{name}");
        }
    }

    #[test]
    fn prefix_and_client_id_are_as_jupyterhub_writes_them() {
        assert_eq!(
            server_prefix("VRook (WMF)", "lab"),
            "/user/VRook%20%28WMF%29/lab/"
        );
        assert_eq!(server_prefix("a@b~c", ""), "/user/a@b~c/");
        assert_eq!(
            server_client_id("VRook (WMF)", "lab"),
            "jupyterhub-user-VRook%20%28WMF%29-lab"
        );
    }

    proptest! {
        #[test]
        fn escaping_comes_back(name in "\\PC{1,60}") {
            let escaped = escape_segment(&name);
            prop_assert!(!escaped.contains('/'));
            prop_assert_eq!(unescape_segment(&escaped), Some(name));
        }
    }
}
