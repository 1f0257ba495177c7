//! Who may come in by a provider. Pure.
//!
//! Where nothing is said, nobody may. Every refusal is a whole sentence that says which rule it was, so that a person knows what to ask
//! for and an operator what to change.

use super::provider::Person;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// The operator's rules, as `[access]` has them.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Whoever the provider vouches for.
    pub allow_all: bool,
    /// Names, or `<provider>:<number>`.
    pub allow: Vec<String>,
    /// Groups at the provider.
    pub allow_groups: Vec<String>,
    /// As `allow`; stands over everything else.
    pub block: Vec<String>,
    /// As `allow`; they administer too.
    pub admins: Vec<String>,
    /// Milliseconds.
    pub min_account_age_ms: i64,
    /// Edits on the wiki.
    pub min_edits: u64,
    /// Whether a block on the wiki refuses.
    pub refuse_blocked: bool,
    /// Whether an address of e-mail must be confirmed.
    pub require_confirmed_email: bool,
}

/// Who comes in, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// As a user.
    User,
    /// As an administrator.
    Admin,
}

impl Rules {
    /// Whether a person may come in; the provider is named as in the settings.
    ///
    /// # Errors
    /// Why not, as a whole sentence.
    pub fn admit(&self, provider: &str, person: &Person, now_ms: i64) -> Result<Admitted, String> {
        let is_listed =
            |list: &[String]| list.iter().any(|entry| is_meant(entry, provider, person));
        if is_listed(&self.block) {
            return Err("The people who run this hub do not let this account in.".to_owned());
        }
        let is_admin = person.admin || is_listed(&self.admins);
        if is_admin {
            // Rules about wikis are not meant for those who made them.
            return Ok(Admitted::Admin);
        }
        let is_allowed = self.allow_all
            || is_listed(&self.allow)
            || person
                .groups
                .iter()
                .any(|group| self.allow_groups.contains(group));
        if !is_allowed {
            return Err(
                "This account is not on the list of those who may use this hub. Ask the people who run it."
                    .to_owned(),
            );
        }
        self.check_account(person, now_ms)?;
        Ok(Admitted::User)
    }

    fn check_account(&self, person: &Person, now_ms: i64) -> Result<(), String> {
        if self.min_account_age_ms > 0 {
            let days = (self.min_account_age_ms + DAY_MS - 1) / DAY_MS;
            match person.registered {
                Some(at) if now_ms.saturating_sub(at) >= self.min_account_age_ms => {}
                Some(_) => {
                    return Err(format!(
                        "This account is too young: it must be at least {days} days old. Come back then."
                    ));
                }
                // Accounts from the first years have no date; a rule against new ones does not mean them. Other providers tell none.
                None if person.edits.is_some() => {}
                None => {
                    return Err(format!(
                        "Accounts must be at least {days} days old, and the provider does not say how old this one is."
                    ));
                }
            }
        }
        if self.min_edits > 0 && person.edits.unwrap_or(0) < self.min_edits {
            return Err(format!(
                "This account has {} edits on the wiki, and {} are needed.",
                person.edits.unwrap_or(0),
                self.min_edits
            ));
        }
        if self.refuse_blocked && person.blocked {
            return Err(
                "This account is blocked on the wiki, and this hub does not let blocked accounts in.".to_owned(),
            );
        }
        if self.require_confirmed_email && person.confirmed_email != Some(true) {
            return Err(
                "This account has no confirmed address of e-mail. Confirm one in your preferences there, then sign in again."
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// Whether an entry of a list means this person: by `<provider>:<number>`, or by name as an operator types it. What looks like the
/// former is never a name: with some providers people choose theirs freely.
fn is_meant(entry: &str, provider: &str, person: &Person) -> bool {
    match provider_of(entry) {
        Some(named) => entry[named.len() + 1..] == person.sub && named == provider,
        None => entry == person.name || (person.edits.is_some() && wiki_form(entry) == person.name),
    }
}

/// The provider that an entry of a list names, when it is `<provider>:<number>` and no name.
fn provider_of(entry: &str) -> Option<&str> {
    let (named, _) = entry.split_once(':')?;
    let is_provider = named.starts_with(|first: char| first.is_ascii_lowercase())
        && named
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    is_provider.then_some(named)
}

/// A wiki's form of a typed name: `_` is a space, and the first letter, if it is one of ASCII, is a capital.
fn wiki_form(typed: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;

    let spaced: String = typed.replace('_', " ").trim().nfc().collect();
    let mut letters = spaced.chars();
    match letters.next() {
        Some(first) => first.to_ascii_uppercase().to_string() + letters.as_str(),
        None => spaced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> Person {
        Person {
            issuer: "https://wiki".into(),
            sub: "7".into(),
            name: "O'Brien (WMF)".into(),
            groups: vec!["autoconfirmed".into()],
            admin: false,
            confirmed_email: Some(true),
            registered: Some(0),
            edits: Some(10),
            blocked: false,
            auth_state: serde_json::Value::Null,
        }
    }

    fn list(entries: &[&str]) -> Vec<String> {
        entries.iter().map(|entry| (*entry).to_owned()).collect()
    }

    #[test]
    fn where_nothing_is_said_nobody_comes_in() {
        let refusal = Rules::default().admit("wiki", &person(), 0);
        assert!(refusal.is_err_and(|words| words.contains("not on the list")));
    }

    #[test]
    fn lists_name_people_by_number_name_or_group() {
        let cases = [
            (list(&["wiki:7"]), true),
            (list(&["other:7"]), false),
            (list(&["wiki:77"]), false),
            (list(&["o'Brien_(WMF)"]), true),
            (list(&["O'BRIEN (WMF)"]), false),
        ];
        for (allow, expected) in cases {
            let rules = Rules {
                allow: allow.clone(),
                ..Rules::default()
            };
            let admitted = rules.admit("wiki", &person(), 0);
            assert_eq!(admitted.is_ok(), expected, "{allow:?}");
        }
        let by_group = Rules {
            allow_groups: list(&["autoconfirmed"]),
            ..Rules::default()
        };
        assert_eq!(by_group.admit("wiki", &person(), 0), Ok(Admitted::User));
        let admins = Rules {
            admins: list(&["wiki:7"]),
            min_edits: 1000,
            ..Rules::default()
        };
        assert_eq!(admins.admit("wiki", &person(), 0), Ok(Admitted::Admin));
        let blocked = Rules {
            block: list(&["wiki:7"]),
            allow_all: true,
            ..admins
        };
        assert!(blocked.admit("wiki", &person(), 0).is_err());
    }

    #[test]
    fn a_name_that_looks_like_a_number_elsewhere_is_not_taken_for_it() {
        let rules = Rules {
            allow_all: true,
            admins: list(&["wiki:7", "Foo:bar"]),
            ..Rules::default()
        };
        let called = |name: &str| Person {
            sub: "8".into(),
            name: name.into(),
            edits: None,
            ..person()
        };
        assert_eq!(
            rules.admit("other", &called("wiki:7"), 0),
            Ok(Admitted::User)
        );
        assert_eq!(
            rules.admit("wiki", &called("wiki:7"), 0),
            Ok(Admitted::User)
        );
        assert_eq!(
            rules.admit("other", &called("Foo:bar"), 0),
            Ok(Admitted::Admin)
        );
    }

    #[test]
    fn each_rule_about_the_account_says_which_it_was() {
        let open = Rules {
            allow_all: true,
            ..Rules::default()
        };
        let cases: [(Rules, Person, &str); 5] = [
            (
                Rules {
                    min_account_age_ms: 4 * DAY_MS,
                    ..open.clone()
                },
                Person {
                    registered: Some(2 * DAY_MS),
                    ..person()
                },
                "at least 4 days old",
            ),
            (
                Rules {
                    min_account_age_ms: DAY_MS,
                    ..open.clone()
                },
                Person {
                    registered: None,
                    edits: None,
                    ..person()
                },
                "does not say",
            ),
            (
                Rules {
                    min_edits: 11,
                    ..open.clone()
                },
                person(),
                "10 edits on the wiki, and 11",
            ),
            (
                Rules {
                    refuse_blocked: true,
                    ..open.clone()
                },
                Person {
                    blocked: true,
                    ..person()
                },
                "is blocked",
            ),
            (
                Rules {
                    require_confirmed_email: true,
                    ..open.clone()
                },
                Person {
                    confirmed_email: None,
                    ..person()
                },
                "confirmed address",
            ),
        ];
        for (rules, person, words) in cases {
            let refusal = rules.admit("wiki", &person, 5 * DAY_MS);
            assert!(
                refusal.as_ref().is_err_and(|said| said.contains(words)),
                "{words}: {refusal:?}"
            );
        }
        // Unless told otherwise, a block is shown and not enforced.
        let blocked = Person {
            blocked: true,
            ..person()
        };
        assert_eq!(open.admit("wiki", &blocked, 0), Ok(Admitted::User));
    }
}
