//! Sign-in with a name and a password.
//!
//! A try is counted before it is decided, by name, by address, and by both together; a right one is taken back.
//! So guessing is slow from one address and from many, while somebody who guesses a person's password elsewhere does not soon lock
//! that person out. Unknown names are counted and cost as known ones.

use std::net::IpAddr;
use std::time::Duration;

use crate::login::password::{self, Busy};
use crate::secret;
use crate::store::users::User;
use crate::store::{Store, StoreError};
use crate::users;

/// How long failures are remembered.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Failures of one name from one address.
const MOST_OF_BOTH: u32 = 10;
/// Failures from one address.
const MOST_OF_ADDRESS: u32 = 60;
/// Failures of one name.
const MOST_OF_NAME: u32 = 100;

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// One of both is wrong; which is not said.
    #[error("Invalid username or password")]
    Wrong,
    /// Too many failures.
    #[error("Too many failed tries. Wait {} min, or ask an administrator for a reset link.", .0.div_ceil(60))]
    Wait(u64),
    /// Too many sign-ins at once.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who signs in with this name and password from this address.
///
/// # Errors
/// [`LocalError`].
pub async fn sign_in(
    store: &Store,
    typed_name: &str,
    typed_password: &str,
    address: Option<IpAddr>,
) -> Result<User, LocalError> {
    let name = users::clean_name(typed_name).map_err(|_| LocalError::Wrong)?;
    if typed_password.len() > users::PASSWORD_BYTES {
        return Err(LocalError::Wrong);
    }
    let keys = keys(&name, address);
    for (key, most) in keys
        .iter()
        .zip([MOST_OF_BOTH, MOST_OF_ADDRESS, MOST_OF_NAME])
    {
        if let Some(seconds) = store.throttled(key, most, WINDOW).await? {
            return Err(LocalError::Wait(seconds));
        }
    }
    store.count_try(&keys, WINDOW).await?;
    let user = store.user_by_name(&name).await?;
    let kept = match &user {
        Some(user) => store.password(user.id).await?,
        None => None,
    };
    let right = password::is_right(typed_password, kept).await?;
    match user.filter(|_| right) {
        Some(user) => {
            store.forgive_try(&keys).await?;
            Ok(user)
        }
        None => Err(LocalError::Wrong),
    }
}

/// An address as tries are counted by.
pub(super) fn group(address: Option<IpAddr>) -> String {
    address.map_or_else(String::new, |address| match address {
        IpAddr::V4(v4) => v4.to_string(),
        // One subscriber has a whole /64.
        IpAddr::V6(v6) => format!("{:x?}", &v6.segments()[..4]),
    })
}

fn keys(name: &str, address: Option<IpAddr>) -> [String; 3] {
    let address = group(address);
    [
        secret::hash(&format!("both\0{address}\0{name}")),
        secret::hash(&format!("address\0{address}")),
        secret::hash(&format!("name\0{name}")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn guessing_ends_with_a_wait_there_and_not_elsewhere()
    -> Result<(), Box<dyn std::error::Error>> {
        let store = Store::in_memory().await?;
        let kept = password::keep("right password").await?;
        store.create_user("rook", false, Some(&kept)).await?;
        let here = Some("192.0.2.1".parse()?);
        for _ in 0..MOST_OF_BOTH {
            assert!(matches!(
                sign_in(&store, "rook", "wrong", here).await,
                Err(LocalError::Wrong)
            ));
        }
        assert!(matches!(
            sign_in(&store, "rook", "right password", here).await,
            Err(LocalError::Wait(_))
        ));
        let elsewhere = Some("2001:db8::1".parse()?);
        assert_eq!(
            sign_in(&store, " rook", "right password", elsewhere)
                .await?
                .name,
            "rook"
        );
        assert!(matches!(
            sign_in(&store, "nobody", "x", elsewhere).await,
            Err(LocalError::Wrong)
        ));
        Ok(())
    }
}
