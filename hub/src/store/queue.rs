//! The queue of those who wait to start: first in, first out.

use super::launches::Lease;
use super::routes::raise_generation;
use super::rows::QueuePlace;
use super::{Store, StoreError, now};
use crate::spawner::{LaunchId, LaunchPlan};

/// How many may be on their way and how many may be at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Launches between claim and ready.
    pub concurrent_starts: u32,
    /// Launches not gone; `None` is no limit.
    pub active_servers: Option<u32>,
}

/// The server whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The server's row.
    pub server_id: i64,
    /// Its owner.
    pub user_id: i64,
    /// The owner's name.
    pub user: String,
    /// Empty for the default server.
    pub name: String,
    /// What the owner's home is called.
    pub home: String,
}

impl Store {
    /// Claims the next start: makes a launch for whoever is first in the queue, with a pending route and a lease for `owner`.
    /// `None` when nobody waits or the limits are reached.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim_next(
        &self,
        owner: &str,
        ttl_ms: i64,
        limits: QueueLimits,
        plan: impl FnOnce(&Turn) -> LaunchPlan + Send,
    ) -> Result<Option<(Lease, LaunchId)>, StoreError> {
        let mut tx = self.write().await?;
        let (starting, active): (i64, i64) = sqlx::query_as(
            "SELECT coalesce(sum(phase IN ('planned', 'creating', 'binding', 'waiting')), 0), count(*) FROM launches WHERE phase <> 'gone'",
        )
        .fetch_one(&mut *tx)
        .await?;
        if starting >= i64::from(limits.concurrent_starts)
            || limits
                .active_servers
                .is_some_and(|limit| active >= i64::from(limit))
        {
            return Ok(None);
        }
        let turn: Option<(i64, i64, i64, String)> = sqlx::query_as(concat!(
            "SELECT t.id, s.id, s.user_id, s.name FROM tickets t
               JOIN servers s ON s.id = t.server_id JOIN users u ON u.id = s.user_id
              WHERE s.launch IS NULL AND s.wanted = 'running' AND s.lease_until < ",
            now!(),
            " ORDER BY t.id LIMIT 1"
        ))
        .fetch_optional(&mut *tx)
        .await?;
        let Some((ticket, server_id, user_id, name)) = turn else {
            return Ok(None);
        };
        // Nothing of the user's runs yet: this is the moment for another name.
        super::identities::take_name(&mut tx, user_id).await?;
        let (user, home): (String, String) =
            sqlx::query_as("SELECT name, coalesce(home, CAST(id AS TEXT)) FROM users WHERE id = ?")
                .bind(user_id)
                .fetch_one(&mut *tx)
                .await?;
        let turn = Turn {
            server_id,
            user_id,
            user,
            name,
            home,
        };
        let plan = plan(&turn);
        let text =
            serde_json::to_string(&plan).map_err(|_| StoreError::Corrupt("launches.plan"))?;
        sqlx::query(concat!(
            "INSERT INTO launches (id, server_id, phase, phase_at, ticket, plan, created) VALUES (?, ?, 'planned', ",
            now!(),
            ", ?, ?, ",
            now!(),
            ")"
        ))
        .bind(&plan.launch.0)
        .bind(server_id)
        .bind(ticket)
        .bind(text)
        .execute(&mut *tx)
        .await?;
        let fence = sqlx::query_scalar(concat!(
            "UPDATE servers SET launch = ?, lease_owner = ?, lease_until = ",
            now!(),
            " + ?, fence = fence + 1 WHERE id = ? RETURNING fence"
        ))
        .bind(&plan.launch.0)
        .bind(owner)
        .bind(ttl_ms)
        .bind(server_id)
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query("DELETE FROM tickets WHERE id = ?")
            .bind(ticket)
            .execute(&mut *tx)
            .await?;
        sqlx::query("INSERT INTO routes (prefix, server_id) VALUES (?, ?) ON CONFLICT (prefix) DO UPDATE SET server_id = excluded.server_id, target = NULL")
            .bind(holt_spec::names::server_prefix(&turn.user, &turn.name))
            .bind(server_id)
            .execute(&mut *tx)
            .await?;
        raise_generation(&mut tx).await?;
        tx.commit().await?;
        Ok(Some((Lease { server_id, fence }, plan.launch)))
    }

    /// A waiting server's place, and how long it will probably be: half of the starts before it end sooner than the median of the
    /// last twenty, `concurrent_starts` at a time.
    ///
    /// # Errors
    /// When the database does not answer; `Ok(None)` when it does not wait.
    pub async fn queue_place(
        &self,
        server_id: i64,
        concurrent_starts: u32,
    ) -> Result<Option<QueuePlace>, StoreError> {
        let position: Option<u32> = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM tickets b WHERE b.id <= t.id) FROM tickets t WHERE t.server_id = ?",
        )
        .bind(server_id)
        .fetch_optional(self.pool())
        .await?;
        let Some(position) = position else {
            return Ok(None);
        };
        let mut recent: Vec<i64> = sqlx::query_scalar(
            "SELECT ready_at - created FROM launches WHERE ready_at IS NOT NULL ORDER BY ready_at DESC LIMIT 20",
        )
        .fetch_all(self.pool())
        .await?;
        recent.sort_unstable();
        let estimate_seconds = recent.get(recent.len() / 2).map(|median| {
            let rounds = u64::from(position.div_ceil(concurrent_starts.max(1)));
            let seconds = rounds.saturating_mul(median.unsigned_abs()).div_ceil(1000);
            u32::try_from(seconds).unwrap_or(u32::MAX)
        });
        Ok(Some(QueuePlace {
            position,
            estimate_seconds,
        }))
    }
}
