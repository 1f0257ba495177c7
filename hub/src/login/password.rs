//! Passwords as argon2id in PHC form, worked out on the blocking pool a few at a time.
//!
//! One takes about 19 MiB and tens of milliseconds, by intention: the bound keeps a rush of sign-ins from taking the machine.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

/// At most so many are worked out at once.
const AT_ONCE: usize = 2;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(AT_ONCE)));

/// Stands in for the password of somebody who does not exist or has none, so that both cost the same.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    Argon2::default()
        .hash_password(crate::secret::random_token().as_bytes())
        .map(|hash| hash.to_string())
        .unwrap_or_default()
});

/// Too many sign-ins at once, or the work could not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many people are signing in at this moment: try again in some seconds")]
pub struct Busy;

/// The form in which a password is kept.
///
/// # Errors
/// [`Busy`].
pub async fn keep(password: &str) -> Result<String, Busy> {
    let password = password.to_owned();
    on_a_turn(move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
            .map_err(|_| Busy)
    })
    .await?
}

/// Whether the password is the kept one; with nothing kept it takes as long and is never right.
///
/// # Errors
/// [`Busy`].
pub async fn is_right(password: &str, kept: Option<String>) -> Result<bool, Busy> {
    let password = password.to_owned();
    on_a_turn(move || {
        let exists = kept.is_some();
        let kept = kept.unwrap_or_else(|| NOBODY.clone());
        let matches = PasswordHash::new(&kept).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        });
        matches && exists
    })
    .await
}

async fn on_a_turn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Busy> {
    let turn = tokio::time::timeout(PATIENCE, Arc::clone(&TURNS).acquire_owned())
        .await
        .map_err(|_| Busy)?
        .map_err(|_| Busy)?;
    // The turn goes with the work: a caller who leaves does not free it before its time.
    tokio::task::spawn_blocking(move || {
        let result = work();
        drop(turn);
        result
    })
    .await
    .map_err(|_| Busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_is_right() -> Result<(), Busy> {
        let kept = keep("correct horse").await?;
        assert!(kept.starts_with("$argon2id$"));
        assert!(is_right("correct horse", Some(kept.clone())).await?);
        assert!(!is_right("correct horsf", Some(kept)).await?);
        assert!(!is_right("", None).await?);
        Ok(())
    }
}
