//! Waits for a condition, and tells the last thing seen when it does not come.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `look` returns a value; an error is what was seen instead.
///
/// # Errors
/// When the deadline passes: what was waited for, and what was seen last.
pub async fn eventually<T, E, F, L>(what: &str, deadline: Duration, mut look: L) -> Result<T>
where
    E: Display,
    F: Future<Output = Result<T, E>>,
    L: FnMut() -> F,
{
    let began = Instant::now();
    loop {
        let last = match tokio::time::timeout(deadline.max(Duration::from_secs(1)), look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(last)) => last.to_string(),
            Err(_) => "the look itself took too long".to_owned(),
        };
        if began.elapsed() >= deadline {
            bail!("waited {deadline:?} for: {what}; last seen: {last}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
