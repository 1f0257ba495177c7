//! Rows of the broker: which launches may send requests to wikis, what they sent, and whose turn it is to renew a credential.
//!
//! **Invariant:** a token is never here, only its hash; of a request there is what was asked for, never what was in it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use sqlx::{Sqlite, Transaction};

use super::auth_states::{AuthStateRow, Selected};
use super::launches::Lease;
use super::sessions::millis;
use super::{Store, StoreError, now};
use crate::secret::seal::Sealed;
use crate::spawner::LaunchId;

/// Actions that are kept of one user.
pub const KEPT_ACTIONS: u32 = 1000;

/// A launch that shows a good token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerCaller {
    /// The launch.
    pub launch: String,
    /// Its owner.
    pub user_id: i64,
    /// The owner's name.
    pub user: String,
    /// The server's name.
    pub server: String,
    /// Where its requests come from; the unspecified address is anywhere.
    pub address: IpAddr,
    /// Its owner wants nothing sent.
    pub halted: bool,
    /// What the provider gave its owner, if the account there stands well.
    pub auth_state: Option<AuthStateRow>,
}

/// A running launch that may send requests, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct BrokerLaunch {
    /// The launch.
    pub launch: String,
    /// The server's name.
    pub server: String,
    /// Its owner wants nothing sent.
    pub halted: bool,
}

/// A request that was sent, or was to be.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct WikiAction {
    /// Whose.
    pub user_id: i64,
    /// From which launch.
    pub launch: String,
    /// The server's name.
    pub server: String,
    /// The wiki's host.
    pub site: String,
    /// `GET`, `POST`, ...
    pub method: String,
    /// What was asked for.
    pub module: String,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// How long it took, in milliseconds.
    pub took: i64,
    /// `answered`, `not-sent` or `unknown`.
    pub outcome: String,
    /// The wiki's status; 0 where it did not answer.
    pub status: i64,
    /// The wiki's own word for an error, or ours; empty where there was none.
    pub code: String,
}

impl WikiAction {
    /// Its columns in order.
    fn row(&self) -> serde_json::Value {
        serde_json::json!([
            self.user_id,
            self.launch,
            self.server,
            self.site,
            self.method,
            self.module,
            self.at,
            self.took,
            self.outcome,
            self.status,
            self.code
        ])
    }
}

#[derive(sqlx::FromRow)]
struct CallerRow {
    hash: String,
    launch: String,
    user_id: i64,
    user: String,
    server: String,
    address: String,
    halted: bool,
    issuer: Option<String>,
    sub: Option<String>,
    consumer: Option<String>,
    key_id: Option<String>,
    sealed: Option<String>,
}

impl CallerRow {
    fn read(self) -> Result<BrokerCaller, StoreError> {
        let auth_state = self
            .issuer
            .zip(self.sub)
            .zip(self.consumer)
            .zip(self.key_id.zip(self.sealed))
            .map(|(((issuer, sub), consumer), (key_id, text))| {
                AuthStateRow::from((issuer, sub, consumer, key_id, text))
            });
        Ok(BrokerCaller {
            launch: self.launch,
            user_id: self.user_id,
            user: self.user,
            server: self.server,
            address: self
                .address
                .parse()
                .map_err(|_| StoreError::Corrupt("broker_grants.address"))?,
            halted: self.halted,
            auth_state,
        })
    }
}

/// The launch runs: from here on its token works, from there alone. Nothing where it has none.
pub(super) async fn begin_broker_grant(
    tx: &mut Transaction<'static, Sqlite>,
    launch: &LaunchId,
    address: IpAddr,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE broker_grants SET address = ? WHERE launch = ?")
        .bind(address.to_string())
        .bind(&launch.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The launch ends: its token is worth nothing.
pub(super) async fn end_broker_grant(
    tx: &mut Transaction<'static, Sqlite>,
    launch: &LaunchId,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM broker_grants WHERE launch = ?")
        .bind(&launch.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

impl Store {
    /// Keeps the hash of a launch's token, in place of an earlier one's. It works once the launch runs.
    /// `false`: somebody else works on the launch now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keep_broker_grant(
        &self,
        lease: &Lease,
        launch: &LaunchId,
        hash: &str,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO broker_grants (launch, hash)
                  SELECT ?1, ?2 FROM servers WHERE id = ?3 AND fence = ?4 AND launch = ?1
                 ON CONFLICT (launch) DO UPDATE SET hash = excluded.hash, address = NULL, halted = NULL",
        )
        .bind(&launch.0)
        .bind(hash)
        .bind(lease.server_id)
        .bind(lease.fence)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Whose tokens these are, by their hashes. Nobody's from the moment in which the launch is wished to end, whoever wishes it. All are
    /// looked up in one statement, with what they gave a consumer at a provider. A row that cannot be read concerns its own token only.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn broker_callers(
        &self,
        hashes: &[String],
        provider: &str,
        consumer: &str,
    ) -> Result<HashMap<String, Result<BrokerCaller, StoreError>>, StoreError> {
        let asked = serde_json::Value::from(hashes).to_string();
        let rows: Vec<CallerRow> = sqlx::query_as(
            "SELECT g.hash, g.launch, u.id AS user_id, u.name AS user, s.name AS server, g.address, g.halted IS NOT NULL AS halted,
                    a.issuer, a.sub, a.consumer, a.key_id, a.sealed
               FROM json_each(?) asked JOIN broker_grants g ON g.hash = asked.value
               JOIN launches l ON l.id = g.launch JOIN servers s ON s.id = l.server_id JOIN users u ON u.id = s.user_id
               LEFT JOIN identities i ON i.user_id = u.id AND i.provider = ? AND i.standing = 'good'
               LEFT JOIN auth_states a ON a.issuer = i.issuer AND a.sub = i.sub AND a.consumer = ?
              WHERE g.address IS NOT NULL AND l.phase IN ('waiting', 'ready') AND s.wanted = 'running' AND s.launch = l.id
                AND (s.ending IS NULL OR s.ending <> l.id) AND u.deleted IS NULL
              ORDER BY a.updated",
        )
        .bind(asked)
        .bind(provider)
        .bind(consumer)
        .fetch_all(self.pool())
        .await?;
        // Of several accounts the one that signed in last stands.
        let callers = rows.into_iter().map(|row| (row.hash.clone(), row.read()));
        Ok(callers.collect())
    }

    /// Has a launch's row hold what no Holt writes.
    #[cfg(test)]
    pub(crate) async fn spoil_broker_grant(&self, launch: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE broker_grants SET address = 'nowhere' WHERE launch = ?")
            .bind(launch)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// What a user gave a consumer at a provider, if the account there stands well; the empty consumer is the one they sign in by.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn auth_state_of(
        &self,
        user_id: i64,
        provider: &str,
        consumer: &str,
    ) -> Result<Option<AuthStateRow>, StoreError> {
        let row: Option<Selected> = sqlx::query_as(
            "SELECT a.issuer, a.sub, a.consumer, a.key_id, a.sealed FROM auth_states a JOIN identities i ON i.issuer = a.issuer AND i.sub = a.sub
              WHERE i.user_id = ? AND i.provider = ? AND a.consumer = ? AND i.standing = 'good' ORDER BY a.updated DESC LIMIT 1",
        )
        .bind(user_id)
        .bind(provider)
        .bind(consumer)
        .fetch_optional(self.pool())
        .await?;
        Ok(row.map(AuthStateRow::from))
    }

    /// Takes the turn to renew an auth state, for at most `most`, and returns what the turn is known by. `None`: somebody else has it, or
    /// it changed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin_renewal(
        &self,
        row: &AuthStateRow,
        most: Duration,
    ) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar(concat!(
            "UPDATE auth_states SET renewing = ",
            now!(),
            " + ? WHERE issuer = ? AND sub = ? AND consumer = ? AND sealed = ? AND renewing <= ",
            now!(),
            " RETURNING renewing"
        ))
        .bind(millis(most))
        .bind(&row.issuer)
        .bind(&row.sub)
        .bind(&row.consumer)
        .bind(&row.sealed.text)
        .fetch_optional(self.pool())
        .await?)
    }

    /// Gives the turn back, with what came of it. `false`, and nothing is kept: the turn was over, since its owner gave another one or took
    /// it back, or somebody else took the turn.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_renewal(
        &self,
        row: &AuthStateRow,
        turn: i64,
        renewed: Option<&Sealed>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE auth_states SET renewing = 0, key_id = COALESCE(?4, key_id), sealed = COALESCE(?5, sealed)
              WHERE issuer = ?1 AND sub = ?2 AND renewing = ?3 AND consumer = ?6",
        )
        .bind(&row.issuer)
        .bind(&row.sub)
        .bind(turn)
        .bind(renewed.map(|sealed| &sealed.key_id))
        .bind(renewed.map(|sealed| &sealed.text))
        .bind(&row.consumer)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// What an account of the user at a provider is called there.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn name_at(
        &self,
        user_id: i64,
        provider: &str,
    ) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT i.name FROM identities i JOIN auth_states a ON a.issuer = i.issuer AND a.sub = i.sub AND a.consumer = ''
              WHERE i.user_id = ? AND i.provider = ? ORDER BY a.updated DESC LIMIT 1",
        )
        .bind(user_id)
        .bind(provider)
        .fetch_optional(self.pool())
        .await?)
    }

    /// The user's launches that may send requests.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn broker_launches(&self, user_id: i64) -> Result<Vec<BrokerLaunch>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT g.launch, s.name AS server, g.halted IS NOT NULL AS halted
               FROM broker_grants g JOIN launches l ON l.id = g.launch JOIN servers s ON s.id = l.server_id
              WHERE s.user_id = ? AND s.wanted = 'running' AND s.launch = l.id AND g.address IS NOT NULL ORDER BY s.name",
        )
        .bind(user_id)
        .fetch_all(self.pool())
        .await?)
    }

    /// Halts a launch's requests, or lets them go on; whether the user has such a launch.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn halt_broker(
        &self,
        user_id: i64,
        launch: &str,
        halt: bool,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(concat!(
            "UPDATE broker_grants SET halted = CASE WHEN ? THEN COALESCE(halted, ",
            now!(),
            ") END WHERE launch = ? AND launch IN
                 (SELECT l.id FROM launches l JOIN servers s ON s.id = l.server_id WHERE s.user_id = ?)"
        ))
        .bind(halt)
        .bind(launch)
        .bind(user_id)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Writes down what was sent, and forgets what is too old of the same users.
    ///
    /// # Errors
    /// When the database does not answer; nothing is written then.
    pub async fn add_wiki_actions(&self, actions: &[WikiAction]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let mut users: Vec<i64> = actions.iter().map(|action| action.user_id).collect();
        users.sort_unstable();
        users.dedup();
        let rows: Vec<serde_json::Value> = actions.iter().map(WikiAction::row).collect();
        // A user who was deleted meanwhile has no actions.
        sqlx::query(
            "INSERT INTO wiki_actions (user_id, launch, server, site, method, module, at, took, outcome, status, code)
                  SELECT u.id, row ->> 1, row ->> 2, row ->> 3, row ->> 4, row ->> 5, row ->> 6, row ->> 7, row ->> 8, row ->> 9, row ->> 10
                    FROM (SELECT key AS place, value AS row FROM json_each(?)) JOIN users u ON u.id = row ->> 0 ORDER BY place",
        )
        .bind(serde_json::Value::from(rows).to_string())
        .execute(&mut *tx)
        .await?;
        for user_id in users {
            sqlx::query(
                "DELETE FROM wiki_actions WHERE user_id = ?1 AND id <= (SELECT id FROM wiki_actions WHERE user_id = ?1
                  ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            )
            .bind(user_id)
            .bind(KEPT_ACTIONS)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The user's last actions, newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn wiki_actions(
        &self,
        user_id: i64,
        most: u32,
    ) -> Result<Vec<WikiAction>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT user_id, launch, server, site, method, module, at, took, outcome, status, code FROM wiki_actions
              WHERE user_id = ? ORDER BY id DESC LIMIT ?",
        )
        .bind(user_id)
        .bind(most)
        .fetch_all(self.pool())
        .await?)
    }
}
