//! What a waiting person reads while a server starts, as rows: kept until the next start.

use super::rows::ProgressEvent;
use super::{Store, StoreError, now};

impl Store {
    /// Adds a line of progress for the waiting person.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn add_progress(
        &self,
        server_id: i64,
        kind: &str,
        percent: i64,
        message: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(concat!(
            "INSERT INTO progress (server_id, at, kind, percent, message) VALUES (?, ",
            now!(),
            ", ?, ?, ?)"
        ))
        .bind(server_id)
        .bind(kind)
        .bind(percent)
        .bind(message)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Lines of progress that came after the line `after`, at most 200.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn progress(
        &self,
        server_id: i64,
        after: i64,
    ) -> Result<Vec<ProgressEvent>, StoreError> {
        let rows: Vec<(i64, String, i64, String)> = sqlx::query_as(
            "SELECT id, kind, percent, message FROM progress WHERE server_id = ? AND id > ? ORDER BY id LIMIT 200",
        )
        .bind(server_id)
        .bind(after)
        .fetch_all(self.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(id, kind, percent, message)| ProgressEvent {
                id,
                kind,
                percent,
                message,
            })
            .collect())
    }
}
