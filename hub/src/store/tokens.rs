//! Rows of access tokens: of servers, of browsers at a server (OAuth), and people's own.
//!
//! Scopes are kept with bare filters (`!user`, `!server`), resolved at each use, so that no name is kept.

use std::time::Duration;

use sqlx::Row;

use super::sessions::millis;
use super::users::{User, user_columns};
use super::{Store, StoreError, now};

/// Which door a token came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A server's own.
    Server,
    /// Given to a server for a visitor.
    Oauth,
    /// A person's own.
    Api,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The row.
    pub id: i64,
    /// Which door it came by.
    pub kind: TokenKind,
    /// The server it belongs to or was made for, as (owner's name, server's name).
    pub server: Option<(String, String)>,
    /// The browser session it came of.
    pub session_id: Option<String>,
    /// What it was made for, with bare filters.
    pub scopes: Vec<String>,
    /// The owner's words.
    pub note: String,
    /// Milliseconds since 1970.
    pub created: i64,
    /// Milliseconds since 1970.
    pub expires: Option<i64>,
    /// Milliseconds since 1970.
    pub last_activity: Option<i64>,
}

macro_rules! token_columns {
    () => {
        "tokens.id AS token_id, tokens.kind, tokens.session_id, tokens.scopes, tokens.note, tokens.created AS token_created, \
         tokens.expires AS token_expires, tokens.last_activity AS token_activity, servers.name AS server_name, \
         owners.name AS server_owner"
    };
}

macro_rules! token_joins {
    () => {
        " FROM tokens JOIN users ON users.id = tokens.user_id \
         LEFT JOIN servers ON servers.id = tokens.server_id \
         LEFT JOIN users AS owners ON owners.id = servers.user_id "
    };
}

fn token(row: &sqlx::sqlite::SqliteRow) -> Result<Token, StoreError> {
    let kind = match row.try_get::<&str, _>("kind")? {
        "server" => TokenKind::Server,
        "oauth" => TokenKind::Oauth,
        "api" => TokenKind::Api,
        _ => return Err(StoreError::Corrupt("tokens.kind")),
    };
    let scopes = serde_json::from_str(row.try_get("scopes")?)
        .map_err(|_| StoreError::Corrupt("tokens.scopes"))?;
    let owner: Option<String> = row.try_get("server_owner")?;
    let server: Option<String> = row.try_get("server_name")?;
    Ok(Token {
        id: row.try_get("token_id")?,
        kind,
        server: owner.zip(server),
        session_id: row.try_get("session_id")?,
        scopes,
        note: row.try_get("note")?,
        created: row.try_get("token_created")?,
        expires: row.try_get("token_expires")?,
        last_activity: row.try_get("token_activity")?,
    })
}

impl Store {
    /// The token with this hash and its owner, and notes that it is used.
    /// A server's own token does not count as its owner's activity.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn token(&self, hash: &str) -> Result<Option<(Token, User)>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT coalesce(tokens.last_activity, 0) < ",
            now!(),
            " - 60000 AS stale, ",
            token_columns!(),
            ", ",
            user_columns!(),
            token_joins!(),
            "WHERE tokens.hash = ? AND users.deleted IS NULL AND (tokens.expires IS NULL OR tokens.expires > ",
            now!(),
            ")"
        ))
        .bind(hash)
        .fetch_optional(self.pool())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let found = token(&row)?;
        let user = <User as sqlx::FromRow<_>>::from_row(&row)?;
        if row.try_get::<bool, _>("stale")? {
            let mut tx = self.write().await?;
            sqlx::query(concat!(
                "UPDATE tokens SET last_activity = ",
                now!(),
                " WHERE id = ?"
            ))
            .bind(found.id)
            .execute(&mut *tx)
            .await?;
            if found.kind != TokenKind::Server {
                sqlx::query(concat!(
                    "UPDATE users SET last_activity = max(coalesce(last_activity, 0), ",
                    now!(),
                    ") WHERE id = ?"
                ))
                .bind(user.id)
                .execute(&mut *tx)
                .await?;
            }
            tx.commit().await?;
        }
        Ok(Some((found, user)))
    }

    /// Keeps a person's own token. `scopes` may be `["inherit"]`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn create_api_token(
        &self,
        user_id: i64,
        hash: &str,
        scopes: &[String],
        note: &str,
        lifetime: Option<Duration>,
    ) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(concat!(
            "INSERT INTO tokens (hash, kind, user_id, scopes, note, created, expires) VALUES (?, 'api', ?, ?, ?, ",
            now!(),
            ", ",
            now!(),
            " + ?) RETURNING id"
        ))
        .bind(hash)
        .bind(user_id)
        .bind(scopes_text(scopes))
        .bind(note)
        .bind(lifetime.map(millis))
        .fetch_one(self.pool())
        .await?)
    }

    /// A user's tokens, those of servers left out, oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn tokens(&self, user_id: i64) -> Result<Vec<Token>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            token_columns!(),
            token_joins!(),
            "WHERE tokens.user_id = ? AND tokens.kind <> 'server' AND (tokens.expires IS NULL OR tokens.expires > ",
            now!(),
            ") ORDER BY tokens.id"
        ))
        .bind(user_id)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(token).collect()
    }

    /// Deletes one of a user's tokens and returns its hash.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_token(
        &self,
        user_id: i64,
        token_id: i64,
    ) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "DELETE FROM tokens WHERE id = ? AND user_id = ? AND kind <> 'server' RETURNING hash",
        )
        .bind(token_id)
        .bind(user_id)
        .fetch_optional(self.pool())
        .await?)
    }
}

/// Scopes as their column has them.
pub(super) fn scopes_text(scopes: &[String]) -> String {
    serde_json::to_string(scopes).expect("a list of strings has a JSON form")
}
