//! Tells the replica gateway who may come in: keeps its grants what the rows say, and revokes at once what ends.
//!
//! The generation of grants is raised in the transaction that changes one; here it is only carried. Two hubs may push at once: the
//! gateway refuses what is older than what it has. A gateway that was away, or begins anew, holds nothing until it is given the whole.
//!
//! Nothing waits for the gateway without a bound, and nothing fails for want of it: a launch is given its password whether or not the
//! gateway answers, and the password is good once the gateway has the grant.
//!
//! **Invariant:** nothing here decides a grant.

mod control;
mod delivery;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holt_spec::replicas::{Grant, Grants, Limits, Revoked, Statement, Status, Verifier};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::control::Control;
pub use self::control::GatewayError;
use self::delivery::Secret;
pub use self::delivery::{Given, Hosts};
use crate::error_chain;
use crate::metrics::REPLICA_GATEWAY_UP;
use crate::store::grants::GrantRow;
use crate::store::launches::{LaunchRow, Lease, ServerRow};
use crate::store::{Store, StoreError};

/// How often the generation is looked at when nothing wakes: another hub may have raised it.
const LOOK: Duration = Duration::from_millis(250);
/// How often a gateway that has the newest grants is asked whether it still has them.
const VERIFY: Duration = Duration::from_secs(1);
/// How often the gateway is asked which databases it knows.
const LEARN: Duration = Duration::from_secs(30);
/// How long an end waits for the gateway: longer than the gateway itself waits for what it closes.
const REVOKE: Duration = Duration::from_secs(7);
/// How long a start waits for it.
const SETTLE: Duration = Duration::from_secs(3);
/// Where the databases that the gateway told of are kept, so that a start needs no gateway.
const KEPT: &str = "replicas.databases";

/// Where launches reach the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Where they meet what serves them, by this port: the gateway is told to listen there.
    Met(u16),
    /// Where the settings say, and the gateway knows that by itself. An address of no place means the one they meet at.
    Set(SocketAddr),
}

impl Reached {
    /// The port.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Met(port) => port,
            Self::Set(place) => place.port(),
        }
    }

    fn place(self, met: IpAddr) -> SocketAddr {
        match self {
            Self::Set(place) if !place.ip().is_unspecified() => place,
            Self::Met(port) => SocketAddr::new(met, port),
            Self::Set(place) => SocketAddr::new(met, place.port()),
        }
    }

    /// What the gateway is told.
    fn told(self, place: SocketAddr) -> Option<SocketAddr> {
        match self {
            Self::Met(_) => Some(place),
            Self::Set(_) => None,
        }
    }
}

/// The way to the replica gateway. Cheap to clone.
#[derive(Clone)]
pub struct Replicas {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    control: Control,
    reached: Reached,
    wake: Notify,
    /// The generation the gateway last said it has in force.
    settled: watch::Sender<u64>,
    away: AtomicBool,
    /// Where launches reach the gateway, once it is known. A plain lock: held for a copy only.
    place: Mutex<Option<SocketAddr>>,
    /// Databases, each to its section, as the gateway told them last. A plain lock: held for a copy only.
    databases: Mutex<(BTreeMap<String, String>, Hosts)>,
}

impl Replicas {
    /// A way to the gateway whose control API listens on the socket `control`.
    #[must_use]
    pub fn new(store: Store, control: PathBuf, reached: Reached) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                control: Control::new(control),
                reached,
                wake: Notify::new(),
                settled: watch::Sender::new(0),
                away: AtomicBool::new(false),
                place: Mutex::default(),
                databases: Mutex::new((BTreeMap::new(), Arc::from([]))),
            }),
        }
    }

    /// Says at which address launches meet what serves them.
    pub fn meet(&self, address: IpAddr) {
        *held(&self.inner.place) = Some(self.inner.reached.place(address));
        self.wake();
    }

    /// Where launches reach the gateway, once it is known.
    #[must_use]
    pub fn place(&self) -> Option<SocketAddr> {
        *held(&self.inner.place)
    }

    /// Names of hosts that shall lead launches to the gateway.
    #[must_use]
    pub fn hosts(&self) -> Hosts {
        held(&self.inner.databases).1.clone()
    }

    /// Makes a user name and a password for a launch, in place of earlier ones, and keeps what they are checked by.
    /// They are good once the launch runs and the gateway knows. Nothing when the lease was lost, or before the gateway's place is
    /// known.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn give(
        &self,
        lease: &Lease,
        server: &ServerRow,
        launch: &LaunchRow,
    ) -> Result<Given, StoreError> {
        let Some(place) = self.place() else {
            return Ok(Given::default());
        };
        let secret = Secret::new(server.user_id);
        let store = &self.inner.store;
        if !store.keep_grant(lease, &launch.id, &secret.grant).await? {
            return Ok(Given::default());
        }
        if self.is_away() {
            info!(launch.id = %launch.id, "The replica gateway does not answer: launch {} reaches the replicas when it does", launch.id);
        }
        Ok(secret.given(place))
    }

    /// Says that a grant changed.
    pub fn wake(&self) {
        self.inner.wake.notify_one();
    }

    /// Whether the gateway did not answer when it was last asked.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.inner.away.load(Ordering::SeqCst)
    }

    /// Waits a moment until the gateway has the present grants; not at all for one that is away.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn settle(&self) -> Result<(), StoreError> {
        if self.is_away() {
            return Ok(());
        }
        let generation = unsigned(self.inner.store.grants_generation().await?)?;
        self.wake();
        let mut settled = self.inner.settled.subscribe();
        let settling = settled.wait_for(|have| *have >= generation);
        if tokio::time::timeout(SETTLE, settling).await.is_err() && !self.is_away() {
            warn!("The replica gateway has not taken the newest grants yet");
        }
        Ok(())
    }

    /// Lets a launch open nothing more at the gateway, and closes what it has open. A gateway that does not answer is not waited
    /// for: what it lets in again is only what the rows still grant.
    pub async fn revoke(&self, launch: &str) {
        let revoked = Revoked {
            launches: vec![launch.to_owned()],
        };
        if let Err(error) = self.inner.control.revoke(&revoked, REVOKE).await {
            warn!(launch.id = launch, error = %error_chain(&error), "The replica gateway was not told that launch {launch} ends");
        }
    }

    /// What runs now, oldest first.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn statements(&self) -> Result<Vec<Statement>, GatewayError> {
        Ok(self.inner.control.statements().await?.statements)
    }

    /// Ends a statement.
    ///
    /// # Errors
    /// [`GatewayError::Over`] when it is over, or the gateway does not answer.
    pub async fn end_statement(&self, id: &str) -> Result<(), GatewayError> {
        self.inner.control.end_statement(id).await
    }

    /// How the gateway and its backends are.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn status(&self) -> Result<Status, GatewayError> {
        self.inner.control.status().await
    }

    /// Keeps the gateway's grants what the rows say, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        match self.inner.store.setting(KEPT).await {
            Ok(Some(text)) => match serde_json::from_str(&text) {
                Ok(databases) => self.take(databases),
                Err(error) => warn!(%error, "The kept list of databases cannot be read"),
            },
            Ok(None) => {}
            Err(error) => {
                warn!(error = %error_chain(&error), "The kept list of databases cannot be read")
            }
        }
        // What the gateway was last given, or said it has; and for which place.
        let (mut has, mut place) = (None, None);
        let (mut verified, mut learned) = (Instant::now(), None::<Instant>);
        loop {
            if place != self.place() {
                (has, place) = (None, self.place());
            }
            let outcome = match place {
                // Nobody could have been given anything yet.
                None => Ok(()),
                Some(place) => self.bring_up(place, &mut has, &mut verified).await,
            };
            match &outcome {
                Ok(()) if learned.is_none_or(|at| at.elapsed() >= LEARN) => {
                    if self.learn().await {
                        learned = Some(Instant::now());
                    }
                }
                Ok(()) => {}
                Err(_) => has = None,
            }
            self.note(outcome.err());
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner.wake.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Gives the gateway what it does not have.
    async fn bring_up(
        &self,
        place: SocketAddr,
        has: &mut Option<u64>,
        verified: &mut Instant,
    ) -> Result<(), PushError> {
        let wanted = unsigned(self.inner.store.grants_generation().await?)?;
        if has.is_some() && verified.elapsed() >= VERIFY {
            *verified = Instant::now();
            let generation = self.inner.control.generation().await?;
            if generation < wanted && *has == Some(wanted) {
                info!("The replica gateway began anew: giving it all grants");
            }
            *has = Some(generation);
        }
        if has.is_none_or(|generation| generation < wanted) {
            *has = Some(self.push(place).await?);
        }
        if let Some(generation) = *has {
            self.inner.settled.send_replace(generation);
        }
        Ok(())
    }

    /// Gives the gateway all grants, and tells which generation it has then.
    async fn push(&self, place: SocketAddr) -> Result<u64, PushError> {
        let (generation, rows) = self.inner.store.grants().await?;
        let grants = Grants {
            generation: unsigned(generation)?,
            listen: self.inner.reached.told(place),
            grants: rows.into_iter().map(grant).collect(),
        };
        match self.inner.control.put(&grants).await {
            Ok(()) => {
                debug!(
                    generation,
                    grants = grants.grants.len(),
                    "The replica gateway has the grants"
                );
                Ok(grants.generation)
            }
            // Another hub was faster with a newer one, which the rows have too.
            Err(GatewayError::Refused { generation }) if generation > grants.generation => {
                Ok(generation)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the gateway which databases it knows; whether it told.
    async fn learn(&self) -> bool {
        let Ok(status) = self.status().await else {
            return false;
        };
        // One that has only begun knows none yet.
        if status.databases.is_empty() || held(&self.inner.databases).0 == status.databases {
            return !status.databases.is_empty();
        }
        if let Ok(text) = serde_json::to_string(&status.databases)
            && let Err(error) = self.inner.store.replace_setting(KEPT, &text).await
        {
            warn!(error = %error_chain(&error), "The list of databases could not be kept");
        }
        self.take(status.databases);
        true
    }

    fn take(&self, databases: BTreeMap<String, String>) {
        let hosts = delivery::hosts(&databases);
        *held(&self.inner.databases) = (databases, hosts);
    }

    /// Says once when the gateway goes away, and once when it is back.
    fn note(&self, error: Option<PushError>) {
        let was_away = self.inner.away.swap(error.is_some(), Ordering::SeqCst);
        metrics::gauge!(REPLICA_GATEWAY_UP).set(if error.is_some() { 0.0 } else { 1.0 });
        match error {
            Some(error) if !was_away => {
                warn!(error = %error_chain(&error), "The replica gateway could not be told of grants; trying again");
            }
            None if was_away => info!("The replica gateway answers again"),
            Some(_) | None => {}
        }
    }
}

/// Why the gateway was not told.
#[derive(Debug, thiserror::Error)]
enum PushError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unsigned(generation: i64) -> Result<u64, StoreError> {
    u64::try_from(generation).map_err(|_| StoreError::Corrupt("counters.grants"))
}

fn grant(row: GrantRow) -> Grant {
    Grant {
        launch: row.launch,
        user: row.user_id,
        name: row.user,
        server: row.server,
        username: row.grant.username,
        verifier: Verifier {
            native: row.grant.native,
            sha2: row.grant.sha2,
        },
        address: row.address,
        limits: Limits::default(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
