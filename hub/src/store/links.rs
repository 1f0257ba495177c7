//! Rows of single-use links: sign-in, invitation, password reset.
//!
//! A link is used in the same transaction that does what it is for, so that of two who open it at once one wins.

use std::time::Duration;

use sqlx::{Sqlite, Transaction};

use super::sessions::millis;
use super::users::{Ended, User, insert_user};
use super::{Store, StoreError, now};
use crate::secret;

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// Opening it signs the user in.
    Signin,
    /// Its holder may make themselves a user.
    Invite,
    /// Its holder may set the user's password.
    Reset,
}

impl LinkKind {
    fn name(self) -> &'static str {
        match self {
            Self::Signin => "signin",
            Self::Invite => "invite",
            Self::Reset => "reset",
        }
    }
}

/// A link as it is before it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it is for.
    pub kind: LinkKind,
    /// Whether it can be used.
    pub state: LinkState,
    /// The name of the user it is for.
    pub user: Option<String>,
    /// An invited user will administer.
    pub admin: bool,
}

/// Whether a link can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// It can.
    Fresh,
    /// It was.
    Used,
    /// Its time is over.
    Expired,
}

impl Store {
    /// Makes a link and returns its secret part, which is kept nowhere.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn make_link(
        &self,
        kind: LinkKind,
        user_id: Option<i64>,
        admin: bool,
        lifetime: Duration,
        created_by: Option<i64>,
    ) -> Result<String, StoreError> {
        let raw = secret::random_token();
        let mut tx = self.write().await?;
        // Links stay for thirty days after their end, so that opening one tells what became of it.
        sqlx::query(concat!(
            "DELETE FROM links WHERE expires <= ",
            now!(),
            " - 2592000000"
        ))
        .execute(&mut *tx)
        .await?;
        sqlx::query(concat!(
            "INSERT INTO links (hash, kind, user_id, admin, created, expires, created_by) VALUES (?, ?, ?, ?, ",
            now!(),
            ", ",
            now!(),
            " + ?, ?)"
        ))
        .bind(secret::hash(&raw))
        .bind(kind.name())
        .bind(user_id)
        .bind(admin)
        .bind(millis(lifetime))
        .bind(created_by)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(raw)
    }

    /// Looks at a link without using it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn link(&self, raw: &str) -> Result<Option<Link>, StoreError> {
        if raw.len() > secret::LONGEST {
            return Ok(None);
        }
        let row: Option<(String, bool, bool, Option<String>, bool)> = sqlx::query_as(concat!(
            "SELECT links.kind, links.used IS NOT NULL, links.expires <= ",
            now!(),
            ", users.name, links.admin FROM links LEFT JOIN users ON users.id = links.user_id WHERE hash = ?"
        ))
        .bind(secret::hash(raw))
        .fetch_optional(self.pool())
        .await?;
        row.map(|(kind, used, expired, user, admin)| {
            let kind = match kind.as_str() {
                "signin" => LinkKind::Signin,
                "invite" => LinkKind::Invite,
                "reset" => LinkKind::Reset,
                _ => return Err(StoreError::Corrupt("links.kind")),
            };
            let state = match (used, expired) {
                (true, _) => LinkState::Used,
                (_, true) => LinkState::Expired,
                _ => LinkState::Fresh,
            };
            Ok(Link {
                kind,
                state,
                user,
                admin,
            })
        })
        .transpose()
    }

    /// Uses a sign-in link: whose session to begin. `None` when it cannot be used (any more).
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn use_signin_link(&self, raw: &str) -> Result<Option<i64>, StoreError> {
        let mut tx = self.write().await?;
        let used = burn(&mut tx, LinkKind::Signin, raw).await?;
        tx.commit().await?;
        Ok(used.and_then(|(user_id, _)| user_id))
    }

    /// Uses an invitation: makes the user. `None` when it cannot be used (any more).
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the name is in use; the link is then as it was.
    pub async fn use_invite_link(
        &self,
        raw: &str,
        name: &str,
        password: &str,
    ) -> Result<Option<User>, StoreError> {
        let mut tx = self.write().await?;
        let Some((_, admin)) = burn(&mut tx, LinkKind::Invite, raw).await? else {
            return Ok(None);
        };
        let user = insert_user(&mut tx, name, admin, Some(password)).await?;
        sqlx::query("UPDATE users SET welcomed = 1 WHERE id = ?")
            .bind(user.id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Some(User {
            welcomed: true,
            ..user
        }))
    }

    /// Uses a reset link: keeps the password and ends every session of the user. `None` when it cannot be used (any more).
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn use_reset_link(
        &self,
        raw: &str,
        password: &str,
    ) -> Result<Option<(i64, Ended)>, StoreError> {
        let mut tx = self.write().await?;
        let Some((Some(user_id), _)) = burn(&mut tx, LinkKind::Reset, raw).await? else {
            return Ok(None);
        };
        sqlx::query("UPDATE users SET password = ?, welcomed = 1 WHERE id = ?")
            .bind(password)
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        let ended = super::sessions::end_sessions(&mut tx, user_id, None).await?;
        tx.commit().await?;
        Ok(Some((user_id, ended)))
    }
}

/// Marks a link used, if it can be.
async fn burn(
    tx: &mut Transaction<'static, Sqlite>,
    kind: LinkKind,
    raw: &str,
) -> Result<Option<(Option<i64>, bool)>, StoreError> {
    if raw.len() > secret::LONGEST {
        return Ok(None);
    }
    Ok(sqlx::query_as(concat!(
        "UPDATE links SET used = ",
        now!(),
        " WHERE hash = ? AND kind = ? AND used IS NULL AND expires > ",
        now!(),
        " AND (user_id IS NULL OR EXISTS (SELECT 1 FROM users WHERE users.id = links.user_id AND users.deleted IS NULL)) \
         RETURNING user_id, admin"
    ))
    .bind(secret::hash(raw))
    .bind(kind.name())
    .fetch_optional(&mut **tx)
    .await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_link_works_once_for_what_it_is_for() -> Result<(), StoreError> {
        let store = Store::in_memory().await?;
        let user = store.create_user("a", true, None).await?;
        let raw = store
            .make_link(LinkKind::Signin, Some(user.id), false, HOUR, None)
            .await?;
        assert_eq!(store.use_reset_link(&raw, "x").await?, None);
        assert_eq!(store.use_signin_link(&raw).await?, Some(user.id));
        assert_eq!(store.use_signin_link(&raw).await?, None);
        assert_eq!(
            store.link(&raw).await?.map(|link| link.state),
            Some(LinkState::Used)
        );
        let old = store
            .make_link(LinkKind::Signin, Some(user.id), false, Duration::ZERO, None)
            .await?;
        assert_eq!(store.use_signin_link(&old).await?, None);
        assert_eq!(
            store.link(&old).await?.map(|link| link.state),
            Some(LinkState::Expired)
        );
        Ok(())
    }

    #[tokio::test]
    async fn an_invitation_outlives_a_taken_name() -> Result<(), StoreError> {
        let store = Store::in_memory().await?;
        store.create_user("a", true, None).await?;
        let raw = store
            .make_link(LinkKind::Invite, None, true, HOUR, None)
            .await?;
        assert!(matches!(
            store.use_invite_link(&raw, "a", "p").await,
            Err(StoreError::Taken)
        ));
        let user = store.use_invite_link(&raw, "b", "p").await?;
        assert_eq!(
            user.map(|user| (user.name, user.admin)),
            Some(("b".into(), true))
        );
        Ok(())
    }

    #[tokio::test]
    async fn of_two_at_once_one_wins() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let store = Store::open(&directory.path().join("holt.db")).await?;
        let user = store.create_user("a", true, None).await?;
        let raw = store
            .make_link(LinkKind::Signin, Some(user.id), false, HOUR, None)
            .await?;
        let tries = (0..8).map(|_| store.use_signin_link(&raw));
        let won = futures_util::future::try_join_all(tries).await?;
        assert_eq!(won.iter().flatten().count(), 1);
        Ok(())
    }
}
