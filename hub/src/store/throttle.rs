//! Rows of failed sign-ins, so that guessing is slow whichever hub is asked.
//!
//! A key is the hash of a name, an address, or both; what it stands for is not kept.

use std::time::Duration;

use super::sessions::millis;
use super::{Store, StoreError, now};

/// At most so many keys are kept; the oldest go first.
const MOST_KEYS: i64 = 50_000;

impl Store {
    /// Seconds until `key` may try again; `None` when it may now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn throttled(
        &self,
        key: &str,
        most: u32,
        window: Duration,
    ) -> Result<Option<u64>, StoreError> {
        let left: Option<i64> = sqlx::query_scalar(concat!(
            "SELECT since + ?1 - ",
            now!(),
            " FROM login_failures WHERE key = ?2 AND count >= ?3 AND since + ?1 > ",
            now!()
        ))
        .bind(millis(window))
        .bind(key)
        .bind(most)
        .fetch_optional(self.pool())
        .await?;
        Ok(left.map(|left| u64::try_from(left / 1000 + 1).unwrap_or(1)))
    }

    /// Counts a try for each key, before it is known how it ends, so that many at once are counted too.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_try(&self, keys: &[String], window: Duration) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(concat!(
            "DELETE FROM login_failures WHERE since <= ",
            now!(),
            " - ?"
        ))
        .bind(millis(window))
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM login_failures WHERE key IN \
             (SELECT key FROM login_failures ORDER BY since DESC LIMIT -1 OFFSET ?)",
        )
        .bind(MOST_KEYS)
        .execute(&mut *tx)
        .await?;
        for key in keys {
            sqlx::query(concat!(
                "INSERT INTO login_failures (key, count, since) VALUES (?, 1, ",
                now!(),
                ") ON CONFLICT (key) DO UPDATE SET count = count + 1"
            ))
            .bind(key)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Takes back what was counted: the try was right.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forgive_try(&self, keys: &[String]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        for key in keys {
            sqlx::query("UPDATE login_failures SET count = max(count - 1, 0) WHERE key = ?")
                .bind(key)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
