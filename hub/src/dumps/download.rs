//! One file: taken up where it was left, checked as a whole, and only then given its name.
//!
//! What is not whole lies beside it as `.<name>.part`, with what the mirror said of that version in `.<name>.part.json`. A later call
//! goes on from there if the mirror still has the same version (RFC 9110, 13.1.5: `If-Range`), and begins anew otherwise.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use sha1::Sha1;

use super::layout::Sum;
use super::mirror::{Mirror, Verdict, last_cause, pause_before};
use super::{DumpsError, Progress};

/// Whole files with a wrong checksum before it is the mirror's fault.
const WRONG: u32 = 2;

/// A file to get.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Below the mirror's address.
    pub(super) path: String,
    /// Where it shall be.
    pub(super) target: PathBuf,
    pub(super) size: u64,
    pub(super) sum: Sum,
}

/// Which version a part is of, as the mirror named it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    etag: Option<String>,
    last_modified: Option<String>,
    size: u64,
    sum: String,
}

impl Version {
    fn of(headers: &HeaderMap, wanted: &Wanted) -> Self {
        let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
        Self {
            // A weak one says nothing about bytes.
            etag: text(ETAG).filter(|etag| etag.starts_with('"')),
            last_modified: text(LAST_MODIFIED),
            size: wanted.size,
            sum: sum_text(&wanted.sum).to_owned(),
        }
    }

    /// What a question for the rest names it by.
    fn validator(&self) -> Option<&str> {
        self.etag.as_deref().or(self.last_modified.as_deref())
    }
}

fn sum_text(sum: &Sum) -> &str {
    match sum {
        Sum::Sha1(text) | Sum::Md5(text) => text,
    }
}

/// How one try ended.
enum Try {
    /// All bytes are there.
    Whole,
    /// Not yet; why, and how long to wait.
    Again(String, Option<std::time::Duration>),
    /// The part is no beginning of the file: it is thrown away.
    Anew(String),
}

/// Gets the file, giving up after so many `tries` in a row that bring nothing new.
///
/// # Errors
/// The reason, with what to do. What was had stays for the next call.
pub(super) async fn download(
    mirror: &Mirror,
    wanted: &Wanted,
    tries: u32,
    progress: &dyn Progress,
) -> Result<(), DumpsError> {
    let part = Part::beside(&wanted.target);
    let mut fruitless = 0;
    let mut wrong = 0;
    let mut most = part.length();
    loop {
        let ended = attempt(mirror, wanted, &part, progress).await?;
        let (reason, pause) = match ended {
            Try::Whole => {
                if sum_of(&part.path, &wanted.sum, progress).await? == sum_text(&wanted.sum) {
                    return part.finish(&wanted.target);
                }
                part.remove()?;
                most = 0;
                wrong += 1;
                if wrong >= WRONG {
                    return Err(DumpsError::Wrong(format!(
                        "{}: its checksum was wrong {WRONG} times. The mirror {} has another file than its list says; try another --mirror or --date",
                        wanted.path,
                        mirror.base()
                    )));
                }
                progress.say("The checksum is wrong; getting the file once more");
                continue;
            }
            Try::Anew(reason) => {
                part.remove()?;
                (reason, None)
            }
            Try::Again(reason, pause) => (reason, pause),
        };
        let length = part.length();
        fruitless = if length > most { 0 } else { fruitless + 1 };
        most = most.max(length);
        if fruitless >= tries {
            return Err(DumpsError::Mirror(format!(
                "{}: {reason}, {tries} times in a row. {} of {} bytes are kept; run the same again later, or try another --mirror",
                wanted.path, length, wanted.size
            )));
        }
        progress.say(&format!("{reason}; trying again"));
        tokio::time::sleep(pause.unwrap_or_else(|| pause_before(fruitless))).await;
    }
}

/// One question and what comes of it.
async fn attempt(
    mirror: &Mirror,
    wanted: &Wanted,
    part: &Part,
    progress: &dyn Progress,
) -> Result<Try, DumpsError> {
    let known = part.version().filter(|known| {
        known.size == wanted.size
            && known.sum == sum_text(&wanted.sum)
            && known.validator().is_some()
    });
    let mut have = match known {
        Some(_) => part.length(),
        None => 0,
    };
    if have > wanted.size {
        have = 0;
    }
    if have == wanted.size && have > 0 {
        return Ok(Try::Whole);
    }
    let mut request = mirror.get(&wanted.path)?;
    if have > 0
        && let Some(validator) = known.as_ref().and_then(Version::validator)
    {
        request = request
            .header(RANGE, format!("bytes={have}-"))
            .header(IF_RANGE, validator);
    }
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => {
            let reason = last_cause(&error);
            return Ok(Try::Again(
                format!("the mirror does not answer ({reason})"),
                None,
            ));
        }
    };
    let from = match answer.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if have > 0 => {
            if range_of(&answer) != Some((have, wanted.size)) {
                return Ok(Try::Anew(
                    "the mirror sent another range than was asked for".into(),
                ));
            }
            have
        }
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
            return Ok(Try::Anew("the mirror has no such range".into()));
        }
        _ => match Verdict::of(&answer) {
            Verdict::Absent => {
                return Err(DumpsError::Absent(format!(
                    "{}{} is in the dump's list, but not on the mirror; try another --mirror",
                    mirror.base(),
                    wanted.path
                )));
            }
            Verdict::Later(reason, pause) => return Ok(Try::Again(reason, pause)),
            Verdict::Refused(reason) => {
                return Err(DumpsError::Mirror(format!("{}: {reason}", wanted.path)));
            }
            Verdict::Good => {
                return Ok(Try::Anew(format!("the mirror answers {}", answer.status())));
            }
        },
    };
    receive(answer, from, wanted, part, progress).await
}

/// Writes what comes, never more than the file has.
async fn receive(
    mut answer: Response,
    from: u64,
    wanted: &Wanted,
    part: &Part,
    progress: &dyn Progress,
) -> Result<Try, DumpsError> {
    if let Some(length) = answer.content_length()
        && from.checked_add(length) != Some(wanted.size)
    {
        return Ok(Try::Again(
            format!(
                "the mirror says {} bytes, the dump's list {}",
                from.saturating_add(length),
                wanted.size
            ),
            None,
        ));
    }
    if from == 0 {
        part.begin(&Version::of(answer.headers(), wanted))?;
    }
    let mut file = part.open_at(from)?;
    let mut length = from;
    progress.at(length);
    loop {
        let chunk = match answer.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => {
                let reason = last_cause(&error);
                return Ok(Try::Again(
                    format!(
                        "the transfer broke off at {length} of {} bytes ({reason})",
                        wanted.size
                    ),
                    None,
                ));
            }
        };
        if length + chunk.len() as u64 > wanted.size {
            return Ok(Try::Anew(format!(
                "the mirror sends more than the {} bytes of the dump's list",
                wanted.size
            )));
        }
        // A local disk; a write of some kilobytes.
        file.write_all(&chunk)
            .map_err(|cause| part.trouble(cause))?;
        length += chunk.len() as u64;
        progress.at(length);
    }
    if length < wanted.size {
        return Ok(Try::Again(
            format!("the transfer ended at {length} of {} bytes", wanted.size),
            None,
        ));
    }
    file.sync_all().map_err(|cause| part.trouble(cause))?;
    Ok(Try::Whole)
}

/// First byte and whole size of `Content-Range: bytes <first>-<last>/<size>`.
fn range_of(answer: &Response) -> Option<(u64, u64)> {
    let text = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, size.trim().parse().ok()?))
}

/// Whether the file at its own name is the right one.
pub(super) async fn is_right(wanted: &Wanted, progress: &dyn Progress) -> Result<bool, DumpsError> {
    let size = std::fs::symlink_metadata(&wanted.target);
    if !size.is_ok_and(|found| found.is_file() && found.len() == wanted.size) {
        return Ok(false);
    }
    Ok(sum_of(&wanted.target, &wanted.sum, progress).await? == sum_text(&wanted.sum))
}

/// The checksum of a file, read from the disk, where what was written shows.
async fn sum_of(path: &Path, kind: &Sum, progress: &dyn Progress) -> Result<String, DumpsError> {
    progress.say("Checking");
    let (file, is_sha1) = (path.to_owned(), matches!(kind, Sum::Sha1(_)));
    let summed = tokio::task::spawn_blocking(move || {
        let mut file = File::open(file)?;
        if is_sha1 {
            digest::<Sha1>(&mut file)
        } else {
            digest::<Md5>(&mut file)
        }
    })
    .await
    .unwrap_or_else(|error| Err(std::io::Error::other(error)));
    summed.map_err(|cause| DumpsError::Disk {
        path: path.to_owned(),
        cause,
    })
}

fn digest<D: Digest>(file: &mut File) -> std::io::Result<String> {
    let mut sum = D::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(sum.finalize())),
            count => sum.update(&buffer[..count]),
        }
    }
}

/// The beginning of a file, and of which version.
struct Part {
    path: PathBuf,
    note: PathBuf,
}

impl Part {
    fn beside(target: &Path) -> Self {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        Self {
            path: target.with_file_name(format!(".{name}.part")),
            note: target.with_file_name(format!(".{name}.part.json")),
        }
    }

    fn length(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |found| found.len())
    }

    fn version(&self) -> Option<Version> {
        serde_json::from_slice(&std::fs::read(&self.note).ok()?).ok()
    }

    /// Empties it and notes of which version it will be, in this order: a note never stands beside bytes of another version.
    fn begin(&self, version: &Version) -> Result<(), DumpsError> {
        self.remove()?;
        let text = serde_json::to_vec(version).unwrap_or_default();
        std::fs::write(&self.note, text).map_err(|cause| self.trouble(cause))
    }

    fn open_at(&self, from: u64) -> Result<File, DumpsError> {
        let trouble = |cause| self.trouble(cause);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)
            .map_err(trouble)?;
        file.set_len(from).map_err(trouble)?;
        file.seek(SeekFrom::Start(from)).map_err(trouble)?;
        Ok(file)
    }

    fn remove(&self) -> Result<(), DumpsError> {
        for path in [&self.path, &self.note] {
            match std::fs::remove_file(path) {
                Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                    return Err(self.trouble(cause));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives it its name, readable for all.
    fn finish(&self, target: &Path) -> Result<(), DumpsError> {
        let trouble = |cause| self.trouble(cause);
        std::fs::set_permissions(&self.path, PermissionsExt::from_mode(0o644)).map_err(trouble)?;
        std::fs::rename(&self.path, target).map_err(trouble)?;
        if let Some(folder) = target.parent() {
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(trouble)?;
        }
        self.remove()
    }

    fn trouble(&self, cause: std::io::Error) -> DumpsError {
        DumpsError::Disk {
            path: self.path.clone(),
            cause,
        }
    }
}
