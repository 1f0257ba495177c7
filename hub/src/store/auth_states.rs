//! Rows of auth states: what a person's provider gave, sealed. Only whoever has the keys reads them.
//!
//! There is one for the consumer that people sign in by, and another for the consumer that acts for them, where that is another.

use std::time::Duration;

use super::sessions::{end_sessions_through, millis};
use super::users::Ended;
use super::{Store, StoreError, now};
use crate::secret::seal::Sealed;

/// A sealed auth state and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthStateRow {
    /// The provider.
    pub issuer: String,
    /// The account.
    pub sub: String,
    /// The key of the consumer that acts; empty is the one people sign in by.
    pub consumer: String,
    /// What was sealed.
    pub sealed: Sealed,
}

/// What a person allowed the consumer that acts.
#[derive(Debug, Clone, Copy)]
pub struct Allowed<'a> {
    /// Whose account it must be.
    pub user_id: i64,
    /// The hash of the session's cookie in which it was begun and finished; it must be there still.
    pub session: &'a str,
    /// The provider.
    pub issuer: &'a str,
    /// The account.
    pub sub: &'a str,
    /// The key of the consumer.
    pub consumer: &'a str,
    /// What the provider gave.
    pub sealed: &'a Sealed,
}

/// A row as it is selected.
pub(super) type Selected = (String, String, String, String, String);

impl From<Selected> for AuthStateRow {
    fn from((issuer, sub, consumer, key_id, text): Selected) -> Self {
        let sealed = Sealed { key_id, text };
        Self {
            issuer,
            sub,
            consumer,
            sealed,
        }
    }
}

impl Store {
    /// Keeps what an account gave at a sign-in, in place of what was there.
    ///
    /// # Errors
    /// When the database does not answer, or there is no such account.
    pub async fn keep_auth_state(
        &self,
        issuer: &str,
        sub: &str,
        sealed: &Sealed,
    ) -> Result<(), StoreError> {
        sqlx::query(concat!(
            "INSERT INTO auth_states (issuer, sub, key_id, sealed, updated, given) VALUES (?1, ?2, ?3, ?4, ",
            now!(),
            ", ",
            now!(),
            ") ON CONFLICT (issuer, sub, consumer) DO UPDATE SET key_id = ?3, sealed = ?4, renewing = 0, updated = excluded.updated, given = excluded.given"
        ))
        .bind(issuer)
        .bind(sub)
        .bind(&sealed.key_id)
        .bind(&sealed.text)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Keeps what a person allowed the consumer that acts, in place of what they allowed it before. `false`, and nothing is kept: the
    /// account is not that person's, or stands badly, or the session is over.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn allow_consumer(&self, allowed: Allowed<'_>) -> Result<bool, StoreError> {
        let done = sqlx::query(concat!(
            "INSERT INTO auth_states (issuer, sub, consumer, key_id, sealed, updated, given) SELECT ?1, ?2, ?3, ?4, ?5, ",
            now!(),
            ", ",
            now!(),
            " WHERE EXISTS (SELECT 1 FROM identities WHERE issuer = ?1 AND sub = ?2 AND user_id = ?6 AND standing = 'good') \
               AND EXISTS (SELECT 1 FROM sessions WHERE hash = ?7 AND user_id = ?6 AND expires > ",
            now!(),
            ") ON CONFLICT (issuer, sub, consumer) DO UPDATE SET key_id = ?4, sealed = ?5, renewing = 0, updated = excluded.updated, given = excluded.given"
        ))
        .bind(allowed.issuer)
        .bind(allowed.sub)
        .bind(allowed.consumer)
        .bind(&allowed.sealed.key_id)
        .bind(&allowed.sealed.text)
        .bind(allowed.user_id)
        .bind(allowed.session)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Forgets all that a person allowed consumers that act, at every provider and for every consumer there ever was; whether there was
    /// something. What they sign in by stays.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn withdraw_consumers(&self, user_id: i64) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "DELETE FROM auth_states WHERE consumer <> '' AND (issuer, sub) IN (SELECT issuer, sub FROM identities WHERE user_id = ?)",
        )
        .bind(user_id)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Forgets what was allowed and holds no more; nothing when it changed meanwhile.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn drop_allowed(&self, row: &AuthStateRow) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM auth_states WHERE issuer = ? AND sub = ? AND consumer = ? AND sealed = ?",
        )
        .bind(&row.issuer)
        .bind(&row.sub)
        .bind(&row.consumer)
        .bind(&row.sealed.text)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// When a user allowed the consumer that acts, in milliseconds since 1970; `None` where they did not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn allowed_since(
        &self,
        user_id: i64,
        provider: &str,
        consumer: &str,
    ) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT max(a.given) FROM auth_states a JOIN identities i ON i.issuer = a.issuer AND i.sub = a.sub
              WHERE i.user_id = ? AND i.provider = ? AND a.consumer = ?",
        )
        .bind(user_id)
        .bind(provider)
        .bind(consumer)
        .fetch_one(self.pool())
        .await?)
    }

    /// What an account gave at a sign-in.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn auth_state(&self, issuer: &str, sub: &str) -> Result<Option<Sealed>, StoreError> {
        let row: Option<(String, String)> = sqlx::query_as(
            "SELECT key_id, sealed FROM auth_states WHERE issuer = ? AND sub = ? AND consumer = ''",
        )
        .bind(issuer)
        .bind(sub)
        .fetch_optional(self.pool())
        .await?;
        Ok(row.map(|(key_id, text)| Sealed { key_id, text }))
    }

    /// Up to `most` auth states that another key than this sealed, after the given account and consumer in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn auth_states_not_under(
        &self,
        key_id: &str,
        (issuer, sub, consumer): (&str, &str, &str),
        most: u32,
    ) -> Result<Vec<AuthStateRow>, StoreError> {
        let rows: Vec<Selected> = sqlx::query_as(
            "SELECT issuer, sub, consumer, key_id, sealed FROM auth_states WHERE key_id <> ? AND (issuer, sub, consumer) > (?, ?, ?) \
             ORDER BY issuer, sub, consumer LIMIT ?",
        )
        .bind(key_id)
        .bind(issuer)
        .bind(sub)
        .bind(consumer)
        .bind(most)
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().map(AuthStateRow::from).collect())
    }

    /// Claims up to `most` auth states of sign-ins by a provider that nobody looked at for `every`, of people who have a session by it: they count as
    /// looked at now, so that no other hub takes them too.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim_renewals(
        &self,
        provider: &str,
        every: Duration,
        most: u32,
    ) -> Result<Vec<AuthStateRow>, StoreError> {
        let mut tx = self.write().await?;
        let rows: Vec<Selected> = sqlx::query_as(concat!(
            "UPDATE auth_states SET updated = ",
            now!(),
            " WHERE consumer = '' AND (issuer, sub) IN (SELECT a.issuer, a.sub FROM auth_states a \
               JOIN identities i ON i.issuer = a.issuer AND i.sub = a.sub \
               WHERE i.provider = ?1 AND a.consumer = '' AND a.updated <= ",
            now!(),
            " - ?2 AND EXISTS (SELECT 1 FROM sessions s WHERE s.user_id = i.user_id AND s.provider = ?1 AND s.expires > ",
            now!(),
            ") ORDER BY a.updated LIMIT ?3) RETURNING issuer, sub, consumer, key_id, sealed"
        ))
        .bind(provider)
        .bind(millis(every))
        .bind(most)
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(AuthStateRow::from).collect())
    }

    /// Forgets an auth state that holds no more, and ends the sessions that were begun by its provider, with their tokens; servers go on.
    /// Nothing when it changed meanwhile: its owner has signed in again.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn drop_auth_state(
        &self,
        row: &AuthStateRow,
        provider: &str,
    ) -> Result<Option<Ended>, StoreError> {
        let mut tx = self.write().await?;
        let owner: Option<i64> = sqlx::query_scalar(
            "DELETE FROM auth_states WHERE issuer = ?1 AND sub = ?2 AND consumer = ?3 AND sealed = ?4 \
             RETURNING (SELECT user_id FROM identities WHERE issuer = ?1 AND sub = ?2)",
        )
        .bind(&row.issuer)
        .bind(&row.sub)
        .bind(&row.consumer)
        .bind(&row.sealed.text)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(user_id) = owner else {
            return Ok(None);
        };
        let ended = end_sessions_through(&mut tx, user_id, provider).await?;
        tx.commit().await?;
        Ok(Some(ended))
    }

    /// Puts a text sealed anew in place of the one it came from; nothing when that changed meanwhile.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn reseal_auth_state(
        &self,
        old: &AuthStateRow,
        new: &Sealed,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE auth_states SET key_id = ?, sealed = ? WHERE issuer = ? AND sub = ? AND consumer = ? AND sealed = ?",
        )
        .bind(&new.key_id)
        .bind(&new.text)
        .bind(&old.issuer)
        .bind(&old.sub)
        .bind(&old.consumer)
        .bind(&old.sealed.text)
        .execute(self.pool())
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::identities::Arrival;
    use crate::store::sessions::Origin;

    const HOUR: Duration = Duration::from_secs(3600);

    fn sealed(text: &str) -> Sealed {
        Sealed {
            key_id: "k".to_owned(),
            text: text.to_owned(),
        }
    }

    /// Somebody with an account `sub`, and a session called as they are.
    async fn somebody(store: &Store, name: &str, sub: &str) -> Result<i64, StoreError> {
        let wanted = [name.to_owned()];
        let user = store
            .arrive(Arrival {
                issuer: "i",
                sub,
                provider: "wiki",
                name,
                wanted: &wanted,
                admin: None,
                is_confirmed: true,
                home: None,
            })
            .await?;
        let origin = Origin {
            provider: "wiki",
            ..Origin::default()
        };
        store
            .create_session(user.id, name, name, HOUR, origin)
            .await?;
        store.keep_auth_state("i", sub, &sealed("sign-in")).await?;
        Ok(user.id)
    }

    #[tokio::test]
    async fn it_is_allowed_in_ones_own_session_for_ones_own_account() -> Result<(), StoreError> {
        let store = Store::in_memory().await?;
        let (ada, bob) = (
            somebody(&store, "ada", "1").await?,
            somebody(&store, "bob", "2").await?,
        );
        let given = sealed("acts");
        let allow = async |user_id, session, sub| {
            store
                .allow_consumer(Allowed {
                    user_id,
                    session,
                    issuer: "i",
                    sub,
                    consumer: "c",
                    sealed: &given,
                })
                .await
        };
        for (user, session, sub) in [
            (ada, "bob", "1"),
            (ada, "ada", "2"),
            (ada, "none", "1"),
            (bob, "ada", "1"),
            (ada, "ada", "3"),
        ] {
            assert!(!allow(user, session, sub).await?, "{user} {session} {sub}");
        }
        assert!(allow(ada, "ada", "1").await? && allow(ada, "ada", "1").await?);
        assert!(store.allowed_since(ada, "wiki", "c").await?.is_some());
        assert_eq!(store.allowed_since(ada, "wiki", "d").await?, None);
        assert_eq!(store.allowed_since(bob, "wiki", "c").await?, None);
        // What signing in gave is another row, and the only one that is tried on its own.
        let state = async |consumer| {
            let row = store.auth_state_of(ada, "wiki", consumer).await?;
            Ok::<_, StoreError>(row.map(|row| row.sealed.text))
        };
        assert_eq!(state("").await?.as_deref(), Some("sign-in"));
        assert_eq!(state("c").await?.as_deref(), Some("acts"));
        let due = store.claim_renewals("wiki", Duration::ZERO, 10).await?;
        assert!(due.len() == 2 && due.iter().all(|row| row.consumer.is_empty()));
        // A locked account acts no more, and allows nothing.
        let identity = store.identities_of(ada).await?.remove(0);
        store.put_out(&identity, "locked").await?;
        assert_eq!(state("c").await?, None);
        store
            .create_session(ada, "again", "again", HOUR, Origin::default())
            .await?;
        assert!(!allow(ada, "again", "1").await?);
        Ok(())
    }

    #[tokio::test]
    async fn withdrawing_leaves_the_sign_in_and_signing_out_everywhere_leaves_nothing()
    -> Result<(), StoreError> {
        let store = Store::in_memory().await?;
        let (ada, bob) = (
            somebody(&store, "ada", "1").await?,
            somebody(&store, "bob", "2").await?,
        );
        let given = sealed("acts");
        for (user_id, session, sub) in [(ada, "ada", "1"), (bob, "bob", "2")] {
            for consumer in ["c", "earlier"] {
                let allowed = Allowed {
                    user_id,
                    session,
                    issuer: "i",
                    sub,
                    consumer,
                    sealed: &given,
                };
                assert!(store.allow_consumer(allowed).await?);
            }
        }
        let rows = async || -> Result<Vec<(String, String)>, StoreError> {
            let all = "SELECT sub, consumer FROM auth_states ORDER BY sub, consumer";
            Ok(sqlx::query_as(all).fetch_all(store.pool()).await?)
        };
        assert_eq!(rows().await?.len(), 6);
        assert!(store.withdraw_consumers(ada).await?);
        assert!(!store.withdraw_consumers(ada).await?);
        let left = rows().await?;
        assert!(left.len() == 4 && left[0] == ("1".to_owned(), String::new()));
        store.sign_out_everywhere(bob).await?;
        assert_eq!(rows().await?, [("1".to_owned(), String::new())]);
        Ok(())
    }
}
