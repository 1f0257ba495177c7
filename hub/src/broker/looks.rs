//! Whose tokens these are: looked up for all who ask at the same time in one statement, so that many requests cost little more than one.
//!
//! **Invariant:** what is answered was read after it was asked for; nothing is kept. A statement that fails has failed for all whom it was
//! for, so that nobody waits for more than one that runs already and one of their own.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::store::broker::BrokerCaller;
use crate::store::{Store, StoreError};

/// The way to the rows.
#[derive(Debug)]
pub(super) struct Looks {
    store: Store,
    provider: Arc<str>,
    /// The key of the consumer that acts, as in rows.
    consumer: String,
    /// A plain lock: held for a push or a swap only.
    asked: Mutex<Vec<Ask>>,
    /// Held by whoever looks for all.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Ask {
    hash: String,
    answer: oneshot::Sender<Found>,
}

/// What is told to each; a failure is shared by all whom it concerns.
type Found = Result<Option<BrokerCaller>, Arc<StoreError>>;

impl Looks {
    pub(super) fn new(store: Store, provider: Arc<str>, consumer: &str) -> Self {
        Self {
            store,
            provider,
            consumer: consumer.to_owned(),
            asked: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Whose token has this hash. Whoever gives up waiting, even while looking for others, holds nobody up: they look themselves.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn look(&self, hash: &str) -> Found {
        loop {
            let (answer, mut answered) = oneshot::channel();
            self.asked().push(Ask {
                hash: hash.to_owned(),
                answer,
            });
            let turn = tokio::select! {
                biased;
                found = &mut answered => match found {
                    Ok(found) => return found,
                    // Who looked for us gave up.
                    Err(_) => continue,
                },
                turn = self.turn.lock() => turn,
            };
            let asks = mem::take(&mut *self.asked());
            if !asks.is_empty() {
                self.answer(asks).await;
            }
            drop(turn);
            if let Ok(found) = answered.try_recv() {
                return found;
            }
        }
    }

    async fn answer(&self, asks: Vec<Ask>) {
        let mut hashes: Vec<String> = asks.iter().map(|ask| ask.hash.clone()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let found = self
            .store
            .broker_callers(&hashes, &self.provider, &self.consumer)
            .await;
        let found: Result<HashMap<String, Found>, Arc<StoreError>> = match found {
            Ok(found) => Ok(found
                .into_iter()
                .map(|(hash, one)| (hash, one.map(Some).map_err(Arc::new)))
                .collect()),
            Err(error) => Err(Arc::new(error)),
        };
        for ask in asks {
            let told = match &found {
                Ok(found) => found.get(&ask.hash).cloned().unwrap_or(Ok(None)),
                Err(error) => Err(Arc::clone(error)),
            };
            // Who does not wait any more needs no answer.
            let _ = ask.answer.send(told);
        }
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Vec<Ask>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use futures_util::future::join_all;

    #[tokio::test]
    async fn a_database_that_fails_has_failed_for_all_who_wait() {
        let once = Duration::from_millis(500);
        let store = Store::in_memory_waiting(once).await.expect("a database");
        let looks = Looks::new(store.clone(), Arc::from("wiki"), "");
        let (one, other) = tokio::join!(looks.look("a"), looks.look("b"));
        assert!([one, other].iter().all(|found| matches!(found, Ok(None))));
        // The only connection is taken: each statement fails when it has waited for one.
        let taken = store.pool().acquire().await.expect("a connection");
        let begun = Instant::now();
        let hashes: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        let all = join_all(hashes.iter().map(|hash| looks.look(hash))).await;
        assert!(all.iter().all(Result::is_err));
        // The first one's statement, and one for all others; each with its own it would be 25 seconds.
        let took = begun.elapsed();
        assert!(once <= took && took < once * 10, "{took:?}");
        drop(taken);
        assert!(matches!(looks.look("a").await, Ok(None)));
    }
}
