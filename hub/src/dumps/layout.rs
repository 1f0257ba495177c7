//! What a mirror's lists say, and what of it is believed: pure.

use std::collections::BTreeMap;

use serde::Deserialize;

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
    jobs: BTreeMap<String, JobEntry>,
}

#[derive(Debug, Deserialize)]
struct JobEntry {
    #[serde(default)]
    status: String,
    #[serde(default)]
    updated: String,
    // A job that did not begin has none, and some lists then hold an empty array.
    #[serde(default)]
    files: serde_json::Value,
}

#[derive(Debug, Deserialize)]
struct FileEntry {
    size: Option<u64>,
    md5: Option<String>,
    sha1: Option<String>,
}

/// One part of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name, such as `articlesdump`.
    pub name: String,
    /// `done`, `waiting`, `in-progress`, `failed`, `skipped`...
    pub status: String,
    /// When that was, as the list has it.
    pub updated: String,
    /// Its files.
    pub files: Vec<DumpFile>,
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

/// A checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sum {
    /// SHA-1, in hexadecimal.
    Sha1(String),
    /// MD5, in hexadecimal.
    Md5(String),
}

impl Sum {
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

/// The jobs of a dump. Names of files that are not this dump's own are left out: they would lead elsewhere on this disk.
pub(super) fn jobs(wiki: &WikiName, date: &str, text: &[u8]) -> Result<Vec<Job>, DumpsError> {
    let list: StatusFile = serde_json::from_slice(text).map_err(|cause| {
        DumpsError::Mirror(format!(
            "the mirror's dumpstatus.json of {} {date} cannot be read ({cause}); try another --mirror or --date",
            wiki.as_str()
        ))
    })?;
    let jobs = list.jobs.into_iter().map(|(name, entry)| {
        let files: BTreeMap<String, FileEntry> =
            serde_json::from_value(entry.files).unwrap_or_default();
        let files = files
            .into_iter()
            .filter(|(name, _)| is_file_of(wiki, date, name));
        Job {
            name,
            status: entry.status,
            updated: entry.updated,
            files: files
                .map(|(name, file)| DumpFile {
                    name,
                    size: file.size,
                    sum: file
                        .sha1
                        .as_deref()
                        .and_then(Sum::of)
                        .or_else(|| file.md5.as_deref().and_then(Sum::of)),
                })
                .collect(),
        }
    });
    Ok(jobs.collect())
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
        assert!(super::jobs(&wiki(), "20260101", b"<html>").is_err());
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
