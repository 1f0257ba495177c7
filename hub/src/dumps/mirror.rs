//! Asking a mirror: bounded in time, and politely.

use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use url::Url;

use super::DumpsError;
use super::layout::{self, Job, WikiName};

/// The largest list that is read; that of the largest wiki is a few hundred kilobytes.
const LIST_BYTES: usize = 16 << 20;
const CONNECT: Duration = Duration::from_secs(15);
/// The longest silence in the middle of a file.
const SILENCE: Duration = Duration::from_secs(30);
/// The longest pause that a mirror can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Tries for a list.
const TRIES: u32 = 4;
/// Dates that are looked through for one whose job is done.
const DATES: usize = 6;

/// A mirror of the dumps.
#[derive(Debug, Clone)]
pub struct Mirror {
    client: Client,
    base: Url,
}

impl Mirror {
    /// The mirror below `base`. `contact` tells its operators whom to write to.
    ///
    /// # Errors
    /// [`DumpsError::Usage`] where the address is none.
    pub fn new(base: &str, contact: Option<&str>) -> Result<Self, DumpsError> {
        let refused = |reason: &str| {
            DumpsError::Usage(format!(
                "{base:?} {reason}; write for example --mirror https://dumps.wikimedia.org/"
            ))
        };
        let mut url = Url::parse(base).map_err(|_| refused("is no address"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(refused("is no address with http:// or https://"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("has a query or a fragment"));
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        let version = env!("CARGO_PKG_VERSION");
        let agent = match contact {
            Some(contact) => format!("holt-dumps/{version} ({contact})"),
            None => format!("holt-dumps/{version}"),
        };
        let client = Client::builder()
            .user_agent(agent)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .redirect(reqwest::redirect::Policy::limited(5))
            .build()
            .map_err(|error| {
                DumpsError::Usage(format!(
                    "no HTTP client can be made: {}",
                    crate::error_chain(&error)
                ))
            })?;
        Ok(Self { client, base: url })
    }

    /// Its address.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// A question for a path below the address.
    pub(super) fn get(&self, path: &str) -> Result<RequestBuilder, DumpsError> {
        let url = self
            .base
            .join(path)
            .map_err(|_| DumpsError::Usage(format!("{path:?} is no path")))?;
        // Bytes as they are on the disk: ranges and checksums are of those.
        Ok(self.client.get(url).header(ACCEPT_ENCODING, "identity"))
    }

    /// The jobs of a wiki's dump of that date; `latest` is the newest one in which all of `wanted` are done.
    ///
    /// # Errors
    /// As the mirror says.
    pub async fn jobs(
        &self,
        wiki: &WikiName,
        date: &str,
        wanted: &[String],
    ) -> Result<(String, Vec<Job>), DumpsError> {
        let name = wiki.as_str();
        if date != "latest" {
            if !layout::is_date(date) {
                return Err(DumpsError::Usage(format!(
                    "{date:?} is no date of a dump; write for example --date 20260101, or latest"
                )));
            }
            let Some(jobs) = self.jobs_of(wiki, date).await? else {
                return Err(DumpsError::Absent(format!(
                    "{}{name}/{date}/ has no dump; `holt dumps fetch {name} --list` shows the latest",
                    self.base
                )));
            };
            return Ok((date.to_owned(), jobs));
        }
        let Some(page) = self.list(&format!("{name}/")).await? else {
            return Err(DumpsError::Absent(format!(
                "{} has no wiki {name}; its database name is wanted, such as simplewiki",
                self.base
            )));
        };
        let dates = layout::dates(&String::from_utf8_lossy(&page));
        for date in dates.iter().take(DATES) {
            let Some(jobs) = self.jobs_of(wiki, date).await? else {
                continue;
            };
            let is_done = |name: &String| jobs.iter().any(|job| job.name == *name && job.is_done());
            if wanted.iter().all(is_done) {
                return Ok((date.clone(), jobs));
            }
        }
        Err(DumpsError::Absent(format!(
            "none of the last dumps of {name} has a finished {}; `holt dumps fetch {name} --list` shows what there is",
            wanted.join(", ")
        )))
    }

    async fn jobs_of(&self, wiki: &WikiName, date: &str) -> Result<Option<Vec<Job>>, DumpsError> {
        let path = format!("{}/{date}/dumpstatus.json", wiki.as_str());
        match self.list(&path).await? {
            Some(text) => layout::jobs(wiki, date, &text).map(Some),
            None => Ok(None),
        }
    }

    /// A small file, tried a few times; none where there is none.
    pub(super) async fn list(&self, path: &str) -> Result<Option<Vec<u8>>, DumpsError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (reason, pause) = match self.list_once(path).await? {
                Ok(found) => return Ok(found),
                Err(again) => again,
            };
            if tries >= TRIES {
                return Err(DumpsError::Mirror(format!(
                    "{}{path}: {reason}; try again later, or another --mirror",
                    self.base
                )));
            }
            tokio::time::sleep(pause.unwrap_or_else(|| pause_before(tries))).await;
        }
    }

    async fn list_once(
        &self,
        path: &str,
    ) -> Result<Result<Option<Vec<u8>>, (String, Option<Duration>)>, DumpsError> {
        let mut answer = match self.get(path)?.send().await {
            Ok(answer) => answer,
            Err(error) => return Ok(Err((last_cause(&error), None))),
        };
        match Verdict::of(&answer) {
            Verdict::Absent => return Ok(Ok(None)),
            Verdict::Refused(reason) => {
                return Err(DumpsError::Mirror(format!("{}{path}: {reason}", self.base)));
            }
            Verdict::Later(reason, pause) => return Ok(Err((reason, pause))),
            Verdict::Good => {}
        }
        let mut text = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if text.len() + chunk.len() <= LIST_BYTES => {
                    text.extend_from_slice(&chunk);
                }
                Ok(Some(_)) => {
                    return Err(DumpsError::Mirror(format!(
                        "{}{path} is too large for a list; is this a mirror of the dumps?",
                        self.base
                    )));
                }
                Ok(None) => return Ok(Ok(Some(text))),
                Err(error) => return Ok(Err((last_cause(&error), None))),
            }
        }
    }
}

/// What a status means.
pub(super) enum Verdict {
    Good,
    /// There is no such thing.
    Absent,
    /// Asking again does not help.
    Refused(String),
    /// It may, after a pause.
    Later(String, Option<Duration>),
}

impl Verdict {
    pub(super) fn of(answer: &Response) -> Self {
        let status = answer.status();
        let reason = format!("the mirror answers {status}");
        match status {
            status if status.is_success() => Self::Good,
            StatusCode::NOT_FOUND | StatusCode::GONE => Self::Absent,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Self::Later(reason, pause_of(answer))
            }
            status if status.is_server_error() => Self::Later(reason, pause_of(answer)),
            _ => Self::Refused(reason),
        }
    }
}

/// What lies at the bottom of an error: the layers above only say that a request failed.
pub(super) fn last_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn pause_of(answer: &Response) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let pause = Duration::from_secs(text.trim().parse().ok()?);
    Some(pause.min(LONGEST_PAUSE))
}

/// Half a second, and twice as long each time, at most half a minute.
pub(super) fn pause_before(tries: u32) -> Duration {
    Duration::from_millis(250 << tries.min(7)).min(Duration::from_secs(30))
}
