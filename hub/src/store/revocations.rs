//! Rows of what ended and the proxy has not heard of yet. The database itself writes them, with whatever ends a session or a token.

use super::{Store, StoreError};

/// Something that ended.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Revocation {
    /// The row.
    pub id: i64,
    /// `session` or `token`.
    pub kind: String,
    /// The cookie `jupyterhub-session-id`, or a token's hash.
    pub value: String,
}

impl Store {
    /// Up to `most` that the proxy has not heard of, oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn revocations_left(&self, most: u32) -> Result<Vec<Revocation>, StoreError> {
        Ok(
            sqlx::query_as("SELECT id, kind, value FROM revocations ORDER BY id LIMIT ?")
                .bind(most)
                .fetch_all(self.pool())
                .await?,
        )
    }

    /// The proxy has heard of these. Those that are gone already are passed over.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_revocations(&self, heard: &[i64]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        for id in heard {
            sqlx::query("DELETE FROM revocations WHERE id = ?")
                .bind(id)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
