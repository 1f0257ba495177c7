//! Memory for forms, which are read whole: taken as their bytes come, so that who sends nothing holds nothing, and never more than a share
//! of it by one user.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::refusal::BrokerError;

/// All forms under way, in KiB.
const ALL: usize = 512 << 10;
/// One user's, in KiB.
const SHARE: usize = 64 << 10;
/// A form up to so many KiB waits for nobody: large ones cannot shut out the many small ones.
const SMALL: usize = 64;
/// How long a form waits for more.
const PATIENCE: Duration = Duration::from_secs(10);

/// What forms may take.
#[derive(Debug)]
pub(super) struct Memory {
    all: Semaphore,
    /// A plain lock: held for arithmetic only. Users who hold something.
    held: Mutex<HashMap<i64, usize>>,
    patience: Duration,
}

/// What one form takes; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Held<'a> {
    of: &'a Memory,
    user_id: i64,
    kib: usize,
    /// Of these in `places`.
    placed: usize,
    places: Option<SemaphorePermit<'a>>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            all: Semaphore::new(ALL),
            held: Mutex::default(),
            patience: PATIENCE,
        }
    }

    /// Nothing yet.
    pub(super) fn of(&self, user_id: i64) -> Held<'_> {
        Held {
            of: self,
            user_id,
            kib: 0,
            placed: 0,
            places: None,
        }
    }
}

impl Held<'_> {
    /// Takes as much more as so many bytes need in all; waits a little where there is none.
    pub(super) async fn grow(&mut self, bytes: usize) -> Result<(), BrokerError> {
        let more = (bytes / 1024 + 1).saturating_sub(self.kib);
        if more == 0 {
            return Ok(());
        }
        {
            let mut held = self.of.held.lock().unwrap_or_else(PoisonError::into_inner);
            let share = held.entry(self.user_id).or_default();
            if *share + more > SHARE {
                return Err(BrokerError::TooMany(5));
            }
            *share += more;
            self.kib += more;
        }
        if self.kib <= SMALL {
            return Ok(());
        }
        let more = self.kib - self.placed;
        let count = u32::try_from(more).unwrap_or(u32::MAX);
        let places = tokio::time::timeout(self.of.patience, self.of.all.acquire_many(count))
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(BrokerError::Busy(5))?;
        self.placed += more;
        match &mut self.places {
            Some(all) => all.merge(places),
            none => *none = Some(places),
        }
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut held = self.of.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = held.get_mut(&self.user_id) {
            *share = share.saturating_sub(self.kib);
            if *share == 0 {
                held.remove(&self.user_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_has_more_than_a_share_and_what_is_over_is_given_back() {
        let memory = Memory {
            patience: Duration::from_millis(50),
            ..Memory::new()
        };
        let mib = 1 << 20;
        let mut all = Vec::new();
        for user in 0..8 {
            for _ in 0..4 {
                let mut held = memory.of(user);
                held.grow(15 * mib).await.expect("a share");
                held.grow(16 * mib - 1).await.expect("a share");
                all.push(held);
            }
            let refused = memory.of(user).grow(1).await;
            assert!(matches!(refused, Err(BrokerError::TooMany(_))));
        }
        // All of it is taken: another one is told so, and that it is not theirs.
        let mut small = memory.of(8);
        small.grow(60 << 10).await.expect("small ones pass");
        let refused = small.grow(mib).await;
        assert!(matches!(refused, Err(BrokerError::Busy(_))));
        drop(small);
        let mut waits = memory.of(9);
        let (waited, ()) = tokio::join!(waits.grow(mib), async { drop(all.pop()) });
        waited.expect("what was given back");
        drop(waits);
        all.clear();
        assert_eq!(memory.all.available_permits(), ALL);
        assert!(memory.held.lock().expect("not poisoned").is_empty());
    }
}
