//! Asking a mirror: bounded in time, and politely.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, RETRY_AFTER};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::time::{timeout, timeout_at};
use url::Url;

use super::layout::{self, Job, WikiName, printable};
use super::pace::{Pace, Patience};
use super::{DumpsError, Progress};

/// The largest list that is read; that of the largest wiki is a few hundred kilobytes.
const LIST_BYTES: usize = 16 << 20;
const CONNECT: Duration = Duration::from_secs(15);
/// Redirects of one question.
const REDIRECTS: usize = 5;
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
    patience: Patience,
}

impl Mirror {
    /// The mirror below `base`, waited for as long as `patience` says. `contact` tells its operators whom to write to.
    ///
    /// # Errors
    /// [`DumpsError::Usage`] where the address is none.
    pub fn new(base: &str, contact: Option<&str>, patience: Patience) -> Result<Self, DumpsError> {
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
        if !url.username().is_empty() || url.password().is_some() {
            // Not repeated: it may be a password.
            return Err(DumpsError::Usage(
                "the address of the mirror has a name or a password in it, which everybody on this machine can see; leave it out".to_owned(),
            ));
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
            // What is packed stays packed, whatever a mirror calls it.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .redirect(Policy::custom(|attempt| match refusal_of(&attempt) {
                Some(reason) => attempt.error(reason),
                None => attempt.follow(),
            }))
            .build()
            .map_err(|error| {
                DumpsError::Usage(format!(
                    "no HTTP client can be made: {}",
                    crate::error_chain(&error)
                ))
            })?;
        Ok(Self {
            client,
            base: url,
            patience,
        })
    }

    /// How long it is waited for.
    pub(super) fn patience(&self) -> Patience {
        self.patience
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

    /// Asks, and waits for the head of the answer. The inner error is why there is none now, in words.
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
    ) -> Result<Result<Response, String>, DumpsError> {
        match timeout(self.patience.speed_time, request.send()).await {
            Ok(Ok(answer)) => Ok(Ok(answer)),
            // It would be the same again.
            Ok(Err(error)) if error.is_redirect() => Err(DumpsError::Mirror(format!(
                "{}: {}",
                self.base,
                last_cause(&error)
            ))),
            Ok(Err(error)) => Ok(Err(format!(
                "the mirror does not answer ({})",
                last_cause(&error)
            ))),
            Err(_) => Ok(Err(format!(
                "the mirror did not answer within {:?}",
                self.patience.speed_time
            ))),
        }
    }

    /// The next bytes of an answer of which `length` are there. Never waits longer than `pace` allows.
    pub(super) async fn next(&self, answer: &mut Response, pace: &mut Pace, length: u64) -> Came {
        loop {
            if let Some(slow) = pace.too_slow(Instant::now(), length) {
                return Came::Broken(slow);
            }
            return match timeout_at(pace.until().into(), answer.chunk()).await {
                Ok(Ok(Some(bytes))) => Came::Bytes(bytes),
                Ok(Ok(None)) => Came::End,
                Ok(Err(error)) => Came::Broken(last_cause(&error)),
                // The window is over: either it was too slow, or the next begins.
                Err(_) => continue,
            };
        }
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
        progress: &dyn Progress,
    ) -> Result<(String, Vec<Job>), DumpsError> {
        let name = wiki.as_str();
        if date != "latest" {
            if !layout::is_date(date) {
                return Err(DumpsError::Usage(format!(
                    "{date:?} is no date of a dump; write for example --date 20260101, or latest"
                )));
            }
            let Some(jobs) = self.jobs_of(wiki, date, progress).await? else {
                return Err(DumpsError::Absent(format!(
                    "{}{name}/{date}/ has no dump; `holt dumps fetch {name} --list` shows the latest",
                    self.base
                )));
            };
            return Ok((date.to_owned(), jobs));
        }
        let Some(page) = self.list(&format!("{name}/"), progress).await? else {
            return Err(DumpsError::Absent(format!(
                "{} has no wiki {name}; its database name is wanted, such as simplewiki",
                self.base
            )));
        };
        let dates = layout::dates(&String::from_utf8_lossy(&page));
        for date in dates.iter().take(DATES) {
            let Some(jobs) = self.jobs_of(wiki, date, progress).await? else {
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

    async fn jobs_of(
        &self,
        wiki: &WikiName,
        date: &str,
        progress: &dyn Progress,
    ) -> Result<Option<Vec<Job>>, DumpsError> {
        let path = format!("{}/{date}/dumpstatus.json", wiki.as_str());
        match self.list(&path, progress).await? {
            Some(text) => layout::jobs(wiki, date, &text).map(Some),
            None => Ok(None),
        }
    }

    /// A small file, tried a few times; none where there is none.
    pub(super) async fn list(
        &self,
        path: &str,
        progress: &dyn Progress,
    ) -> Result<Option<Vec<u8>>, DumpsError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let within = self.patience.list_within;
            let tried = timeout(within, self.list_once(path)).await;
            let (reason, pause) = match tried {
                Ok(tried) => match tried? {
                    Ok(found) => return Ok(found),
                    Err(again) => again,
                },
                Err(_) => (format!("it did not come within {within:?}"), None),
            };
            if tries >= TRIES {
                return Err(DumpsError::Mirror(format!(
                    "{}{path}: {reason}; try again later, or another --mirror",
                    self.base
                )));
            }
            progress.say(&format!("{}{path}: {reason}; trying again", self.base));
            tokio::time::sleep(pause.unwrap_or_else(|| pause_before(tries))).await;
        }
    }

    async fn list_once(
        &self,
        path: &str,
    ) -> Result<Result<Option<Vec<u8>>, (String, Option<Duration>)>, DumpsError> {
        let mut answer = match self.send(self.get(path)?).await? {
            Ok(answer) => answer,
            Err(reason) => return Ok(Err((reason, None))),
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
        let mut pace = Pace::new(self.patience, Instant::now(), 0);
        loop {
            match self.next(&mut answer, &mut pace, text.len() as u64).await {
                Came::Bytes(bytes) if text.len() + bytes.len() <= LIST_BYTES => {
                    text.extend_from_slice(&bytes);
                }
                Came::Bytes(_) => {
                    return Err(DumpsError::Mirror(format!(
                        "{}{path} is too large for a list; is this a mirror of the dumps?",
                        self.base
                    )));
                }
                Came::End => return Ok(Ok(Some(text))),
                Came::Broken(reason) => return Ok(Err((reason, None))),
            }
        }
    }
}

/// Why a redirect is not followed.
fn refusal_of(attempt: &Attempt<'_>) -> Option<String> {
    let before = attempt.previous();
    if before.len() > REDIRECTS {
        return Some(format!(
            "the mirror leads from one address to the next, more than {REDIRECTS} times; try another --mirror"
        ));
    }
    let was_secret = before.last().is_some_and(|url| url.scheme() == "https");
    (was_secret && attempt.url().scheme() != "https").then(|| {
        format!(
            "the mirror leads from https to {}, where anybody on the way could change what comes; try another --mirror",
            printable(attempt.url().as_str())
        )
    })
}

/// What comes of an answer.
pub(super) enum Came {
    Bytes(Bytes),
    /// That was all.
    End,
    /// No more comes, and why, in words.
    Broken(String),
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
fn last_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    printable(&cause.to_string())
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
