//! What was written, where: the file, the environment over it, and flags over both.
//!
//! Unknown sections and keys are found here; values are read by the kind of their setting when they are taken.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};
use super::section::SECTIONS;
use super::value::Value;

enum Raw<'t> {
    Text(String),
    File(DeValue<'t>),
}

/// Values by section and key, with their places, and the mistakes found so far.
#[derive(Default)]
pub(super) struct Written<'t> {
    values: BTreeMap<(&'static str, &'static str), (Raw<'t>, Place)>,
    places: BTreeMap<(&'static str, &'static str), Place>,
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
            if broken.contains(&line_of(at)) {
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
            for (key, value) in keys {
                let at = key.span().start;
                let text: &str = key.get_ref();
                match known.fields.iter().find(|field| field.key == text) {
                    Some(field) => {
                        self.put(
                            (field.section, field.key),
                            Raw::File(value.get_ref().clone()),
                            place(at),
                        );
                    }
                    None if broken.contains(&line_of(at)) => {}
                    None => self.unknown_key(known.name, text, place(at)),
                }
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
            let (section, key) = lower.split_once("__").unwrap_or((&lower, ""));
            let Some(known) = SECTIONS.iter().find(|known| known.name == section) else {
                self.unknown_section(section, place, false);
                continue;
            };
            let Some(field) = known.fields.iter().find(|field| field.key == key) else {
                self.unknown_key(known.name, key, place);
                continue;
            };
            match value.into_string() {
                Ok(text) => self.put((field.section, field.key), Raw::Text(text), place),
                Err(_) => self.problems.push(Problem {
                    place,
                    key: Some(format!("{section}.{key}")),
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
            (section, key),
            Raw::Text(text.to_owned()),
            Place::Flag(flag),
        );
    }

    fn put(&mut self, name: (&'static str, &'static str), raw: Raw<'t>, place: Place) {
        self.places.insert(name, place.clone());
        self.values.insert(name, (raw, place));
    }

    /// Where a setting was written.
    pub(super) fn place(&self, section: &'static str, key: &'static str) -> Place {
        self.places
            .get(&(section, key))
            .cloned()
            .unwrap_or(Place::Default)
    }

    /// Reads a setting; a bad value is noted, and the default taken so that the rest can be checked.
    pub(super) fn take<T: Value>(
        &mut self,
        section: &'static str,
        key: &'static str,
        default: &str,
    ) -> T {
        if let Some((raw, place)) = self.values.remove(&(section, key)) {
            let read = match &raw {
                Raw::Text(text) => T::from_text(text),
                Raw::File(value) => T::from_file(value),
            };
            match read {
                Ok(value) => return value,
                Err(refusal) => self.problems.push(Problem {
                    place,
                    key: Some(format!("{section}.{key}")),
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

    fn unknown_section(&mut self, name: &str, place: Place, is_key: bool) {
        // A key above the first section is the commonest way to get here.
        let homes: Vec<&str> = SECTIONS
            .iter()
            .filter(|section| is_key && section.fields.iter().any(|field| field.key == name))
            .map(|section| section.name)
            .collect();
        let (reason, fix) = if let [home] = homes[..] {
            (
                format!("{name} stands outside of its section"),
                format!("Write it below [{home}]"),
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

    fn unknown_key(&mut self, section: &'static str, key: &str, place: Place) {
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
            key: Some(format!("{section}.{key}")),
            reason: "there is no such setting".to_owned(),
            fix,
        });
    }
}

/// The known word nearest to a mistyped one, if one is near.
fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
