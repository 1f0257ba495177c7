//! The route table as rows, its generation, and the hubs that are its default route.

use std::collections::BTreeMap;

use sqlx::{Sqlite, Transaction};

use super::{Store, StoreError, now};
use crate::spawner::Meeting;

/// The route table as the proxy shall have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    /// Raised in the transaction that changes a route.
    pub generation: i64,
    /// Addresses of hubs.
    pub hubs: Vec<String>,
    /// Where servers meet the hub, once it is known.
    pub meeting: Option<Meeting>,
    /// Prefix to target; `None` is pending.
    pub routes: BTreeMap<String, Option<String>>,
}

pub(super) async fn raise_generation(
    tx: &mut Transaction<'static, Sqlite>,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "UPDATE counters SET value = value + 1 WHERE name = 'routes' RETURNING value",
    )
    .fetch_one(&mut **tx)
    .await?)
}

impl Store {
    /// The present generation of the route table.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn route_generation(&self) -> Result<i64, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT value FROM counters WHERE name = 'routes'")
                .fetch_one(self.pool())
                .await?,
        )
    }

    /// The whole route table, of one moment.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn routes(&self) -> Result<Routes, StoreError> {
        let mut tx = self.pool().begin().await?;
        let generation = sqlx::query_scalar("SELECT value FROM counters WHERE name = 'routes'")
            .fetch_one(&mut *tx)
            .await?;
        let hubs = sqlx::query_scalar("SELECT address FROM hubs ORDER BY id")
            .fetch_all(&mut *tx)
            .await?;
        let routes: Vec<(String, Option<String>)> =
            sqlx::query_as("SELECT prefix, target FROM routes")
                .fetch_all(&mut *tx)
                .await?;
        let meeting: Option<String> =
            sqlx::query_scalar("SELECT value FROM settings WHERE key = 'spawner.meeting'")
                .fetch_optional(&mut *tx)
                .await?;
        tx.commit().await?;
        Ok(Routes {
            generation,
            hubs,
            meeting: meeting
                .map(|text| serde_json::from_str(&text))
                .transpose()
                .map_err(|_| StoreError::Corrupt("settings.spawner.meeting"))?,
            routes: routes.into_iter().collect(),
        })
    }

    /// Keeps where servers meet the hub.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keep_meeting(&self, meeting: &Meeting) -> Result<(), StoreError> {
        let text = serde_json::to_string(meeting)
            .map_err(|_| StoreError::Corrupt("settings.spawner.meeting"))?;
        let mut tx = self.write().await?;
        let changed = sqlx::query(
            "INSERT INTO settings (key, value) VALUES ('spawner.meeting', ?1)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
        )
        .bind(text)
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() > 0 {
            raise_generation(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Says that the hub `id` answers at `address`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn register_hub(&self, id: &str, address: &str) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let known: Option<String> = sqlx::query_scalar("SELECT address FROM hubs WHERE id = ?")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        sqlx::query(concat!(
            "INSERT INTO hubs (id, address, seen) VALUES (?, ?, ",
            now!(),
            ") ON CONFLICT (id) DO UPDATE SET address = excluded.address, seen = excluded.seen"
        ))
        .bind(id)
        .bind(address)
        .execute(&mut *tx)
        .await?;
        if known.as_deref() != Some(address) {
            raise_generation(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Forgets hubs that did not say for `age_ms` that they answer.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_silent_hubs(&self, age_ms: i64) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let done = sqlx::query(concat!("DELETE FROM hubs WHERE seen < ", now!(), " - ?"))
            .bind(age_ms)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() > 0 {
            raise_generation(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}
