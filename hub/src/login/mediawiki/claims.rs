//! What a wiki says about a person, in a signed statement or a profile, read leniently.
//!
//! PHP turns lists with holes into objects, and numbers may come as floats; neither says anything. An account without a name is one
//! that was suppressed, so a missing name never becomes an empty one.

use serde_json::{Map, Value};
use time::PrimitiveDateTime;
use time::macros::format_description;

use crate::login::provider::{LoginError, Person};

/// Digits of the largest number an account can have.
const SUB_DIGITS: usize = 19;

/// A person, as the wiki describes them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Claims {
    /// The account's number.
    pub(crate) sub: String,
    /// Byte for byte as given.
    pub(crate) username: String,
    pub(crate) groups: Vec<String>,
    pub(crate) confirmed_email: Option<bool>,
    /// Milliseconds since 1970.
    pub(crate) registered: Option<i64>,
    pub(crate) edits: Option<u64>,
    pub(crate) blocked: bool,
}

impl Claims {
    /// # Errors
    /// [`LoginError::Refused`] for accounts that cannot sign in, [`LoginError::Unproven`] for what nobody can be found by.
    pub(crate) fn read(value: &Value) -> Result<Self, LoginError> {
        let claims = value.as_object().ok_or(LoginError::Unproven("claims"))?;
        let sub = read_sub(claims)?;
        let username = match claims.get("username") {
            Some(Value::String(name)) if !name.is_empty() => name.clone(),
            _ => {
                return Err(LoginError::Refused(
                    "The wiki does not say what this account is called: it was hidden, so it cannot sign in here."
                        .to_owned(),
                ));
            }
        };
        Ok(Self {
            sub,
            username,
            groups: claims.get("groups").map(list).unwrap_or_default(),
            confirmed_email: claims
                .get("confirmed_email")
                .or_else(|| claims.get("email_verified"))
                .and_then(truth),
            registered: claims.get("registered").and_then(moment),
            edits: claims.get("editcount").and_then(count),
            blocked: claims.get("blocked").and_then(truth).unwrap_or(false),
        })
    }

    /// Who this is, with what is to be kept of the sign-in.
    pub(super) fn person(self, issuer: &str, admin_groups: &[String], auth_state: Value) -> Person {
        Person {
            issuer: issuer.to_owned(),
            admin: self.groups.iter().any(|group| admin_groups.contains(group)),
            sub: self.sub,
            name: self.username,
            groups: self.groups,
            confirmed_email: self.confirmed_email,
            registered: self.registered,
            edits: self.edits,
            blocked: self.blocked,
            auth_state,
        }
    }
}

/// Whether this is an account's number: nothing else may name a home.
pub(crate) fn is_sub(text: &str) -> bool {
    (1..=SUB_DIGITS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && !text.starts_with('0')
}

fn read_sub(claims: &Map<String, Value>) -> Result<String, LoginError> {
    let sub = match claims.get("sub") {
        Some(Value::String(sub)) => sub.clone(),
        // A float may have lost digits, and then it is somebody else's.
        Some(Value::Number(sub)) if sub.is_u64() => sub.to_string(),
        _ => return Err(LoginError::Unproven("sub")),
    };
    if sub.is_empty() || sub == "0" {
        return Err(LoginError::Refused(
            "This account is not attached to a central one, so it cannot sign in here.".to_owned(),
        ));
    }
    if is_sub(&sub) {
        Ok(sub)
    } else {
        Err(LoginError::Unproven("sub"))
    }
}

/// The words of a list, or of an object that was one.
pub(crate) fn list(value: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().map(str::to_owned);
    match value {
        Value::Array(items) => items.iter().filter_map(word).collect(),
        Value::Object(items) => items.values().filter_map(word).collect(),
        _ => Vec::new(),
    }
}

/// A truth as PHP may write it.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => Some(number.as_f64() != Some(0.0)),
        Value::String(text) => Some(!["", "0", "false"].contains(&text.as_str())),
        _ => None,
    }
}

/// A count, also when it comes as a float or as text.
pub(super) fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| {
            let float = number.as_f64()?;
            // The cast holds what is left of it: all numbers in this range are exact.
            (0.0..=9e15).contains(&float).then_some(float as u64)
        }),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// `YYYYMMDDHHMMSS`, in UTC, as milliseconds since 1970.
fn moment(value: &Value) -> Option<i64> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_u64()?.to_string(),
        _ => return None,
    };
    if text.len() != 14 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let form = format_description!("[year][month][day][hour][minute][second]");
    let moment = PrimitiveDateTime::parse(&text, form).ok()?;
    Some(moment.assume_utc().unix_timestamp() * 1000)
}
