//! `holt dumps fetch`: published dump files on this machine's own disk, where notebooks look for them.

mod bar;
mod next;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use self::bar::Bar;
use super::exit::{INPUT_OUTPUT, UNAVAILABLE};
use super::{Failure, Place};
use crate::config::value::{Size, Value};
use crate::dumps::{self, DumpsError, Job, Mirror, Patience, Request, WIKIMEDIA, WikiName};

/// `holt dumps`.
#[derive(Debug, Subcommand)]
pub(super) enum DumpsCommand {
    /// Download files of a dump, checked; what was begun is taken up again.
    ///
    /// For a workshop on a laptop: `holt dumps fetch simplewiki articlesdump`.
    Fetch(Fetch),
}

#[derive(Debug, Args)]
pub(super) struct Fetch {
    #[command(flatten)]
    place: Place,
    /// The wiki's database name, such as simplewiki.
    wiki: String,
    /// The parts of the dump, such as articlesdump; --list shows them.
    #[arg(required_unless_present = "list")]
    job: Vec<String>,
    /// Of which date: eight digits, or the newest that is done.
    #[arg(long, default_value = "latest")]
    date: String,
    /// A mirror of the dumps.
    #[arg(long, value_name = "URL", default_value = WIKIMEDIA)]
    mirror: String,
    /// Only files whose names contain this; may be given several times.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Where to. Without it: the directory of the mount that servers see at /public/dumps/public, else `dumps` in the data directory.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Tries in a row that bring next to nothing before a file is given up.
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    tries: u32,
    /// A mirror that sends less than this a second, over --speed-time, is asked anew; 0 is any byte at all.
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = size)]
    speed_limit: u64,
    /// How long a mirror may be slower than --speed-limit, or take to begin an answer.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    speed_time: Duration,
    /// How long a list of the mirror, such as dumpstatus.json, may take as a whole.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = time)]
    list_within: Duration,
    /// Show what there is, and get nothing.
    #[arg(long)]
    list: bool,
}

impl DumpsCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Fetch(fetch) => fetch.run().await,
        }
    }
}

impl Fetch {
    async fn run(self) -> Result<(), Failure> {
        let settings = self.place.load()?;
        let patience = Patience {
            speed_limit: self.speed_limit,
            speed_time: self.speed_time,
            list_within: self.list_within,
        };
        let mirror = Mirror::new(&self.mirror, settings.hub.contact.as_deref(), patience)?;
        let wiki = WikiName::parse(&self.wiki)?;
        if self.list {
            let (date, jobs) = mirror.jobs(&wiki, &self.date, &[], &Bar::new()).await?;
            // Nobody may be there to read it.
            let _ = write!(std::io::stdout(), "{}", listing(&wiki, &date, &jobs));
            return Ok(());
        }
        let into = match self.to.or_else(|| next::mounted_directory(&settings)) {
            Some(into) => into,
            None => {
                // Closed to others, as ever.
                settings.data_dir.prepare()?;
                settings.data_dir.path().join("dumps")
            }
        };
        let request = Request {
            wiki,
            date: self.date,
            jobs: self.job,
            only: self.only,
            tries: self.tries,
            into: std::path::absolute(&into).unwrap_or(into),
        };
        let bar = Bar::new();
        let got = dumps::fetch(&mirror, &request, &bar).await?;
        bar.line(&format!(
            "{} of {} {} {} in {}{}",
            super::exit::count(got.files, "file"),
            request.wiki.as_str(),
            got.date,
            if got.files == 1 { "is" } else { "are" },
            got.folder.display(),
            match got.had {
                0 => String::new(),
                had => format!(", {had} of them before"),
            }
        ));
        bar.line(&next::steps(&settings, &request.into, &got.folder));
        Ok(())
    }
}

/// A time as settings have it, of use for waiting.
fn time(text: &str) -> Result<Duration, String> {
    let time = Duration::from_text(text).map_err(|refusal| refusal.fix)?;
    if time < Duration::from_millis(100) || time > Duration::from_secs(86_400) {
        return Err("Write a time from \"100ms\" to \"1d\"".to_owned());
    }
    Ok(time)
}

/// A size as settings have it, or 0.
fn size(text: &str) -> Result<u64, String> {
    match text {
        "0" => Ok(0),
        _ => Size::from_text(text)
            .map(Size::bytes)
            .map_err(|refusal| format!("{}; 0 is none", refusal.fix)),
    }
}

fn listing(wiki: &WikiName, date: &str, jobs: &[Job]) -> String {
    let mut text = format!("{} {date}\n", wiki.as_str());
    let width = jobs.iter().map(|job| job.name.len()).max().unwrap_or(0);
    for job in jobs {
        text.push_str(&format!(
            "  {:width$}  {:<11}  {:>4}  {}\n",
            job.name,
            job.status,
            job.files.len(),
            indicatif::HumanBytes(job.bytes()),
        ));
    }
    text
}

impl From<DumpsError> for Failure {
    fn from(error: DumpsError) -> Self {
        match &error {
            DumpsError::Usage(_) => Self::usage(error.to_string()),
            DumpsError::Absent(_) | DumpsError::Mirror(_) | DumpsError::Wrong(_) => Self {
                code: UNAVAILABLE,
                message: error.to_string(),
            },
            DumpsError::Disk { .. } => Self {
                code: INPUT_OUTPUT,
                message: error.to_string(),
            },
        }
    }
}
