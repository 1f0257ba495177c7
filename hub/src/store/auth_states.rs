//! Rows of auth states: what a person's provider gave, sealed. Only whoever has the keys reads them.

use std::time::Duration;

use super::sessions::{end_sessions_through, millis};
use super::users::Ended;
use super::{Store, StoreError, now};
use crate::secret::seal::Sealed;

/// A sealed auth state and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthStateRow {
    /// The provider.
    pub issuer: String,
    /// The account.
    pub sub: String,
    /// What was sealed.
    pub sealed: Sealed,
}

impl From<(String, String, String, String)> for AuthStateRow {
    fn from((issuer, sub, key_id, text): (String, String, String, String)) -> Self {
        let sealed = Sealed { key_id, text };
        Self {
            issuer,
            sub,
            sealed,
        }
    }
}

impl Store {
    /// Keeps an account's auth state in place of what was there.
    ///
    /// # Errors
    /// When the database does not answer, or there is no such account.
    pub async fn keep_auth_state(
        &self,
        issuer: &str,
        sub: &str,
        sealed: &Sealed,
    ) -> Result<(), StoreError> {
        sqlx::query(concat!(
            "INSERT INTO auth_states (issuer, sub, key_id, sealed, updated) VALUES (?1, ?2, ?3, ?4, ",
            now!(),
            ") ON CONFLICT (issuer, sub) DO UPDATE SET key_id = ?3, sealed = ?4, renewing = 0, updated = ",
            now!()
        ))
        .bind(issuer)
        .bind(sub)
        .bind(&sealed.key_id)
        .bind(&sealed.text)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// An account's auth state.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn auth_state(&self, issuer: &str, sub: &str) -> Result<Option<Sealed>, StoreError> {
        let row: Option<(String, String)> =
            sqlx::query_as("SELECT key_id, sealed FROM auth_states WHERE issuer = ? AND sub = ?")
                .bind(issuer)
                .bind(sub)
                .fetch_optional(self.pool())
                .await?;
        Ok(row.map(|(key_id, text)| Sealed { key_id, text }))
    }

    /// Up to `most` auth states that another key than this sealed, after the given account in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn auth_states_not_under(
        &self,
        key_id: &str,
        (issuer, sub): (&str, &str),
        most: u32,
    ) -> Result<Vec<AuthStateRow>, StoreError> {
        let rows: Vec<(String, String, String, String)> = sqlx::query_as(
            "SELECT issuer, sub, key_id, sealed FROM auth_states WHERE key_id <> ? AND (issuer, sub) > (?, ?) \
             ORDER BY issuer, sub LIMIT ?",
        )
        .bind(key_id)
        .bind(issuer)
        .bind(sub)
        .bind(most)
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().map(AuthStateRow::from).collect())
    }

    /// Claims up to `most` auth states of a provider that nobody looked at for `every`, of people who have a session by it: they count as
    /// looked at now, so that no other hub takes them too.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim_renewals(
        &self,
        provider: &str,
        every: Duration,
        most: u32,
    ) -> Result<Vec<AuthStateRow>, StoreError> {
        let mut tx = self.write().await?;
        let rows: Vec<(String, String, String, String)> = sqlx::query_as(concat!(
            "UPDATE auth_states SET updated = ",
            now!(),
            " WHERE (issuer, sub) IN (SELECT a.issuer, a.sub FROM auth_states a \
               JOIN identities i ON i.issuer = a.issuer AND i.sub = a.sub \
               WHERE i.provider = ?1 AND a.updated <= ",
            now!(),
            " - ?2 AND EXISTS (SELECT 1 FROM sessions s WHERE s.user_id = i.user_id AND s.provider = ?1 AND s.expires > ",
            now!(),
            ") ORDER BY a.updated LIMIT ?3) RETURNING issuer, sub, key_id, sealed"
        ))
        .bind(provider)
        .bind(millis(every))
        .bind(most)
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(AuthStateRow::from).collect())
    }

    /// Forgets an auth state that holds no more, and ends the sessions that were begun by its provider, with their tokens; servers go on.
    /// Nothing when it changed meanwhile: its owner has signed in again.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn drop_auth_state(
        &self,
        row: &AuthStateRow,
        provider: &str,
    ) -> Result<Option<Ended>, StoreError> {
        let mut tx = self.write().await?;
        let owner: Option<i64> = sqlx::query_scalar(
            "DELETE FROM auth_states WHERE issuer = ?1 AND sub = ?2 AND sealed = ?3 \
             RETURNING (SELECT user_id FROM identities WHERE issuer = ?1 AND sub = ?2)",
        )
        .bind(&row.issuer)
        .bind(&row.sub)
        .bind(&row.sealed.text)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(user_id) = owner else {
            return Ok(None);
        };
        let ended = end_sessions_through(&mut tx, user_id, provider).await?;
        tx.commit().await?;
        Ok(Some(ended))
    }

    /// Puts a text sealed anew in place of the one it came from; nothing when that changed meanwhile.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn reseal_auth_state(
        &self,
        old: &AuthStateRow,
        new: &Sealed,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE auth_states SET key_id = ?, sealed = ? WHERE issuer = ? AND sub = ? AND sealed = ?",
        )
        .bind(&new.key_id)
        .bind(&new.text)
        .bind(&old.issuer)
        .bind(&old.sub)
        .bind(&old.sealed.text)
        .execute(self.pool())
        .await?;
        Ok(())
    }
}
