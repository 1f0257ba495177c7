//! When a route was last used: an atomic per route, written at most once a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Stores closer together than this tell nobody anything.
const STEP_MS: u64 = 1000;

/// Milliseconds since 1970 of the last use; zero when there was none.
#[derive(Debug, Default)]
pub(crate) struct LastUse(AtomicU64);

impl LastUse {
    /// A use that is already known.
    pub(crate) fn at(ms: u64) -> Self {
        LastUse(AtomicU64::new(ms))
    }

    /// It is used now.
    pub(crate) fn touch(&self) {
        let now = now_ms();
        if now.saturating_sub(self.0.load(Ordering::Relaxed)) >= STEP_MS {
            self.0.store(now, Ordering::Relaxed);
        }
    }

    /// The last use, when there was one.
    pub(crate) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|ms| *ms > 0)
    }
}

/// Milliseconds since 1970 (UTC).
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_use_within_a_second_is_not_written() {
        let last = LastUse::default();
        assert_eq!(last.get(), None);
        last.touch();
        let first = last.get();
        last.touch();
        assert_eq!(last.get(), first);
        assert!(first.is_some());
    }
}
