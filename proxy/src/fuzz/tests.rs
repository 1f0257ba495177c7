//! The corpora of `tests/fuzz`, and small changes of them, at each run of the tests.

use std::path::{Path, PathBuf};

use super::cuts::Chance;

/// What is put into inputs, because parsers look for it.
const WORDS: [&[u8]; 24] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"=",
    b"?",
    b"/",
    b"//",
    b"/../",
    b"%2e",
    b"%2F",
    b"%5c",
    b"0",
    b"ffffffffffffffff",
    b"chunked",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"\xff",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz")
}

/// The inputs of a target, in the order of their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder().join("corpus").join(target);
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    found.sort();
    found
}

/// Tells which input it was, when it is not the end of the story.
struct Tried<'b>(&'b str, &'b str, &'b [u8]);

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Tried(target, name, bytes) = self;
            eprintln!("{target}, from {name}: {}", bytes.escape_ascii());
        }
    }
}

fn changed(bytes: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=chance.below(3) {
        let at = chance.below(bytes.len() + 1);
        let end = (at + 1 + chance.below(8)).min(bytes.len());
        match chance.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => {
                let begin = chance.below(other.len() + 1);
                let end = (begin + 1 + chance.below(24)).min(other.len());
                bytes.splice(at..at, other[begin..end].iter().copied());
            }
            4 => bytes.truncate(at),
            _ => {
                let word = WORDS[chance.below(WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
        }
    }
    bytes
}

/// Runs a target with its corpus, and with so many changes of it.
fn replay(target: &str, run: fn(&[u8]), changes: usize) {
    let mut chance = Chance::new(0x1db3_9a57);
    let corpus = corpus(target);
    assert!(corpus.len() >= 10, "{target} has {} inputs", corpus.len());
    for (name, bytes) in &corpus {
        let _tried = Tried(target, name, bytes);
        run(bytes);
    }
    for turn in 0..changes {
        let (name, bytes) = &corpus[turn % corpus.len()];
        let (_, other) = &corpus[chance.below(corpus.len())];
        let bytes = changed(bytes, other, &mut chance);
        let _tried = Tried(target, name, &bytes);
        run(&bytes);
    }
}

/// One test for each target, so that all that is broken is told at once.
macro_rules! targets {
    ($($target:ident: $changes:literal,)*) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),*];
        $(
            #[test]
            fn $target() {
                replay(stringify!($target), super::$target, $changes);
            }
        )*
    };
}

targets! {
    request_head: 1200,
    response_head: 500,
    chunks: 2000,
    passage: 400,
    path: 2000,
    frames: 2000,
    proxy_header: 2000,
    cookies: 600,
    mysql_answer: 1000,
    mysql_handshake: 2000,
    sql: 2000,
}

#[test]
fn every_corpus_and_every_program_has_its_target() {
    let names = |folder: PathBuf| {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let mut targets = TARGETS.to_vec();
    targets.sort();
    assert_eq!(names(folder().join("corpus")), targets);
    let programs: Vec<String> = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(folder().join("targets")), programs);
}
