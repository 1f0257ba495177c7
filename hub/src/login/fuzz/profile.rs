//! What a provider says about a person, after it was proven.

use serde_json::{Map, Value};

use crate::login::mediawiki::claims::Claims;
use crate::login::oidc::claims::Mapping;

/// Takes JSON. Whoever is found has the number and the name that stand in it, and nobody administers without having been named.
///
/// # Panics
/// When that does not hold.
pub fn profile(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    if let Ok(person) = Claims::read(&value) {
        assert!(!person.sub.is_empty() && person.sub.len() <= 19);
        assert!(
            person.sub.bytes().all(|byte| byte.is_ascii_digit()) && !person.sub.starts_with('0')
        );
        let said = match &value["sub"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(person.sub, said);
        assert_eq!(value["username"].as_str(), Some(person.username.as_str()));
        assert!(!person.username.is_empty());
        let text = value["groups"].to_string();
        let is_there = |group: &String| text.contains(&Value::from(group.as_str()).to_string());
        assert!(person.groups.iter().all(is_there));
    }
    if let Value::Object(claims) = &value {
        mapped(claims);
    }
}

/// The mapping of a provider whose groups and administrators are inside of objects.
fn mapped(claims: &Map<String, Value>) {
    let mapping = Mapping {
        id: "sub".to_owned(),
        name: "name".to_owned(),
        groups: Some("realm.roles".to_owned()),
        admin_groups: vec!["keepers".to_owned()],
        admin: Some("is_admin".to_owned()),
    };
    let Ok(person) = mapping.read(claims) else {
        return;
    };
    assert!((1..=255).contains(&person.id.len()) && !person.id.contains(char::is_control));
    let said = match &claims["sub"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    assert_eq!(person.id, said);
    assert_eq!(claims["name"].as_str(), Some(person.name.as_str()));
    assert!(!person.name.is_empty());
    if person.admin {
        let is_said = [Value::from(true), Value::from("true")]
            .iter()
            .any(|truth| claims.get("is_admin") == Some(truth));
        assert!(is_said || Value::from(claims.clone()).to_string().contains("keepers"));
    }
}
