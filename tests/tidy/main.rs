//! What keeps the rooms apart and the repository clean, held against the files themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the repository")
        .to_owned()
}

/// Every file below `folder` with this ending, as path from the repository and text.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            let name = path
                .strip_prefix(&root)
                .expect("it lies below the root")
                .display()
                .to_string();
            if path.is_dir() {
                if !["target", "tests/output", ".git"].contains(&name.as_str())
                    && !name.ends_with("node_modules")
                {
                    folders.push(path);
                }
            } else if name.ends_with(ending)
                && let Ok(text) = std::fs::read_to_string(&path)
            {
                found.push((name, text));
            }
        }
    }
    assert!(!found.is_empty(), "no file {ending} below {folder}");
    found
}

/// The words in backticks of a table's cell.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The packages whose rooms are in a table of their README.
const PACKAGES: [&str; 2] = ["hub", "proxy"];

/// The table in a package's README: rooms in order, and what each may import.
fn allowed(package: &str) -> Vec<(String, BTreeSet<String>)> {
    let readme = root().join(package).join("README.md");
    let text = std::fs::read_to_string(readme).expect("the package has a README");
    let rows: Vec<_> = text
        .lines()
        .skip_while(|line| !line.contains("may import |"))
        .skip(2)
        .take_while(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
            assert_eq!(cells.len(), 3, "{line}");
            let room = names(cells[0])
                .into_iter()
                .next()
                .expect("a room has a name");
            (room, names(cells[2]))
        })
        .collect();
    assert!(rows.len() > 10, "the table is there");
    rows
}

/// The rooms that a file's text names after `crate::`, braces included.
fn imports(text: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut found = BTreeSet::new();
    for (at, found_at) in text.match_indices("crate::") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &text[at + found_at.len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let mut depth = 0;
                let mut item = String::new();
                for c in list.chars() {
                    match c {
                        '}' if depth == 0 => break,
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => found.extend([word(std::mem::take(&mut item).trim())]),
                        _ if depth == 0 => item.push(c),
                        _ => {}
                    }
                }
                found.insert(word(item.trim()));
            }
            None => {
                found.insert(word(rest));
            }
        }
    }
    found.remove("");
    found
}

/// The room a file lies in.
fn room(path: &str) -> String {
    let (_, inside) = path.split_once("/src/").expect("it is a source file");
    inside
        .split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs")
        .to_owned()
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let wrong: Vec<String> = PACKAGES
        .iter()
        .flat_map(|package| wrong_arrows(package))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Imports of a package that its table does not allow.
fn wrong_arrows(package: &str) -> Vec<String> {
    let table = allowed(package);
    let rooms: BTreeMap<&String, &BTreeSet<String>> =
        table.iter().map(|(room, may)| (room, may)).collect();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, text) in files(&format!("{package}/src"), ".rs") {
        let room = room(&path);
        if ["lib", "main", "tests"].contains(&room.as_str()) {
            continue;
        }
        let Some(may) = rooms.get(&room) else {
            wrong.push(format!(
                "{path}: the room `{room}` is not in {package}/README.md"
            ));
            continue;
        };
        seen.insert(room.clone());
        // Tests of a room may look wherever they must.
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        if path.ends_with("tests.rs") {
            continue;
        }
        for import in imports(code) {
            if import != room && rooms.contains_key(&import) && !may.contains(&import) {
                wrong.push(format!("{path}: `{room}` may not import `{import}`"));
            }
        }
    }
    for (room, _) in &table {
        if !seen.contains(room) {
            wrong.push(format!("{package}/README.md: there is no room `{room}`"));
        }
    }
    wrong
}

#[test]
fn the_tables_have_no_arrow_upwards() {
    for package in PACKAGES {
        no_arrow_upwards(&allowed(package));
    }
}

fn no_arrow_upwards(table: &[(String, BTreeSet<String>)]) {
    let order: BTreeMap<&String, usize> = table
        .iter()
        .enumerate()
        .map(|(place, (room, _))| (room, place))
        .collect();
    for (room, may) in table {
        for below in may {
            let place = order
                .get(below)
                .unwrap_or_else(|| panic!("`{room}` may import `{below}`, which is no room"));
            assert!(
                place > &order[room],
                "`{below}` stands above `{room}`, which imports it"
            );
        }
    }
}

#[test]
fn only_its_room_knows_a_library() {
    let homes = [
        ("axum", "hub/src/http"),
        ("sqlx", "hub/src/store"),
        ("bollard", "hub/src/spawner/docker"),
        ("holt_proxy", "hub/src/cli"),
    ];
    let mut wrong = Vec::new();
    for (library, home) in homes {
        let mut at_home = false;
        for (path, text) in files("hub/src", ".rs") {
            let uses = text.contains(&format!("use {library}::"))
                || text.contains(&format!("{library}::"));
            if uses && path.starts_with(home) {
                at_home = true;
            } else if uses && !path.contains("/tests") {
                wrong.push(format!("{path}: only {home} may know {library}"));
            }
        }
        assert!(at_home, "nobody uses {library}: is the rule still needed?");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_decides() {
    let mut wrong = Vec::new();
    for folder in ["hub", "proxy", "spec", "tests"] {
        for (path, text) in files(folder, ".rs") {
            if !text.starts_with("//! ") || text.lines().next().is_some_and(|line| line.len() < 12)
            {
                wrong.push(format!("{path}: begins without saying what it decides"));
            }
            let lines = text.lines().count();
            if lines > 600 {
                wrong.push(format!("{path}: {lines} lines; part it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_names_a_registry_or_a_machine() {
    // Written in two halves, so that this file does not name them either.
    let forbidden = [
        ["pypi", ".org"],
        ["pythonhosted", ".org"],
        ["crates", ".io"],
        ["npmjs", ".org"],
        ["deb.debian", ".org"],
        ["/work/", "main"],
        ["/work/", "wt"],
        ["/root/.", "cargo"],
        ["/root/.", "pyenv"],
    ]
    .map(|halves| halves.concat());
    let mut wrong = Vec::new();
    for (path, text) in files(".", "") {
        // Cargo writes where packages come from into its lock file.
        if path.ends_with("Cargo.lock") || path.starts_with("target/") || path == ".git" {
            continue;
        }
        for word in &forbidden {
            if text.contains(word.as_str()) {
                wrong.push(format!("{path}: names {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_ignored_or_left_undone() {
    let forbidden = [
        ["#[ig", "nore"],
        ["#[should", "_panic"],
        ["todo", "!("],
        ["unimplemented", "!("],
    ]
    .map(|halves| halves.concat());
    let mut wrong = Vec::new();
    for folder in ["hub", "proxy", "spec", "tests"] {
        for (path, text) in files(folder, ".rs") {
            for word in &forbidden {
                if text.contains(word.as_str()) {
                    wrong.push(format!("{path}: has {word}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
