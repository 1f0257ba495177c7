//! What a user may be called, and the first administrator.
//!
//! Names are brought to one form (NFC, no space around) before they are checked, kept or looked up, so that what two people see as
//! the same name is the same name.

use holt_spec::names::{NameError, check_user_name};
use unicode_normalization::UnicodeNormalization as _;

use crate::store::users::User;
use crate::store::{Store, StoreError};

/// The fewest characters of a password.
pub const PASSWORD_CHARS: usize = 8;
/// The most bytes of a password: more is no better, and costs.
pub const PASSWORD_BYTES: usize = 1024;

/// Why a user cannot be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// Not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Somebody has it.
    #[error("this name is taken: choose another")]
    Taken,
    /// Servers exist under the present name.
    #[error("the name can no longer be changed, since a notebook server exists under it")]
    InUse,
    /// Too short.
    #[error("a password needs at least {PASSWORD_CHARS} characters")]
    PasswordShort,
    /// Too long.
    #[error("a password may have at most {PASSWORD_BYTES} bytes")]
    PasswordLong,
    /// The database failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for UsersError {
    fn from(cause: StoreError) -> Self {
        match cause {
            StoreError::Taken => Self::Taken,
            other => Self::Store(other),
        }
    }
}

/// Brings a typed name to its one form and checks it.
///
/// # Errors
/// [`UsersError::Name`] with the reason.
pub fn clean_name(typed: &str) -> Result<String, UsersError> {
    let name: String = typed.trim().nfc().collect();
    check_user_name(&name)?;
    Ok(name)
}

/// Checks what shall become a password.
///
/// # Errors
/// Too short or too long.
pub fn check_password(password: &str) -> Result<(), UsersError> {
    if password.chars().count() < PASSWORD_CHARS {
        return Err(UsersError::PasswordShort);
    }
    if password.len() > PASSWORD_BYTES {
        return Err(UsersError::PasswordLong);
    }
    Ok(())
}

/// Makes a user who has no password yet.
///
/// # Errors
/// The name is refused or taken.
pub async fn create(store: &Store, typed: &str, admin: bool) -> Result<User, UsersError> {
    Ok(store.create_user(&clean_name(typed)?, admin, None).await?)
}

/// Gives a user another name, as long as no server of theirs exists.
///
/// # Errors
/// The name is refused or taken, or servers exist.
pub async fn rename(store: &Store, user: &User, typed: &str) -> Result<String, UsersError> {
    let name = clean_name(typed)?;
    if name != user.name && !store.rename_user(user.id, &name).await? {
        return Err(UsersError::InUse);
    }
    Ok(name)
}

/// The first administrator, made under `suggested` when there is none.
///
/// # Errors
/// When the database does not answer.
pub async fn ensure_administrator(store: &Store, suggested: &str) -> Result<User, UsersError> {
    if let Some(admin) = store.first_admin().await? {
        return Ok(admin);
    }
    let name = clean_name(suggested).unwrap_or_else(|_| "admin".to_owned());
    match store.create_user(&name, true, None).await {
        // Another hub was quicker, or the name belongs to somebody who is no administrator.
        Err(StoreError::Taken) => match store.first_admin().await? {
            Some(admin) => Ok(admin),
            None => Ok(store
                .create_user(
                    &format!("admin-{}", &crate::secret::random_id()[..6]),
                    true,
                    None,
                )
                .await?),
        },
        made => Ok(made?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_has_one_form() {
        assert_eq!(clean_name(" Ünï ").ok(), Some("Ünï".to_owned()));
        assert_eq!(clean_name("U\u{308}n").ok(), clean_name("\u{dc}n").ok());
        assert!(matches!(
            clean_name("a/b"),
            Err(UsersError::Name(NameError::Slash))
        ));
        assert!(matches!(
            clean_name("  "),
            Err(UsersError::Name(NameError::Empty))
        ));
    }

    #[tokio::test]
    async fn there_is_one_first_administrator() -> Result<(), UsersError> {
        let store = Store::in_memory().await?;
        let one = ensure_administrator(&store, "rook").await?;
        let two = ensure_administrator(&store, "other").await?;
        assert_eq!(
            (one.name.as_str(), one.admin, one.id),
            ("rook", true, two.id)
        );
        Ok(())
    }
}
