//! Rows of the OAuth provider: a client per running server, codes, and the tokens given for them.
//!
//! Clients and tokens carry the launch they were made for, so that the end of a launch ends them.

use std::time::Duration;

use super::sessions::millis;
use super::tokens::scopes_text;
use super::{Store, StoreError, now};

/// How long a code may be exchanged.
const CODE_LIFETIME: Duration = Duration::from_secs(300);

/// A client: one server of one user.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct OauthClient {
    /// `jupyterhub-user-...`.
    pub id: String,
    /// The server.
    pub server_id: i64,
    /// The server's name.
    pub server_name: String,
    /// The owner.
    pub owner_id: i64,
    /// The owner's name.
    pub owner_name: String,
    /// The launch it was made for.
    pub launch: String,
    /// Hash of the server's token.
    pub secret_hash: String,
    /// Where codes go.
    pub redirect_uri: String,
}

/// What a code stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCode<'a> {
    /// Hash of the code.
    pub hash: &'a str,
    /// The client it was made for.
    pub client_id: &'a str,
    /// Whose visit.
    pub user_id: i64,
    /// The browser session.
    pub session_id: &'a str,
    /// The redirect address.
    pub redirect_uri: &'a str,
    /// With bare filters.
    pub scopes: &'a [String],
    /// PKCE, S256.
    pub challenge: Option<&'a str>,
}

/// A code that was taken, and so exists no more.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct TakenCode {
    /// The client it was made for.
    pub client_id: String,
    /// Whose visit.
    pub user_id: i64,
    /// The browser session.
    pub session_id: String,
    /// The redirect address.
    pub redirect_uri: String,
    /// JSON list.
    pub scopes: String,
    /// PKCE, S256.
    pub challenge: Option<String>,
}

/// A server's client and token, as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClient<'a> {
    /// `jupyterhub-user-...`.
    pub id: &'a str,
    /// The server.
    pub server_id: i64,
    /// Its owner.
    pub user_id: i64,
    /// The launch.
    pub launch: &'a str,
    /// Hash of the token, which is the client's secret too.
    pub token_hash: &'a str,
    /// Where codes go.
    pub redirect_uri: &'a str,
    /// The token's scopes, with bare filters.
    pub scopes: &'a [String],
    /// A note for the list of tokens.
    pub note: &'a str,
}

impl Store {
    /// Makes the client and the token of a launch, in place of any earlier ones of that server.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replace_client(&self, client: &NewClient<'_>) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM oauth_clients WHERE server_id = ? OR id = ?")
            .bind(client.server_id)
            .bind(client.id)
            .execute(&mut *tx)
            .await?;
        sqlx::query("DELETE FROM tokens WHERE server_id = ? AND kind IN ('server', 'oauth')")
            .bind(client.server_id)
            .execute(&mut *tx)
            .await?;
        sqlx::query("INSERT INTO oauth_clients (id, server_id, launch, secret_hash, redirect_uri) VALUES (?, ?, ?, ?, ?)")
            .bind(client.id)
            .bind(client.server_id)
            .bind(client.launch)
            .bind(client.token_hash)
            .bind(client.redirect_uri)
            .execute(&mut *tx)
            .await?;
        sqlx::query(concat!(
            "INSERT INTO tokens (hash, kind, user_id, server_id, launch, client_id, scopes, note, created) \
             VALUES (?, 'server', ?, ?, ?, ?, ?, ?, ",
            now!(),
            ")"
        ))
        .bind(client.token_hash)
        .bind(client.user_id)
        .bind(client.server_id)
        .bind(client.launch)
        .bind(client.id)
        .bind(scopes_text(client.scopes))
        .bind(client.note)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// A client by its id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn client(&self, id: &str) -> Result<Option<OauthClient>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT oauth_clients.id, server_id, servers.name AS server_name, servers.user_id AS owner_id, \
             users.name AS owner_name, oauth_clients.launch, secret_hash, redirect_uri \
             FROM oauth_clients JOIN servers ON servers.id = server_id JOIN users ON users.id = servers.user_id \
             WHERE oauth_clients.id = ? AND users.deleted IS NULL",
        )
        .bind(id)
        .fetch_optional(self.pool())
        .await?)
    }

    /// Whether the user already has a token from this client.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_token_from(&self, user_id: i64, client_id: &str) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(concat!(
            "SELECT EXISTS (SELECT 1 FROM tokens WHERE user_id = ? AND client_id = ? AND kind = 'oauth' AND expires > ",
            now!(),
            ")"
        ))
        .bind(user_id)
        .bind(client_id)
        .fetch_one(self.pool())
        .await?)
    }

    /// Keeps a code, unless its session ended meanwhile (`false`).
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn create_code(&self, code: &NewCode<'_>) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(concat!("DELETE FROM oauth_codes WHERE expires <= ", now!()))
            .execute(&mut *tx)
            .await?;
        let made = sqlx::query(concat!(
            "INSERT INTO oauth_codes (hash, client_id, user_id, session_id, redirect_uri, scopes, challenge, expires) \
             SELECT ?, ?, ?, session_id, ?, ?, ?, ",
            now!(),
            " + ? FROM sessions WHERE session_id = ?"
        ))
        .bind(code.hash)
        .bind(code.client_id)
        .bind(code.user_id)
        .bind(code.redirect_uri)
        .bind(scopes_text(code.scopes))
        .bind(code.challenge)
        .bind(millis(CODE_LIFETIME))
        .bind(code.session_id)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(made == 1)
    }

    /// Takes a code of this client: whatever comes of it, it cannot be taken again.
    /// A code of another client stays.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_code(
        &self,
        hash: &str,
        client_id: &str,
    ) -> Result<Option<TakenCode>, StoreError> {
        Ok(sqlx::query_as(concat!(
            "DELETE FROM oauth_codes WHERE hash = ? AND client_id = ? AND expires > ",
            now!(),
            " RETURNING client_id, user_id, session_id, redirect_uri, scopes, challenge"
        ))
        .bind(hash)
        .bind(client_id)
        .fetch_optional(self.pool())
        .await?)
    }

    /// Keeps the token that a code was exchanged for, unless client or session ended meanwhile (`false`).
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn create_oauth_token(
        &self,
        hash: &str,
        code: &TakenCode,
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(concat!(
            "DELETE FROM tokens WHERE kind <> 'server' AND expires <= ",
            now!()
        ))
        .execute(&mut *tx)
        .await?;
        let made = sqlx::query(concat!(
            "INSERT INTO tokens (hash, kind, user_id, server_id, launch, client_id, session_id, scopes, note, created, expires) \
             SELECT ?1, 'oauth', ?2, server_id, launch, id, ?3, ?4, 'OAuth', ",
            now!(),
            ", ",
            now!(),
            " + ?5 FROM oauth_clients WHERE id = ?6 AND EXISTS (SELECT 1 FROM sessions WHERE session_id = ?3 AND expires > ",
            now!(),
            ")"
        ))
        .bind(hash)
        .bind(code.user_id)
        .bind(&code.session_id)
        .bind(&code.scopes)
        .bind(millis(lifetime))
        .bind(&code.client_id)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(made == 1)
    }
}
