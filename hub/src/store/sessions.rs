//! Rows of sessions: browsers that are signed in.
//!
//! The cookie's value is kept as its hash; `session_id` is the other cookie, which notebooks see and which is no secret.

use std::time::Duration;

use sqlx::{Row, Sqlite, Transaction};

use super::users::{Ended, User, user_columns};
use super::{Store, StoreError, now};

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The row.
    pub id: i64,
    /// The cookie `jupyterhub-session-id`.
    pub session_id: String,
    /// Milliseconds since 1970.
    pub expires: i64,
}

impl Store {
    /// Begins a session.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn create_session(
        &self,
        user_id: i64,
        hash: &str,
        session_id: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(concat!("DELETE FROM sessions WHERE expires <= ", now!()))
            .execute(&mut *tx)
            .await?;
        sqlx::query(concat!(
            "INSERT INTO sessions (hash, session_id, user_id, created, seen, expires) SELECT ?1, ?2, id, ",
            now!(),
            ", ",
            now!(),
            ", ",
            now!(),
            " + ?4 FROM users WHERE id = ?3 AND deleted IS NULL"
        ))
        .bind(hash)
        .bind(session_id)
        .bind(user_id)
        .bind(millis(lifetime))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes sessions, codes and tokens whose time is over; they were refused before that.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn purge_expired(&self) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        for statement in [
            concat!("DELETE FROM sessions WHERE expires <= ", now!()),
            concat!("DELETE FROM oauth_codes WHERE expires <= ", now!()),
            concat!("DELETE FROM tokens WHERE expires <= ", now!()),
        ] {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The session of a cookie, with its user, and notes that it is used.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn session(&self, hash: &str) -> Result<Option<(Session, User)>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT sessions.id AS sid, sessions.session_id, sessions.expires, sessions.seen < ",
            now!(),
            " - 60000 AS stale, ",
            user_columns!(),
            " FROM sessions JOIN users ON users.id = sessions.user_id \
             WHERE sessions.hash = ? AND users.deleted IS NULL AND sessions.expires > ",
            now!()
        ))
        .bind(hash)
        .fetch_optional(self.pool())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let session = Session {
            id: row.try_get("sid")?,
            session_id: row.try_get("session_id")?,
            expires: row.try_get("expires")?,
        };
        let user = <User as sqlx::FromRow<_>>::from_row(&row)?;
        if row.try_get::<bool, _>("stale")? {
            sqlx::query(concat!(
                "UPDATE sessions SET seen = ",
                now!(),
                " WHERE id = ?"
            ))
            .bind(session.id)
            .execute(self.pool())
            .await?;
        }
        Ok(Some((session, user)))
    }

    /// Ends one session, with the tokens and codes that came of it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_session(&self, hash: &str) -> Result<Ended, StoreError> {
        let mut tx = self.write().await?;
        let sessions: Vec<String> =
            sqlx::query_scalar("DELETE FROM sessions WHERE hash = ? RETURNING session_id")
                .bind(hash)
                .fetch_all(&mut *tx)
                .await?;
        let ended = end_tokens(&mut tx, sessions).await?;
        tx.commit().await?;
        Ok(ended)
    }
}

/// Ends every session of a user but `keep`, with the tokens and codes that came of them.
pub(super) async fn end_sessions(
    tx: &mut Transaction<'static, Sqlite>,
    user_id: i64,
    keep: Option<&str>,
) -> Result<Ended, StoreError> {
    let sessions: Vec<String> = sqlx::query_scalar(
        "DELETE FROM sessions WHERE user_id = ? AND session_id IS NOT ? RETURNING session_id",
    )
    .bind(user_id)
    .bind(keep)
    .fetch_all(&mut **tx)
    .await?;
    end_tokens(tx, sessions).await
}

async fn end_tokens(
    tx: &mut Transaction<'static, Sqlite>,
    sessions: Vec<String>,
) -> Result<Ended, StoreError> {
    let mut token_hashes = Vec::new();
    for session in &sessions {
        let hashes: Vec<String> =
            sqlx::query_scalar("DELETE FROM tokens WHERE session_id = ? RETURNING hash")
                .bind(session)
                .fetch_all(&mut **tx)
                .await?;
        token_hashes.extend(hashes);
        sqlx::query("DELETE FROM oauth_codes WHERE session_id = ?")
            .bind(session)
            .execute(&mut **tx)
            .await?;
    }
    Ok(Ended {
        sessions,
        token_hashes,
    })
}

/// Whole milliseconds, as rows have them.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_session_lives_until_it_expires_or_is_ended() -> Result<(), StoreError> {
        let store = Store::in_memory().await?;
        let user = store.create_user("a", false, None).await?;
        store
            .create_session(user.id, "h", "s", Duration::from_secs(60))
            .await?;
        let found = store.session("h").await?;
        assert_eq!(
            found.map(|(session, user)| (session.session_id, user.name)),
            Some(("s".into(), "a".into()))
        );
        assert_eq!(store.end_session("h").await?.sessions, vec!["s".to_owned()]);
        assert_eq!(store.session("h").await?, None);
        store
            .create_session(user.id, "h2", "s2", Duration::ZERO)
            .await?;
        assert_eq!(store.session("h2").await?, None);
        Ok(())
    }
}
