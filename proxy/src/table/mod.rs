//! The route table: an immutable snapshot that requests read without a lock, and its one writer.
//!
//! Truth is the hub's; this is the newest that the hub said, on disk so that a restart needs nothing from the hub.
//! Whoever waits for a route watches the version and looks again.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use holt_spec::control::{self, Changes, Internal, Route, Table};
use tokio::sync::watch;

use self::activity::LastUse;
use self::persist::StateDir;
pub(crate) use self::revocations::{Hash, Revoked, credentials};
pub(crate) use self::target::{Address, Target};
use self::trie::Trie;

mod activity;
mod persist;
mod revocations;
mod target;
pub(crate) mod trie;

const TABLE_FILE: &str = "table.json";
const ACTIVITY_FILE: &str = "activity.json";

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
}

/// The table at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    table: Table,
    trie: Trie<Arc<Leaf>>,
    leaves: BTreeMap<String, Arc<Leaf>>,
    /// The default route.
    pub(crate) hubs: Arc<[Arc<Target>]>,
}

impl Snapshot {
    /// Reads a table; what `before` knew of each route's use goes on.
    fn build(
        table: Table,
        before: &dyn Fn(&str) -> Option<Arc<LastUse>>,
    ) -> Result<Self, TableError> {
        let mut trie = Trie::default();
        let mut leaves = BTreeMap::new();
        for (prefix, route) in &table.routes {
            let target = match route {
                Route::Pending => None,
                Route::Target { url } => Some(
                    Target::parse(url)
                        .map_err(|error| TableError::Bad(format!("{prefix}: {error}")))?,
                ),
            };
            let leaf = Arc::new(Leaf {
                target: target.map(Arc::new),
                last_use: before(prefix).unwrap_or_default(),
            });
            trie.insert(prefix, Arc::clone(&leaf))
                .map_err(|error| TableError::Bad(format!("{prefix}: {error}")))?;
            leaves.insert(prefix.clone(), leaf);
        }
        let hubs = table
            .hubs
            .iter()
            .map(|hub| {
                Target::parse(hub)
                    .map(Arc::new)
                    .map_err(|error| TableError::Bad(error.to_string()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Snapshot {
            table,
            trie,
            leaves,
            hubs,
        })
    }

    /// The route of a path; `None` is the default route.
    pub(crate) fn find(&self, path: &str) -> Option<&Arc<Leaf>> {
        self.trie.find(path)
    }

    /// The table as it was pushed.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The listener for servers.
    pub(crate) fn internal(&self) -> Option<&Internal> {
        self.table.internal.as_ref()
    }
}

/// The table, its file and its watchers.
#[derive(Debug)]
pub(crate) struct Routes {
    snapshot: ArcSwap<Snapshot>,
    version: watch::Sender<u64>,
    // The one writer: held while a table is built, swapped and written, on a blocking thread.
    writer: Mutex<Writer>,
    /// What is no longer let through.
    pub(crate) revoked: Revoked,
    dir: StateDir,
}

#[derive(Debug)]
struct Writer {
    on_disk: bool,
}

impl Routes {
    /// Takes up what the state directory holds.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let dir = StateDir::open(path)?;
        let table: Table = dir.load(TABLE_FILE)?.unwrap_or_default();
        let activity: control::Activity = dir.load(ACTIVITY_FILE)?.unwrap_or_default();
        let known = |prefix: &str| {
            activity
                .routes
                .get(prefix)
                .map(|ms| Arc::new(LastUse::at(*ms)))
        };
        let snapshot = Snapshot::build(table, &known).unwrap_or_else(|error| {
            tracing::warn!(%error, "The kept table makes no sense and is not used; the hub will send it again");
            Snapshot::default()
        });
        Ok(Routes {
            snapshot: ArcSwap::from_pointee(snapshot),
            version: watch::Sender::new(0),
            writer: Mutex::new(Writer { on_disk: true }),
            revoked: Revoked::load(&dir)?,
            dir,
        })
    }

    /// The table now.
    pub(crate) fn now(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Wakes at each new table.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Puts a whole table in force. Blocks on the disk.
    pub(crate) fn replace(&self, table: Table) -> Result<u64, TableError> {
        let mut writer = self.writer.lock().expect("no panic under this lock");
        let now = self.now();
        let generation = now.table.generation;
        if table.generation < generation {
            return Err(TableError::Generation { generation });
        }
        if table.generation == generation && generation > 0 && table != now.table {
            return Err(TableError::Differs { generation });
        }
        self.put(&mut writer, &now, table)
    }

    /// Puts a step in force. Blocks on the disk.
    pub(crate) fn change(&self, changes: Changes) -> Result<u64, TableError> {
        let mut writer = self.writer.lock().expect("no panic under this lock");
        let now = self.now();
        let mut table = now.table.clone();
        for prefix in &changes.removed {
            table.routes.remove(prefix);
        }
        table.routes.extend(changes.set);
        let generation = table.generation;
        table.generation = changes.generation;
        let repeated = changes.generation == generation && table == now.table;
        if !repeated && (changes.base != generation || changes.generation <= generation) {
            return Err(TableError::Generation { generation });
        }
        self.put(&mut writer, &now, table)
    }

    fn put(&self, writer: &mut Writer, now: &Snapshot, table: Table) -> Result<u64, TableError> {
        let generation = table.generation;
        if table != now.table {
            let known = |prefix: &str| {
                now.leaves
                    .get(prefix)
                    .map(|leaf| Arc::clone(&leaf.last_use))
            };
            let next = Snapshot::build(table, &known)?;
            crate::metrics::table(generation, next.leaves.len());
            self.snapshot.store(Arc::new(next));
            self.version.send_modify(|version| *version += 1);
            writer.on_disk = false;
        }
        if !writer.on_disk {
            self.dir
                .save(TABLE_FILE, self.now().table())
                .map_err(TableError::Disk)?;
            writer.on_disk = true;
        }
        Ok(generation)
    }

    /// When each route was last used.
    pub(crate) fn activity(&self) -> control::Activity {
        let now = self.now();
        let routes = now
            .leaves
            .iter()
            .filter_map(|(prefix, leaf)| Some((prefix.clone(), leaf.last_use.get()?)))
            .collect();
        control::Activity { routes }
    }

    /// Writes down when each route was last used. Blocks on the disk.
    pub(crate) fn save_activity(&self) -> io::Result<()> {
        self.dir.save(ACTIVITY_FILE, &self.activity())
    }

    /// Writes down what is revoked. Blocks on the disk.
    pub(crate) fn save_revoked(&self) -> io::Result<()> {
        self.revoked.save(&self.dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(generation: u64, routes: &[(&str, Option<&str>)]) -> Table {
        let route = |url: &Option<&str>| match url {
            Some(url) => Route::Target {
                url: (*url).to_owned(),
            },
            None => Route::Pending,
        };
        Table {
            generation,
            hubs: vec!["unix:/hub".into()],
            internal: None,
            routes: routes
                .iter()
                .map(|(prefix, url)| ((*prefix).to_owned(), route(url)))
                .collect(),
        }
    }

    #[test]
    fn older_generations_are_refused_and_repeats_taken() {
        let dir = tempfile::tempdir().unwrap();
        let routes = Routes::open(dir.path()).unwrap();
        let second = table(2, &[("/user/a/", Some("http://a:1"))]);
        assert_eq!(routes.replace(second.clone()).unwrap(), 2);
        assert_eq!(routes.replace(second).unwrap(), 2);
        let older = routes.replace(table(1, &[])).unwrap_err();
        assert!(matches!(older, TableError::Generation { generation: 2 }));
        let other = routes.replace(table(2, &[])).unwrap_err();
        assert!(matches!(other, TableError::Differs { generation: 2 }));
        let bad = routes
            .replace(table(3, &[("/user/a/", Some("ftp://a:1"))]))
            .unwrap_err();
        assert!(matches!(bad, TableError::Bad(_)));
        assert!(routes.now().find("/user/a/x").is_some());
    }

    #[test]
    fn changes_start_from_their_base_and_may_be_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let routes = Routes::open(dir.path()).unwrap();
        routes
            .replace(table(1, &[("/user/a/", None), ("/user/b/", None)]))
            .unwrap();
        let step = Changes {
            base: 1,
            generation: 2,
            set: BTreeMap::from([(
                "/user/a/".into(),
                Route::Target {
                    url: "http://a:1".into(),
                },
            )]),
            removed: vec!["/user/b/".into()],
        };
        assert_eq!(routes.change(step.clone()).unwrap(), 2);
        assert_eq!(routes.change(step.clone()).unwrap(), 2);
        assert!(
            routes
                .now()
                .find("/user/a/")
                .is_some_and(|leaf| leaf.target.is_some())
        );
        assert!(routes.now().find("/user/b/").is_none());
        let gap = Changes {
            base: 7,
            generation: 8,
            ..step
        };
        assert!(matches!(
            routes.change(gap),
            Err(TableError::Generation { generation: 2 })
        ));
    }

    #[test]
    fn activity_survives_pushes_and_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let routes = Routes::open(dir.path()).unwrap();
        routes
            .replace(table(1, &[("/user/a/", None), ("/user/b/", None)]))
            .unwrap();
        routes.now().find("/user/a/").unwrap().last_use.touch();
        let before = routes.activity();
        assert_eq!(before.routes.len(), 1);
        routes
            .replace(table(2, &[("/user/a/", Some("http://a:1"))]))
            .unwrap();
        assert_eq!(routes.activity(), before);
        routes.save_activity().unwrap();
        let again = Routes::open(dir.path()).unwrap();
        assert_eq!(again.activity(), before);
        assert_eq!(again.now().table(), routes.now().table());
    }

    #[test]
    fn a_table_in_force_but_not_on_disk_is_written_by_the_repeat() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let routes = Routes::open(&state).unwrap();
        std::fs::remove_dir_all(&state).unwrap();
        let first = table(1, &[("/user/a/", None)]);
        assert!(matches!(
            routes.replace(first.clone()),
            Err(TableError::Disk(_))
        ));
        assert!(routes.now().find("/user/a/").is_some());
        std::fs::create_dir(&state).unwrap();
        assert_eq!(routes.replace(first.clone()).unwrap(), 1);
        assert_eq!(Routes::open(&state).unwrap().now().table(), &first);
    }
}
