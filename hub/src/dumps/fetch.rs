//! Getting what was asked for: the list, the lock, room on the disk, then one file after the other.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use super::download::{Wanted, download};
use super::layout::{DumpFile, Job, WikiName, sums};
use super::part::{self, is_at, is_right, open_plain};
use super::{DumpsError, Mirror, Progress, disk};

/// Between two looks whether another run has ended.
const LOOK: Duration = Duration::from_millis(200);

/// What to get.
#[derive(Debug, Clone)]
pub struct Request {
    /// The wiki.
    pub wiki: WikiName,
    /// `20260101`, or `latest`.
    pub date: String,
    /// The jobs.
    pub jobs: Vec<String>,
    /// Only files whose names contain one of these; none is all.
    pub only: Vec<String>,
    /// Tries in a row that bring nothing worth counting before a file is given up; the pauses between them grow from half a second to half a minute.
    pub tries: u32,
    /// The directory that takes the place of the mirror's topmost one.
    pub into: PathBuf,
}

/// What was got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    /// Of which date.
    pub date: String,
    /// Where the files are.
    pub folder: PathBuf,
    /// How many there are now.
    pub files: usize,
    /// How many of them were there already.
    pub had: usize,
}

/// Gets the files. Run twice at once, the second waits and finds them there; cut off, the next goes on.
///
/// # Errors
/// The first thing that stands in the way, with what to do; whole files stay.
pub async fn fetch(
    mirror: &Mirror,
    request: &Request,
    progress: &dyn Progress,
) -> Result<Got, DumpsError> {
    let (date, jobs) = mirror
        .jobs(&request.wiki, &request.date, &request.jobs, progress)
        .await?;
    let mut files = chosen(request, &date, &jobs, progress)?;
    add_sums(mirror, &request.wiki, &date, &mut files, progress).await?;

    let folder = request.into.join(request.wiki.as_str()).join(&date);
    if let Some(above) = request.into.parent() {
        std::fs::create_dir_all(above).map_err(disk(above))?;
    }
    make_open(&folder).map_err(disk(&folder))?;
    let _lock = lock(&folder, progress).await?;

    let mut wanted = Vec::new();
    let mut had = 0;
    for file in files {
        let file = wanted_of(&request.wiki, &date, &folder, file)?;
        if is_right(&file.target, file.size, &file.sum, progress).await? {
            part::clear(&file.target)?;
            had += 1;
        } else {
            wanted.push(file);
        }
    }
    has_room(&folder, &wanted)?;
    let count = wanted.len();
    for file in wanted {
        progress.begin(name_of(&file.target), file.size);
        let got = download(mirror, &file, request.tries.max(1), progress).await;
        progress.end();
        got?;
        progress.say(&format!("{} is there and right", name_of(&file.target)));
    }
    Ok(Got {
        date,
        folder,
        files: count + had,
        had,
    })
}

/// Refuses what the disk has no room for. What is there of a file needs no room again.
fn has_room(folder: &Path, wanted: &[Wanted]) -> Result<(), DumpsError> {
    let missing = wanted
        .iter()
        .map(|file| file.size - part::room_of(&file.target, file.size));
    let needed = missing.fold(0, u64::saturating_add);
    let free = rustix::fs::statvfs(folder)
        .ok()
        // Some file systems do not tell.
        .filter(|found| found.f_blocks > 0)
        .map_or(u64::MAX, |found| {
            found.f_bavail.saturating_mul(found.f_frsize)
        });
    if needed > free {
        return Err(DumpsError::Usage(format!(
            "{} more are needed, and {} are free in {}; free some space, or give another place with --to",
            indicatif::BinaryBytes(needed),
            indicatif::BinaryBytes(free),
            folder.display()
        )));
    }
    Ok(())
}

/// Makes a folder and those above it that are missing, such that notebooks, who are somebody else, can look in, whatever our mask is.
fn make_open(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_open(above)?;
    }
    match std::fs::create_dir(folder) {
        Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => Err(cause),
        // Another run was faster.
        Err(_) => Ok(()),
        Ok(()) => part::open_up(folder, 0o755),
    }
}

fn name_of(path: &Path) -> &str {
    path.file_name()
        .and_then(std::ffi::OsStr::to_str)
        .unwrap_or_default()
}

/// The files of the wanted jobs.
fn chosen(
    request: &Request,
    date: &str,
    jobs: &[Job],
    progress: &dyn Progress,
) -> Result<Vec<DumpFile>, DumpsError> {
    let wiki = request.wiki.as_str();
    let mut files = Vec::<DumpFile>::new();
    for name in &request.jobs {
        let Some(job) = jobs.iter().find(|job| job.name == *name) else {
            let known: Vec<_> = jobs.iter().map(|job| job.name.as_str()).collect();
            return Err(DumpsError::Usage(format!(
                "{wiki} {date} has no job {name:?}; it has {}",
                known.join(", ")
            )));
        };
        if job.left_out > 0 {
            progress.say(&format!(
                "{} of the list of {name} left out: by the names they are no files of {wiki} {date}",
                match job.left_out {
                    1 => "1 entry".to_owned(),
                    more => format!("{more} entries"),
                }
            ));
        }
        if job.status == "done" && job.files.is_empty() {
            return Err(DumpsError::Absent(format!(
                "the job {name} of {wiki} {date} has no files in the mirror's list; take another --date or --mirror"
            )));
        }
        if !job.is_done() {
            return Err(DumpsError::Absent(format!(
                "the job {name} of {wiki} {date} is not done ({}); take another --date, or latest",
                job.status
            )));
        }
        for file in &job.files {
            let is_meant =
                request.only.is_empty() || request.only.iter().any(|part| file.name.contains(part));
            if !is_meant {
                continue;
            }
            match files.iter().find(|known| known.name == file.name) {
                None => files.push(file.clone()),
                Some(known) if known.agrees_with(file) => {}
                Some(_) => {
                    return Err(DumpsError::Wrong(format!(
                        "{}: the mirror's list has two sizes or checksums of it; try another --mirror",
                        file.name
                    )));
                }
            }
        }
    }
    if files.is_empty() {
        return Err(DumpsError::Usage(format!(
            "no file of {} has one of {:?} in its name; leave --only out, or see --list",
            request.jobs.join(", "),
            request.only
        )));
    }
    Ok(files)
}

/// Checksums from the dump's own lists, for files that have none in `dumpstatus.json`.
async fn add_sums(
    mirror: &Mirror,
    wiki: &WikiName,
    date: &str,
    files: &mut [DumpFile],
    progress: &dyn Progress,
) -> Result<(), DumpsError> {
    for kind in ["sha1sums", "md5sums"] {
        if files.iter().all(|file| file.sum.is_some()) {
            return Ok(());
        }
        let wiki = wiki.as_str();
        let path = format!("{wiki}/{date}/{wiki}-{date}-{kind}.txt");
        let Some(text) = mirror.list(&path, progress).await? else {
            continue;
        };
        let known = sums(&String::from_utf8_lossy(&text));
        for file in files.iter_mut().filter(|file| file.sum.is_none()) {
            file.sum = known.get(&file.name).cloned();
        }
    }
    Ok(())
}

fn wanted_of(
    wiki: &WikiName,
    date: &str,
    folder: &Path,
    file: DumpFile,
) -> Result<Wanted, DumpsError> {
    let (Some(size), Some(sum)) = (file.size, file.sum) else {
        return Err(DumpsError::Wrong(format!(
            "{}: the dump's lists have no size or checksum of it, so nobody could tell a wrong file; try another --mirror",
            file.name
        )));
    };
    Ok(Wanted {
        path: format!("{}/{date}/{}", wiki.as_str(), file.name),
        target: folder.join(&file.name),
        size,
        sum,
    })
}

/// The folder for this run alone. Another run is waited for, which ends: it is not patient without end either.
async fn lock(folder: &Path, progress: &dyn Progress) -> Result<File, DumpsError> {
    let path = folder.join(".lock");
    let mut was_told = false;
    loop {
        let file = open_plain(&path, OFlags::WRONLY | OFlags::CREATE).map_err(disk(&path))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // A file that somebody deleted locks nobody out.
            Ok(()) if is_at(&file, &path) => return Ok(file),
            Ok(()) | Err(Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(disk(&path)(errno.into())),
        }
        if !was_told {
            progress.say("Another `holt dumps fetch` is at work there; waiting for it");
            was_told = true;
        }
        tokio::time::sleep(LOOK).await;
    }
}
