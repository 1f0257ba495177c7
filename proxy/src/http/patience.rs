//! Deadlines that cost nothing while they are kept.
//!
//! A connection has one timer, set at most once in a while: it may fire before the deadline that is looked for, and is set again
//! then. So a request that comes and goes in time touches no timer at all.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// The coarse clock may be so much behind the timer's.
const COARSE: Duration = Duration::from_millis(5);

/// No timer is set further away.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// The deadline so long after a moment, both in milliseconds of the steady clock.
pub(crate) fn after(moment: u64, wait: Duration) -> u64 {
    moment.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

/// The timer of one task. It must be polled by that task alone.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    timer: Option<Pin<Box<Sleep>>>,
    fires: u64,
}

impl Patience {
    /// Ready when `now` has reached the deadline, both in milliseconds of the steady clock; else the task is woken in time.
    pub(crate) fn poll_until(&mut self, cx: &mut Context<'_>, now: u64, deadline: u64) -> Poll<()> {
        if now >= deadline {
            return Poll::Ready(());
        }
        if let Some(timer) = &self.timer
            && !timer.is_elapsed()
            && self.fires <= deadline
        {
            return Poll::Pending;
        }
        // Far away is far enough: it is looked at again then.
        let wait = Duration::from_millis(deadline - now).min(FAR);
        let at = Instant::now() + wait + COARSE;
        self.fires = after(now, wait);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        timer.as_mut().reset(at);
        // Registers the task; and truly so: a task that has used up its turn would be told Pending without being registered.
        if pin!(unconstrained(timer.as_mut())).poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
