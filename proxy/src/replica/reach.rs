//! How a session gets to a backend: a seat, an account, a server that takes it, and the session made as it was.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mysql_common::constants::CapabilityFlags;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Gateway;
use super::accounts::Lease;
use super::backend::{Backend, BackendError, Entry};
use super::health::{examine, is_full};
use super::memory::Memory;
use super::packet::SqlError;
use super::people::Seat;
use super::sections::{Place, Section, Target};
use super::sessions::Session;

/// A backend that is being restarted is waited for so long.
const RESTART: Duration = Duration::from_secs(5);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(100);
/// An answer to what restores a session.
const RESTORE: Duration = Duration::from_secs(10);
/// A server that had not begun the statement when it was told to end it has forgotten it, and is told again after so long.
const UNHEARD: Duration = Duration::from_secs(1);

/// A connection to a backend, for one session.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) backend: Backend,
    pub(crate) section: Arc<Section>,
    pub(crate) target: Arc<Target>,
    pub(crate) lease: Lease,
    /// The default database there; empty is none.
    pub(crate) database: String,
    /// A statement of it is being ended.
    pub(crate) killing: Option<Killing>,
}

/// The end of a statement under way: told again and again, until this is let go.
#[derive(Debug)]
pub(crate) struct Killing {
    task: JoinHandle<()>,
    over: DropGuard,
}

impl Killing {
    /// The statement has ended. Nothing of this meets the next one.
    pub(crate) async fn finish(self) {
        drop(self.over);
        let _ = self.task.await;
    }
}

/// What a session holds while it may reach backends.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    seat: Option<Seat>,
    lease: Option<Lease>,
}

impl Holds {
    /// Gives the account back.
    pub(crate) fn leave_account(&mut self) {
        self.lease = None;
    }
}

/// Connects a session to a section.
///
/// # Errors
/// What to tell the client.
pub(crate) async fn reach(
    gateway: &Arc<Gateway>,
    session: &Session,
    holds: &mut Holds,
    memory: &Memory,
    capabilities: CapabilityFlags,
    section: &Arc<Section>,
) -> Result<Link, SqlError> {
    let limits = &gateway.settings.limits;
    let grant = &session.granted.grant;
    let deadline = Instant::now() + limits.queue_timeout;
    let waited = limits.queue_timeout.as_secs();
    if holds.seat.is_none() {
        let most = gateway.connections_of(grant);
        let seat = timeout_at(deadline, gateway.people.seat(grant.user, most)).await;
        holds.seat = Some(seat.map_err(|_| {
            SqlError::new(1203, b"42000", format!("You have {most} connections in use, over all your servers, and none became free within {waited} s. Close some, or restart the kernels that hold them"))
        })?);
    }
    if holds.lease.is_none() {
        let lease = timeout_at(deadline, gateway.accounts.lease(grant.user)).await;
        holds.lease = Some(lease.map_err(|_| {
            SqlError::new(1040, b"08004", format!("All {} replica accounts are in use by others, and none became free within {waited} s. Try again later", gateway.accounts.count()))
        })?);
    }
    let Some(lease) = &holds.lease else {
        return Err(SqlError::new(1105, b"HY000", "Holt: no account"));
    };
    let began = Instant::now();
    let database = match gateway.sections.place(&memory.database) {
        Place::In(home) if home.name == section.name => memory.database.as_str(),
        Place::Everywhere => memory.database.as_str(),
        Place::In(_) | Place::Nowhere => "",
    };
    loop {
        let mut full = false;
        let mut refused = None;
        let mut trouble = None;
        for target in section.order(gateway.max_lag()) {
            if let Some(Err(reason)) = target.examined(lease.number()) {
                refused = Some(reason);
                continue;
            }
            let entry = Entry {
                capabilities,
                collation: memory.collation,
                database,
            };
            match open(&target, lease, entry, memory, &session.granted.comment).await {
                Ok(backend) => {
                    return Ok(Link {
                        backend,
                        section: Arc::clone(section),
                        target,
                        lease: lease.again(),
                        database: database.to_owned(),
                        killing: None,
                    });
                }
                Err(Opening::Reason(reason)) => refused = Some(reason),
                Err(Opening::Backend(BackendError::Refused { error, .. }))
                    if is_full(error.code) =>
                {
                    full = true
                }
                Err(Opening::Backend(BackendError::Refused { error, .. }))
                    if matches!(error.code, 1044 | 1049) =>
                {
                    // The map says it is here, the server does not: the client's to know.
                    return Err(error);
                }
                Err(Opening::Backend(error)) => {
                    tracing::debug!(%error, "A backend was not reached");
                    trouble = Some(error.to_string());
                }
            }
        }
        let now = Instant::now();
        let name = &section.name;
        if let Some(reason) = refused
            && !full
        {
            tracing::debug!(reason, "An account is not used");
            return Err(SqlError::new(
                1105,
                b"HY000",
                format!(
                    "Holt: the replica account that serves you on {name} is not used, as it could do more than read. The operators have been told"
                ),
            ));
        }
        if full && now >= deadline {
            return Err(SqlError::new(
                1040,
                b"08004",
                format!(
                    "The replica servers of {name} have no connection left, and none became free within {waited} s. Try again later"
                ),
            ));
        }
        if !full && now >= began + RESTART.min(limits.queue_timeout) {
            let trouble = trouble.unwrap_or_else(|| section.trouble());
            return Err(SqlError::new(
                1429,
                b"HY000",
                format!(
                    "No replica server of {name} takes statements now ({trouble}). Try again later"
                ),
            ));
        }
        sleep(AGAIN).await;
    }
}

enum Opening {
    Backend(BackendError),
    Reason(String),
}

impl From<BackendError> for Opening {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

async fn open(
    target: &Target,
    lease: &Lease,
    entry: Entry<'_>,
    memory: &Memory,
    comment: &str,
) -> Result<Backend, Opening> {
    target.clear(lease.number(), lease.account()).await?;
    let mut backend = target.dial.connect(lease.account(), entry).await?;
    if target.examined(lease.number()).is_none() {
        let found = examine(&mut backend, &lease.account().name).await?;
        target.set_examined(lease.number(), found.clone());
        found.map_err(Opening::Reason)?;
    }
    for statement in memory.settings() {
        backend
            .ask(&format!("{comment}{statement}"), RESTORE)
            .await?;
    }
    Ok(backend)
}

/// Lets a backend's connection go that runs nothing; the account stays with the user until the server has let it go too.
pub(crate) fn dismiss(gateway: &Arc<Gateway>, link: Link) {
    gateway.tasks.spawn(async move {
        let Link {
            mut backend, lease, ..
        } = link;
        let bye = async {
            let _ = backend.wire.write(&[1, 0, 0, 0, 1]).await;
            std::future::poll_fn(|cx| backend.wire.poll_gone(cx)).await;
        };
        let _ = timeout(Duration::from_secs(1), bye).await;
        drop(backend);
        drop(lease);
    });
}

/// Ends what a connection runs, from another connection of the same account, and lets it go.
pub(crate) fn abandon(gateway: &Arc<Gateway>, link: Link) {
    let tasks = gateway.tasks.clone();
    tasks.spawn(async move {
        kill(&link.target, &link.lease, link.backend.thread, "KILL").await;
        drop(link);
    });
}

/// Ends the statement that a connection runs. The connection must be kept until the killing is finished, so that no other has its
/// number.
pub(crate) fn stop_statement(gateway: &Arc<Gateway>, link: &mut Link) {
    if link.killing.is_some() {
        return;
    }
    let (target, lease) = (Arc::clone(&link.target), link.lease.again());
    let thread = link.backend.thread;
    let over = CancellationToken::new();
    let told = over.clone();
    let task = gateway.tasks.spawn(async move {
        loop {
            kill(&target, &lease, thread, "KILL QUERY").await;
            if timeout(UNHEARD, told.cancelled()).await.is_ok() {
                return;
            }
        }
    });
    let over = over.drop_guard();
    link.killing = Some(Killing { task, over });
}

async fn kill(target: &Target, lease: &Lease, thread: u32, word: &str) {
    for _ in 0..20 {
        let tried = async {
            let mut backend = target.dial.connect(lease.account(), Entry::OWN).await?;
            let answer = backend
                .ask(&format!("{word} {thread}"), Duration::from_secs(5))
                .await;
            backend.quit().await;
            answer.map(drop)
        };
        match tried.await {
            // Gone already.
            Ok(())
            | Err(BackendError::Refused {
                error: SqlError {
                    code: 1094 | 1317, ..
                },
                ..
            }) => return,
            Err(BackendError::Unreachable { .. }) => return,
            Err(error) => {
                tracing::debug!(%error, "A statement could not be ended yet");
                if target.draining.load(Ordering::Relaxed) && !target.health().up {
                    return;
                }
            }
        }
        sleep(AGAIN * 5).await;
    }
    tracing::warn!(backend = %target.dial.address, thread, "A statement could not be ended");
}
