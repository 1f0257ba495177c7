//! How much one user may ask at once, and how fast. Who is a little too fast waits; who is far too fast is told when to come again.
//!
//! Counted in this process. A proxy sends all to one hub while that answers, so this is what a user has; where something spreads requests
//! over several hubs, a user may have as much at each, and no more: a count in rows would cost every request a write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::refusal::BrokerError;

/// Nobody waits longer for a turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many wait for each that is under way.
const WAITING: usize = 4;
/// From so many users on, those who ask nothing are forgotten.
const MANY: usize = 256;

/// What one user may do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests a second, for long.
    pub per_second: u32,
    /// Requests at once before that counts.
    pub burst: u32,
    /// Requests under way.
    pub concurrent: u32,
}

/// All users' turns.
#[derive(Debug)]
pub(super) struct Turns {
    limits: Limits,
    /// A plain lock: held for arithmetic only.
    lanes: Mutex<HashMap<i64, Lane>>,
}

#[derive(Debug)]
struct Lane {
    /// When as much is free as can be.
    rested: Instant,
    under_way: Arc<Semaphore>,
    inside: Arc<Semaphore>,
}

/// A turn; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _under_way: OwnedSemaphorePermit,
    _inside: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            lanes: Mutex::default(),
        }
    }

    /// Waits for a turn of this user.
    pub(super) async fn take(&self, user_id: i64) -> Result<Turn, BrokerError> {
        let (under_way, inside) = self.lane(user_id);
        let inside = inside
            .try_acquire_owned()
            .map_err(|_| BrokerError::TooMany(1))?;
        let under_way = timeout(PATIENCE, under_way.acquire_owned())
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(BrokerError::TooMany(1))?;
        sleep(self.reserve(user_id, Instant::now())?).await;
        Ok(Turn {
            _under_way: under_way,
            _inside: inside,
        })
    }

    fn lane(&self, user_id: i64) -> (Arc<Semaphore>, Arc<Semaphore>) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, concurrent) = (Instant::now(), self.limits.concurrent as usize);
        if lanes.len() >= MANY {
            lanes.retain(|_, lane| {
                lane.rested > now || lane.under_way.available_permits() < concurrent
            });
        }
        let lane = lanes.entry(user_id).or_insert_with(|| Lane {
            rested: now,
            under_way: Arc::new(Semaphore::new(concurrent)),
            inside: Arc::new(Semaphore::new(concurrent * (1 + WAITING))),
        });
        (lane.under_way.clone(), lane.inside.clone())
    }

    /// How long the next request has to wait; its place is taken.
    fn reserve(&self, user_id: i64, now: Instant) -> Result<Duration, BrokerError> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lane) = lanes.get_mut(&user_id) else {
            return Ok(Duration::ZERO);
        };
        let each = Duration::from_secs(1) / self.limits.per_second.max(1);
        let next = lane.rested.max(now) + each;
        let wait = (next - now).saturating_sub(each * self.limits.burst.max(1));
        if wait > PATIENCE {
            return Err(BrokerError::TooMany(wait.as_secs() + 1));
        }
        lane.rested = next;
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_burst_goes_at_once_and_then_it_is_so_many_a_second() {
        let turns = Turns::new(Limits {
            per_second: 10,
            burst: 5,
            concurrent: 2,
        });
        drop(turns.take(1).await.expect("a turn"));
        let now = Instant::now() + Duration::from_secs(1);
        let wait = |turns: &Turns| turns.reserve(1, now);
        for _ in 0..5 {
            assert_eq!(wait(&turns).expect("a turn"), Duration::ZERO);
        }
        assert_eq!(wait(&turns).expect("a turn"), Duration::from_millis(100));
        assert_eq!(wait(&turns).expect("a turn"), Duration::from_millis(200));
        // Who is far too fast is told so, and takes no place by it.
        while wait(&turns).is_ok() {}
        assert!(matches!(wait(&turns), Err(BrokerError::TooMany(11))));
        // Somebody else is not held up by it.
        drop(turns.take(2).await.expect("a turn"));
        assert_eq!(turns.reserve(2, now).expect("a turn"), Duration::ZERO);
    }

    #[tokio::test]
    async fn so_many_are_under_way_some_wait_and_more_are_refused() {
        let turns = Turns::new(Limits {
            per_second: 1000,
            burst: 1000,
            concurrent: 1,
        });
        let first = turns.take(1).await.expect("a turn");
        let waiting = futures_util::future::join_all((0..WAITING).map(|_| turns.take(1)));
        tokio::select! {
            biased;
            _ = waiting => panic!("they do not wait"),
            refused = turns.take(1) => assert!(matches!(refused, Err(BrokerError::TooMany(1)))),
        }
        drop(first);
        drop(turns.take(1).await.expect("a turn again"));
    }
}
