//! What was written, where: the file, the environment over it, and flags over both.
//!
//! Unknown sections and keys are found here; values are read by the kind of their setting when they are taken.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};
use super::sections::{SECTIONS, Section};
use super::value::Value;

enum Raw<'t> {
    Text(String),
    File(DeValue<'t>),
}

/// A setting: its section, the section's name where there may be several (else empty), and its key.
type Name = (&'static str, String, &'static str);

/// The longest name of a section.
const NAME: usize = 32;

/// Values by section and key, with their places, and the mistakes found so far.
#[derive(Default)]
pub(super) struct Written<'t> {
    values: BTreeMap<Name, (Raw<'t>, Place)>,
    places: BTreeMap<Name, Place>,
    /// Named sections that were written, and where each began.
    named: BTreeMap<(&'static str, String), Place>,
    pub(super) problems: Vec<Problem>,
}

impl<'t> Written<'t> {
    /// Reads the text of a settings file.
    pub(super) fn add_file(&mut self, path: &Path, text: &'t str) {
        let line_of = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
        let place = |offset: usize| Place::File {
            path: path.to_owned(),
            line: Some(line_of(offset)),
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        let broken: Vec<usize> = errors
            .iter()
            .filter_map(|error| error.span())
            .map(|span| line_of(span.start))
            .collect();
        let is_broken = |offset: usize| broken.contains(&line_of(offset));
        for error in &errors {
            self.problems.push(Problem {
                place: error.span().map_or(
                    Place::File {
                        path: path.to_owned(),
                        line: None,
                    },
                    |span| place(span.start),
                ),
                key: None,
                reason: format!(
                    "this is not TOML: {}",
                    error.message().lines().next().unwrap_or("unreadable")
                ),
                fix: "See holt.example.toml for how settings are written".to_owned(),
            });
        }
        for (section, content) in table.get_ref() {
            let at = section.span().start;
            if is_broken(at) {
                continue;
            }
            let name: &str = section.get_ref();
            let Some(known) = SECTIONS.iter().find(|known| known.name == name) else {
                self.unknown_section(name, place(at), !content.get_ref().is_table());
                continue;
            };
            let DeValue::Table(keys) = content.get_ref() else {
                self.problems.push(Problem {
                    place: place(at),
                    key: Some(name.to_owned()),
                    reason: "it is a section, not a setting".to_owned(),
                    fix: format!("Write [{name}] on a line of its own, and settings below it"),
                });
                continue;
            };
            if !known.is_named {
                self.add_keys(known, "", keys, &place, &is_broken);
                continue;
            }
            for (key, content) in keys {
                let at = key.span().start;
                let name: &str = key.get_ref();
                if is_broken(at) {
                    continue;
                }
                match content.get_ref() {
                    DeValue::Table(keys) if is_name(name) => {
                        self.named.insert((known.name, name.to_owned()), place(at));
                        self.add_keys(known, name, keys, &place, &is_broken);
                    }
                    DeValue::Table(_) => self.bad_name(known.name, name, place(at)),
                    _ => self.problems.push(Problem {
                        place: place(at),
                        key: Some(format!("{}.{name}", known.name)),
                        reason: format!(
                            "there may be several sections [{}], each with a name",
                            known.name
                        ),
                        fix: format!(
                            "Write [{}.<name>] on a line of its own, and settings below it",
                            known.name
                        ),
                    }),
                }
            }
        }
    }

    fn add_keys(
        &mut self,
        known: &'static Section,
        name: &str,
        keys: &DeTable<'t>,
        place: &impl Fn(usize) -> Place,
        is_broken: &impl Fn(usize) -> bool,
    ) {
        for (key, value) in keys {
            let at = key.span().start;
            let text: &str = key.get_ref();
            match known.fields.iter().find(|field| field.key == text) {
                Some(field) => self.put(
                    (field.section, name.to_owned(), field.key),
                    Raw::File(value.get_ref().clone()),
                    place(at),
                ),
                None if is_broken(at) => {}
                None => self.unknown_key(known.name, name, text, place(at)),
            }
        }
    }

    /// Takes the variables `HOLT__SECTION__KEY`; all others are none of ours.
    pub(super) fn add_environment(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) {
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let Some(path) = name.strip_prefix("HOLT__") else {
                continue;
            };
            let place = Place::Variable(name.to_owned());
            let lower = path.to_lowercase();
            let (section, rest) = lower.split_once("__").unwrap_or((&lower, ""));
            let Some(known) = SECTIONS.iter().find(|known| known.name == section) else {
                self.unknown_section(section, place, false);
                continue;
            };
            let (name, key) = if known.is_named {
                rest.split_once("__").unwrap_or((rest, ""))
            } else {
                ("", rest)
            };
            if known.is_named && !is_name(name) {
                self.bad_name(known.name, name, place);
                continue;
            }
            let Some(field) = known.fields.iter().find(|field| field.key == key) else {
                self.unknown_key(known.name, name, key, place);
                continue;
            };
            if known.is_named {
                self.named
                    .entry((known.name, name.to_owned()))
                    .or_insert_with(|| place.clone());
            }
            let setting = (field.section, name.to_owned(), field.key);
            match value.into_string() {
                Ok(text) => self.put(setting, Raw::Text(text), place),
                Err(_) => self.problems.push(Problem {
                    place,
                    key: Some(whole_key(section, name, key)),
                    reason: "it is not UTF-8".to_owned(),
                    fix: "Write plain text".to_owned(),
                }),
            }
        }
    }

    /// A flag of the command line, over everything else.
    pub(super) fn add_flag(
        &mut self,
        flag: &'static str,
        section: &'static str,
        key: &'static str,
        text: &str,
    ) {
        self.put(
            (section, String::new(), key),
            Raw::Text(text.to_owned()),
            Place::Flag(flag),
        );
    }

    fn put(&mut self, name: Name, raw: Raw<'t>, place: Place) {
        self.places.insert(name.clone(), place.clone());
        self.values.insert(name, (raw, place));
    }

    /// The names of all sections of this kind that were written, in order.
    pub(super) fn names(&self, section: &'static str) -> Vec<String> {
        self.named
            .keys()
            .filter(|(kind, _)| *kind == section)
            .map(|(_, name)| name.clone())
            .collect()
    }

    /// Where a setting was written, or else its section.
    pub(super) fn place(&self, (section, name): (&'static str, &str), key: &'static str) -> Place {
        self.places
            .get(&(section, name.to_owned(), key))
            .or_else(|| self.named.get(&(section, name.to_owned())))
            .cloned()
            .unwrap_or(Place::Default)
    }

    /// Reads a setting; a bad value is noted, and the default taken so that the rest can be checked.
    pub(super) fn take<T: Value>(
        &mut self,
        (section, name): (&'static str, &str),
        key: &'static str,
        default: &str,
    ) -> T {
        if let Some((raw, place)) = self.values.remove(&(section, name.to_owned(), key)) {
            let read = match &raw {
                Raw::Text(text) => T::from_text(text),
                Raw::File(value) => T::from_file(value),
            };
            match read {
                Ok(value) => return value,
                Err(refusal) => self.problems.push(Problem {
                    place,
                    key: Some(whole_key(section, name, key)),
                    reason: refusal.reason,
                    fix: refusal.fix,
                }),
            }
        }
        let Ok(value) = T::from_text(default) else {
            unreachable!("the default of {section}.{key} is read by a test")
        };
        value
    }

    fn bad_name(&mut self, section: &'static str, name: &str, place: Place) {
        self.problems.push(Problem {
            place,
            key: Some(format!("{section}.{name}")),
            reason: format!("{name:?} cannot be the name of a section"),
            fix: format!(
                "Write small letters and digits, beginning with a letter, at most {NAME}: [{section}.wiki]"
            ),
        });
    }

    fn unknown_section(&mut self, name: &str, place: Place, is_key: bool) {
        // A key above the first section is the commonest way to get here.
        let homes: Vec<String> = SECTIONS
            .iter()
            .filter(|section| is_key && section.fields.iter().any(|field| field.key == name))
            .map(|section| format!("[{}]", section.name))
            .collect();
        let (reason, fix) = if (1..=2).contains(&homes.len()) {
            (
                format!("{name} stands outside of its section"),
                format!("Write it below {}", homes.join(" or ")),
            )
        } else {
            let sections: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
            let fix = match closest(name, sections.iter().copied()) {
                Some(near) => format!("Did you mean [{near}]?"),
                None => format!("The sections are {}", sections.join(", ")),
            };
            (format!("there is no section {name:?}"), fix)
        };
        self.problems.push(Problem {
            place,
            key: Some(name.to_owned()),
            reason,
            fix,
        });
    }

    fn unknown_key(&mut self, section: &'static str, name: &str, key: &str, place: Place) {
        let all = || SECTIONS.iter().flat_map(|known| known.fields);
        let own = all().filter(|field| field.section == section);
        let fix = if let Some(near) = closest(key, own.map(|field| field.key)) {
            format!("Did you mean {near}?")
        } else if let Some(field) = all().find(|field| field.key == key) {
            format!("It belongs below [{}]", field.section)
        } else {
            format!("Take it out, or see the settings of [{section}] in spec/rules/config.md")
        };
        self.problems.push(Problem {
            place,
            key: Some(whole_key(section, name, key)),
            reason: "there is no such setting".to_owned(),
            fix,
        });
    }
}

/// A setting as it is told: `section.key`, or `section.name.key`.
pub(super) fn whole_key(section: &str, name: &str, key: &str) -> String {
    if name.is_empty() {
        format!("{section}.{key}")
    } else {
        format!("{section}.{name}.{key}")
    }
}

/// Whether a provider may be called so.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= NAME
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// The known word nearest to a mistyped one, if one is near.
fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
