//! When a route was last used: an atomic per route, written when the coarse clock has moved on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

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
        // Many messages fall into one tick of the coarse clock, and a store would take the line from other cores.
        if self.0.load(Ordering::Relaxed) < now {
            let began = Instant::now();
            self.0.fetch_max(now, Ordering::Relaxed);
            crate::metrics::use_moved(began);
        }
    }

    /// The last use, when there was one.
    pub(crate) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|ms| *ms > 0)
    }
}

/// Milliseconds since 1970 (UTC), by the clock that the kernel keeps ready: right to a few milliseconds, and free of a system call.
pub(crate) fn now_ms() -> u64 {
    millis(ClockId::RealtimeCoarse)
}

/// Milliseconds of a clock that never goes back, as coarse.
pub(crate) fn steady_ms() -> u64 {
    millis(ClockId::MonotonicCoarse)
}

fn millis(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds * 1000 + nanoseconds / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_never_goes_back() {
        let last = LastUse::default();
        assert_eq!(last.get(), None);
        last.touch();
        assert!(last.get().is_some());
        let later = LastUse::at(u64::MAX);
        later.touch();
        assert_eq!(later.get(), Some(u64::MAX));
    }
}
