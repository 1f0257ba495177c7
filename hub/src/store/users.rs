//! Rows of users: who they are, whether they administer, and the form of their password.
//!
//! **Invariant:** a user's number never changes and is never used again; the name may.

use super::{Store, StoreError, now};

/// A user, without the password.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct User {
    /// Holt's own number.
    pub id: i64,
    /// For display and paths.
    pub name: String,
    /// May do everything.
    pub admin: bool,
    /// Can sign in with a password.
    pub has_password: bool,
    /// Was offered a name and a password.
    pub welcomed: bool,
    /// Milliseconds since 1970.
    pub created: i64,
    /// Milliseconds since 1970.
    pub last_activity: Option<i64>,
    /// Part of what cookies are bound to.
    pub cookie_id: String,
}

/// Sessions and tokens that ended and must no longer be let through anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Values of the cookie `jupyterhub-session-id`.
    pub sessions: Vec<String>,
    /// Hashes of tokens.
    pub token_hashes: Vec<String>,
}

macro_rules! user_columns {
    () => {
        "users.id, users.name, users.admin, users.password IS NOT NULL AS has_password, users.welcomed, users.created, \
         users.last_activity, users.cookie_id"
    };
}
pub(super) use user_columns;

/// What came of taking away somebody's administration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminChange {
    /// It is as asked.
    Done,
    /// Nobody would be left to administer.
    LastAdmin,
    /// There is no such user.
    NoUser,
}

impl Store {
    /// Makes a user.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the name is in use.
    pub async fn create_user(
        &self,
        name: &str,
        admin: bool,
        password: Option<&str>,
    ) -> Result<User, StoreError> {
        let mut tx = self.write().await?;
        let user = insert_user(&mut tx, name, admin, password).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// A user by number.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn user(&self, id: i64) -> Result<Option<User>, StoreError> {
        Ok(sqlx::query_as(concat!(
            "SELECT ",
            user_columns!(),
            " FROM users WHERE id = ? AND deleted IS NULL"
        ))
        .bind(id)
        .fetch_optional(self.pool())
        .await?)
    }

    /// A user by name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn user_by_name(&self, name: &str) -> Result<Option<User>, StoreError> {
        Ok(sqlx::query_as(concat!(
            "SELECT ",
            user_columns!(),
            " FROM users WHERE name = ? AND deleted IS NULL"
        ))
        .bind(name)
        .fetch_optional(self.pool())
        .await?)
    }

    /// Users in order of their numbers.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn users(&self, offset: u32, limit: u32) -> Result<Vec<User>, StoreError> {
        Ok(sqlx::query_as(concat!(
            "SELECT ",
            user_columns!(),
            " FROM users WHERE deleted IS NULL ORDER BY id LIMIT ? OFFSET ?"
        ))
        .bind(limit)
        .bind(offset)
        .fetch_all(self.pool())
        .await?)
    }

    /// How many users there are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_users(&self) -> Result<i64, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT count(*) FROM users WHERE deleted IS NULL")
                .fetch_one(self.pool())
                .await?,
        )
    }

    /// The administrator who was there first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn first_admin(&self) -> Result<Option<User>, StoreError> {
        Ok(sqlx::query_as(concat!(
            "SELECT ",
            user_columns!(),
            " FROM users WHERE admin = 1 AND deleted IS NULL ORDER BY id LIMIT 1"
        ))
        .fetch_optional(self.pool())
        .await?)
    }

    /// The password's PHC text; `None` when there is no such user or no password.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn password(&self, user_id: i64) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar::<_, Option<String>>(
            "SELECT password FROM users WHERE id = ? AND deleted IS NULL",
        )
        .bind(user_id)
        .fetch_optional(self.pool())
        .await?
        .flatten())
    }

    /// Keeps a new password and ends every session but `keep_session`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn set_password(
        &self,
        user_id: i64,
        password: &str,
        keep_session: Option<&str>,
    ) -> Result<Ended, StoreError> {
        let mut tx = self.write().await?;
        sqlx::query("UPDATE users SET password = ? WHERE id = ?")
            .bind(password)
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        let ended = super::sessions::end_sessions(&mut tx, user_id, keep_session).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Gives or takes administration; the last administrator keeps it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn set_admin(&self, user_id: i64, admin: bool) -> Result<AdminChange, StoreError> {
        let mut tx = self.write().await?;
        let changed = sqlx::query(
            "UPDATE users SET admin = ?1 WHERE id = ?2 AND deleted IS NULL AND (?1 = 1 OR admin = 0 \
             OR EXISTS (SELECT 1 FROM users AS o WHERE o.id <> ?2 AND o.admin = 1 AND o.deleted IS NULL))",
        )
        .bind(admin)
        .bind(user_id)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        let there: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM users WHERE id = ? AND deleted IS NULL)",
        )
        .bind(user_id)
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(match (changed, there) {
            (1, _) => AdminChange::Done,
            (_, true) => AdminChange::LastAdmin,
            (_, false) => AdminChange::NoUser,
        })
    }

    /// Gives another name, as long as no server of the user exists. `false`: one does.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the name is in use.
    pub async fn rename_user(&self, user_id: i64, name: &str) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        if is_waited_for(&mut tx, name).await? {
            return Err(StoreError::Taken);
        }
        let changed = sqlx::query(
            "UPDATE users SET name = ? WHERE id = ? AND deleted IS NULL \
             AND NOT EXISTS (SELECT 1 FROM servers WHERE servers.user_id = users.id)",
        )
        .bind(name)
        .bind(user_id)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Remembers that the welcome page was shown.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn mark_welcomed(&self, user_id: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE users SET welcomed = 1 WHERE id = ?")
            .bind(user_id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Moves the user's last activity forward, never back.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn note_user_activity(&self, user_id: i64, at_ms: i64) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE users SET last_activity = max(coalesce(last_activity, 0), ?1) WHERE id = ?2",
        )
        .bind(at_ms)
        .bind(user_id)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Asks for a user to be deleted: from now on there is no such user for anybody, every server is wanted gone, and the row goes
    /// with [`Store::purge_users`]. `None` when there is no such user or nobody would be left to administer.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_user(&self, user_id: i64) -> Result<Option<Ended>, StoreError> {
        let mut tx = self.write().await?;
        let changed = sqlx::query(concat!(
            "UPDATE users SET deleted = ",
            now!(),
            ", password = NULL WHERE id = ?1 AND deleted IS NULL AND (admin = 0 \
             OR EXISTS (SELECT 1 FROM users AS o WHERE o.id <> ?1 AND o.admin = 1 AND o.deleted IS NULL))"
        ))
        .bind(user_id)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if changed == 0 {
            return Ok(None);
        }
        let ended = end_all_of(&mut tx, user_id).await?;
        sqlx::query("DELETE FROM links WHERE user_id = ?")
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        sqlx::query("UPDATE servers SET wanted = 'deleted', generation = generation + 1 WHERE user_id = ? AND wanted <> 'deleted'")
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Some(ended))
    }

    /// Removes the rows of users who were asked to be deleted and have no server left; returns their numbers. Their homes are kept
    /// for a while, see [`Store::old_homes`].
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn purge_users(&self) -> Result<Vec<i64>, StoreError> {
        let mut tx = self.write().await?;
        let gone = purge(&mut tx).await?;
        tx.commit().await?;
        Ok(gone)
    }

    /// Homes of users who are gone since `grace` and longer. They stay listed until [`Store::forget_home`].
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn old_homes(&self, grace: std::time::Duration) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(concat!(
            "SELECT home FROM old_homes WHERE deleted <= ",
            now!(),
            " - ? AND NOT EXISTS (SELECT 1 FROM users WHERE coalesce(users.home, CAST(users.id AS TEXT)) = old_homes.home) \
             ORDER BY deleted LIMIT 20"
        ))
        .bind(super::sessions::millis(grace))
        .fetch_all(self.pool())
        .await?)
    }

    /// Forgets a home that was removed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_home(&self, home: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM old_homes WHERE home = ?")
            .bind(home)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}

/// Removes the rows of users who were asked to be deleted and have no server left, and notes since when their homes are nobody's.
pub(super) async fn purge(
    tx: &mut sqlx::Transaction<'static, sqlx::Sqlite>,
) -> Result<Vec<i64>, StoreError> {
    let gone: Vec<(i64, String)> = sqlx::query_as(
        "DELETE FROM users WHERE deleted IS NOT NULL AND NOT EXISTS (SELECT 1 FROM servers WHERE servers.user_id = users.id) \
         RETURNING id, coalesce(home, CAST(id AS TEXT))",
    )
    .fetch_all(&mut **tx)
    .await?;
    for (_, home) in &gone {
        sqlx::query(concat!(
            "INSERT INTO old_homes (home, deleted) VALUES (?, ",
            now!(),
            ") ON CONFLICT (home) DO UPDATE SET deleted = excluded.deleted"
        ))
        .bind(home)
        .execute(&mut **tx)
        .await?;
    }
    Ok(gone.into_iter().map(|(id, _)| id).collect())
}

/// Ends whatever a user is let in by or waits with: sessions, tokens but those of their servers, and places in the queue.
pub(super) async fn end_all_of(
    tx: &mut sqlx::Transaction<'static, sqlx::Sqlite>,
    user_id: i64,
) -> Result<Ended, StoreError> {
    let mut ended = super::sessions::end_sessions(tx, user_id, None).await?;
    let tokens: Vec<String> = sqlx::query_scalar(
        "DELETE FROM tokens WHERE user_id = ? AND kind <> 'server' RETURNING hash",
    )
    .bind(user_id)
    .fetch_all(&mut **tx)
    .await?;
    ended.token_hashes.extend(tokens);
    sqlx::query(
        "DELETE FROM tickets WHERE server_id IN (SELECT id FROM servers WHERE user_id = ?)",
    )
    .bind(user_id)
    .execute(&mut **tx)
    .await?;
    Ok(ended)
}

/// The row of a new user. A name that somebody waits for is taken, and a home that is called as the new number stays its owner's.
pub(super) async fn insert_user(
    tx: &mut sqlx::Transaction<'static, sqlx::Sqlite>,
    name: &str,
    admin: bool,
    password: Option<&str>,
) -> Result<User, StoreError> {
    if is_waited_for(tx, name).await? {
        return Err(StoreError::Taken);
    }
    let user: User = sqlx::query_as(concat!(
        "INSERT INTO users (name, admin, password, cookie_id, created) VALUES (?, ?, ?, ?, ",
        now!(),
        ") RETURNING ",
        user_columns!()
    ))
    .bind(name)
    .bind(admin)
    .bind(password)
    .bind(crate::secret::random_id())
    .fetch_one(&mut **tx)
    .await?;
    // Homes may be called after accounts at a provider, which are numbers too.
    sqlx::query(
        "UPDATE users SET home = 'local-' || id WHERE id = ?1 \
         AND (EXISTS (SELECT 1 FROM users AS o WHERE o.home = CAST(?1 AS TEXT)) \
              OR EXISTS (SELECT 1 FROM old_homes WHERE home = CAST(?1 AS TEXT)))",
    )
    .bind(user.id)
    .execute(&mut **tx)
    .await?;
    Ok(user)
}

/// Whether somebody takes this name at their next start.
async fn is_waited_for(
    tx: &mut sqlx::Transaction<'static, sqlx::Sqlite>,
    name: &str,
) -> Result<bool, StoreError> {
    Ok(
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM users WHERE next_name = ?)")
            .bind(name)
            .fetch_one(&mut **tx)
            .await?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_administrator_stays_one() -> Result<(), StoreError> {
        let store = Store::in_memory().await?;
        let one = store.create_user("one", true, None).await?;
        assert_eq!(
            store.set_admin(one.id, false).await?,
            AdminChange::LastAdmin
        );
        assert_eq!(store.delete_user(one.id).await?, None);
        let two = store.create_user("two", true, None).await?;
        assert_eq!(store.set_admin(one.id, false).await?, AdminChange::Done);
        assert_eq!(
            store.set_admin(two.id + 7, true).await?,
            AdminChange::NoUser
        );
        Ok(())
    }

    #[tokio::test]
    async fn a_deleted_user_is_gone_at_once_and_the_name_comes_free() -> Result<(), StoreError> {
        let store = Store::in_memory().await?;
        let user = store.create_user("Ünï", false, None).await?;
        assert!(matches!(
            store.create_user("Ünï", false, None).await,
            Err(StoreError::Taken)
        ));
        assert!(store.delete_user(user.id).await?.is_some());
        assert_eq!(store.user_by_name("Ünï").await?, None);
        assert_eq!(store.purge_users().await?, vec![user.id]);
        assert!(store.create_user("Ünï", false, None).await?.id > user.id);
        Ok(())
    }

    #[tokio::test]
    async fn the_home_of_who_is_gone_is_kept_for_a_while() -> Result<(), StoreError> {
        const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);
        let store = Store::in_memory().await?;
        let user = store.create_user("a", false, None).await?;
        assert!(store.delete_user(user.id).await?.is_some());
        assert!(store.old_homes(std::time::Duration::ZERO).await?.is_empty());
        store.purge_users().await?;
        assert!(store.old_homes(HOUR).await?.is_empty());
        let home = user.id.to_string();
        let listed = store.old_homes(std::time::Duration::ZERO).await?;
        assert_eq!(listed, std::slice::from_ref(&home));
        store.forget_home(&home).await?;
        assert!(store.old_homes(std::time::Duration::ZERO).await?.is_empty());
        Ok(())
    }
}
