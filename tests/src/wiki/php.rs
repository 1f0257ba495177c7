//! JSON, HTML and addresses as PHP and MediaWiki write them, since answers are compared byte for byte.
//!
//! Members keep their order here, which `serde_json` without its feature does not promise.
//! **Invariant:** pure.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What RFC 3986 calls unreserved stays as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// PHP's `urlencode` does not know the tilde.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// A value of JSON, members in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Map(Members),
}

/// The members of an object, in order.
pub type Members = Vec<(String, Json)>;

/// How characters beyond ASCII are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    /// As `\u` and four digits, which is PHP's own way.
    Escaped,
    /// As they are, which is the API's way in its second format.
    Plain,
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl Json {
    /// An array of strings.
    #[must_use]
    pub fn texts(texts: &[String]) -> Self {
        Self::List(texts.iter().map(|text| text.as_str().into()).collect())
    }

    /// An object.
    #[must_use]
    pub fn map<const N: usize>(members: [(&str, Json); N]) -> Self {
        Self::Map(
            members
                .map(|(name, value)| (name.to_owned(), value))
                .to_vec(),
        )
    }

    /// The text, without blanks.
    #[must_use]
    pub fn write(&self, letters: Letters) -> String {
        let mut out = String::new();
        self.write_to(&mut out, letters);
        out
    }

    fn write_to(&self, out: &mut String, letters: Letters) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => out.push_str(&value.to_string()),
            // A float stays one: `{:?}` keeps the `.0`.
            Self::Float(value) => out.push_str(&format!("{value:?}")),
            Self::Text(text) => quote(out, text, letters),
            Self::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    item.write_to(out, letters);
                }
                out.push(']');
            }
            Self::Map(members) => {
                out.push('{');
                for (place, (name, value)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    quote(out, name, letters);
                    out.push(':');
                    value.write_to(out, letters);
                }
                out.push('}');
            }
        }
    }
}

fn quote(out: &mut String, text: &str, letters: Letters) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if letter < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter if letter.is_ascii() || letters == Letters::Plain => out.push(letter),
            letter => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// `rawurlencode`: what OAuth 1.0a signs.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// `urlencode`: what stands in queries that MediaWiki writes.
pub(super) fn encode_form(text: &str) -> String {
    utf8_percent_encode(text, FORM)
        .to_string()
        .replace("%20", "+")
}

/// `rawurldecode`; what is no UTF-8 is replaced.
pub(super) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The pairs of a query or a form, in order.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (
                decode(&name.replace('+', " ")),
                decode(&value.replace('+', " ")),
            )
        })
        .collect()
}

/// A query of pairs.
pub(super) fn query<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> String {
    pairs
        .iter()
        .map(|(name, value)| {
            format!(
                "{}={}",
                encode_form(name.as_ref()),
                encode_form(value.as_ref())
            )
        })
        .collect::<Vec<_>>()
        .join("&")
}

/// `wfAppendQuery`: more of a query at the end of an address, before its fragment.
pub(super) fn append_query(address: &str, more: &str) -> String {
    let (address, fragment) = match address.split_once('#') {
        Some((address, fragment)) => (address, format!("#{fragment}")),
        None => (address, String::new()),
    };
    let joint = if address.contains('?') { '&' } else { '?' };
    format!("{address}{joint}{more}{fragment}")
}

/// `htmlspecialchars` with both kinds of quotes.
pub(super) fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#039;")
}
