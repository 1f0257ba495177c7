//! The pool of backend accounts: one serves one user at a time, as long as the user has any connection with it.
//!
//! Whoever comes when none is free stands in line.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::oneshot;

use super::settings::{Account, Sharing};

/// The pool.
#[derive(Debug)]
pub(crate) struct Accounts {
    all: Vec<Account>,
    sharing: Sharing,
    // Held for a look-up, never across a wait.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    free: VecDeque<usize>,
    taken: HashMap<i64, Taken>,
    line: VecDeque<(i64, oneshot::Sender<Lease>)>,
}

#[derive(Debug)]
struct Taken {
    number: usize,
    leases: usize,
    since: Instant,
    /// The user is asked to give it back: new leases stand in line.
    is_asked_back: bool,
}

/// A user who has an account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder {
    pub(crate) user: i64,
    /// Since when.
    pub(crate) since: Instant,
    /// Whether it was asked back.
    pub(crate) is_asked_back: bool,
}

/// An account that serves a user until all of the user's leases are dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    accounts: Arc<Accounts>,
    user: i64,
    number: usize,
}

impl Accounts {
    pub(crate) fn new(all: Vec<Account>, sharing: Sharing) -> Arc<Self> {
        let free = (0..all.len()).collect();
        Arc::new(Self {
            all,
            sharing,
            state: Mutex::new(State {
                free,
                ..State::default()
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// How many serve nobody.
    pub(crate) fn free(&self) -> usize {
        self.lock().free.len()
    }

    /// One of them by its number.
    pub(crate) fn get(&self, number: usize) -> &Account {
        &self.all[number % self.all.len()]
    }

    /// An account for a user: the one that serves already, a free one, or the next that becomes free. May be dropped at any time.
    pub(crate) async fn lease(self: &Arc<Self>, user: i64) -> Lease {
        let waiting = {
            let mut state = self.lock();
            if let Some(lease) = self.take(&mut state, user) {
                return lease;
            }
            let (give, waiting) = oneshot::channel();
            state.line.push_back((user, give));
            waiting
        };
        match waiting.await {
            Ok(lease) => lease,
            // The line is never dropped while the pool lives, and we hold the pool.
            Err(_) => std::future::pending().await,
        }
    }

    fn take(self: &Arc<Self>, state: &mut State, user: i64) -> Option<Lease> {
        let lease = |number| Lease {
            accounts: Arc::clone(self),
            user,
            number,
        };
        if self.sharing == Sharing::Everybody && !self.all.is_empty() {
            let number = usize::try_from(user.unsigned_abs()).unwrap_or_default() % self.all.len();
            return Some(lease(number));
        }
        if let Some(taken) = state.taken.get_mut(&user) {
            if taken.is_asked_back {
                return None;
            }
            taken.leases += 1;
            return Some(lease(taken.number));
        }
        let number = state.free.pop_front()?;
        let taken = Taken {
            number,
            leases: 1,
            since: Instant::now(),
            is_asked_back: false,
        };
        state.taken.insert(user, taken);
        Some(lease(number))
    }

    /// How many users wait who have no account.
    pub(crate) fn waiting(&self) -> usize {
        let state = self.lock();
        let mut users: Vec<i64> = state
            .line
            .iter()
            .filter(|(user, give)| !give.is_closed() && !state.taken.contains_key(user))
            .map(|(user, _)| *user)
            .collect();
        users.sort_unstable();
        users.dedup();
        users.len()
    }

    /// Who has one, the longest first.
    pub(crate) fn holders(&self) -> Vec<Holder> {
        let state = self.lock();
        let mut holders: Vec<Holder> = state
            .taken
            .iter()
            .map(|(user, taken)| Holder {
                user: *user,
                since: taken.since,
                is_asked_back: taken.is_asked_back,
            })
            .collect();
        holders.sort_by_key(|holder| holder.since);
        holders
    }

    /// From now on the user gets no further lease of the account before it was somebody else's turn.
    pub(crate) fn ask_back(&self, user: i64) {
        if let Some(taken) = self.lock().taken.get_mut(&user) {
            taken.is_asked_back = true;
        }
    }

    /// The user may keep the account after all.
    pub(crate) fn leave_with(self: &Arc<Self>, user: i64) {
        if let Some(taken) = self.lock().taken.get_mut(&user) {
            taken.is_asked_back = false;
        }
        self.serve_line();
    }

    /// Gives what is free to who waits, in order; whoever went away meanwhile is passed over.
    fn serve_line(self: &Arc<Self>) {
        let mut unwanted = Vec::new();
        {
            let mut state = self.lock();
            let line = std::mem::take(&mut state.line);
            for (user, give) in line {
                if give.is_closed() {
                    continue;
                }
                match self.take(&mut state, user) {
                    Some(lease) => unwanted.extend(give.send(lease).err()),
                    None => state.line.push_back((user, give)),
                }
            }
        }
        // Dropped outside of the lock: each gives itself back.
        drop(unwanted);
    }
}

impl Lease {
    /// The account.
    pub(crate) fn account(&self) -> &Account {
        self.accounts.get(self.number)
    }

    /// Its number.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// One more for the same connection, such as one that ends a statement.
    pub(crate) fn again(&self) -> Lease {
        if self.accounts.sharing == Sharing::Never
            && let Some(taken) = self.accounts.lock().taken.get_mut(&self.user)
        {
            taken.leases += 1;
        }
        Lease {
            accounts: Arc::clone(&self.accounts),
            user: self.user,
            number: self.number,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.accounts.sharing == Sharing::Everybody {
            return;
        }
        let is_over = {
            let mut state = self.accounts.lock();
            match state.taken.get_mut(&self.user) {
                Some(taken) if taken.leases > 1 => {
                    taken.leases -= 1;
                    false
                }
                Some(_) => {
                    state.taken.remove(&self.user);
                    state.free.push_back(self.number);
                    true
                }
                None => false,
            }
        };
        if is_over {
            self.accounts.serve_line();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn pool(count: usize, sharing: Sharing) -> Arc<Accounts> {
        let account = |number| Account {
            name: format!("u{number}"),
            password: String::new().into(),
        };
        Accounts::new((0..count).map(account).collect(), sharing)
    }

    #[tokio::test]
    async fn one_account_serves_one_user() {
        let pool = pool(2, Sharing::Never);
        let one = pool.lease(1).await;
        let again = pool.lease(1).await;
        let other = pool.lease(2).await;
        assert_eq!(one.number(), again.number());
        assert_ne!(one.number(), other.number());
        let mut third = Box::pin(pool.lease(3));
        assert!(third.as_mut().now_or_never().is_none());
        drop(one);
        assert!(
            third.as_mut().now_or_never().is_none(),
            "the user has another one"
        );
        drop(again);
        let third = third.await;
        assert_eq!(pool.free(), 0);
        drop((third, other));
        assert_eq!(pool.free(), 2);
    }

    #[tokio::test]
    async fn an_account_that_is_asked_back_is_next_that_of_who_waits() {
        let pool = pool(1, Sharing::Never);
        let one = pool.lease(1).await;
        let mut other = Box::pin(pool.lease(2));
        assert!(other.as_mut().now_or_never().is_none());
        assert_eq!((pool.waiting(), pool.holders()[0].user), (1, 1));
        pool.ask_back(1);
        let mut again = Box::pin(pool.lease(1));
        assert!(again.as_mut().now_or_never().is_none());
        assert_eq!(pool.waiting(), 1, "who has one is not counted");
        drop(one);
        let other = other.await;
        assert!(again.as_mut().now_or_never().is_none());
        drop(other);
        let one = again.await;
        pool.ask_back(1);
        let mut again = Box::pin(pool.lease(1));
        assert!(again.as_mut().now_or_never().is_none());
        pool.leave_with(1);
        assert_eq!(again.await.number(), one.number());
    }

    #[tokio::test]
    async fn who_went_away_is_passed_over() {
        let pool = pool(1, Sharing::Never);
        let one = pool.lease(1).await;
        let mut gone = Box::pin(pool.lease(2));
        assert!(gone.as_mut().now_or_never().is_none());
        let mut next = Box::pin(pool.lease(3));
        assert!(next.as_mut().now_or_never().is_none());
        drop(gone);
        drop(one);
        assert_eq!(next.await.user, 3);
        assert_eq!(pool.free(), 1);
    }

    #[tokio::test]
    async fn a_shared_account_serves_everybody() {
        let pool = pool(1, Sharing::Everybody);
        let (one, other) = (pool.lease(1).await, pool.lease(2).await);
        assert_eq!(one.number(), other.number());
        drop(one.again());
    }
}
