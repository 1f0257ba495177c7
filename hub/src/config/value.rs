//! The kinds of value a setting may have: how each is written, read and refused.
//!
//! Units stand in the values (`"30s"`, `"2GiB"`), so that no one must remember what a bare number means.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

/// Why a value was refused, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: String,
    /// What to write.
    pub fix: String,
}

impl Refusal {
    fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            fix: fix.into(),
        }
    }
}

/// A kind of value. Environment, flags and defaults are text; the file has types of its own.
pub trait Value: Sized {
    /// How it is written, for the reference.
    const FORM: &'static str;
    /// Whether it stands in quotes in the file.
    const QUOTED: bool = true;

    /// Reads it from text.
    ///
    /// # Errors
    /// [`Refusal`] with what to write instead.
    fn from_text(text: &str) -> Result<Self, Refusal>;

    /// Reads it from the file.
    ///
    /// # Errors
    /// [`Refusal`] with what to write instead.
    fn from_file(value: &DeValue<'_>) -> Result<Self, Refusal> {
        match value {
            DeValue::String(text) => Self::from_text(text),
            other => Err(Refusal::new(
                format!("{} stands where a text is wanted", kind_of(other)),
                format!("Put it in quotes: {}", Self::FORM),
            )),
        }
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn number_from_file<T: Value>(value: &DeValue<'_>) -> Result<T, Refusal> {
    match value {
        DeValue::Integer(number) if number.radix() == 10 => T::from_text(number.as_str()),
        DeValue::Float(number) => T::from_text(number.as_str()),
        other => Err(Refusal::new(
            format!("{} stands where a number is wanted", kind_of(other)),
            format!("Write {}, without quotes", T::FORM),
        )),
    }
}

impl Value for String {
    const FORM: &'static str = "text";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        if text.chars().any(char::is_control) {
            return Err(Refusal::new(
                "it contains a control character",
                "Write plain text",
            ));
        }
        Ok(text.to_owned())
    }
}

impl Value for bool {
    const FORM: &'static str = "true or false";
    const QUOTED: bool = false;

    fn from_text(text: &str) -> Result<Self, Refusal> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Refusal::new(
                format!("{text:?} is neither true nor false"),
                "Write true or false",
            )),
        }
    }

    fn from_file(value: &DeValue<'_>) -> Result<Self, Refusal> {
        match value {
            DeValue::Boolean(value) => Ok(*value),
            other => Err(Refusal::new(
                format!("{} stands where true or false is wanted", kind_of(other)),
                "Write true or false, without quotes",
            )),
        }
    }
}

impl Value for u32 {
    const FORM: &'static str = "a whole number";
    const QUOTED: bool = false;

    fn from_text(text: &str) -> Result<Self, Refusal> {
        text.replace('_', "").parse().map_err(|_| {
            Refusal::new(
                format!("{text:?} is not a whole number from 0 to {}", Self::MAX),
                "Write digits only, for example 4",
            )
        })
    }

    fn from_file(value: &DeValue<'_>) -> Result<Self, Refusal> {
        number_from_file(value)
    }
}

impl Value for f64 {
    const FORM: &'static str = "a number, 0 or more";
    const QUOTED: bool = false;

    fn from_text(text: &str) -> Result<Self, Refusal> {
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
            _ => Err(Refusal::new(
                format!("{text:?} is not a number of 0 or more"),
                "Write a number, for example 1.5",
            )),
        }
    }

    fn from_file(value: &DeValue<'_>) -> Result<Self, Refusal> {
        number_from_file(value)
    }
}

impl Value for Duration {
    const FORM: &'static str = "a time such as \"500ms\", \"30s\", \"10m\", \"2h\" or \"14d\"";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        parse_duration(text).ok_or_else(|| {
            Refusal::new(
                format!("{text:?} is not a length of time"),
                "Write a number with its unit: \"500ms\", \"30s\", \"10m\", \"2h\", \"14d\"",
            )
        })
    }
}

/// `1h30m`, `30s`, `0`; no fractions, at most a hundred years.
fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let milliseconds = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        rest = &rest[letters..];
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
    }
    (!text.is_empty() && total <= Duration::from_secs(100 * 365 * 86_400)).then_some(total)
}

/// A length of time, or none: `"0"` switches off.
impl Value for Option<Duration> {
    const FORM: &'static str = "a time such as \"90m\" or \"2h\"; \"0\" is off";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        Duration::from_text(text).map(|duration| (!duration.is_zero()).then_some(duration))
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl Size {
    /// The number of bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl Value for Size {
    const FORM: &'static str = "a size such as \"512MiB\" or \"2GiB\"";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let unit: Option<u64> = match text[digits..].trim_start() {
            "B" => Some(1),
            "kB" | "KB" => Some(1_000),
            "MB" => Some(1_000_000),
            "GB" => Some(1_000_000_000),
            "KiB" | "K" => Some(1 << 10),
            "MiB" | "M" => Some(1 << 20),
            "GiB" | "G" => Some(1 << 30),
            "TiB" | "T" => Some(1 << 40),
            _ => None,
        };
        text[..digits]
            .parse::<u64>()
            .ok()
            .zip(unit)
            .and_then(|(number, unit)| number.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| {
                Refusal::new(
                    format!("{text:?} is not a size"),
                    "Write a whole number with its unit: \"512MiB\", \"2GiB\"",
                )
            })
    }
}

impl Value for Option<Size> {
    const FORM: &'static str = "a size such as \"512MiB\" or \"2GiB\"; \"\" is no limit";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        match text {
            "" | "0" => Ok(None),
            _ => Size::from_text(text).map(Some),
        }
    }
}

impl Value for Option<String> {
    const FORM: &'static str = "text; \"\" is none";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        String::from_text(text).map(|text| (!text.is_empty()).then_some(text))
    }
}

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

/// Variables with their values.
impl Value for BTreeMap<String, String> {
    const FORM: &'static str = "a table such as { LANG = \"C.UTF-8\" }";
    const QUOTED: bool = false;

    fn from_text(text: &str) -> Result<Self, Refusal> {
        let refused = || {
            Refusal::new(
                "it is not a table of variables",
                format!("Write {}", Self::FORM),
            )
        };
        let line = format!("value = {text}");
        let table = toml::de::DeTable::parse(&line).map_err(|_| refused())?;
        table
            .get_ref()
            .get("value")
            .ok_or_else(refused)
            .and_then(|value| Self::from_file(value.get_ref()))
    }

    fn from_file(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let DeValue::Table(table) = value else {
            return Err(Refusal::new(
                format!("{} stands where a table is wanted", kind_of(value)),
                format!("Write {}", Self::FORM),
            ));
        };
        let mut variables = Self::new();
        for (name, value) in table {
            let name = name.get_ref().as_ref();
            let lawful = name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && !name.is_empty()
                && !name.as_bytes()[0].is_ascii_digit();
            if !lawful {
                return Err(Refusal::new(
                    format!("{name:?} cannot be the name of a variable"),
                    "Use letters, digits and underscores",
                ));
            }
            if name.starts_with("JUPYTERHUB_") {
                return Err(Refusal::new(
                    format!("{name} is set by Holt for each server"),
                    "Take it out",
                ));
            }
            match value.get_ref() {
                DeValue::String(text) if !text.contains('\0') => {
                    variables.insert(name.to_owned(), text.to_string());
                }
                other => {
                    return Err(Refusal::new(
                        format!("{} is {}, not a text", name, kind_of(other)),
                        "Put the value in quotes",
                    ));
                }
            }
        }
        Ok(variables)
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

/// Declares a setting that is one of a few words.
macro_rules! choice {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $doc])+ $variant,)+ }

        impl $name {
            /// The word in the settings.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl $crate::config::value::Value for $name {
            const FORM: &'static str = $crate::config::value::either!($($word),+);

            fn from_text(text: &str) -> Result<Self, $crate::config::value::Refusal> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::config::value::Refusal {
                        reason: format!("{text:?} is not one of the choices"),
                        fix: format!("Write {}", <Self as $crate::config::value::Value>::FORM),
                    }),
                }
            }
        }
    };
}
pub(crate) use choice;

/// `"a", "b" or "c"`.
macro_rules! either {
    ($last:literal) => { concat!("\"", $last, "\"") };
    ($one:literal, $last:literal) => { concat!("\"", $one, "\" or \"", $last, "\"") };
    ($first:literal, $($rest:literal),+) => { concat!("\"", $first, "\", ", $crate::config::value::either!($($rest),+)) };
}
pub(crate) use either;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_units() {
        for (text, expected) in [
            ("0", Some(0)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("14d", Some(1_209_600_000)),
            ("30", None),
            ("", None),
            ("s", None),
            ("5 parsecs", None),
            ("-1s", None),
            ("99999999999999999999s", None),
            ("999999999999d", None),
        ] {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(Duration::from_text(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_carry_units() {
        for (text, expected) in [
            ("2GiB", Some(2 << 30)),
            ("512 MiB", Some(512 << 20)),
            ("1GB", Some(1_000_000_000)),
            ("2", None),
            ("GiB", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(
                Size::from_text(text).ok().map(|size| size.0),
                expected,
                "{text:?}"
            );
        }
    }

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
