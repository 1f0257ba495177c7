//! Who may use the replica gateway: a row for each launch that was given a password, and the generation of them all.
//!
//! **Invariant:** a password is never here, only what it is checked by.

use std::net::IpAddr;

use sqlx::{Sqlite, Transaction};

use super::launches::Lease;
use super::{Store, StoreError};
use crate::spawner::LaunchId;

/// What a launch calls itself, and what its password is checked by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    /// Unique among grants.
    pub username: String,
    /// Hexadecimal SHA-1 of the SHA-1 of the password.
    pub native: String,
    /// Hexadecimal SHA-256 of the SHA-256 of the password.
    pub sha2: String,
}

/// A grant in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// The launch.
    pub launch: String,
    /// Its owner.
    pub user_id: i64,
    /// The owner's name.
    pub user: String,
    /// The server's name.
    pub server: String,
    /// What it calls itself, and what its password is checked by.
    pub grant: NewGrant,
    /// Where its connections come from.
    pub address: IpAddr,
}

pub(super) async fn raise_generation(
    tx: &mut Transaction<'static, Sqlite>,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "UPDATE counters SET value = value + 1 WHERE name = 'grants' RETURNING value",
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// The launch runs: from here on its grant is in force. Nothing where it has none.
pub(super) async fn begin_grant(
    tx: &mut Transaction<'static, Sqlite>,
    launch: &LaunchId,
    address: IpAddr,
) -> Result<(), StoreError> {
    let done = sqlx::query("UPDATE grants SET address = ? WHERE launch = ?")
        .bind(address.to_string())
        .bind(&launch.0)
        .execute(&mut **tx)
        .await?;
    if done.rows_affected() > 0 {
        raise_generation(tx).await?;
    }
    Ok(())
}

/// The launch ends: its grant goes. Nothing where it has none.
pub(super) async fn end_grant(
    tx: &mut Transaction<'static, Sqlite>,
    launch: &LaunchId,
) -> Result<(), StoreError> {
    let done = sqlx::query("DELETE FROM grants WHERE launch = ?")
        .bind(&launch.0)
        .execute(&mut **tx)
        .await?;
    if done.rows_affected() > 0 {
        raise_generation(tx).await?;
    }
    Ok(())
}

impl Store {
    /// Keeps what the password of a launch is checked by, in place of an earlier one. It is in force once the launch runs.
    /// `false`: somebody else works on the launch now.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the user name is in use.
    pub async fn keep_grant(
        &self,
        lease: &Lease,
        launch: &LaunchId,
        grant: &NewGrant,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let done = sqlx::query(
            "INSERT INTO grants (launch, username, native, sha2)
                  SELECT ?1, ?2, ?3, ?4 FROM servers WHERE id = ?5 AND fence = ?6 AND launch = ?1
                 ON CONFLICT (launch) DO UPDATE SET username = excluded.username, native = excluded.native, sha2 = excluded.sha2,
                         address = NULL",
        )
        .bind(&launch.0)
        .bind(&grant.username)
        .bind(&grant.native)
        .bind(&grant.sha2)
        .bind(lease.server_id)
        .bind(lease.fence)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        // An earlier one may have been in force.
        raise_generation(&mut tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The present generation of grants.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn grants_generation(&self) -> Result<i64, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT value FROM counters WHERE name = 'grants'")
                .fetch_one(self.pool())
                .await?,
        )
    }

    /// All grants in force and their generation, of one moment.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn grants(&self) -> Result<(i64, Vec<GrantRow>), StoreError> {
        let mut tx = self.pool().begin().await?;
        let generation = sqlx::query_scalar("SELECT value FROM counters WHERE name = 'grants'")
            .fetch_one(&mut *tx)
            .await?;
        let rows: Vec<Joined> = sqlx::query_as(
            "SELECT g.launch, u.id AS user_id, u.name AS user, s.name AS server, g.username, g.native, g.sha2, g.address
               FROM grants g JOIN launches l ON l.id = g.launch JOIN servers s ON s.id = l.server_id JOIN users u ON u.id = s.user_id
              WHERE g.address IS NOT NULL ORDER BY g.launch",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let grants = rows.into_iter().map(Joined::grant);
        Ok((generation, grants.collect::<Result<_, StoreError>>()?))
    }
}

/// A grant as the statement gives it.
#[derive(sqlx::FromRow)]
struct Joined {
    launch: String,
    user_id: i64,
    user: String,
    server: String,
    username: String,
    native: String,
    sha2: String,
    address: String,
}

impl Joined {
    fn grant(self) -> Result<GrantRow, StoreError> {
        Ok(GrantRow {
            launch: self.launch,
            user_id: self.user_id,
            user: self.user,
            server: self.server,
            grant: NewGrant {
                username: self.username,
                native: self.native,
                sha2: self.sha2,
            },
            address: self
                .address
                .parse()
                .map_err(|_| StoreError::Corrupt("grants.address"))?,
        })
    }
}
