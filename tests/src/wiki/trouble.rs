//! What can go wrong with a wiki, to be caused by tests.

use super::answer::{Answer, HTML};
use super::php::Json;
use super::state::State;

/// What happens instead of the right answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing comes, and the connection stays open.
    Hangs,
    /// Nothing is done, and the connection closes.
    Closes,
    /// It is done, but the answer is lost and the connection closes.
    AnswerLost,
    /// It is answered, but just before that everybody has taken back what they allowed.
    GrantsRevoked,
    /// A page of a proxy with a status of an error.
    ErrorPage {
        /// 500, 502, 503, ...
        status: u16,
        /// What the header says, if it is there.
        retry_after: Option<String>,
    },
    /// A page with status 200, as of a captive network or maintenance.
    HtmlPage,
    /// 429.
    TooMany {
        /// What the header says, whole or with a fraction.
        retry_after: Option<String>,
    },
    /// 403 for the user agent.
    UserAgentRefused,
    /// A redirect.
    Moved {
        /// The status.
        status: u16,
        /// Where to.
        to: String,
    },
    /// 200 with more than anybody should read.
    Endless {
        /// How much.
        bytes: usize,
    },
    /// 200 with an error of `api.php`, such as `maxlag`, `ratelimited`, `readonly`.
    ApiError {
        /// Its code.
        code: String,
    },
    /// 200 with the error `maxlag` and the headers that go with it, where the request says it takes less: nothing is done.
    Lags {
        /// By how much the slowest server is behind, in seconds.
        seconds: u32,
        /// When to come again, in seconds.
        retry_after: u32,
    },
    /// It is done, and its answer breaks off in the middle.
    AnswerCut,
    /// Any answer.
    Says {
        /// The status.
        status: u16,
        /// The type.
        content_type: String,
        /// The body.
        body: String,
    },
}

/// Where it goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// With every request.
    Everywhere,
    /// With requests for this, a word as in [`super::Seen::what`].
    At(String),
}

/// How often it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Often {
    /// Until it is cured.
    Always,
    /// So many times.
    Times(u32),
}

/// What is to be done with a request.
pub(super) enum Fate {
    Answer(Answer),
    /// Half of it, and then the connection closes.
    Cut(Answer),
    /// The connection closes.
    Close,
    /// The connection stays open.
    Hang,
}

impl State {
    /// The trouble that this request meets.
    pub(super) fn trouble_for(&mut self, what: &str) -> Option<Trouble> {
        let met = self
            .troubles
            .iter_mut()
            .find(|(place, often, _)| match place {
                _ if *often == Often::Times(0) => false,
                Place::Everywhere => true,
                Place::At(there) => there == what,
            })?;
        if let Often::Times(left) = &mut met.1 {
            *left -= 1;
        }
        Some(met.2.clone())
    }
}

impl Trouble {
    /// What happens to the request; `answer` does what is asked.
    pub(super) fn happen(self, answer: impl FnOnce() -> Answer) -> Fate {
        let page = |status, words: &str| Answer::page(status, words, words);
        Fate::Answer(match self {
            Self::Hangs => return Fate::Hang,
            Self::Closes => return Fate::Close,
            Self::AnswerLost => {
                answer();
                return Fate::Close;
            }
            Self::AnswerCut => return Fate::Cut(answer()),
            Self::GrantsRevoked => answer(),
            Self::ErrorPage {
                status,
                retry_after,
            } => wait(
                page(status, "Our servers are having a problem"),
                retry_after,
            ),
            Self::HtmlPage => page(200, "Welcome to this network"),
            Self::TooMany { retry_after } => wait(page(429, "Too Many Requests"), retry_after),
            Self::UserAgentRefused => page(
                403,
                "Please set a user-agent and respect our robot policy T400119",
            ),
            Self::Moved { status, to } => Answer::redirect(status, &to),
            Self::Endless { bytes } => Answer::new(200, HTML, "x".repeat(bytes)),
            Self::ApiError { code } => {
                let body = Json::map([(
                    "error",
                    Json::map([
                        ("code", code.as_str().into()),
                        ("info", "Please try again later.".into()),
                    ]),
                )]);
                Answer::json(200, &body).with("mediawiki-api-error", code)
            }
            Self::Lags {
                seconds,
                retry_after,
            } => {
                let info = format!("Waiting for 10.64.16.7: {seconds} seconds lagged.");
                let body = Json::map([(
                    "error",
                    Json::map([
                        ("code", "maxlag".into()),
                        ("info", info.as_str().into()),
                        ("host", "10.64.16.7".into()),
                        ("lag", i64::from(seconds).into()),
                        ("type", "db".into()),
                    ]),
                )]);
                Answer::json(200, &body)
                    .with("mediawiki-api-error", "maxlag")
                    .with("retry-after", retry_after.to_string())
                    .with("x-database-lag", seconds.to_string())
            }
            Self::Says {
                status,
                content_type,
                body,
            } => Answer::new(status, &content_type, body),
        })
    }
}

fn wait(answer: Answer, retry_after: Option<String>) -> Answer {
    match retry_after {
        Some(seconds) => answer.with("retry-after", seconds),
        None => answer,
    }
}
