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

/// A session as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SessionRow {
    /// The row.
    pub id: i64,
    /// The cookie `jupyterhub-session-id`.
    pub session_id: String,
    /// The provider's name in the settings; empty without one.
    pub provider: String,
    /// What the browser called itself when it signed in.
    pub agent: String,
    /// Where it was then.
    pub address: String,
    /// Milliseconds since 1970.
    pub created: i64,
    /// Milliseconds since 1970, to the minute.
    pub seen: i64,
    /// Milliseconds since 1970.
    pub expires: i64,
}

/// How a session began, for its owner to know it again.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin<'a> {
    /// The provider's name in the settings; empty without one.
    pub provider: &'a str,
    /// What the browser calls itself.
    pub agent: &'a str,
    /// Where it is.
    pub address: &'a str,
}

/// When a session was last used, its notebooks' tokens included. A condition on the table `sessions`.
macro_rules! is_idle {
    ($since:literal) => {
        concat!(
            "(sessions.seen < ",
            $since,
            " AND NOT EXISTS (SELECT 1 FROM tokens WHERE tokens.session_id = sessions.session_id AND tokens.last_activity >= ",
            $since,
            "))"
        )
    };
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
        origin: Origin<'_>,
    ) -> Result<(), StoreError> {
        sqlx::query(concat!(
            "INSERT INTO sessions (hash, session_id, user_id, created, seen, expires, provider, agent, address) SELECT ?1, ?2, id, ",
            now!(),
            ", ",
            now!(),
            ", ",
            now!(),
            " + ?4, ?5, ?6, ?7 FROM users WHERE id = ?3 AND deleted IS NULL"
        ))
        .bind(hash)
        .bind(session_id)
        .bind(user_id)
        .bind(millis(lifetime))
        .bind(origin.provider)
        .bind(origin.agent)
        .bind(origin.address)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Removes sign-ins, sessions, codes and tokens whose time is over, and sessions that nobody used for `idle`. They were refused
    /// before that; what is open still must be closed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn purge_expired(&self, idle: Option<Duration>) -> Result<Ended, StoreError> {
        let mut tx = self.write().await?;
        let idle_since = idle.map(millis);
        let sessions: Vec<String> = sqlx::query_scalar(concat!(
            "DELETE FROM sessions WHERE expires <= ",
            now!(),
            " OR (?1 IS NOT NULL AND ",
            is_idle!("CAST(unixepoch('subsec') * 1000 AS INTEGER) - ?1"),
            ") RETURNING session_id"
        ))
        .bind(idle_since)
        .fetch_all(&mut *tx)
        .await?;
        let mut ended = end_tokens(&mut tx, sessions).await?;
        let tokens: Vec<String> = sqlx::query_scalar(concat!(
            "DELETE FROM tokens WHERE expires <= ",
            now!(),
            " RETURNING hash"
        ))
        .fetch_all(&mut *tx)
        .await?;
        ended.token_hashes.extend(tokens);
        for statement in [
            concat!("DELETE FROM oauth_codes WHERE expires <= ", now!()),
            concat!("DELETE FROM pending_logins WHERE expires <= ", now!()),
        ] {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(ended)
    }

    /// A user's sessions, the last used first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sessions_of(&self, user_id: i64) -> Result<Vec<SessionRow>, StoreError> {
        Ok(sqlx::query_as(concat!(
            "SELECT id, session_id, provider, agent, address, created, seen, expires FROM sessions WHERE user_id = ? AND expires > ",
            now!(),
            " ORDER BY seen DESC, id DESC"
        ))
        .bind(user_id)
        .fetch_all(self.pool())
        .await?)
    }

    /// Ends one session of a user by its row, with the tokens and codes that came of it. One that is not theirs is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_session_of(&self, user_id: i64, id: i64) -> Result<Ended, StoreError> {
        let mut tx = self.write().await?;
        let sessions: Vec<String> = sqlx::query_scalar(
            "DELETE FROM sessions WHERE user_id = ? AND id = ? RETURNING session_id",
        )
        .bind(user_id)
        .bind(id)
        .fetch_all(&mut *tx)
        .await?;
        let ended = end_tokens(&mut tx, sessions).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Ends every session of a user but `keep`, with the tokens and codes that came of them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_sessions_of(
        &self,
        user_id: i64,
        keep: Option<&str>,
    ) -> Result<Ended, StoreError> {
        let mut tx = self.write().await?;
        let ended = end_sessions(&mut tx, user_id, keep).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Ends every session of a user, with the tokens and codes that came of them, wishes that none of their servers runs, and forgets what
    /// providers gave for them: what a stranger may have left running, or allowed, ends too. Signing in gives it anew.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sign_out_everywhere(&self, user_id: i64) -> Result<Ended, StoreError> {
        let mut tx = self.write().await?;
        let ended = end_sessions(&mut tx, user_id, None).await?;
        sqlx::query(
            "DELETE FROM tickets WHERE server_id IN (SELECT id FROM servers WHERE user_id = ?)",
        )
        .bind(user_id)
        .execute(&mut *tx)
        .await?;
        super::servers::want_stopped_of(&mut tx, user_id).await?;
        sqlx::query(
            "DELETE FROM auth_states WHERE (issuer, sub) IN (SELECT issuer, sub FROM identities WHERE user_id = ?)",
        )
        .bind(user_id)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// The session of a cookie, with its user, and notes that it is used; one that nobody used for `idle` is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn session(
        &self,
        hash: &str,
        idle: Option<Duration>,
    ) -> Result<Option<(Session, User)>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT sessions.id AS sid, sessions.session_id, sessions.expires, sessions.seen < ",
            now!(),
            " - min(60000, coalesce(?2 / 4, 60000)) AS stale, ",
            user_columns!(),
            " FROM sessions JOIN users ON users.id = sessions.user_id \
             WHERE sessions.hash = ?1 AND users.deleted IS NULL AND sessions.expires > ",
            now!(),
            " AND (?2 IS NULL OR NOT ",
            is_idle!("CAST(unixepoch('subsec') * 1000 AS INTEGER) - ?2"),
            ")"
        ))
        .bind(hash)
        .bind(idle.map(millis))
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

/// Ends the sessions of a user that were begun by a provider.
pub(super) async fn end_sessions_through(
    tx: &mut Transaction<'static, Sqlite>,
    user_id: i64,
    provider: &str,
) -> Result<Ended, StoreError> {
    let sessions: Vec<String> = sqlx::query_scalar(
        "DELETE FROM sessions WHERE user_id = ? AND provider = ? RETURNING session_id",
    )
    .bind(user_id)
    .bind(provider)
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
    use crate::store::rows::Wanted;

    #[tokio::test]
    async fn a_session_lives_until_it_expires_or_is_ended() -> Result<(), StoreError> {
        let store = Store::in_memory().await?;
        let user = store.create_user("a", false, None).await?;
        store
            .create_session(
                user.id,
                "h",
                "s",
                Duration::from_secs(60),
                Origin::default(),
            )
            .await?;
        let found = store.session("h", None).await?;
        assert_eq!(
            found.map(|(session, user)| (session.session_id, user.name)),
            Some(("s".into(), "a".into()))
        );
        assert_eq!(store.end_session("h").await?.sessions, vec!["s".to_owned()]);
        assert_eq!(store.session("h", None).await?, None);
        store
            .create_session(user.id, "h2", "s2", Duration::ZERO, Origin::default())
            .await?;
        assert_eq!(store.session("h2", None).await?, None);
        Ok(())
    }

    #[tokio::test]
    async fn who_idles_is_signed_out_and_notebooks_count_as_use() -> Result<(), StoreError> {
        const HOUR: Duration = Duration::from_secs(3600);
        let store = Store::in_memory().await?;
        let user = store.create_user("a", false, None).await?;
        for (hash, session) in [("h1", "idle"), ("h2", "works"), ("h3", "reads")] {
            store
                .create_session(user.id, hash, session, 24 * HOUR, Origin::default())
                .await?;
        }
        let hour_ago = "UPDATE sessions SET seen = seen - 3600001 WHERE session_id <> 'reads'";
        sqlx::query(hour_ago).execute(store.pool()).await?;
        sqlx::query(concat!(
            "INSERT INTO tokens (hash, kind, user_id, session_id, scopes, created, last_activity) VALUES ('t', 'oauth', 1, 'works', '[]', 0, ",
            now!(),
            ")"
        ))
        .execute(store.pool())
        .await?;
        assert_eq!(store.session("h1", Some(HOUR)).await?, None);
        assert!(store.session("h1", None).await?.is_some());
        sqlx::query(hour_ago).execute(store.pool()).await?;
        assert!(store.session("h2", Some(HOUR)).await?.is_some());
        assert!(store.session("h3", Some(HOUR)).await?.is_some());
        let ended = store.purge_expired(Some(HOUR)).await?;
        assert_eq!(ended.sessions, ["idle"]);
        assert_eq!(store.sessions_of(user.id).await?.len(), 2);
        assert_eq!(
            store.end_session_of(user.id + 1, 2).await?,
            Ended::default()
        );
        let ended = store.end_sessions_of(user.id, Some("reads")).await?;
        assert_eq!(ended.token_hashes, ["t"]);
        assert_eq!(ended.sessions, ["works"]);
        Ok(())
    }

    #[tokio::test]
    async fn a_sign_out_everywhere_ends_servers_and_an_ordinary_one_does_not()
    -> Result<(), StoreError> {
        let store = Store::in_memory().await?;
        let mut servers = Vec::new();
        for name in ["a", "b"] {
            let user = store.create_user(name, false, None).await?;
            let server = store.ensure_server(user.id, "").await?;
            store.want_running(server, None).await?;
            let minute = Duration::from_secs(60);
            store
                .create_session(user.id, name, name, minute, Origin::default())
                .await?;
            servers.push((user.id, server));
        }
        let wanted = async |server| -> Result<_, StoreError> {
            Ok(store.server_row(server).await?.map(|row| row.wanted))
        };
        store.end_session("a").await?;
        store.end_sessions_of(servers[0].0, None).await?;
        assert_eq!(wanted(servers[0].1).await?, Some(Wanted::Running));
        let ended = store.sign_out_everywhere(servers[1].0).await?;
        assert_eq!(ended.sessions, ["b"]);
        assert_eq!(wanted(servers[1].1).await?, Some(Wanted::Stopped));
        assert_eq!(wanted(servers[0].1).await?, Some(Wanted::Running));
        Ok(())
    }
}
