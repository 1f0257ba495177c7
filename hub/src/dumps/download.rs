//! One file: taken up where it was left, checked as a whole, and only then given its name.
//!
//! What is not whole lies beside it as `.<name>.part`, with what the mirror said of that version in `.<name>.part.json`. A later call
//! goes on from there if the mirror still has the same version (RFC 9110, 13.1.5: `If-Range`), and begins anew otherwise.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Response, StatusCode};

use super::layout::Sum;
use super::mirror::{Came, Mirror, Verdict, pause_before};
use super::pace::{Fruitless, Pace};
use super::part::{Part, Version};
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

fn version_of(headers: &HeaderMap, wanted: &Wanted) -> Version {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
    Version {
        // A weak one says nothing about bytes.
        etag: text(ETAG).filter(|etag| etag.starts_with('"')),
        last_modified: text(LAST_MODIFIED),
        size: wanted.size,
        sum: wanted.sum.text().to_owned(),
    }
}

/// How one try ended.
enum Try {
    /// All bytes are there.
    Whole,
    /// Not yet; why, and how long to wait.
    Again(String, Option<Duration>),
    /// The part is no beginning of the file: it is thrown away.
    Anew(String),
}

/// Gets the file, giving up after so many `tries` in a row that bring nothing worth counting.
///
/// # Errors
/// The reason, with what to do. What was had stays for the next call.
pub(super) async fn download(
    mirror: &Mirror,
    wanted: &Wanted,
    tries: u32,
    progress: &dyn Progress,
) -> Result<(), DumpsError> {
    let mut part = Part::take(&wanted.target)?;
    match until_right(mirror, wanted, tries, &mut part, progress).await {
        Ok(()) => part.finish(&wanted.target),
        Err(error) => {
            part.leave();
            Err(error)
        }
    }
}

/// Asks until the part is the whole file.
async fn until_right(
    mirror: &Mirror,
    wanted: &Wanted,
    tries: u32,
    part: &mut Part,
    progress: &dyn Progress,
) -> Result<(), DumpsError> {
    let mut fruitless = Fruitless::new(mirror.patience(), part.length());
    let mut wrong = 0;
    loop {
        let (reason, pause) = match attempt(mirror, wanted, part, &mut fruitless, progress).await? {
            Try::Whole => {
                if part.sum(&wanted.sum, progress).await? == wanted.sum.text() {
                    return Ok(());
                }
                part.empty()?;
                fruitless.forget();
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
                part.empty()?;
                (reason, None)
            }
            Try::Again(reason, pause) => (reason, pause),
        };
        let length = part.length();
        let in_a_row = fruitless.after(length);
        let is_enough = if in_a_row >= tries {
            format!("{tries} tries in a row brought too little")
        } else if fruitless.beginnings() > tries {
            format!("it was begun {} times and cannot be taken up", tries + 1)
        } else {
            progress.say(&format!("{reason}; trying again"));
            tokio::time::sleep(pause.unwrap_or_else(|| pause_before(in_a_row))).await;
            continue;
        };
        return Err(DumpsError::Mirror(format!(
            "{}: {reason}; {is_enough}. {length} of {} bytes are kept; run the same again later, or try another --mirror",
            wanted.path, wanted.size
        )));
    }
}

/// One question and what comes of it.
async fn attempt(
    mirror: &Mirror,
    wanted: &Wanted,
    part: &mut Part,
    fruitless: &mut Fruitless,
    progress: &dyn Progress,
) -> Result<Try, DumpsError> {
    let known = part.version()?.filter(|known| {
        known.size == wanted.size && known.sum == wanted.sum.text() && known.validator().is_some()
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
    let answer = match mirror.send(request).await? {
        Ok(answer) => answer,
        Err(reason) => return Ok(Try::Again(reason, None)),
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
    if from == 0 {
        fruitless.begins();
    }
    receive(mirror, answer, from, wanted, part, progress).await
}

/// Writes what comes, never more than the file has.
async fn receive(
    mirror: &Mirror,
    mut answer: Response,
    from: u64,
    wanted: &Wanted,
    part: &mut Part,
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
        part.begin(&version_of(answer.headers(), wanted))?;
    }
    part.go_to(from)?;
    let mut length = from;
    let mut pace = Pace::new(mirror.patience(), Instant::now(), length);
    progress.at(length);
    loop {
        let reason = match mirror.next(&mut answer, &mut pace, length).await {
            Came::Bytes(bytes) if length + bytes.len() as u64 > wanted.size => {
                return Ok(Try::Anew(format!(
                    "the mirror sends more than the {} bytes of the dump's list",
                    wanted.size
                )));
            }
            Came::Bytes(bytes) => {
                // A local disk; a write of some kilobytes.
                part.write(&bytes)?;
                length += bytes.len() as u64;
                progress.at(length);
                continue;
            }
            Came::End if length == wanted.size => return Ok(Try::Whole),
            Came::End => "the transfer ended".to_owned(),
            Came::Broken(reason) => format!("the transfer broke off ({reason})"),
        };
        let size = wanted.size;
        return Ok(Try::Again(
            format!("{reason} at {length} of {size} bytes"),
            None,
        ));
    }
}

/// First byte and whole size of `Content-Range: bytes <first>-<last>/<size>`.
fn range_of(answer: &Response) -> Option<(u64, u64)> {
    let text = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, size.trim().parse().ok()?))
}
