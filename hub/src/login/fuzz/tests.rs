//! The corpora of `tests/fuzz/hub`, and small changes of them, at each run of the tests.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;

/// What is put into inputs, because parsers look for it.
const WORDS: [&str; 16] = [
    "&",
    "=",
    "%",
    "%00",
    "state=",
    "code=",
    "error=",
    "oauth_token=",
    ".",
    "\"",
    "{",
    "}",
    ":",
    "null",
    "1e999",
    "\"sub\":",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/hub")
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = folder().join("corpus").join(target);
    let inputs: Vec<_> = names(&folder)
        .iter()
        .map(|name| std::fs::read(folder.join(name)).expect("an input"))
        .collect();
    assert!(inputs.len() >= 10, "{target} has {} inputs", inputs.len());
    inputs
}

/// One small change.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Cut(Index, Index),
    Twice(Index, Index),
    Put(Index, &'static str),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        any::<(Index, Index)>().prop_map(|(from, to)| Change::Cut(from, to)),
        any::<(Index, Index)>().prop_map(|(from, to)| Change::Twice(from, to)),
        (any::<Index>(), prop::sample::select(&WORDS[..]))
            .prop_map(|(at, word)| Change::Put(at, word)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let ends = bytes.len() + 1;
        let order = |a: &Index, b: &Index| {
            let (a, b) = (a.index(ends), b.index(ends));
            (a.min(b), a.max(b))
        };
        match change {
            Change::Flip(at, bit) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Change::Flip(..) => {}
            Change::Cut(from, to) => {
                let (from, to) = order(from, to);
                bytes.drain(from..to);
            }
            Change::Twice(from, to) => {
                let (from, to) = order(from, to);
                let piece = bytes[from..to].to_vec();
                bytes.splice(from..from, piece);
            }
            Change::Put(at, word) => {
                let at = at.index(ends);
                bytes.splice(at..at, word.bytes());
            }
        }
    }
    bytes
}

/// One test for each target: all of its corpus, then small changes.
macro_rules! targets {
    ($($target:ident,)*) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),*];
        $(
            #[test]
            fn $target() {
                let corpus = corpus(stringify!($target));
                corpus.iter().for_each(|bytes| super::$target(bytes));
                proptest!(|(bytes in prop::sample::select(corpus), changes in prop::collection::vec(change(), 1..4))| {
                    super::$target(&changed(bytes, &changes));
                });
            }
        )*
    };
}

targets! {
    callback,
    statement,
    profile,
}

#[test]
fn every_corpus_and_every_program_has_its_target() {
    let mut targets = TARGETS.to_vec();
    targets.sort_unstable();
    assert_eq!(names(&folder().join("corpus")), targets);
    let programs: Vec<String> = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&folder().join("targets")), programs);
}
