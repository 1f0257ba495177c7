//! When a request is sent once more, and how long before.
//!
//! Only what came to nothing is repeated: no answer, or an error of the server's own. Too many requests are never answered by more.
//! Every repetition is made anew by the caller, since a signature counts once.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::login::provider::LoginError;
use crate::login::wire::Answer;

/// Repetitions, at most.
const MOST: u32 = 2;
/// No repetition begins later: somebody waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// A wait that is asked for, and longer, is left to the person.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Asking twice is as asking once.
    Freely,
    /// It spends something: only when nobody was reached.
    BeforeConnecting,
}

/// Asks, and asks again while it helps.
///
/// # Errors
/// Those of the last try.
pub(super) async fn ask<Asking>(
    repeat: Repeat,
    mut once: impl FnMut() -> Asking,
) -> Result<Answer, LoginError>
where
    Asking: Future<Output = Result<Answer, LoginError>>,
{
    let begun = Instant::now();
    let mut repeated = 0;
    loop {
        let outcome = once().await;
        let wait = wait(&outcome, repeat, repeated);
        match wait {
            Some(wait) if begun.elapsed() + wait <= PATIENCE => sleep(wait).await,
            _ => return outcome,
        }
        repeated += 1;
    }
}

/// How long to wait before the next try; `None` when there is none.
fn wait(outcome: &Result<Answer, LoginError>, repeat: Repeat, repeated: u32) -> Option<Duration> {
    if repeated >= MOST {
        return None;
    }
    let asked = match outcome {
        Err(LoginError::Away {
            reason,
            retry_after,
        }) if repeat == Repeat::Freely || is_unreached(reason) => *retry_after,
        Ok(answer) if repeat == Repeat::Freely && answer.status >= 500 => answer.retry_after,
        _ => return None,
    };
    // Not all at the same moment: whoever was refused together would come back together.
    let own = Duration::from_millis(rand::random_range(100..300) << repeated);
    match asked {
        Some(asked) if asked > LONGEST_WAIT => None,
        Some(asked) => Some(asked.max(own)),
        None => Some(own),
    }
}

/// Whether no connection was made, by the words of the HTTP client; a test holds them against it.
pub(super) fn is_unreached(reason: &str) -> bool {
    reason.contains("client error (Connect)")
}
