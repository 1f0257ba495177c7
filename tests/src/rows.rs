//! Reads a hub's database, to compare what it says with what the engine has.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

/// A look into a database. Nothing is written.
#[derive(Debug, Clone)]
pub struct Rows {
    pool: SqlitePool,
}

/// A server as its rows tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRow {
    /// Number.
    pub id: i64,
    /// Name; the default server's is empty.
    pub name: String,
    /// `running`, `stopped` or `deleted`.
    pub wanted: String,
    /// The present launch.
    pub launch: Option<String>,
    /// The launch's phase.
    pub phase: Option<String>,
    /// Why the last start or run ended.
    pub failure: Option<String>,
    /// Where its route leads; `None` is pending or no route.
    pub target: Option<String>,
}

impl Rows {
    /// Opens `holt.db` in a data directory.
    ///
    /// # Errors
    /// When there is none.
    pub async fn open(data_dir: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(data_dir.join("holt.db"))
            .busy_timeout(Duration::from_secs(5))
            .read_only(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(2)
            .connect_with(options)
            .await?;
        Ok(Self { pool })
    }

    /// All servers.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn servers(&self) -> Result<Vec<ServerRow>> {
        let rows = sqlx::query(
            "SELECT s.id, s.wanted, s.launch, s.failure, l.phase, r.target, s.name FROM servers s \
             LEFT JOIN launches l ON l.id = s.launch LEFT JOIN routes r ON r.server_id = s.id ORDER BY s.id",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .iter()
            .map(|row| ServerRow {
                id: row.get(0),
                wanted: row.get(1),
                launch: row.get(2),
                failure: row.get(3),
                phase: row.get(4),
                target: row.get(5),
                name: row.get(6),
            })
            .collect())
    }

    /// Launches that are not gone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn live_launches(&self) -> Result<Vec<String>> {
        self.texts("SELECT id FROM launches WHERE phase <> 'gone' ORDER BY id")
            .await
    }

    /// What a statement of one text column says.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn texts(&self, statement: &'static str) -> Result<Vec<String>> {
        let rows = sqlx::query(statement).fetch_all(&self.pool).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// What a statement that counts says.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count(&self, statement: &'static str) -> Result<i64> {
        Ok(sqlx::query(statement).fetch_one(&self.pool).await?.get(0))
    }
}
