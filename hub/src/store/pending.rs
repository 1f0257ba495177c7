//! Rows of sign-ins that are on their way: a browser went to a provider and is not back yet.
//!
//! A row belongs to one browser and is taken once, whichever hub the browser comes back to.

use std::time::Duration;

use super::sessions::millis;
use super::{Store, StoreError, now};
use crate::secret;

/// So many may be on their way in one browser; the oldest give way.
const OF_ONE_BROWSER: i64 = 16;
/// So many may be on their way at all: who only begins them fills no disk, and keeps nobody out, since the oldest give way.
const OF_ALL: i64 = 20_000;

/// A sign-in on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingLogin {
    /// The provider's name in the settings.
    pub provider: String,
    /// What the provider needs to finish, sealed.
    pub kept: String,
    /// Where the person wanted to go.
    pub next: Option<String>,
}

impl Store {
    /// Keeps a sign-in that has begun.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keep_login(
        &self,
        browser: &str,
        handle: &str,
        login: &PendingLogin,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let browser = secret::hash(browser);
        let mut tx = self.write().await?;
        sqlx::query(concat!(
            "DELETE FROM pending_logins WHERE expires <= ",
            now!()
        ))
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM pending_logins WHERE rowid <= (SELECT max(rowid) FROM pending_logins) - ?",
        )
        .bind(OF_ALL)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM pending_logins WHERE browser = ?1 AND handle NOT IN \
             (SELECT handle FROM pending_logins WHERE browser = ?1 ORDER BY created DESC, rowid DESC LIMIT ?2)",
        )
        .bind(&browser)
        .bind(OF_ONE_BROWSER - 1)
        .execute(&mut *tx)
        .await?;
        sqlx::query(concat!(
            "INSERT INTO pending_logins (handle, browser, provider, kept, next, created, expires) VALUES (?, ?, ?, ?, ?, ",
            now!(),
            ", ",
            now!(),
            " + ?)"
        ))
        .bind(secret::hash(handle))
        .bind(&browser)
        .bind(&login.provider)
        .bind(&login.kept)
        .bind(&login.next)
        .bind(millis(lifetime))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes the sign-in that this browser began, for good; `None` when it did not, when it was taken, or when its time is over.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_login(
        &self,
        browser: &str,
        handle: &str,
    ) -> Result<Option<PendingLogin>, StoreError> {
        let row: Option<(String, String, Option<String>, bool)> = sqlx::query_as(concat!(
            "DELETE FROM pending_logins WHERE handle = ? AND browser = ? RETURNING provider, kept, next, expires > ",
            now!()
        ))
        .bind(secret::hash(handle))
        .bind(secret::hash(browser))
        .fetch_optional(self.pool())
        .await?;
        Ok(row.and_then(|(provider, kept, next, is_fresh)| {
            is_fresh.then_some(PendingLogin {
                provider,
                kept,
                next,
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn login() -> PendingLogin {
        PendingLogin {
            provider: "wiki".into(),
            kept: "sealed".into(),
            next: Some("/hub/home".into()),
        }
    }

    #[tokio::test]
    async fn only_the_browser_that_began_it_takes_it_once() -> Result<(), StoreError> {
        let store = Store::in_memory().await?;
        store.keep_login("mine", "h", &login(), MINUTE).await?;
        assert_eq!(store.take_login("other", "h").await?, None);
        assert_eq!(store.take_login("mine", "x").await?, None);
        assert_eq!(store.take_login("mine", "h").await?, Some(login()));
        assert_eq!(store.take_login("mine", "h").await?, None);
        store
            .keep_login("mine", "old", &login(), Duration::ZERO)
            .await?;
        assert_eq!(store.take_login("mine", "old").await?, None);
        Ok(())
    }

    #[tokio::test]
    async fn the_oldest_of_too_many_tabs_gives_way() -> Result<(), StoreError> {
        let store = Store::in_memory().await?;
        for number in 0..=OF_ONE_BROWSER {
            let handle = format!("{number}");
            store.keep_login("mine", &handle, &login(), MINUTE).await?;
        }
        let mut there = 0;
        for number in 0..=OF_ONE_BROWSER {
            let handle = format!("{number}");
            there += i64::from(store.take_login("mine", &handle).await?.is_some());
        }
        assert_eq!(there, OF_ONE_BROWSER);
        Ok(())
    }
}
