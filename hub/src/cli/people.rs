//! `holt user`, and the link that the first administrator signs in with.

use std::io::Write;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Failure, Overrides, Place};
use crate::config::Settings;
use crate::store::Store;
use crate::store::links::LinkKind;
use crate::store::users::User;
use crate::supervisor;
use crate::supervisor::lock::{LockError, UpLock};
use crate::users::{self, UsersError};

/// How long a sign-in link works.
const LINK_LIFE: Duration = Duration::from_secs(30 * 60);
/// The same, in words.
pub(super) const LINK_LIFE_WORDS: &str = "30 minutes";
/// Where a running `up` keeps what the outside calls it.
const PUBLIC_URL: &str = "up.public_url";
/// Users read at once.
const PAGE: u32 = 500;

/// `holt user`.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make a link that signs a user in, once, for 30 minutes. Without a name: the first administrator.
    Link(Link),
    /// List users: name, whether they administer, whether they have a password.
    List(Place),
    /// Add a user, who signs in with the link that is printed.
    Add(Add),
}

#[derive(Debug, Args)]
pub(super) struct Link {
    #[command(flatten)]
    overrides: Overrides,
    /// The user's name.
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    #[command(flatten)]
    overrides: Overrides,
    /// The user's name.
    name: String,
    /// Let them administer the hub.
    #[arg(long)]
    admin: bool,
}

impl UserCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Link(link) => {
                let asked = link.overrides.says_where();
                let (settings, store) = open(link.overrides.load()?).await?;
                let user = match link.name {
                    Some(name) => by_name(&store, &name).await?,
                    None => first_administrator(&store).await?,
                };
                print_link(&settings, &store, &user, asked).await
            }
            Self::List(place) => {
                let (_, store) = open(place.load()?).await?;
                list(&store).await
            }
            Self::Add(add) => {
                let asked = add.overrides.says_where();
                let (settings, store) = open(add.overrides.load()?).await?;
                let user = users::create(&store, &add.name, add.admin).await?;
                print_link(&settings, &store, &user, asked).await
            }
        }
    }
}

/// The link for `holt up` to print: `None` once the first administrator can sign in with a password.
pub(super) async fn first_link(store: &Store, public_url: &str) -> Result<Option<String>, Failure> {
    let user = first_administrator(store).await?;
    if has_administrator_with_password(store).await? {
        return Ok(None);
    }
    link(store, &user, public_url).await.map(Some)
}

async fn has_administrator_with_password(store: &Store) -> Result<bool, Failure> {
    Ok(all(store)
        .await?
        .iter()
        .any(|user| user.admin && user.has_password))
}

async fn first_administrator(store: &Store) -> Result<User, Failure> {
    let suggested = std::env::var("USER").unwrap_or_default();
    let suggested = if matches!(suggested.as_str(), "" | "root") {
        "admin"
    } else {
        &suggested
    };
    Ok(users::ensure_administrator(store, suggested).await?)
}

async fn link(store: &Store, user: &User, public_url: &str) -> Result<String, Failure> {
    let secret = store
        .make_link(LinkKind::Signin, Some(user.id), false, LINK_LIFE, None)
        .await?;
    Ok(format!("{public_url}/hub/link/{secret}"))
}

async fn open(settings: Settings) -> Result<(Settings, Store), Failure> {
    settings.data_dir.prepare()?;
    let store = Store::open(&settings.data_dir.database()).await?;
    Ok((settings, store))
}

async fn by_name(store: &Store, name: &str) -> Result<User, Failure> {
    let clean = users::clean_name(name)?;
    match store.user_by_name(&clean).await? {
        Some(user) => Ok(user),
        None => Err(Failure::usage(format!(
            "there is no user {name:?}. See `holt user list`"
        ))),
    }
}

/// What the outside calls the hub: what this command was told, else what a running `up` knows, whose flags and environment may differ
/// from ours, else what the settings say.
async fn public_url(settings: &Settings, store: &Store, asked: bool) -> Result<String, Failure> {
    if !asked
        && matches!(
            UpLock::take(&settings.data_dir),
            Err(LockError::Held { .. })
        )
        && let Some(url) = store.setting(PUBLIC_URL).await?
    {
        return Ok(url);
    }
    Ok(settings.public_url_at(supervisor::listen_of(settings)))
}

/// Keeps what this `up` is called from outside, for links that are made while it runs.
pub(super) async fn keep_public_url(store: &Store, url: &str) -> Result<(), Failure> {
    Ok(store.replace_setting(PUBLIC_URL, url).await?)
}

async fn print_link(
    settings: &Settings,
    store: &Store,
    user: &User,
    asked: bool,
) -> Result<(), Failure> {
    let link = link(store, user, &public_url(settings, store, asked).await?).await?;
    let _ = writeln!(
        std::io::stderr(),
        "This link signs {} in, once, for {LINK_LIFE_WORDS}:",
        user.name
    );
    let _ = writeln!(std::io::stdout(), "{link}");
    Ok(())
}

async fn all(store: &Store) -> Result<Vec<User>, Failure> {
    let mut users = Vec::new();
    loop {
        let offset = u32::try_from(users.len()).unwrap_or(u32::MAX);
        let page = store.users(offset, PAGE).await?;
        if page.is_empty() {
            return Ok(users);
        }
        users.extend(page);
    }
}

async fn list(store: &Store) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for user in all(store).await? {
        let role = if user.admin { "administrator" } else { "user" };
        let password = if user.has_password {
            "password"
        } else {
            "no password"
        };
        // Nobody may be there to read on.
        let _ = writeln!(out, "{}\t{role}\t{password}", user.name);
    }
    Ok(())
}

impl From<UsersError> for Failure {
    fn from(error: UsersError) -> Self {
        match error {
            UsersError::Store(error) => error.into(),
            other => Self::usage(other.to_string()),
        }
    }
}
