//! Whose turn it is when more users work than there are accounts: who has one for a while gives it back between statements.
//!
//! A connection that rests and holds nothing gives its backend back unnoticed, and stands in line when it says the next statement. A
//! statement that takes long is not stopped for others; nor is a transaction or a variable taken away, until it was left alone for half
//! of the time that others may wait.

use std::sync::Arc;
use std::time::Duration;

use super::Gateway;
use super::accounts::Holder;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(100);
/// A user has an account for so long before others have it, if they wait.
const TURN: Duration = Duration::from_millis(500);
/// A statement that has been running for so long is not waited for.
const LONG: Duration = Duration::from_secs(1);

/// Looks again and again.
pub(crate) async fn keep(gateway: Arc<Gateway>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => look(&gateway),
            () = gateway.stop.cancelled() => return,
        }
    }
}

fn look(gateway: &Gateway) {
    let mut waiting = gateway.accounts.waiting();
    let holders = gateway.accounts.holders();
    if waiting == 0 {
        for holder in holders.iter().filter(|holder| holder.is_asked_back) {
            gateway.accounts.leave_with(holder.user);
        }
        return;
    }
    let mut pinned = Vec::new();
    for holder in holders {
        if waiting == 0 {
            return;
        }
        let at = gateway.sessions.at(holder.user);
        if at.longest.is_some_and(|longest| longest >= LONG) {
            if holder.is_asked_back {
                gateway.accounts.leave_with(holder.user);
            }
        } else if at.is_pinned {
            if at.longest.is_none() && at.rested >= gateway.settings.limits.queue_timeout / 2 {
                pinned.push(holder);
            }
        } else if holder.is_asked_back || holder.since.elapsed() >= TURN {
            ask_back(gateway, &holder);
            waiting -= 1;
        }
    }
    for holder in pinned.iter().take(waiting) {
        tracing::debug!(
            user = holder.user,
            "Connections that rest and hold something are ended: others wait for their account"
        );
        gateway.sessions.end_pinned(holder.user);
        ask_back(gateway, holder);
    }
}

fn ask_back(gateway: &Gateway, holder: &Holder) {
    gateway.accounts.ask_back(holder.user);
    // Again and again: one that had not begun to rest did not hear it.
    gateway.sessions.ask_back(holder.user);
}
