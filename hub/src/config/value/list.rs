//! Values of several words, of files and of addresses.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use toml::de::DeValue;
use url::Url;

use super::{Refusal, Value, kind_of};

/// A secret. It never stands in the settings file, and is never shown.
#[derive(Debug, Clone)]
pub struct Secret(pub SecretString);

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        crate::secret::same(self.0.expose_secret(), other.0.expose_secret())
    }
}

impl Value for Option<Secret> {
    const FORM: &'static str = "text, in the environment only";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        Ok((!text.is_empty()).then(|| Secret(SecretString::from(text.to_owned()))))
    }

    fn from_file(_: &DeValue<'_>) -> Result<Self, Refusal> {
        Err(Refusal::new(
            "a secret must not stand in the settings file",
            "Put it into a file of its own, mode 0600, and name that file, or give it by the environment",
        ))
    }
}

impl Value for Option<PathBuf> {
    const FORM: &'static str = "the path of a file; \"\" is none";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Ok(None);
        }
        let path = PathBuf::from(text);
        if path.is_absolute() {
            Ok(Some(path))
        } else {
            Err(Refusal::new(
                format!("{text:?} begins nowhere"),
                "Write the whole path, from /",
            ))
        }
    }
}

impl Value for Option<Url> {
    const FORM: &'static str = "an address with http:// or https://; \"\" is none";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Ok(None);
        }
        let refused = |reason: &str| {
            Err(Refusal::new(
                format!("{text:?} {reason}"),
                "Write for example \"https://meta.wikimedia.org/w/index.php\"",
            ))
        };
        match Url::parse(text) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() => {
                refused("is no address with http:// or https://")
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                refused("has a name or password in it")
            }
            Ok(url) if url.fragment().is_some() => refused("has a fragment"),
            Ok(url) => Ok(Some(url)),
            Err(_) => refused("is no address"),
        }
    }
}

impl Value for Vec<String> {
    const FORM: &'static str = "a list such as [\"one\", \"two\"]";
    const QUOTED: bool = false;

    fn from_text(text: &str) -> Result<Self, Refusal> {
        let line = format!("value = {text}");
        // Names may hold anything, commas too: what is no list is refused rather than guessed at.
        let table = toml::de::DeTable::parse(&line).map_err(|_| not_a_list())?;
        match table.get_ref().get("value") {
            Some(value) => Self::from_file(value.get_ref()),
            None => Err(not_a_list()),
        }
    }

    fn from_file(value: &DeValue<'_>) -> Result<Self, Refusal> {
        let DeValue::Array(items) = value else {
            return Err(not_a_list());
        };
        items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) if !text.is_empty() => String::from_text(text),
                DeValue::String(_) => Err(Refusal::new("an entry is empty", "Take it out")),
                other => Err(Refusal::new(
                    format!("{} stands where a text is wanted", kind_of(other)),
                    format!("Write {}", <Self as Value>::FORM),
                )),
            })
            .collect()
    }
}

fn not_a_list() -> Refusal {
    Refusal::new(
        "it is not a list of texts",
        format!("Write {}", <Vec<String> as Value>::FORM),
    )
}
