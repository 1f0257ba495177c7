//! Pauses between tries: the first is a second, each is twice the one before, up to a most. Pure.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_secs(1);
/// Each pause is up to so much shorter or longer, so that many who fail together do not come back together.
const SPREAD: f64 = 0.1;

/// The pauses of one thing that is tried again and again.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    /// None longer than `most`, but for the first, and the spread.
    pub(super) fn new(most: Duration) -> Self {
        Self { next: FIRST, most }
    }

    /// The pause after one more failure. `chance` is from 0 to 1.
    pub(super) fn pause(&mut self, chance: f64) -> Duration {
        let pause = self.next.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * chance);
        self.next = self.next.saturating_mul(2).min(self.most.max(FIRST));
        pause
    }

    /// It went well: the next pause is a first one.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_most_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(300));
        let mut pauses = || backoff.pause(0.5).as_secs();
        let first: Vec<_> = std::iter::repeat_with(&mut pauses).take(11).collect();
        assert_eq!(first, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        backoff.reset();
        assert_eq!(backoff.pause(0.5).as_secs(), 1);
    }

    #[test]
    fn chance_moves_a_pause_by_a_tenth_and_no_most_is_below_the_first() {
        let mut backoff = Backoff::new(Duration::from_millis(100));
        assert_eq!(backoff.pause(0.0).as_millis(), 900);
        assert_eq!(backoff.pause(1.0).as_millis(), 1100);
    }
}
