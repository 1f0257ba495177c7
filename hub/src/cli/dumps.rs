//! `holt dumps fetch`: published dump files on this machine's own disk, where notebooks look for them.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::exit::{INPUT_OUTPUT, UNAVAILABLE};
use super::{Failure, Place};
use crate::config::Settings;
use crate::dumps::{self, DumpsError, Job, Mirror, Progress, Request, WIKIMEDIA, WikiName};

/// Where notebooks look for dumps.
const SEEN_AT: &str = "/public/dumps/public";

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
    /// Tries in a row that bring nothing new before a file is given up.
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    tries: u32,
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
        let mirror = Mirror::new(&self.mirror, settings.hub.contact.as_deref())?;
        let wiki = WikiName::parse(&self.wiki)?;
        if self.list {
            let (date, jobs) = mirror.jobs(&wiki, &self.date, &[]).await?;
            // Nobody may be there to read it.
            let _ = write!(std::io::stdout(), "{}", listing(&wiki, &date, &jobs));
            return Ok(());
        }
        let known = mounted_directory(&settings);
        let into = self
            .to
            .or_else(|| known.clone())
            .unwrap_or_else(|| settings.data_dir.path().join("dumps"));
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
            "{} of {} {} are in {}{}",
            super::exit::count(got.files, "file"),
            request.wiki.as_str(),
            got.date,
            got.folder.display(),
            match got.had {
                0 => String::new(),
                had => format!(", {had} of them before"),
            }
        ));
        if known.as_ref() != Some(&request.into) {
            bar.line(&format!(
                "For notebooks to see them at {SEEN_AT}, write in holt.toml:\n\n[mount.dumps]\nsource = {:?}\ntarget = \"/mnt/nfs/dumps\"\nlinks = [{SEEN_AT:?}]\n",
                request.into.display().to_string()
            ));
        }
        Ok(())
    }
}

/// The directory that servers see where they look for dumps.
fn mounted_directory(settings: &Settings) -> Option<PathBuf> {
    let (_, mount) = settings.mounts.iter().find(|(_, mount)| {
        mount.kind == "bind"
            && (mount.target == SEEN_AT || mount.links.iter().any(|link| link == SEEN_AT))
    })?;
    Some(PathBuf::from(&mount.source))
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

/// A line of progress where somebody sits, plain lines elsewhere.
struct Bar {
    bar: Mutex<ProgressBar>,
}

impl Bar {
    fn new() -> Self {
        Self {
            bar: Mutex::new(ProgressBar::hidden()),
        }
    }

    fn now(&self) -> ProgressBar {
        self.bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn line(&self, line: &str) {
        self.now().suspend(|| {
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "{line}");
        });
    }
}

impl Progress for Bar {
    fn begin(&self, name: &str, size: u64) {
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
        let template = "{msg} [{bar:24}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        if bar.is_hidden() {
            self.line(name);
        }
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    fn at(&self, bytes: u64) {
        self.now().set_position(bytes);
    }

    fn end(&self) {
        self.now().finish_and_clear();
    }

    fn say(&self, line: &str) {
        self.line(&format!("  {line}"));
    }
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
