//! Rows of identities: accounts at providers, each of one user, and how they last stood there.
//!
//! **Invariant:** a person is found by issuer and number alone. Names come along, decide nothing, and are never the same for two users.

use sqlx::{Sqlite, Transaction};

use super::users::{Ended, User, end_all_of, insert_user, purge, user_columns};
use super::{Store, StoreError, now};

/// An account at a provider.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Identity {
    /// Who says so.
    pub issuer: String,
    /// Its number there.
    pub sub: String,
    /// The provider's name in the settings.
    pub provider: String,
    /// Its name there, as last said.
    pub name: String,
    /// Whose it is.
    pub user_id: i64,
    /// How it last stood: `good`, `locked` or `missing`.
    pub standing: String,
    /// When the provider last said so, in milliseconds since 1970.
    pub confirmed: i64,
}

/// What an account that signs in brings along.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Who says so.
    pub issuer: &'a str,
    /// Its number there.
    pub sub: &'a str,
    /// The provider's name in the settings.
    pub provider: &'a str,
    /// Its name there.
    pub name: &'a str,
    /// Names for the user, best first; the first that nobody has is taken.
    pub wanted: &'a [String],
    /// Whether the user administers from now on; `None` changes nothing.
    pub admin: Option<bool>,
    /// Whether the provider said just now that the account stands well, or cannot tell at all.
    pub is_confirmed: bool,
    /// What a new user's home is called, when it is not the user's number.
    pub home: Option<&'a str>,
}

macro_rules! identity_columns {
    () => {
        "identities.issuer, identities.sub, identities.provider, identities.name, identities.user_id, identities.standing, identities.confirmed"
    };
}

impl Store {
    /// The user of an account that just proved itself, made when there is none. The account stands well from now on. Another name is
    /// taken at once where no server is on its way, else kept for the next start.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when every wanted name is in use.
    pub async fn arrive(&self, arrival: Arrival<'_>) -> Result<User, StoreError> {
        let mut tx = self.write().await?;
        let known: Option<(i64, String)> = sqlx::query_as(
            "SELECT identities.user_id, identities.name FROM identities JOIN users ON users.id = identities.user_id \
             WHERE issuer = ? AND sub = ? AND users.deleted IS NULL",
        )
        .bind(arrival.issuer)
        .bind(arrival.sub)
        .fetch_optional(&mut *tx)
        .await?;
        let user_id = match &known {
            Some((id, _)) => *id,
            None => self.make_arrived(&mut tx, arrival).await?,
        };
        sqlx::query(concat!(
            "INSERT INTO identities (issuer, sub, user_id, provider, name, confirmed, asked) VALUES (?1, ?2, ?3, ?4, ?5, ?6 * ",
            now!(),
            ", ",
            now!(),
            ") ON CONFLICT (issuer, sub) DO UPDATE SET user_id = ?3, provider = ?4, name = ?5, standing = 'good', \
             confirmed = max(confirmed, excluded.confirmed), asked = excluded.asked"
        ))
        .bind(arrival.issuer)
        .bind(arrival.sub)
        .bind(user_id)
        .bind(arrival.provider)
        .bind(arrival.name)
        .bind(arrival.is_confirmed)
        .execute(&mut *tx)
        .await?;
        if let Some(admin) = arrival.admin {
            sqlx::query(
                "UPDATE users SET admin = ?1 WHERE id = ?2 AND (?1 = 1 \
                 OR EXISTS (SELECT 1 FROM users AS o WHERE o.id <> ?2 AND o.admin = 1 AND o.deleted IS NULL))",
            )
            .bind(admin)
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        }
        if let Some((_, name)) = known {
            if name != arrival.name {
                wish_name(&mut tx, user_id, arrival.wanted).await?;
            }
            take_name(&mut tx, user_id).await?;
        }
        let user = sqlx::query_as(concat!(
            "SELECT ",
            user_columns!(),
            " FROM users WHERE id = ?"
        ))
        .bind(user_id)
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(user)
    }

    async fn make_arrived(
        &self,
        tx: &mut Transaction<'static, Sqlite>,
        arrival: Arrival<'_>,
    ) -> Result<i64, StoreError> {
        // Who was deleted and has nothing left gives name and home back now, not only with the next pass.
        purge(tx).await?;
        if let Some(home) = arrival.home {
            // Who came before homes were called after accounts may have one of this name: a number of ours. Unused, it gives way.
            sqlx::query(
                "UPDATE users SET home = 'local-' || id WHERE home IS NULL AND CAST(id AS TEXT) = ? \
                 AND NOT EXISTS (SELECT 1 FROM servers WHERE servers.user_id = users.id)",
            )
            .bind(home)
            .execute(&mut **tx)
            .await?;
            let taken: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM users WHERE coalesce(home, CAST(id AS TEXT)) = ?)",
            )
            .bind(home)
            .fetch_one(&mut **tx)
            .await?;
            if taken {
                return Err(StoreError::Corrupt(
                    "users.home: two users would share a home",
                ));
            }
        }
        for name in arrival.wanted {
            if is_free(tx, name, None).await? {
                let user = insert_user(tx, name, false, None).await?;
                // Whoever comes by a provider needs no password, so is not offered one. A home that was kept is theirs again.
                sqlx::query("UPDATE users SET welcomed = 1, home = coalesce(?, home) WHERE id = ?")
                    .bind(arrival.home)
                    .bind(user.id)
                    .execute(&mut **tx)
                    .await?;
                sqlx::query("DELETE FROM old_homes WHERE home = ?")
                    .bind(arrival.home)
                    .execute(&mut **tx)
                    .await?;
                return Ok(user.id);
            }
        }
        Err(StoreError::Taken)
    }

    /// An account.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn identity(&self, issuer: &str, sub: &str) -> Result<Option<Identity>, StoreError> {
        Ok(sqlx::query_as(concat!(
            "SELECT ",
            identity_columns!(),
            " FROM identities WHERE issuer = ? AND sub = ?"
        ))
        .bind(issuer)
        .bind(sub)
        .fetch_optional(self.pool())
        .await?)
    }

    /// The accounts of a user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn identities_of(&self, user_id: i64) -> Result<Vec<Identity>, StoreError> {
        Ok(sqlx::query_as(concat!(
            "SELECT ",
            identity_columns!(),
            " FROM identities WHERE user_id = ? ORDER BY issuer, sub"
        ))
        .bind(user_id)
        .fetch_all(self.pool())
        .await?)
    }

    /// Whether a user's account does not stand well with its provider, as far as it last said.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_put_out(&self, user_id: i64) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM identities WHERE user_id = ? AND standing <> 'good')",
        )
        .bind(user_id)
        .fetch_one(self.pool())
        .await?)
    }

    /// Claims up to `most` accounts of a provider that were not asked about for `every_ms` and whose users have a server or a session,
    /// those longest not asked first: they count as asked now, so that no other hub asks too.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim_checks(
        &self,
        provider: &str,
        every_ms: i64,
        most: u32,
    ) -> Result<Vec<Identity>, StoreError> {
        let mut tx = self.write().await?;
        let claimed = sqlx::query_as(concat!(
            "UPDATE identities SET asked = ",
            now!(),
            " WHERE (issuer, sub) IN (SELECT i.issuer, i.sub FROM identities i JOIN users u ON u.id = i.user_id \
               WHERE i.provider = ?1 AND u.deleted IS NULL AND i.asked <= ",
            now!(),
            " - ?2 AND (EXISTS (SELECT 1 FROM servers s WHERE s.user_id = u.id AND (s.wanted = 'running' OR s.launch IS NOT NULL)) \
                 OR EXISTS (SELECT 1 FROM sessions WHERE sessions.user_id = u.id AND sessions.expires > ",
            now!(),
            ")) ORDER BY i.asked LIMIT ?3) RETURNING ",
            identity_columns!()
        ))
        .bind(provider)
        .bind(every_ms)
        .bind(most)
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// How many servers of a user run or are on their way.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn servers_up_of(&self, user_id: i64) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT count(*) FROM servers WHERE user_id = ? AND (wanted = 'running' OR launch IS NOT NULL)",
        )
        .bind(user_id)
        .fetch_one(self.pool())
        .await?)
    }

    /// How many servers ended, or are ending, because their owners' accounts at a provider were put out within `within_ms`. What was
    /// stopped before that does not count.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn servers_put_out(&self, provider: &str, within_ms: i64) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(concat!(
            "SELECT count(*) FROM servers s JOIN identities i ON i.user_id = s.user_id \
             WHERE i.provider = ? AND i.standing <> 'good' AND i.confirmed > ",
            now!(),
            " - ? AND EXISTS (SELECT 1 FROM launches l WHERE l.server_id = s.id \
               AND coalesce(l.ended_at, i.confirmed) >= i.confirmed)"
        ))
        .bind(provider)
        .bind(within_ms)
        .fetch_one(self.pool())
        .await?)
    }

    /// How many servers of a provider's people run or are on their way.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn checked_servers(&self, provider: &str) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT count(*) FROM servers s WHERE (s.wanted = 'running' OR s.launch IS NOT NULL) \
             AND EXISTS (SELECT 1 FROM identities i WHERE i.user_id = s.user_id AND i.provider = ?)",
        )
        .bind(provider)
        .fetch_one(self.pool())
        .await?)
    }

    /// Notes that an account stands well, and what it is called now: another name is taken over at the next start.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn note_good_standing(
        &self,
        identity: &Identity,
        name: &str,
        wanted: &[String],
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(concat!(
            "UPDATE identities SET standing = 'good', name = ?, confirmed = ",
            now!(),
            " WHERE issuer = ? AND sub = ?"
        ))
        .bind(name)
        .bind(&identity.issuer)
        .bind(&identity.sub)
        .execute(&mut *tx)
        .await?;
        if name != identity.name {
            wish_name(&mut tx, identity.user_id, wanted).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Puts an account's user out: the standing is noted, every session and token ends, every server is wanted stopped. Twice is as once.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn put_out(&self, identity: &Identity, standing: &str) -> Result<Ended, StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(concat!(
            "UPDATE identities SET standing = ?, confirmed = ",
            now!(),
            " WHERE issuer = ? AND sub = ?"
        ))
        .bind(standing)
        .bind(&identity.issuer)
        .bind(&identity.sub)
        .execute(&mut *tx)
        .await?;
        let user_id = identity.user_id;
        let ended = end_all_of(&mut tx, user_id).await?;
        super::servers::want_stopped_of(&mut tx, user_id).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// The user who had this name last, when nobody has it now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn user_by_former_name(&self, name: &str) -> Result<Option<User>, StoreError> {
        Ok(sqlx::query_as(concat!(
            "SELECT ",
            user_columns!(),
            " FROM former_names JOIN users ON users.id = former_names.user_id \
             WHERE former_names.name = ?1 AND users.deleted IS NULL \
             AND NOT EXISTS (SELECT 1 FROM users AS o WHERE o.name = ?1 AND o.deleted IS NULL) \
             ORDER BY former_names.since DESC LIMIT 1"
        ))
        .bind(name)
        .fetch_optional(self.pool())
        .await?)
    }
}

/// Whether nobody but `user_id` has the name or waits for it.
async fn is_free(
    tx: &mut Transaction<'static, Sqlite>,
    name: &str,
    user_id: Option<i64>,
) -> Result<bool, StoreError> {
    let taken: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM users WHERE (name = ?1 OR next_name = ?1) AND id IS NOT ?2)",
    )
    .bind(name)
    .bind(user_id)
    .fetch_one(&mut **tx)
    .await?;
    Ok(!taken)
}

/// Writes down what a user shall be called: the first wanted name that is free, unless an earlier one is theirs already.
async fn wish_name(
    tx: &mut Transaction<'static, Sqlite>,
    user_id: i64,
    wanted: &[String],
) -> Result<(), StoreError> {
    for name in wanted {
        if is_free(tx, name, Some(user_id)).await? {
            sqlx::query("UPDATE users SET next_name = CASE WHEN name = ?1 THEN NULL ELSE ?1 END WHERE id = ?2")
                .bind(name)
                .bind(user_id)
                .execute(&mut **tx)
                .await?;
            return Ok(());
        }
    }
    Ok(())
}

/// Takes over the name that a user shall have, unless a launch of theirs is there: what runs keeps its name.
pub(super) async fn take_name(
    tx: &mut Transaction<'static, Sqlite>,
    user_id: i64,
) -> Result<(), StoreError> {
    let old: Option<String> = sqlx::query_scalar(
        "SELECT name FROM users WHERE id = ?1 AND next_name IS NOT NULL AND NOT EXISTS \
         (SELECT 1 FROM servers s WHERE s.user_id = ?1 AND s.launch IS NOT NULL)",
    )
    .bind(user_id)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(old) = old else { return Ok(()) };
    // Whoever has it by now keeps it, and the one who waited keeps theirs: no start may fail of a name, least of all everybody's.
    let taken = sqlx::query(
        "UPDATE users SET name = next_name WHERE id = ?1 \
         AND NOT EXISTS (SELECT 1 FROM users AS o WHERE o.id <> ?1 AND o.name = users.next_name)",
    )
    .bind(user_id)
    .execute(&mut **tx)
    .await?
    .rows_affected();
    sqlx::query("UPDATE users SET next_name = NULL WHERE id = ?")
        .bind(user_id)
        .execute(&mut **tx)
        .await?;
    if taken == 1 {
        sqlx::query(concat!(
            "INSERT INTO former_names (name, user_id, since) VALUES (?, ?, ",
            now!(),
            ") ON CONFLICT (name, user_id) DO UPDATE SET since = excluded.since"
        ))
        .bind(old)
        .bind(user_id)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
