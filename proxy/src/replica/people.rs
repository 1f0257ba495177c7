//! How many connections a user has to backends; who has enough waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The seats of all users.
#[derive(Debug, Default)]
pub(crate) struct People {
    // Held for a look-up, never across a wait.
    seats: Arc<Mutex<HashMap<i64, Row>>>,
}

#[derive(Debug)]
struct Row {
    seats: Arc<Semaphore>,
    most: u32,
    /// Who sits and who waits.
    wanted: usize,
}

/// One seat, or a place in the line for one.
#[derive(Debug)]
pub(crate) struct Seat {
    _row: Wanted,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Wanted {
    seats: Arc<Mutex<HashMap<i64, Row>>>,
    user: i64,
}

impl People {
    /// A seat for a user who may have so many; waits for one. May be dropped at any time.
    pub(crate) async fn seat(&self, user: i64, most: u32) -> Seat {
        let (row, seats) = {
            let mut all = self.seats.lock().expect("no panic under this lock");
            let row = all.entry(user).or_insert_with(|| Row {
                seats: Arc::new(Semaphore::new(most as usize)),
                most,
                wanted: 0,
            });
            // A limit that grew holds at once; one that shrank holds once nobody sits.
            if most > row.most {
                row.seats.add_permits((most - row.most) as usize);
                row.most = most;
            }
            row.wanted += 1;
            let wanted = Wanted {
                seats: Arc::clone(&self.seats),
                user,
            };
            (wanted, Arc::clone(&row.seats))
        };
        match seats.acquire_owned().await {
            Ok(permit) => Seat {
                _row: row,
                _permit: permit,
            },
            // It is never closed.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        let mut all = self.seats.lock().expect("no panic under this lock");
        if let Some(row) = all.get_mut(&self.user) {
            row.wanted -= 1;
            if row.wanted == 0 {
                all.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_more_than_the_limit_waits() {
        let people = People::default();
        let one = people.seat(7, 1).await;
        let mut next = Box::pin(people.seat(7, 1));
        assert!(next.as_mut().now_or_never().is_none());
        let _other = people.seat(8, 1).await;
        drop(one);
        drop(next.await);
        assert_eq!(
            people.seats.lock().unwrap().len(),
            1,
            "who has none is forgotten"
        );
    }
}
