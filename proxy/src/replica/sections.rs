//! Sections, their backends, and which wiki is where.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use holt_spec::replicas as spec;
use tokio::sync::OnceCell;

use super::backend::{BackendError, Dial, end_all_of};
use super::settings::Account;

/// Databases that every server has of its own.
const EVERYWHERE: &[&str] = &["information_schema", "performance_schema", "heartbeat_p"];

/// Everything that can be routed to.
#[derive(Debug)]
pub(crate) struct Sections {
    pub(crate) all: Vec<Arc<Section>>,
    default: usize,
    /// What the settings say, over every map.
    fixed: HashMap<String, usize>,
    databases: ArcSwap<HashMap<String, usize>>,
}

/// One section.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: Arc<str>,
    pub(crate) targets: Vec<Arc<Target>>,
    next: AtomicUsize,
}

/// One backend.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) dial: Dial,
    pub(crate) section: Arc<str>,
    pub(crate) draining: AtomicBool,
    // Held for a look, never across a wait.
    health: Mutex<Health>,
    /// What is known of each account there: that it only reads, or why it is not used.
    examined: Mutex<HashMap<usize, Result<(), String>>>,
    /// Whether what each account left there from before was ended.
    cleared: Mutex<HashMap<usize, Arc<OnceCell<()>>>>,
}

/// How a backend is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Health {
    pub(crate) up: bool,
    pub(crate) lag: Lag,
    pub(crate) trouble: Option<String>,
}

/// How far a backend is behind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Lag {
    /// It does not tell.
    Unknown,
    /// So many seconds.
    Seconds(f64),
    /// It is a replica, and nothing new arrives.
    Stopped,
}

/// Where a database is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In this section.
    In(Arc<Section>),
    /// In every section.
    Everywhere,
    /// Nowhere that is known.
    Nowhere,
}

impl Target {
    pub(crate) fn new(dial: Dial, section: Arc<str>) -> Self {
        Self {
            dial,
            section,
            draining: AtomicBool::new(false),
            health: Mutex::new(Health {
                up: false,
                lag: Lag::Unknown,
                trouble: Some("it has not been looked at yet".to_owned()),
            }),
            examined: Mutex::default(),
            cleared: Mutex::default(),
        }
    }

    /// Sees to it that nothing runs there for an account from before this gateway, whose queries the next user would see. Must come
    /// before every connection of the account; does its work once.
    pub(crate) async fn clear(&self, number: usize, account: &Account) -> Result<(), BackendError> {
        let cell = {
            let mut cleared = self.cleared.lock().expect("no panic under this lock");
            Arc::clone(cleared.entry(number).or_default())
        };
        cell.get_or_try_init(|| end_all_of(&self.dial, account))
            .await
            .map(drop)
    }

    pub(crate) fn health(&self) -> Health {
        self.health
            .lock()
            .expect("no panic under this lock")
            .clone()
    }

    /// What was found; a change is logged.
    pub(crate) fn set_health(&self, health: Health) {
        let mut now = self.health.lock().expect("no panic under this lock");
        if now.up != health.up || now.trouble != health.trouble {
            match &health.trouble {
                Some(trouble) => {
                    tracing::warn!(backend = %self.dial.address, section = %self.section, trouble, "A replica server takes no statements, or not all of them")
                }
                None => {
                    tracing::info!(backend = %self.dial.address, section = %self.section, "A replica server takes statements")
                }
            }
        }
        if !health.up {
            // Another server may come up at the same address.
            self.examined
                .lock()
                .expect("no panic under this lock")
                .clear();
        }
        *now = health;
    }

    pub(crate) fn examined(&self, account: usize) -> Option<Result<(), String>> {
        self.examined
            .lock()
            .expect("no panic under this lock")
            .get(&account)
            .cloned()
    }

    pub(crate) fn set_examined(&self, account: usize, found: Result<(), String>) {
        self.examined
            .lock()
            .expect("no panic under this lock")
            .insert(account, found);
    }

    /// Why accounts are not used there, if some are not.
    pub(crate) fn refused_accounts(&self) -> Option<String> {
        let examined = self.examined.lock().expect("no panic under this lock");
        let mut reasons: Vec<_> = examined
            .values()
            .filter_map(|found| found.clone().err())
            .collect();
        reasons.sort();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

impl Section {
    pub(crate) fn new(name: &str, targets: Vec<Arc<Target>>) -> Self {
        Self {
            name: name.into(),
            targets,
            next: AtomicUsize::new(0),
        }
    }

    /// Its backends in the order in which they should be tried: those near enough in turn, then those that lag, the least first, and last those where
    /// replication has stopped.
    pub(crate) fn order(&self, max_lag: Option<f64>) -> Vec<Arc<Target>> {
        let mut near = Vec::new();
        let mut far = Vec::new();
        for target in &self.targets {
            let health = target.health();
            if !health.up || target.draining.load(Ordering::Relaxed) {
                continue;
            }
            match (health.lag, max_lag) {
                (Lag::Stopped, _) => far.push((f64::INFINITY, Arc::clone(target))),
                (Lag::Seconds(lag), Some(most)) if lag > most => {
                    far.push((lag, Arc::clone(target)));
                }
                _ => near.push(Arc::clone(target)),
            }
        }
        if !near.is_empty() {
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % near.len();
            near.rotate_left(turn);
        }
        far.sort_by(|one, other| one.0.total_cmp(&other.0));
        near.extend(far.into_iter().map(|(_, target)| target));
        near
    }

    /// Why none of its backends can be used.
    pub(crate) fn trouble(&self) -> String {
        let told: Vec<String> = self
            .targets
            .iter()
            .map(|target| match target.health().trouble {
                Some(trouble) => trouble,
                None if target.draining.load(Ordering::Relaxed) => "draining".to_owned(),
                None => "full".to_owned(),
            })
            .collect();
        told.join("; ")
    }

    pub(crate) fn status(&self) -> spec::Section {
        let backends: Vec<_> = self
            .targets
            .iter()
            .map(|target| {
                let health = target.health();
                spec::Backend {
                    address: target.dial.address.to_string(),
                    up: health.up,
                    draining: target.draining.load(Ordering::Relaxed),
                    lag_seconds: match health.lag {
                        Lag::Seconds(lag) => Some(lag),
                        Lag::Unknown | Lag::Stopped => None,
                    },
                    trouble: health.trouble.or_else(|| target.refused_accounts()),
                }
            })
            .collect();
        let usable = || {
            backends
                .iter()
                .filter(|backend| backend.up && !backend.draining)
        };
        let is_stopped = |backend: &spec::Backend| {
            self.targets.iter().any(|target| {
                *target.dial.address == *backend.address && target.health().lag == Lag::Stopped
            })
        };
        let up = usable().next().is_some();
        spec::Section {
            up,
            stale: up && usable().all(is_stopped),
            lag_seconds: usable()
                .filter_map(|backend| backend.lag_seconds)
                .min_by(f64::total_cmp),
            backends,
        }
    }
}

impl Sections {
    pub(crate) fn new(
        all: Vec<Arc<Section>>,
        default: &str,
        fixed: HashMap<String, usize>,
    ) -> Self {
        let default = all
            .iter()
            .position(|section| &*section.name == default)
            .unwrap_or(0);
        Self {
            all,
            default,
            databases: ArcSwap::from_pointee(fixed.clone()),
            fixed,
        }
    }

    /// The section of statements that name no wiki.
    pub(crate) fn default(&self) -> &Arc<Section> {
        &self.all[self.default]
    }

    /// Whether statements that name it must go to one section.
    pub(crate) fn is_routed(&self, database: &str) -> bool {
        self.databases.load().contains_key(database)
    }

    pub(crate) fn place(&self, database: &str) -> Place {
        match self.databases.load().get(database) {
            Some(at) => Place::In(Arc::clone(&self.all[*at])),
            None if EVERYWHERE.contains(&database) => Place::Everywhere,
            None => Place::Nowhere,
        }
    }

    /// Takes a map, section name to databases; what is in no known section is left out. Returns how many databases there are.
    pub(crate) fn set_map(&self, map: &BTreeMap<String, Vec<String>>) -> usize {
        let mut databases = HashMap::new();
        for (at, section) in self.all.iter().enumerate() {
            for database in map.get(&*section.name).into_iter().flatten() {
                databases.insert(database.clone(), at);
            }
        }
        databases.extend(self.fixed.iter().map(|(name, at)| (name.clone(), *at)));
        let count = databases.len();
        self.databases.store(Arc::new(databases));
        count
    }

    /// Every known database with its section.
    pub(crate) fn databases(&self) -> BTreeMap<String, String> {
        self.databases
            .load()
            .iter()
            .map(|(name, at)| (name.clone(), self.all[*at].name.to_string()))
            .collect()
    }
}
