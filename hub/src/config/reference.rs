//! The written reference and the example file, made from the settings' own declarations.

use std::fmt::Write as _;

use super::section::Field;
use super::sections::{SECTIONS, Section};
use super::value::{Secret, Value as _};

/// A default as it stands in the file.
fn in_file(field: &Field) -> String {
    if field.quoted {
        format!("\"{}\"", field.default)
    } else {
        field.default.to_owned()
    }
}

/// The variable that stands over the file.
fn variable(section: &Section, field: &Field) -> String {
    format!(
        "HOLT__{}__{}{}",
        field.section.to_uppercase(),
        if section.is_named { "<NAME>__" } else { "" },
        field.key.to_uppercase()
    )
}

/// What stands between the brackets.
fn heading(section: &Section) -> String {
    if section.is_named {
        format!("{}.<name>", section.name)
    } else {
        section.name.to_owned()
    }
}

/// `spec/rules/config.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# Settings\n\n\
         This page is made from the code; a test compares them.\n\n\
         Holt needs no settings.\n\
         It reads `--config`, else `./holt.toml`, else `holt.toml` in the data directory, if there is one.\n\
         The environment `HOLT__SECTION__KEY` stands over the file, and flags over both.\n\
         `holt check` reports every mistake at once; a start with mistakes ends with code 64.\n\n\
         The data directory is given by `--data-dir`, else `HOLT_DATA_DIR`, else it is `holt` in the XDG data directory.\n",
    );
    for section in SECTIONS {
        let _ = write!(
            page,
            "\n## `[{}]`\n\n{}\n\n",
            heading(section),
            section.about
        );
        page.push_str(
            "| key | written as | default | meaning | environment |\n|---|---|---|---|---|\n",
        );
        for field in section.fields {
            let doc = field.doc.split_whitespace().collect::<Vec<_>>().join(" ");
            let _ = writeln!(
                page,
                "| `{}` | {} | `{}` | {doc} | `{}` |",
                field.key,
                field.form,
                in_file(field),
                variable(section, field)
            );
        }
    }
    page
}

/// `spec/rules/holt.example.toml`: every setting at its default, commented out.
#[must_use]
pub fn example() -> String {
    let mut file = String::from(
        "# Every setting at its default. Holt needs none of them: take the mark away before what you want to change.\n\
         # `holt check` reports every mistake at once.\n",
    );
    for section in SECTIONS {
        // A named section exists once it is written: it stays a comment as a whole.
        let mark = if section.is_named { "# " } else { "" };
        let called = match section.name {
            "mount" => "dumps",
            "group" => "team",
            _ => "wiki",
        };
        let name = heading(section).replace("<name>", called);
        let _ = write!(file, "\n# {}\n{mark}[{name}]\n", section.about);
        // A secret is never written there.
        let is_shown = |field: &&Field| field.form != <Option<Secret>>::FORM;
        for field in section.fields.iter().filter(is_shown) {
            let doc = field.doc.split_whitespace().collect::<Vec<_>>().join(" ");
            let _ = write!(
                file,
                "\n# {doc}\n# Written as {}.\n{}{} = {}\n",
                field.form,
                if section.is_named { "# " } else { "#" },
                field.key,
                in_file(field)
            );
        }
    }
    file
}
