//! Servers as rows: what is wanted of them, and how they are.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::rows::{ServerState, ServerView, StartOutcome, Wanted};
use super::{Store, StoreError, now};

/// What a wish to stop found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOutcome {
    /// Nothing of it runs.
    Stopped,
    /// It is on its way out.
    Stopping,
}

const VIEW: &str = "
    SELECT s.id, s.user_id, u.name AS user, s.name,
           CASE WHEN s.ending = s.launch AND s.wanted = 'running' THEN 'stopped' ELSE s.wanted END AS wanted,
           s.failure, s.options, s.last_activity,
           l.phase, l.ready_at, l.version, t.id AS ticket
      FROM servers s
      JOIN users u ON u.id = s.user_id
      LEFT JOIN launches l ON l.id = s.launch
      LEFT JOIN tickets t ON t.server_id = s.id";

impl Store {
    /// The server's row, made when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Query`], also when there is no such user.
    pub async fn ensure_server(&self, user_id: i64, name: &str) -> Result<i64, StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(concat!(
            "INSERT INTO servers (user_id, name, created) VALUES (?, ?, ",
            now!(),
            ") ON CONFLICT DO NOTHING"
        ))
        .bind(user_id)
        .bind(name)
        .execute(&mut *tx)
        .await?;
        let id = sqlx::query_scalar("SELECT id FROM servers WHERE user_id = ? AND name = ?")
            .bind(user_id)
            .bind(name)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// How many named servers a user has.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_named_servers(&self, user_id: i64) -> Result<u32, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT count(*) FROM servers WHERE user_id = ? AND name <> ''")
                .bind(user_id)
                .fetch_one(self.pool())
                .await?,
        )
    }

    /// The user who has a launch or a ticket, other than `user_id`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn other_server_owner(&self, user_id: i64) -> Result<Option<i64>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT user_id FROM servers WHERE user_id <> ? LIMIT 1")
                .bind(user_id)
                .fetch_optional(self.pool())
                .await?,
        )
    }

    /// Wishes the server to run: it gets a place in the queue unless it runs or is on its way.
    ///
    /// # Errors
    /// When the database does not answer; `Ok(None)` when the server is not there or is being deleted.
    pub async fn want_running(
        &self,
        server_id: i64,
        options: Option<&str>,
    ) -> Result<Option<StartOutcome>, StoreError> {
        let mut tx = self.write().await?;
        let row = sqlx::query(
            "SELECT s.wanted, s.user_id, coalesce(s.ending = s.launch, 0) AS ending, l.phase, t.id AS ticket FROM servers s
               JOIN users u ON u.id = s.user_id AND u.deleted IS NULL
               LEFT JOIN launches l ON l.id = s.launch LEFT JOIN tickets t ON t.server_id = s.id
              WHERE s.id = ?",
        )
        .bind(server_id)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let wanted = wanted(&row)?;
        let phase: Option<String> = row.try_get("phase")?;
        let ticket: Option<i64> = row.try_get("ticket")?;
        let ending: bool = row.try_get("ending")?;
        let user_id: i64 = row.try_get("user_id")?;
        let outcome = match (wanted, phase.as_deref()) {
            (Wanted::Deleted, _) => return Ok(None),
            (Wanted::Running, Some(_)) if ending => return Ok(Some(StartOutcome::AfterStop)),
            (Wanted::Running, Some("ready")) => return Ok(Some(StartOutcome::AlreadyReady)),
            (Wanted::Running, Some("stopping" | "removing")) => {
                return Ok(Some(StartOutcome::AfterStop));
            }
            (Wanted::Running, Some(_)) => return Ok(Some(StartOutcome::AlreadyStarting)),
            (Wanted::Running, None) if ticket.is_some() => {
                return Ok(Some(StartOutcome::AlreadyStarting));
            }
            // It gets its ticket when the present launch is gone.
            (Wanted::Stopped, Some(_)) => StartOutcome::AfterStop,
            (Wanted::Running | Wanted::Stopped, None) => StartOutcome::Accepted,
        };
        // So that whoever asked is led to the name under which it will run.
        super::identities::take_name(&mut tx, user_id).await?;
        sqlx::query(
            "UPDATE servers SET wanted = 'running', generation = generation + 1, attempts = 0, failure = NULL,
                    options = coalesce(?, options) WHERE id = ?",
        )
        .bind(options)
        .bind(server_id)
        .execute(&mut *tx)
        .await?;
        sqlx::query("DELETE FROM progress WHERE server_id = ?")
            .bind(server_id)
            .execute(&mut *tx)
            .await?;
        sqlx::query(concat!(
            "INSERT INTO progress (server_id, at, kind, percent, message) VALUES (?, ",
            now!(),
            ", 'step', 0, 'Server requested')"
        ))
        .bind(server_id)
        .execute(&mut *tx)
        .await?;
        if outcome == StartOutcome::Accepted {
            sqlx::query(concat!(
                "INSERT INTO tickets (server_id, created) VALUES (?, ",
                now!(),
                ") ON CONFLICT DO NOTHING"
            ))
            .bind(server_id)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(Some(outcome))
    }

    /// Wishes that nothing of the server runs.
    ///
    /// # Errors
    /// When the database does not answer; `Ok(None)` when the server is not there.
    pub async fn want_stopped(&self, server_id: i64) -> Result<Option<StopOutcome>, StoreError> {
        self.unwant(server_id, Wanted::Stopped, None).await
    }

    /// Wishes that nothing of the server runs, unless it was used after `idle_since`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn want_stopped_if_idle(
        &self,
        server_id: i64,
        idle_since: i64,
    ) -> Result<Option<StopOutcome>, StoreError> {
        self.unwant(server_id, Wanted::Stopped, Some(idle_since))
            .await
    }

    /// Wishes the server to be forgotten once nothing of it is left.
    ///
    /// # Errors
    /// When the database does not answer; `Ok(None)` when the server is not there.
    pub async fn want_deleted(&self, server_id: i64) -> Result<Option<StopOutcome>, StoreError> {
        self.unwant(server_id, Wanted::Deleted, None).await
    }

    async fn unwant(
        &self,
        server_id: i64,
        wish: Wanted,
        idle_since: Option<i64>,
    ) -> Result<Option<StopOutcome>, StoreError> {
        let mut tx = self.write().await?;
        let launch: Option<Option<String>> = sqlx::query_scalar(
            "UPDATE servers SET generation = generation + (wanted <> ?1), ending = launch,
                    wanted = CASE WHEN wanted = 'deleted' THEN wanted ELSE ?1 END
              WHERE id = ?2 AND (?3 IS NULL OR coalesce(last_activity, 0) <= ?3) RETURNING launch",
        )
        .bind(wish.as_str())
        .bind(server_id)
        .bind(idle_since)
        .fetch_optional(&mut *tx)
        .await?;
        sqlx::query("DELETE FROM tickets WHERE server_id = ? AND EXISTS (SELECT 1 FROM servers WHERE id = ?1 AND wanted <> 'running')")
            .bind(server_id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(launch.map(|launch| match launch {
            Some(_) => StopOutcome::Stopping,
            None => StopOutcome::Stopped,
        }))
    }

    /// Wishes that every server is stopped; returns how many had a launch.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn want_all_stopped(&self) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM tickets").execute(&mut *tx).await?;
        sqlx::query("UPDATE servers SET wanted = 'stopped', ending = launch, generation = generation + 1 WHERE wanted = 'running'")
            .execute(&mut *tx)
            .await?;
        let running: i64 =
            sqlx::query_scalar("SELECT count(*) FROM servers WHERE launch IS NOT NULL")
                .fetch_one(&mut *tx)
                .await?;
        tx.commit().await?;
        Ok(running.unsigned_abs())
    }

    /// How one server is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn server_view(
        &self,
        user_id: i64,
        name: &str,
    ) -> Result<Option<ServerView>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{VIEW} WHERE s.user_id = ? AND s.name = ?"
        )))
        .bind(user_id)
        .bind(name)
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(view).transpose()
    }

    /// How one server is, by its row's number.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn server_view_by_id(
        &self,
        server_id: i64,
    ) -> Result<Option<ServerView>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{VIEW} WHERE s.id = ?")))
            .bind(server_id)
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(view).transpose()
    }

    /// The servers of one user, or of all, by user and name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn server_views(&self, user_id: Option<i64>) -> Result<Vec<ServerView>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{VIEW} WHERE (?1 IS NULL OR s.user_id = ?1) ORDER BY u.name, s.name"
        )))
        .bind(user_id)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(view).collect()
    }

    /// Moves a server's last use forward, never back.
    ///
    /// # Errors
    /// When the database does not answer; `Ok(false)` when there is no such server.
    pub async fn note_server_activity(
        &self,
        user_id: i64,
        name: &str,
        at: i64,
    ) -> Result<bool, StoreError> {
        let changed = sqlx::query(
            "UPDATE servers SET last_activity = max(coalesce(last_activity, 0), ?) WHERE user_id = ? AND name = ?",
        )
        .bind(at)
        .bind(user_id)
        .bind(name)
        .execute(self.pool())
        .await?;
        Ok(changed.rows_affected() > 0)
    }

    /// Ready servers last used before `before`, with that time. One that was never used counts from when it became ready.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn idle_servers(&self, before: i64) -> Result<Vec<(i64, i64)>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT s.id, max(coalesce(s.last_activity, 0), l.ready_at) AS used FROM servers s JOIN launches l ON l.id = s.launch
              WHERE l.phase = 'ready' AND s.wanted = 'running' AND s.ending IS NOT s.launch AND max(coalesce(s.last_activity, 0), l.ready_at) < ?",
        )
        .bind(before)
        .fetch_all(self.pool())
        .await?)
    }
}

fn wanted(row: &SqliteRow) -> Result<Wanted, StoreError> {
    row.try_get::<String, _>("wanted")?
        .parse()
        .map_err(|()| StoreError::Corrupt("servers.wanted"))
}

fn view(row: &SqliteRow) -> Result<ServerView, StoreError> {
    let wanted = wanted(row)?;
    let phase: Option<String> = row.try_get("phase")?;
    let ticket: Option<i64> = row.try_get("ticket")?;
    let state = match (phase.as_deref(), wanted) {
        (None, _) if ticket.is_some() => ServerState::Queued,
        (None, _) => ServerState::Stopped,
        (Some("stopping" | "removing"), _) | (Some(_), Wanted::Stopped | Wanted::Deleted) => {
            ServerState::Stopping
        }
        (Some("ready"), Wanted::Running) => ServerState::Ready,
        (Some(_), Wanted::Running) => ServerState::Starting,
    };
    Ok(ServerView {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        user: row.try_get("user")?,
        name: row.try_get("name")?,
        state,
        started: row.try_get("ready_at")?,
        last_activity: row.try_get("last_activity")?,
        failure: row.try_get("failure")?,
        version: row.try_get("version")?,
        options: row.try_get("options")?,
    })
}
/// Wishes that none of a user's servers runs.
pub(super) async fn want_stopped_of(
    tx: &mut sqlx::Transaction<'static, sqlx::Sqlite>,
    user_id: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE servers SET wanted = 'stopped', ending = launch, generation = generation + 1 WHERE user_id = ? AND wanted = 'running'",
    )
    .bind(user_id)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
