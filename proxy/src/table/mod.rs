//! The route table: an immutable snapshot that requests read without a lock.
//!
//! [`Live`] is what requests see. Who writes it is not its business: [`Routes`] keeps what Holt's hub said, on disk so that a
//! restart needs nothing from the hub; the face of configurable-http-proxy keeps its own.
//! Whoever waits for a route watches the version and looks again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use arc_swap::{ArcSwap, Guard};
use holt_spec::control::Internal;
use tokio::sync::watch;

pub(crate) use self::activity::{LastUse, now_ms, steady_ms};
pub(crate) use self::persist::StateDir;
pub(crate) use self::revocations::{Hash, Revoked, TooManyCredentials, credentials};
pub(crate) use self::routes::Routes;
pub(crate) use self::target::{Address, BadTarget, Scheme, Target};
use self::trie::Trie;
pub(crate) use self::trie::{Ambiguous, segments};

mod activity;
mod persist;
mod revocations;
mod routes;
mod target;
pub(crate) mod trie;

/// The longest host that can have routes of its own.
const HOST_BYTES: usize = 255;

/// Why a table was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    /// The proxy holds a newer one, or changes start from another one.
    #[error("generation {generation} is in force")]
    Generation {
        /// What is in force.
        generation: u64,
    },
    /// The same generation with other routes.
    #[error("generation {generation} is in force with other routes")]
    Differs {
        /// What is in force.
        generation: u64,
    },
    /// A prefix or a target that makes no sense.
    #[error("{0}")]
    Bad(String),
    /// In force, but it would not survive a restart.
    #[error("the table is in force but was not written to disk")]
    Disk(#[source] io::Error),
}

/// A route as requests see it.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// Where it leads; `None` while the server is on its way.
    pub(crate) target: Option<Arc<Target>>,
    /// When it was last used.
    pub(crate) last_use: Arc<LastUse>,
    /// Segments of its prefix: so many a request loses where prefixes are not passed on.
    pub(crate) depth: usize,
    /// Requests and websockets that are on it now, where that is counted.
    pub(crate) load: AtomicU32,
}

impl Leaf {
    /// A route of a prefix with so many segments.
    pub(crate) fn new(target: Option<Arc<Target>>, last_use: Arc<LastUse>, depth: usize) -> Self {
        Leaf {
            target,
            last_use,
            depth,
            load: AtomicU32::new(0),
        }
    }
}

/// The table at one moment. A copy is cheap, and shares all that is not changed.
#[derive(Debug, Default, Clone)]
pub(crate) struct Snapshot {
    // Routes for every host.
    paths: Trie<Arc<Leaf>>,
    // Routes of one host, by its name in lower case without port and final dot.
    hosts: imbl::HashMap<Box<[u8]>, Trie<Arc<Leaf>>>,
    /// Where a request without a route goes: hubs, tried in order. None: nowhere.
    pub(crate) hubs: Arc<[Arc<Target>]>,
    /// The listener for servers.
    pub(crate) internal: Option<Internal>,
}

impl Snapshot {
    /// Adds a route of one host (in the form of [`host_key`]), or of all, or replaces it.
    pub(crate) fn insert(&mut self, host: Option<&[u8]>, segments: &[Box<[u8]>], leaf: Arc<Leaf>) {
        match host {
            None => self.paths.insert(segments, leaf),
            Some(host) => {
                let mut trie = self.hosts.get(host).cloned().unwrap_or_default();
                trie.insert(segments, leaf);
                self.hosts.insert(host.into(), trie);
            }
        }
    }

    /// Takes a route away.
    pub(crate) fn remove(&mut self, host: Option<&[u8]>, segments: &[Box<[u8]>]) {
        match host {
            None => self.paths.remove(segments),
            Some(host) => {
                if let Some(trie) = self.hosts.get(host) {
                    let mut trie = trie.clone();
                    trie.remove(segments);
                    if trie.is_empty() {
                        self.hosts.remove(host);
                    } else {
                        self.hosts.insert(host.into(), trie);
                    }
                }
            }
        }
    }

    /// The route of a path: its host's own, else that of all hosts; `None` is the default route.
    ///
    /// # Errors
    /// [`Ambiguous`] as in [`Trie::find`].
    pub(crate) fn find(
        &self,
        host: Option<&[u8]>,
        path: &[u8],
    ) -> Result<Option<&Arc<Leaf>>, Ambiguous> {
        if !self.hosts.is_empty()
            && let Some(host) = host
        {
            let mut space = [0; HOST_BYTES];
            if let Some(trie) = host_key(host, &mut space).and_then(|host| self.hosts.get(host))
                && let Some(leaf) = trie.find(path)?
            {
                return Ok(Some(leaf));
            }
        }
        self.paths.find(path)
    }
}

/// A host as routes are kept by it: in lower case, without port and final dot. `None` when it is too long to have any.
pub(crate) fn host_key<'a>(host: &[u8], space: &'a mut [u8; HOST_BYTES]) -> Option<&'a [u8]> {
    let end = if host.first() == Some(&b'[') {
        memchr::memchr(b']', host)? + 1
    } else {
        memchr::memchr(b':', host).unwrap_or(host.len())
    };
    let name = &host[..end];
    let name = name.strip_suffix(b".").unwrap_or(name);
    let key = space.get_mut(..name.len())?;
    key.copy_from_slice(name);
    key.make_ascii_lowercase();
    Some(key)
}

/// The table that requests see.
#[derive(Debug)]
pub(crate) struct Live {
    snapshot: ArcSwap<Snapshot>,
    version: watch::Sender<u64>,
}

impl Live {
    /// Begins with a table.
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Live {
            snapshot: ArcSwap::from_pointee(snapshot),
            version: watch::Sender::new(0),
        }
    }

    /// The table now.
    pub(crate) fn now(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// Puts a table in force: whoever asks from now on sees it.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
        self.version.send_modify(|version| *version += 1);
    }

    /// Wakes at each new table.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}
