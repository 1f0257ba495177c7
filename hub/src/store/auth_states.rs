//! Rows of auth states: what a person's provider gave, sealed. Only whoever has the keys reads them.

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
            ") ON CONFLICT (issuer, sub) DO UPDATE SET key_id = ?3, sealed = ?4, updated = ",
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
        Ok(rows
            .into_iter()
            .map(|(issuer, sub, key_id, text)| AuthStateRow {
                issuer,
                sub,
                sealed: Sealed { key_id, text },
            })
            .collect())
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
