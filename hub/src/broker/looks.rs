//! Whose tokens these are: looked up for all who ask at the same time in one statement, so that many requests cost little more than one.
//!
//! **Invariant:** what is answered was read after it was asked for; nothing is kept.

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
    answer: oneshot::Sender<Option<BrokerCaller>>,
}

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
    pub(super) async fn look(&self, hash: &str) -> Result<Option<BrokerCaller>, StoreError> {
        loop {
            let (answer, mut answered) = oneshot::channel();
            self.asked().push(Ask {
                hash: hash.to_owned(),
                answer,
            });
            let turn = tokio::select! {
                biased;
                found = &mut answered => match found {
                    Ok(found) => return Ok(found),
                    // Who looked for us gave up.
                    Err(_) => continue,
                },
                turn = self.turn.lock() => turn,
            };
            let asks = mem::take(&mut *self.asked());
            if !asks.is_empty() {
                self.answer(asks).await?;
            }
            drop(turn);
            if let Ok(found) = answered.try_recv() {
                return Ok(found);
            }
        }
    }

    async fn answer(&self, asks: Vec<Ask>) -> Result<(), StoreError> {
        let mut hashes: Vec<String> = asks.iter().map(|ask| ask.hash.clone()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let found = self
            .store
            .broker_callers(&hashes, &self.provider, &self.consumer)
            .await?;
        for ask in asks {
            // Who does not wait any more needs no answer.
            let _ = ask.answer.send(found.get(&ask.hash).cloned());
        }
        Ok(())
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Vec<Ask>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
