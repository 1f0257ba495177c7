//! When a mirror is too slow: pure, with the time as an argument.
//!
//! Silence alone is no measure: a mirror that sends a byte now and then is never silent. So bytes are counted over a window, as curl
//! does with `--speed-limit` and `--speed-time`.

use std::time::{Duration, Instant};

/// How long a mirror is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Bytes a second that have to come, on the average over [`Self::speed_time`]; 0 is any byte at all.
    pub speed_limit: u64,
    /// How long it may be slower before the try is given up; also how long it may take to begin an answer.
    pub speed_time: Duration,
    /// How long one try for a list may take as a whole.
    pub list_within: Duration,
}

impl Patience {
    /// What has to come in a window, and what counts as having come further; never nothing.
    pub(super) fn least(&self) -> u64 {
        let bytes = u128::from(self.speed_limit) * self.speed_time.as_millis() / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
    }
}

/// One transfer's speed, window after window.
#[derive(Debug)]
pub(super) struct Pace {
    patience: Patience,
    begun: Instant,
    length: u64,
}

impl Pace {
    /// Of a transfer that stands at `length`.
    pub(super) fn new(patience: Patience, now: Instant, length: u64) -> Self {
        Self {
            patience,
            begun: now,
            length,
        }
    }

    /// When it is to be asked next, if nothing comes.
    pub(super) fn until(&self) -> Instant {
        self.begun + self.patience.speed_time
    }

    /// Too slow, and how slow in words, once a window passed in which less came than has to.
    pub(super) fn too_slow(&mut self, now: Instant, length: u64) -> Option<String> {
        let passed = now.saturating_duration_since(self.begun);
        if passed < self.patience.speed_time {
            return None;
        }
        let came = length.saturating_sub(self.length);
        if came < self.patience.least() {
            return Some(format!(
                "the mirror is too slow: {came} bytes in {:.1} seconds",
                passed.as_secs_f64()
            ));
        }
        self.begun = now;
        self.length = length;
        None
    }
}

/// Tries in a row that brought nothing worth counting, and how often all had to be sent again.
#[derive(Debug)]
pub(super) struct Fruitless {
    least: u64,
    most: u64,
    tries: u32,
    beginnings: u32,
}

impl Fruitless {
    /// None yet, with `length` bytes there.
    pub(super) fn new(patience: Patience, length: u64) -> Self {
        Self {
            least: patience.least(),
            most: length,
            tries: 0,
            beginnings: 0,
        }
    }

    /// One more try ended with `length` bytes there: how many in a row it makes. Only as much as a window has to bring begins anew;
    /// what several tries brought counts together.
    pub(super) fn after(&mut self, length: u64) -> u32 {
        if length.saturating_sub(self.most) >= self.least {
            self.most = length;
            self.tries = 0;
        } else {
            self.tries += 1;
        }
        self.tries
    }

    /// The mirror sends from the first byte on.
    pub(super) fn begins(&mut self) {
        self.beginnings += 1;
    }

    /// How often it did since [`Self::forget`]. Each time may come further than the one before, and would never count as fruitless.
    pub(super) fn beginnings(&self) -> u32 {
        self.beginnings
    }

    /// Nothing of the file is there, and that is no fault of the transfer.
    pub(super) fn forget(&mut self) {
        self.most = 0;
        self.beginnings = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        speed_limit: 1000,
        speed_time: Duration::from_secs(30),
        list_within: Duration::from_secs(60),
    };

    fn at(seconds: u64, begun: Instant) -> Instant {
        begun + Duration::from_secs(seconds)
    }

    #[test]
    fn a_byte_a_minute_is_too_slow_and_the_floor_is_not() {
        let begun = Instant::now();
        let mut pace = Pace::new(PATIENCE, begun, 500);
        assert_eq!(pace.until(), at(30, begun));
        assert_eq!(pace.too_slow(at(29, begun), 500), None);
        assert_eq!(pace.too_slow(at(30, begun), 30_500), None);
        assert_eq!(pace.too_slow(at(59, begun), 30_500), None);
        // A burst long ago does not help.
        assert_eq!(
            pace.too_slow(at(60, begun), 30_501).as_deref(),
            Some("the mirror is too slow: 1 bytes in 30.0 seconds")
        );
    }

    #[test]
    fn without_a_limit_only_silence_is_too_slow() {
        let begun = Instant::now();
        let patience = Patience {
            speed_limit: 0,
            ..PATIENCE
        };
        let mut pace = Pace::new(patience, begun, 0);
        assert_eq!(pace.too_slow(at(30, begun), 1), None);
        assert!(pace.too_slow(at(60, begun), 1).is_some());
    }

    #[test]
    fn only_what_is_worth_it_begins_the_count_anew() {
        let mut fruitless = Fruitless::new(PATIENCE, 100);
        // A byte each time never does.
        assert_eq!(fruitless.after(101), 1);
        assert_eq!(fruitless.after(102), 2);
        // Short tries do together.
        assert_eq!(fruitless.after(20_000), 3);
        assert_eq!(fruitless.after(30_100), 0);
        // Losing all and coming back is no progress.
        assert_eq!(fruitless.after(0), 1);
        assert_eq!(fruitless.after(30_100), 2);
    }
}
