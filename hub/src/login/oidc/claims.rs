//! From claims to a person: which account it is, what it is called, its groups, and whether it administers.
//!
//! **Invariant:** without a usable id and a name there is nobody; nothing stands in for either. Texts are taken byte for byte.

use serde_json::{Map, Value};

use crate::login::provider::LoginError;

/// OpenID Connect allows 255 characters of ASCII.
const ID_BYTES: usize = 255;

/// Which claims are read. A path with dots leads into objects.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) groups: Option<String>,
    pub(crate) admin_groups: Vec<String>,
    pub(crate) admin: Option<String>,
}

/// What claims say.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
    pub(crate) admin: bool,
    pub(crate) confirmed_email: Option<bool>,
}

impl Mapping {
    /// Whether every claim that is read is there.
    pub(crate) fn is_answered_by(&self, claims: &Map<String, Value>) -> bool {
        [Some(&self.id), Some(&self.name)]
            .into_iter()
            .chain([self.groups.as_ref(), self.admin.as_ref()])
            .flatten()
            .all(|path| find(claims, path).is_some())
    }

    /// Who it is.
    ///
    /// # Errors
    /// [`LoginError::Refused`] without a usable id or name.
    pub(crate) fn read(&self, claims: &Map<String, Value>) -> Result<About, LoginError> {
        let id = find(claims, &self.id)
            .and_then(id)
            .ok_or_else(|| refused("The provider does not say which account this is", &self.id))?;
        let name = find(claims, &self.name)
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
            .ok_or_else(|| {
                refused(
                    "The provider does not say what this account is called",
                    &self.name,
                )
            })?;
        let groups = self
            .groups
            .as_deref()
            .and_then(|path| find(claims, path))
            .map_or_else(Vec::new, groups);
        let admin = groups.iter().any(|group| self.admin_groups.contains(group))
            || self
                .admin
                .as_deref()
                .and_then(|path| find(claims, path))
                .and_then(truth)
                .unwrap_or(false);
        Ok(About {
            id,
            name: name.to_owned(),
            groups,
            admin,
            confirmed_email: claims.get("email_verified").and_then(truth),
        })
    }
}

/// The claim at a path: a claim of that very name, or, in an object, what the rest of the path leads to. Null is as good as absent.
fn find<'c>(claims: &'c Map<String, Value>, path: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(path) {
        return Some(value).filter(|value| !value.is_null());
    }
    path.match_indices('.').find_map(|(dot, _)| {
        let inside = claims.get(&path[..dot])?.as_object()?;
        find(inside, &path[dot + 1..])
    })
}

/// A text, or a whole number as decimal text. A fraction, or a number too large to be kept exactly, could join two accounts.
fn id(value: &Value) -> Option<String> {
    let id = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_u64() || number.is_i64() => number.to_string(),
        _ => return None,
    };
    let is_usable = !id.is_empty() && id.len() <= ID_BYTES && !id.contains(char::is_control);
    is_usable.then_some(id)
}

fn groups(value: &Value) -> Vec<String> {
    let mut groups: Vec<String> = match value {
        Value::Array(items) => items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        Value::String(text) => text
            .split(|c: char| c == ',' || c.is_whitespace())
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    };
    groups.retain(|group| !group.is_empty());
    groups
}

/// Some providers write truth as text.
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text == "true" => Some(true),
        Value::String(text) if text == "false" => Some(false),
        _ => None,
    }
}

fn refused(what: &str, path: &str) -> LoginError {
    LoginError::Refused(format!(
        "{what} (\"{path}\"): ask an administrator of this hub to look at its settings."
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mapping() -> Mapping {
        Mapping {
            id: "sub".to_owned(),
            name: "profile.name".to_owned(),
            groups: Some("realm_access.roles".to_owned()),
            admin_groups: vec!["keepers".to_owned()],
            admin: Some("is.admin".to_owned()),
        }
    }

    fn read(claims: &Value) -> Result<About, LoginError> {
        mapping().read(claims.as_object().expect("an object"))
    }

    #[test]
    fn a_literal_name_wins_over_a_path() {
        let about = read(&json!({
            "sub": "1", "profile": {"name": "inside"}, "profile.name": "literal",
            "is": {"admin": "true"},
        }));
        let about = about.expect("a person");
        assert_eq!((about.name.as_str(), about.admin), ("literal", true));
    }

    #[test]
    fn keys_with_dots_are_found_on_the_way() {
        let claims = json!({"a.b": {"c.d": 1}, "a": {"x": 2}});
        let claims = claims.as_object().expect("an object");
        assert_eq!(find(claims, "a.b.c.d"), Some(&json!(1)));
        assert_eq!(find(claims, "a.x"), Some(&json!(2)));
        assert_eq!(find(claims, "a.b.c"), None);
    }

    #[test]
    fn ids_are_texts_or_whole_numbers() {
        let table = [
            (json!("0b1f"), Some("0b1f")),
            (json!(583_231), Some("583231")),
            (json!(-3), Some("-3")),
            (
                json!(18_446_744_073_709_551_615_u64),
                Some("18446744073709551615"),
            ),
            (
                serde_json::from_str("18446744073709551616").expect("a number"),
                None,
            ),
            (json!(1.0), None),
            (json!(""), None),
            (json!("a\nb"), None),
            (json!("x".repeat(256)), None),
            (json!(true), None),
            (json!(null), None),
            (json!(["1"]), None),
        ];
        for (value, expected) in table {
            assert_eq!(id(&value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn groups_are_a_list_or_a_text() {
        let expected = ["ink".to_owned(), "keepers".to_owned()];
        for value in [
            json!(["ink", "keepers", "", 7, null]),
            json!("ink keepers"),
            json!(" ink, keepers,"),
        ] {
            let about = read(&json!({
                "sub": "1", "profile.name": "wren", "realm_access": {"roles": value},
            }))
            .expect("a person");
            assert_eq!(about.groups, expected);
            assert!(about.admin);
        }
    }

    #[test]
    fn nobody_is_without_a_name() {
        for name in [json!(null), json!(""), json!(5), json!({})] {
            let answer = read(&json!({"sub": "1", "profile": {"name": name}}));
            assert!(matches!(answer, Err(LoginError::Refused(words)) if words.ends_with('.')));
        }
    }
}
