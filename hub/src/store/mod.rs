//! The only place with SQL. Every call is one whole transition: it either happened or it did not.
//!
//! Times are milliseconds since 1970 (UTC), by the database's clock, so that two hubs agree on them.
//! Who else uses the same database is never assumed: conditions stand in the statements, and "zero rows changed" means stand down.
//!
//! SQLite (WAL) is behind this door now; callers see no type of it but the opaque cause in [`StoreError`].

pub mod auth_states;
pub mod broker;
pub mod grants;
pub mod identities;
pub mod launches;
pub mod links;
pub mod oauth;
pub mod pending;
pub mod progress;
pub mod queue;
pub mod revocations;
pub mod routes;
pub mod rows;
pub mod servers;
pub mod sessions;
pub mod throttle;
pub mod tokens;
pub mod users;

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Sqlite, SqliteConnection, SqlitePool, Transaction};

/// The database's clock in milliseconds, for use in `concat!`.
macro_rules! now {
    () => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
}
pub(crate) use now;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/store/migrations");

/// How long a writer waits for another before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the database could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened, is no database, or the disk is full or read-only.
    #[error("the database {path} cannot be used: {fix}")]
    Unusable {
        /// The file.
        path: String,
        /// What to do.
        fix: String,
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// The database was made by a newer Holt.
    #[error(
        "the database was written by a newer version of Holt: install that version or restore the copy made before"
    )]
    Newer(#[source] sqlx::migrate::MigrateError),
    /// A name or value that must be unique is taken.
    #[error("it exists already")]
    Taken,
    /// A statement failed.
    #[error("the database failed")]
    Query(#[source] sqlx::Error),
    /// A row holds what no version of Holt writes.
    #[error("the database holds something unexpected in {0}")]
    Corrupt(&'static str),
}

impl From<sqlx::Error> for StoreError {
    fn from(cause: sqlx::Error) -> Self {
        match &cause {
            sqlx::Error::Database(database) if database.is_unique_violation() => Self::Taken,
            _ => Self::Query(cause),
        }
    }
}

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens the file, making it when it is not there, and brings it to the newest migration.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] or [`StoreError::Newer`], each with what to do.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let unusable = |cause: sqlx::Error| StoreError::Unusable {
            path: path.display().to_string(),
            fix: fix_for(&cause).to_owned(),
            cause,
        };
        let pool = SqlitePoolOptions::new()
            .max_connections(8)
            // A file does not go away; asking it each time would cost more than most statements do.
            .test_before_acquire(false)
            // Longer than a statement waits, so that a lock of another program is told as what it is.
            .acquire_timeout(BUSY_TIMEOUT + Duration::from_secs(2))
            .after_release(|connection, _| Box::pin(is_clean(connection)))
            .connect_with(options)
            .await
            .map_err(unusable)?;
        Self::migrate(pool, unusable).await
    }

    /// A database in memory, for tests.
    ///
    /// # Errors
    /// Never in practice.
    pub async fn in_memory() -> Result<Self, StoreError> {
        Self::in_memory_waiting(Duration::from_secs(30)).await
    }

    /// The same; whose only connection is waited for no longer than this.
    pub(crate) async fn in_memory_waiting(patience: Duration) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .in_memory(true)
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(patience)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await?;
        Self::migrate(pool, StoreError::Query).await
    }

    async fn migrate(
        pool: SqlitePool,
        unusable: impl Fn(sqlx::Error) -> StoreError,
    ) -> Result<Self, StoreError> {
        match MIGRATIONS.run(&pool).await {
            Ok(()) => Ok(Self { pool }),
            Err(
                sqlx::migrate::MigrateError::Execute(cause)
                | sqlx::migrate::MigrateError::ExecuteMigration(cause, _),
            ) => Err(unusable(cause)),
            Err(cause) => Err(StoreError::Newer(cause)),
        }
    }

    /// A transaction that may write: it takes the writer's place at once, so that it cannot fail half-way for want of it.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// For reading.
    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// The database's clock.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn now(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(concat!("SELECT ", now!()))
            .fetch_one(&self.pool)
            .await?)
    }

    /// A kept value.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT value FROM settings WHERE key = ?")
                .bind(key)
                .fetch_optional(&self.pool)
                .await?,
        )
    }

    /// Keeps a value unless one is kept already, and returns the one that is kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keep_setting(&self, key: &str, value: &str) -> Result<String, StoreError> {
        let mut tx = self.write().await?;
        sqlx::query("INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(key)
            .bind(value)
            .execute(&mut *tx)
            .await?;
        let kept = sqlx::query_scalar("SELECT value FROM settings WHERE key = ?")
            .bind(key)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(kept)
    }

    /// Keeps a value in place of what was there.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replace_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
            .bind(key)
            .bind(value)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Writes one row, for readiness: a full disk shows itself only then.
    ///
    /// # Errors
    /// When it does not.
    pub async fn probe(&self) -> Result<(), StoreError> {
        sqlx::query(concat!(
            "INSERT INTO settings (key, value) VALUES ('probe', ",
            now!(),
            ") ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        ))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Ends all connections after what they are doing.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// What to do about a database that does not open.
/// Whether a connection can be used again. When the disk is full, SQLite rolls back by itself; the connection still counts itself in a
/// transaction then and refuses to begin another for ever, so it is closed.
async fn is_clean(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // A rollback may still be on its way; this waits for it.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

fn fix_for(cause: &sqlx::Error) -> &'static str {
    let text = cause.to_string();
    if text.contains("not a database") || text.contains("malformed") {
        "the file is damaged; move it away or restore a copy, it was left as it is"
    } else if text.contains("readonly") || text.contains("unable to open") {
        "make its directory writable for the user Holt runs as"
    } else if text.contains("full") {
        "the disk is full; free some space"
    } else if text.contains("locked") || matches!(cause, sqlx::Error::PoolTimedOut) {
        "another program holds it locked; end that program"
    } else {
        "see the cause"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kept_setting_stays() -> Result<(), StoreError> {
        let store = Store::in_memory().await?;
        assert_eq!(store.keep_setting("hub", "a").await?, "a");
        assert_eq!(store.keep_setting("hub", "b").await?, "a");
        assert_eq!(store.setting("hub").await?, Some("a".into()));
        Ok(())
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_named_and_kept() -> Result<(), Box<dyn std::error::Error>>
    {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("holt.db");
        std::fs::write(&path, "x".repeat(4096))?;
        let error = Store::open(&path).await.expect_err("it is no database");
        assert!(error.to_string().contains("the file is damaged"), "{error}");
        assert_eq!(std::fs::read_to_string(&path)?, "x".repeat(4096));
        Ok(())
    }

    #[tokio::test]
    async fn a_full_disk_is_got_over() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let store = Store::open(&directory.path().join("holt.db")).await?;
        for _ in 0..3 {
            let mut tx = store.write().await?;
            let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
                .fetch_one(&mut *tx)
                .await?;
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "PRAGMA max_page_count = {pages}"
            )))
            .execute(&mut *tx)
            .await?;
            let full = sqlx::query(
                "INSERT INTO settings (key, value) VALUES ('big', hex(zeroblob(1000000)))",
            )
            .execute(&mut *tx)
            .await
            .expect_err("there is no page left");
            assert!(full.to_string().contains("full"), "{full}");
        }
        // Space is back: whichever connections are there can all write.
        for key in ["a", "b", "c"] {
            store.replace_setting(key, "1").await?;
            store.write().await?.commit().await?;
        }
        Ok(())
    }
}
