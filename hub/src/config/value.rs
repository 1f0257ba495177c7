//! The kinds of value a setting may have: how each is written, read and refused.
//!
//! Units stand in the values (`"30s"`, `"2GiB"`), so that no one must remember what a bare number means.

mod list;
mod network;
mod unit;

use std::collections::BTreeMap;

use toml::de::DeValue;

pub use list::Secret;
pub use network::PublicUrl;
pub use unit::Size;

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

impl Value for Option<String> {
    const FORM: &'static str = "text; \"\" is none";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        String::from_text(text).map(|text| (!text.is_empty()).then_some(text))
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
