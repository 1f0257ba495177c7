//! What a mirror's lists say, and what of it is believed: pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::DumpsError;

/// The database name of a wiki, such as `simplewiki`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WikiName(String);

impl WikiName {
    /// Takes small letters, digits and underscores, beginning with a letter.
    ///
    /// # Errors
    /// [`DumpsError::Usage`] with an example.
    pub fn parse(text: &str) -> Result<Self, DumpsError> {
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_name = text.len() <= 64
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(is_plain);
        if is_name {
            return Ok(Self(text.to_owned()));
        }
        Err(DumpsError::Usage(format!(
            "{text:?} is not the database name of a wiki; write for example simplewiki or dewiktionary"
        )))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `dumpstatus.json`, as far as it is read here.
#[derive(Debug, Deserialize)]
struct StatusFile {
    // Each is looked at by itself: what makes no sense in one says nothing about the others.
    jobs: BTreeMap<String, Value>,
}

/// One part of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name, such as `articlesdump`.
    pub name: String,
    /// `done`, `waiting`, `in-progress`, `failed`, `skipped`...; `unreadable` where the list has no word for it.
    pub status: String,
    /// Its files.
    pub files: Vec<DumpFile>,
    /// How many entries are no files of this dump by their names, and are left out.
    pub left_out: usize,
}

impl Job {
    /// Whether its files are whole.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.status == "done" && !self.files.is_empty()
    }

    /// All its files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let sizes = self.files.iter().filter_map(|file| file.size);
        sizes.fold(0, u64::saturating_add)
    }
}

/// A file as the list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpFile {
    /// Its name, without a folder.
    pub name: String,
    /// Its size.
    pub size: Option<u64>,
    /// What its content comes to.
    pub sum: Option<Sum>,
}

impl DumpFile {
    /// Whether two entries of one name can mean the same file.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        let is_one_sum = match (&self.sum, &other.sum) {
            (Some(Sum::Sha1(one)), Some(Sum::Sha1(other)))
            | (Some(Sum::Md5(one)), Some(Sum::Md5(other))) => one == other,
            _ => true,
        };
        self.size == other.size && is_one_sum
    }
}

/// A checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sum {
    /// SHA-1, in hexadecimal.
    Sha1(String),
    /// MD5, in hexadecimal.
    Md5(String),
}

impl Sum {
    /// Its digits.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Sha1(text) | Self::Md5(text) => text,
        }
    }

    /// SHA-1 where it is one, of 40 digits; MD5 of 32.
    fn of(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text.len() {
            40 if is_hex => Some(Self::Sha1(text)),
            32 if is_hex => Some(Self::Md5(text)),
            _ => None,
        }
    }
}

/// The jobs of a dump. Jobs whose names are none are left out, and so are names of files that are not this dump's own: they would
/// lead elsewhere on this disk.
pub(super) fn jobs(wiki: &WikiName, date: &str, text: &[u8]) -> Result<Vec<Job>, DumpsError> {
    let list: StatusFile = serde_json::from_slice(text).map_err(|cause| {
        DumpsError::Mirror(format!(
            "the mirror's dumpstatus.json of {} {date} cannot be read ({}); try another --mirror or --date",
            wiki.as_str(),
            printable(&cause.to_string())
        ))
    })?;
    let jobs = list.jobs.into_iter().filter(|(name, _)| is_word(name));
    Ok(jobs
        .map(|(name, entry)| job(wiki, date, name, &entry))
        .collect())
}

fn job(wiki: &WikiName, date: &str, name: String, entry: &Value) -> Job {
    let status = entry["status"].as_str().filter(|status| is_word(status));
    // A job that did not begin has none, and some lists then hold an empty array.
    let all = entry["files"].as_object().into_iter().flatten();
    let (own, others): (Vec<_>, Vec<_>) = all.partition(|(name, _)| is_file_of(wiki, date, name));
    let sum = |entry: &Value, kind| entry[kind].as_str().and_then(Sum::of);
    let file = |(name, entry): (&String, &Value)| DumpFile {
        name: name.clone(),
        size: entry["size"].as_u64(),
        sum: sum(entry, "sha1").or_else(|| sum(entry, "md5")),
    };
    Job {
        name,
        status: status.unwrap_or("unreadable").to_owned(),
        files: own.into_iter().map(file).collect(),
        left_out: others.len(),
    }
}

/// Whether it is a word as lists have them for jobs and how they are.
fn is_word(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_plain)
}

/// What a mirror or another library said, fit for a terminal: one line, nothing that a terminal obeys or that turns the writing
/// around, and not endless.
pub(super) fn printable(text: &str) -> String {
    const MOST: usize = 300;
    let is_obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut clean: String = text
        .chars()
        .take(MOST)
        .map(|c| if is_obeyed(c) { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MOST).is_some() {
        clean.push_str("...");
    }
    clean
}

/// Whether a name is that of a file of this dump: `<wiki>-<date>-...`, nothing that leads anywhere.
fn is_file_of(wiki: &WikiName, date: &str, name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= 200
        && name
            .strip_prefix(&format!("{}-{date}-", wiki.as_str()))
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_plain))
}

/// Checksums of a dump's own list of them: `<sum>  <name>`, one a line.
pub(super) fn sums(text: &str) -> BTreeMap<String, Sum> {
    text.lines()
        .filter_map(|line| {
            let (sum, name) = line.split_once(char::is_whitespace)?;
            Some((name.trim().to_owned(), Sum::of(sum)?))
        })
        .collect()
}

/// The dates that a wiki's folder lists, newest first.
pub(super) fn dates(page: &str) -> Vec<String> {
    let mut dates: Vec<String> = page
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(|link| link.trim_start_matches("./").trim_end_matches('/'))
        .filter(|link| is_date(link))
        .map(str::to_owned)
        .collect();
    dates.sort_unstable_by(|one, other| other.cmp(one));
    dates.dedup();
    dates
}

/// Whether it is a date as dumps are named: eight digits.
pub(super) fn is_date(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wiki() -> WikiName {
        WikiName::parse("simplewiki").unwrap()
    }

    #[test]
    fn a_list_gives_jobs_with_what_is_theirs_alone() {
        let text = br#"{"version": "0.8", "jobs": {
            "articlesdump": {"status": "done", "updated": "2026-01-03 10:00:00", "files": {
                "simplewiki-20260101-pages-articles.xml.bz2": {"size": 7, "url": "/x", "md5": "d41d8cd98f00b204e9800998ecf8427e", "sha1": "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709"},
                "simplewiki-20260101-../../../etc/passwd": {"size": 7},
                "dewiki-20260101-pages-articles.xml.bz2": {"size": 7}}},
            "xmlstubsdump": {"status": "waiting", "files": []}}}"#;
        let jobs = jobs(&wiki(), "20260101", text).unwrap();
        assert_eq!(jobs[0].files.len(), 1);
        assert!(jobs[0].is_done());
        assert_eq!(
            jobs[0].files[0].sum,
            Some(Sum::Sha1("da39a3ee5e6b4b0d3255bfef95601890afd80709".into()))
        );
        assert!(!jobs[1].is_done());
        assert_eq!(jobs[0].left_out, 2);
        assert!(super::jobs(&wiki(), "20260101", b"<html>").is_err());
    }

    #[test]
    fn an_entry_without_sense_is_its_own_matter() {
        let long = "x".repeat(65);
        let name = "simplewiki-20260101-stub.xml.gz";
        let text = serde_json::json!({ "jobs": {
            "articlesdump": { "status": "done", "files": {
                "simplewiki-20260101-a.xml.bz2": { "size": 7, "md5": "d41d8cd98f00b204e9800998ecf8427e" },
                "simplewiki-20260101-b.xml.bz2": { "size": "seven", "md5": 7 },
                "simplewiki-20260101-c.xml.bz2": 7 } },
            "\u{1b}]0;mine\u{7}": { "status": "done", "files": { name: { "size": 7 } } },
            long: { "status": "done", "files": {} },
            "numbered": 7,
            "loud": { "status": "done\u{1b}[2J", "files": { name: { "size": 7 } } } } });
        let found = jobs(&wiki(), "20260101", text.to_string().as_bytes()).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|job| (job.name.as_str(), job.status.as_str(), job.files.len()))
            .collect();
        assert_eq!(
            told,
            [
                ("articlesdump", "done", 3),
                ("loud", "unreadable", 1),
                ("numbered", "unreadable", 0)
            ]
        );
        // They are there, and nobody can take them for whole.
        let sizes: Vec<_> = found[0].files.iter().map(|file| file.size).collect();
        assert_eq!(sizes, [Some(7), None, None]);
        assert_eq!(found[0].files[1].sum, None);
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        assert_eq!(
            printable("a\u{1b}[2J\r\nb\u{9b}c\u{202e}d\u{e4}"),
            "a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}c\u{fffd}d\u{e4}"
        );
        assert_eq!(printable(&"x".repeat(400)).len(), 303);
    }

    #[test]
    fn dates_are_read_from_a_folders_page() {
        let page = r#"<a href="../">../</a> <a href="20251220/">x</a> <a href="20260101/">x</a> <a href="latest/">latest/</a> <a href="./20251201">x</a>"#;
        assert_eq!(dates(page), ["20260101", "20251220", "20251201"]);
    }

    #[test]
    fn only_database_names_are_wikis() {
        for name in ["simplewiki", "be_x_oldwiki", "zh_min_nanwiki"] {
            assert!(WikiName::parse(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "..",
            "a/b",
            "Simple",
            "simple wiki",
            "_x",
            "simple.wikipedia",
        ] {
            assert!(WikiName::parse(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_list_of_sums_is_read() {
        let found = sums("d41d8cd98f00b204e9800998ecf8427e  a.bz2\nrubbish  b.bz2\n\n");
        assert_eq!(
            found["a.bz2"],
            Sum::Md5("d41d8cd98f00b204e9800998ecf8427e".into())
        );
        assert_eq!(found.len(), 1);
    }

    proptest! {
        #[test]
        fn no_list_panics(bytes: Vec<u8>, text: String) {
            let _ = jobs(&wiki(), "20260101", &bytes);
            dates(&text);
            sums(&text);
        }
    }
}
