//! Launches: the lease on a server's row, and each step of a launch as one transition.
//!
//! Every transition is conditional on the lease's fence and on the phase it starts from; `Ok(false)` or `Ok(None)` means that somebody
//! else has moved on: stand down.

use std::net::{IpAddr, SocketAddr};

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::broker::{begin_broker_grant, end_broker_grant};
use super::grants::{begin_grant, end_grant};
use super::routes::raise_generation;
use super::rows::{Phase, Wanted};
use super::{Store, StoreError, now};
use crate::spawner::{LaunchId, LaunchPlan, Seen};

/// The right to work on one server until it runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The server's row.
    pub server_id: i64,
    /// Raised with each lease of this row.
    pub fence: i64,
}

/// A server as the worker sees it.
#[derive(Debug, Clone)]
pub struct ServerRow {
    /// The row.
    pub id: i64,
    /// Its owner.
    pub user_id: i64,
    /// The owner's name.
    pub user: String,
    /// Empty for the default server.
    pub name: String,
    /// What is wanted.
    pub wanted: Wanted,
    /// Launches made for the present wish.
    pub attempts: i64,
    /// Options of the last start, JSON text.
    pub options: Option<String>,
    /// The present launch.
    pub launch: Option<LaunchRow>,
}

/// A launch as the worker sees it.
#[derive(Debug, Clone)]
pub struct LaunchRow {
    /// Its id.
    pub id: LaunchId,
    /// Where it is.
    pub phase: Phase,
    /// Milliseconds since it came into this phase.
    pub phase_ms: i64,
    /// Milliseconds since it was claimed.
    pub age_ms: i64,
    /// What it shall be.
    pub plan: LaunchPlan,
    /// Where it answers, once known.
    pub address: Option<SocketAddr>,
    /// What the engine was last seen to have; `None` is unknown.
    pub seen: Option<Seen>,
}

const SERVER: &str = concat!(
    "SELECT s.id, s.user_id, u.name AS user, s.name,
            CASE WHEN s.ending = s.launch AND s.wanted = 'running' THEN 'stopped' ELSE s.wanted END AS wanted,
            s.attempts, s.options,
            l.id AS launch, l.phase, ",
    now!(),
    " - l.phase_at AS phase_ms, ",
    now!(),
    " - l.created AS age_ms, l.plan, l.address, l.seen
       FROM servers s JOIN users u ON u.id = s.user_id LEFT JOIN launches l ON l.id = s.launch WHERE s.id = ?"
);

impl Store {
    /// Takes the lease of a server nobody works on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lease(
        &self,
        server_id: i64,
        owner: &str,
        ttl_ms: i64,
    ) -> Result<Option<Lease>, StoreError> {
        let fence: Option<i64> = sqlx::query_scalar(concat!(
            "UPDATE servers SET lease_owner = ?, lease_until = ",
            now!(),
            " + ?, fence = fence + 1 WHERE id = ? AND lease_until < ",
            now!(),
            " RETURNING fence"
        ))
        .bind(owner)
        .bind(ttl_ms)
        .bind(server_id)
        .fetch_optional(self.pool())
        .await?;
        Ok(fence.map(|fence| Lease { server_id, fence }))
    }

    /// Makes the lease last longer; `false`: it was lost.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn renew_lease(&self, lease: &Lease, ttl_ms: i64) -> Result<bool, StoreError> {
        let done = sqlx::query(concat!(
            "UPDATE servers SET lease_until = ",
            now!(),
            " + ? WHERE id = ? AND fence = ?"
        ))
        .bind(ttl_ms)
        .bind(lease.server_id)
        .bind(lease.fence)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE servers SET lease_until = 0, lease_owner = NULL WHERE id = ? AND fence = ?",
        )
        .bind(lease.server_id)
        .bind(lease.fence)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Ends the leases of earlier processes of the hub `hub`, which are known to be dead.
    /// Owners are written `<hub>#<process>`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_leases_of(&self, hub: &str) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "UPDATE servers SET lease_until = 0, lease_owner = NULL WHERE substr(lease_owner, 1, length(?1) + 1) = ?1 || '#'",
        )
        .bind(hub)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected())
    }

    /// Servers on which there is something to do and nobody works.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn servers_to_work_on(&self) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar(concat!(
            "SELECT s.id FROM servers s LEFT JOIN launches l ON l.id = s.launch
              WHERE s.lease_until < ",
            now!(),
            " AND CASE
                    WHEN l.id IS NULL THEN s.wanted = 'deleted'
                    WHEN l.phase <> 'ready' OR s.wanted <> 'running' OR s.ending = l.id THEN 1
                    ELSE l.seen IS NOT NULL AND l.seen ->> 'state' <> 'running' END
              ORDER BY s.id"
        ))
        .fetch_all(self.pool())
        .await?)
    }

    /// The server with its present launch.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn server_row(&self, server_id: i64) -> Result<Option<ServerRow>, StoreError> {
        let row = sqlx::query(SERVER)
            .bind(server_id)
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(server_row).transpose()
    }

    /// Moves a launch on. For steps that change nothing else.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn advance(
        &self,
        lease: &Lease,
        launch: &LaunchId,
        from: Phase,
        to: Phase,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let moved = shift(&mut tx, lease, launch, from, to).await?;
        tx.commit().await?;
        Ok(moved)
    }

    /// The launch was bound: from here on it is waited for. Its own connections come from `source`; its grant is in force.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin_waiting(
        &self,
        lease: &Lease,
        launch: &LaunchId,
        address: SocketAddr,
        source: IpAddr,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        if !shift(&mut tx, lease, launch, Phase::Binding, Phase::Waiting).await? {
            return Ok(false);
        }
        sqlx::query("UPDATE launches SET address = ? WHERE id = ?")
            .bind(address.to_string())
            .bind(&launch.0)
            .execute(&mut *tx)
            .await?;
        begin_grant(&mut tx, launch, source).await?;
        begin_broker_grant(&mut tx, launch, source).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The launch answers: its route leads to it. Returns the route table's generation to wait for.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn become_ready(
        &self,
        lease: &Lease,
        launch: &LaunchId,
        address: SocketAddr,
        version: Option<&str>,
    ) -> Result<Option<i64>, StoreError> {
        let mut tx = self.write().await?;
        if !shift(&mut tx, lease, launch, Phase::Waiting, Phase::Ready).await? {
            return Ok(None);
        }
        sqlx::query(concat!(
            "UPDATE launches SET ready_at = ",
            now!(),
            ", address = ?, version = ?, seen = NULL, seen_at = NULL WHERE id = ?"
        ))
        .bind(address.to_string())
        .bind(version)
        .bind(&launch.0)
        .execute(&mut *tx)
        .await?;
        sqlx::query("UPDATE routes SET target = ? WHERE server_id = ?")
            .bind(format!("http://{address}"))
            .bind(lease.server_id)
            .execute(&mut *tx)
            .await?;
        let generation = raise_generation(&mut tx).await?;
        tx.commit().await?;
        Ok(Some(generation))
    }

    /// Takes away the route, the tokens, the OAuth client and the grant of a launch, before it is ended.
    /// With `failure`, the wish to have it run ends with these words; a wish to stop or delete stays what it is.
    /// With `again`, the wish stays and the launch is replaced.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin_stopping(
        &self,
        lease: &Lease,
        launch: &LaunchId,
        from: Phase,
        why: &StopReason,
    ) -> Result<Option<Retired>, StoreError> {
        let mut tx = self.write().await?;
        if !shift(&mut tx, lease, launch, from, Phase::Stopping).await? {
            return Ok(None);
        }
        sqlx::query("DELETE FROM routes WHERE server_id = ?")
            .bind(lease.server_id)
            .execute(&mut *tx)
            .await?;
        let generation = raise_generation(&mut tx).await?;
        sqlx::query("DELETE FROM oauth_clients WHERE launch = ?")
            .bind(&launch.0)
            .execute(&mut *tx)
            .await?;
        end_grant(&mut tx, launch).await?;
        end_broker_grant(&mut tx, launch).await?;
        let tokens = sqlx::query_scalar("DELETE FROM tokens WHERE launch = ? OR (kind = 'oauth' AND server_id = ?) RETURNING hash")
            .bind(&launch.0)
            .bind(lease.server_id)
            .fetch_all(&mut *tx)
            .await?;
        match why {
            StopReason::Wish => {}
            StopReason::Again => {
                sqlx::query("UPDATE servers SET attempts = attempts + 1 WHERE id = ?")
                    .bind(lease.server_id)
                    .execute(&mut *tx)
                    .await?;
            }
            StopReason::Failure(words) => {
                sqlx::query(
                    "UPDATE servers SET failure = ?, generation = generation + (wanted = 'running'),
                            wanted = CASE WHEN wanted = 'running' THEN 'stopped' ELSE wanted END WHERE id = ?",
                )
                .bind(words)
                .bind(lease.server_id)
                .execute(&mut *tx)
                .await?;
                sqlx::query(concat!(
                    "INSERT INTO progress (server_id, at, kind, percent, message) VALUES (?, ",
                    now!(),
                    ", 'failed', 100, ?)"
                ))
                .bind(lease.server_id)
                .bind(words)
                .execute(&mut *tx)
                .await?;
            }
        }
        tx.commit().await?;
        Ok(Some(Retired { generation, tokens }))
    }

    /// Nothing of the launch is left. A server that is wanted to run again gets its place in the queue; one launched again keeps the
    /// place it had.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn finish(&self, lease: &Lease, launch: &LaunchId) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let ended = sqlx::query(concat!(
            "UPDATE launches SET phase = 'gone', phase_at = ",
            now!(),
            ", ended_at = ",
            now!(),
            " WHERE id = ? AND phase = 'removing' AND EXISTS (SELECT 1 FROM servers WHERE id = ? AND fence = ? AND launch = launches.id)"
        ))
        .bind(&launch.0)
        .bind(lease.server_id)
        .bind(lease.fence)
        .execute(&mut *tx)
        .await?;
        if ended.rows_affected() == 0 {
            return Ok(false);
        }
        let (wanted, attempts): (String, i64) = sqlx::query_as(
            "UPDATE servers SET launch = NULL, ending = NULL WHERE id = ? RETURNING wanted, attempts",
        )
        .bind(lease.server_id)
        .fetch_one(&mut *tx)
        .await?;
        if wanted == Wanted::Running.as_str() {
            let insert = if attempts > 0 {
                concat!(
                    "INSERT INTO tickets (id, server_id, created) SELECT ticket, server_id, ",
                    now!(),
                    " FROM launches WHERE id = ? ON CONFLICT DO NOTHING"
                )
            } else {
                concat!(
                    "INSERT INTO tickets (server_id, created) SELECT server_id, ",
                    now!(),
                    " FROM launches WHERE id = ? ON CONFLICT DO NOTHING"
                )
            };
            sqlx::query(insert)
                .bind(&launch.0)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Forgets a server of which nothing is left.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_server(&self, lease: &Lease) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let user: Option<i64> = sqlx::query_scalar(
            "DELETE FROM servers WHERE id = ? AND fence = ? AND wanted = 'deleted' AND launch IS NULL RETURNING user_id",
        )
        .bind(lease.server_id)
        .bind(lease.fence)
        .fetch_optional(&mut *tx)
        .await?;
        if user.is_some() {
            // A user who was to be deleted goes with the last server.
            super::users::purge(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(user.is_some())
    }

    /// Keeps what the engine was seen to have of a launch; `None` is unknown. Needs no lease: it is an observation.
    /// Returns whether it says something new.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keep_seen(
        &self,
        launch: &LaunchId,
        seen: Option<&Seen>,
    ) -> Result<bool, StoreError> {
        let text = match seen {
            Some(seen) => Some(
                serde_json::to_string(seen).map_err(|_| StoreError::Corrupt("launches.seen"))?,
            ),
            None => None,
        };
        let done = sqlx::query(concat!(
            "UPDATE launches SET seen = ?1, seen_at = ",
            now!(),
            " WHERE id = ?2 AND phase <> 'gone' AND seen IS NOT ?1"
        ))
        .bind(text)
        .bind(&launch.0)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Launches that are not gone, with their age in milliseconds in their phase.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn open_launches(&self) -> Result<Vec<(LaunchId, i64, Phase)>, StoreError> {
        let rows: Vec<(String, i64, String)> =
            sqlx::query_as("SELECT id, server_id, phase FROM launches WHERE phase <> 'gone'")
                .fetch_all(self.pool())
                .await?;
        rows.into_iter()
            .map(|(id, server_id, phase)| {
                let phase = phase
                    .parse()
                    .map_err(|()| StoreError::Corrupt("launches.phase"))?;
                Ok((LaunchId(id), server_id, phase))
            })
            .collect()
    }

    /// Forgets launches that are gone for a week: until then they tell how long starts take.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_old_launches(&self) -> Result<(), StoreError> {
        sqlx::query(concat!(
            "DELETE FROM launches WHERE phase = 'gone' AND ended_at < ",
            now!(),
            " - 604800000"
        ))
        .execute(self.pool())
        .await?;
        Ok(())
    }
}

/// Why a launch is taken down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// It is not wanted any more.
    Wish,
    /// It came to nothing through no fault of the server; another launch follows.
    Again,
    /// It failed or ended by itself, in words.
    Failure(String),
}

/// What was taken away from a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// The route table's generation to wait for.
    pub generation: i64,
    /// Hashes of tokens that are void now.
    pub tokens: Vec<String>,
}

async fn shift(
    tx: &mut Transaction<'static, Sqlite>,
    lease: &Lease,
    launch: &LaunchId,
    from: Phase,
    to: Phase,
) -> Result<bool, StoreError> {
    let done = sqlx::query(concat!(
        "UPDATE launches SET phase = ?, phase_at = ",
        now!(),
        " WHERE id = ? AND phase = ? AND EXISTS (SELECT 1 FROM servers WHERE id = ? AND fence = ? AND launch = launches.id)"
    ))
    .bind(to.as_str())
    .bind(&launch.0)
    .bind(from.as_str())
    .bind(lease.server_id)
    .bind(lease.fence)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

fn server_row(row: &SqliteRow) -> Result<ServerRow, StoreError> {
    let launch = match row.try_get::<Option<String>, _>("launch")? {
        None => None,
        Some(id) => Some(LaunchRow {
            id: LaunchId(id),
            phase: row
                .try_get::<String, _>("phase")?
                .parse()
                .map_err(|()| StoreError::Corrupt("launches.phase"))?,
            phase_ms: row.try_get("phase_ms")?,
            age_ms: row.try_get("age_ms")?,
            plan: serde_json::from_str(row.try_get("plan")?)
                .map_err(|_| StoreError::Corrupt("launches.plan"))?,
            address: match row.try_get::<Option<String>, _>("address")? {
                None => None,
                Some(text) => Some(
                    text.parse()
                        .map_err(|_| StoreError::Corrupt("launches.address"))?,
                ),
            },
            seen: match row.try_get::<Option<String>, _>("seen")? {
                None => None,
                Some(text) => Some(
                    serde_json::from_str(&text)
                        .map_err(|_| StoreError::Corrupt("launches.seen"))?,
                ),
            },
        }),
    };
    Ok(ServerRow {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        user: row.try_get("user")?,
        name: row.try_get("name")?,
        wanted: row
            .try_get::<String, _>("wanted")?
            .parse()
            .map_err(|()| StoreError::Corrupt("servers.wanted"))?,
        attempts: row.try_get("attempts")?,
        options: row.try_get("options")?,
        launch,
    })
}
