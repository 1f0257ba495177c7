//! What Holt's hub said: the newest table, on disk, and when each of its routes was used.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, Guard};
use holt_spec::control::{self, Changes, Route, Table};

use super::{
    LastUse, Leaf, Live, Revoked, Snapshot, StateDir, TableError, Target, host_key, segments,
};

const TABLE_FILE: &str = "table.json";
const ACTIVITY_FILE: &str = "activity.json";

/// A table as it was said, and what became of its routes.
#[derive(Debug, Default)]
struct Told {
    table: Table,
    leaves: BTreeMap<String, Arc<Leaf>>,
}

/// The table, its file and its watchers.
#[derive(Debug)]
pub(crate) struct Routes {
    /// What requests see of it.
    pub(crate) live: Arc<Live>,
    /// What is no longer let through.
    pub(crate) revoked: Arc<Revoked>,
    told: ArcSwap<Told>,
    // The one writer: held while a table is built, swapped and written, on a blocking thread.
    writer: Mutex<Writer>,
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
            let ms = activity.routes.get(prefix)?;
            Some((None, Arc::new(LastUse::at(*ms))))
        };
        let (told, snapshot) = read(table, &known, &[]).unwrap_or_else(|error| {
            tracing::warn!(%error, "The kept table makes no sense and is not used; the hub will send it again");
            Default::default()
        });
        Ok(Routes {
            live: Arc::new(Live::new(snapshot)),
            revoked: Arc::new(Revoked::load(&dir)?),
            told: ArcSwap::from_pointee(told),
            writer: Mutex::new(Writer { on_disk: true }),
            dir,
        })
    }

    /// The table as it was said last, and its generation.
    pub(crate) fn with_table<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        look(&self.told.load().table)
    }

    /// The generation in force.
    pub(crate) fn generation(&self) -> u64 {
        self.told.load().table.generation
    }

    /// Puts a whole table in force. Blocks on the disk.
    pub(crate) fn replace(&self, table: Table) -> Result<u64, TableError> {
        let mut writer = self.writer.lock().expect("no panic under this lock");
        let told = self.told.load();
        let generation = told.table.generation;
        if table.generation < generation {
            return Err(TableError::Generation { generation });
        }
        if table.generation == generation && generation > 0 && table != told.table {
            return Err(TableError::Differs { generation });
        }
        self.put(&mut writer, &told, table)
    }

    /// Puts a step in force. Blocks on the disk.
    pub(crate) fn change(&self, changes: Changes) -> Result<u64, TableError> {
        let mut writer = self.writer.lock().expect("no panic under this lock");
        let told = self.told.load();
        let mut table = told.table.clone();
        for prefix in &changes.removed {
            table.routes.remove(prefix);
        }
        table.routes.extend(changes.set);
        let generation = table.generation;
        table.generation = changes.generation;
        let repeated = changes.generation == generation && table == told.table;
        if !repeated && (changes.base != generation || changes.generation <= generation) {
            return Err(TableError::Generation { generation });
        }
        self.put(&mut writer, &told, table)
    }

    fn put(
        &self,
        writer: &mut Writer,
        told: &Guard<Arc<Told>>,
        table: Table,
    ) -> Result<u64, TableError> {
        let generation = table.generation;
        if table != told.table {
            let known = |prefix: &str| {
                let leaf = told.leaves.get(prefix)?;
                Some((leaf.target.clone(), Arc::clone(&leaf.last_use)))
            };
            let hubs = Arc::clone(&self.live.now().hubs);
            let (next, snapshot) = read(table, &known, &hubs)?;
            crate::metrics::table(generation, next.leaves.len());
            self.told.store(Arc::new(next));
            self.live.publish(snapshot);
            writer.on_disk = false;
        }
        if !writer.on_disk {
            self.dir
                .save(TABLE_FILE, &self.told.load().table)
                .map_err(TableError::Disk)?;
            writer.on_disk = true;
        }
        Ok(generation)
    }

    /// When each route was last used.
    pub(crate) fn activity(&self) -> control::Activity {
        let told = self.told.load();
        let routes = told
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

/// What was known of a route before: its target, and its use.
type Known = (Option<Arc<Target>>, Arc<LastUse>);

/// Reads a table; what was known of each route before goes on, so that connections are kept and use is not forgotten.
fn read(
    table: Table,
    known: &dyn Fn(&str) -> Option<Known>,
    hubs_before: &[Arc<Target>],
) -> Result<(Told, Snapshot), TableError> {
    let mut snapshot = Snapshot::default();
    let mut leaves = BTreeMap::new();
    for (prefix, route) in &table.routes {
        let bad = |error: &dyn std::fmt::Display| TableError::Bad(format!("{prefix}: {error}"));
        let (target_before, last_use) = known(prefix).unwrap_or_default();
        let target = match route {
            Route::Pending => None,
            Route::Target { url } => {
                let target = plain_target(url).map_err(|error| bad(&error))?;
                Some(same_or(target_before.as_slice(), target))
            }
        };
        let at = prefix.find('/').unwrap_or(prefix.len());
        let (host, path) = prefix.split_at(at);
        let parts = segments(path).map_err(|error| bad(&error))?;
        let leaf = Arc::new(Leaf::new(target, last_use, parts.len()));
        if host.is_empty() {
            if parts.is_empty() {
                return Err(bad(
                    &"the root is the default route and has no entry of its own",
                ));
            }
            snapshot.insert(None, &parts, Arc::clone(&leaf));
        } else {
            let mut space = [0; super::HOST_BYTES];
            let key = host_key(host.as_bytes(), &mut space)
                .filter(|key| *key == host.as_bytes())
                .ok_or_else(|| {
                    bad(&"a host is written in lower case, without port and final dot")
                })?;
            snapshot.insert(Some(key), &parts, Arc::clone(&leaf));
        }
        leaves.insert(prefix.clone(), leaf);
    }
    snapshot.hubs = table
        .hubs
        .iter()
        .map(|hub| Ok(same_or(hubs_before, plain_target(hub).map_err(TableError::Bad)?)))
        .collect::<Result<_, TableError>>()?;
    snapshot.internal.clone_from(&table.internal);
    Ok((Told { table, leaves }, snapshot))
}

/// The target that was there before, when it is the same place: it remembers what it refused.
fn same_or(before: &[Arc<Target>], target: Target) -> Arc<Target> {
    before
        .iter()
        .find(|before| before.id == target.id)
        .map_or_else(|| Arc::new(target), Arc::clone)
}

fn plain_target(url: &str) -> Result<Target, String> {
    let target = Target::parse(url).map_err(|error| error.to_string())?;
    if target.is_plain() {
        Ok(target)
    } else {
        Err(format!(
            "'{url}' must be 'http://host:port' or 'unix:/path', without a path"
        ))
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

    fn leaf(routes: &Routes, path: &str) -> Option<Arc<Leaf>> {
        let now = routes.live.now();
        now.find(Some(b"hub.test"), path.as_bytes()).unwrap().cloned()
    }

    fn has(routes: &Routes, path: &str) -> bool {
        leaf(routes, path).is_some()
    }

    #[test]
    fn a_host_has_routes_of_its_own_beside_those_of_all() {
        let dir = tempfile::tempdir().unwrap();
        let routes = Routes::open(dir.path()).unwrap();
        let all = [
            ("/user/a/", Some("http://a:1")),
            ("a.test/", Some("http://a:2")),
            ("a.test/user/a/", Some("http://a:3")),
        ];
        routes.replace(table(1, &all)).unwrap();
        let found = |host: &str, path: &str| {
            let now = routes.live.now();
            let leaf = now.find(Some(host.as_bytes()), path.as_bytes()).unwrap();
            leaf.and_then(|leaf| leaf.target.as_ref()).map(|target| target.to_string())
        };
        assert_eq!(found("b.test", "/user/a/").as_deref(), Some("http://a:1"));
        assert_eq!(found("A.test:80", "/x").as_deref(), Some("http://a:2"));
        assert_eq!(found("a.test.", "/user/a/x").as_deref(), Some("http://a:3"));
        assert_eq!(found("a.test.evil", "/x"), None);
        assert_eq!(found("b.test", "/a.test/x"), None);
        for (prefix, url) in [("A.test/", "http://a:1"), ("/", "http://a:1"), ("/x/", "http://a:1/p")] {
            let bad = routes.replace(table(2, &[(prefix, Some(url))]));
            assert!(matches!(bad, Err(TableError::Bad(_))), "{prefix} {url}");
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
        assert!(has(&routes, "/user/a/x"));
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
            leaf(&routes, "/user/a/").is_some_and(|leaf| leaf.target.is_some())
        );
        assert!(!has(&routes, "/user/b/"));
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
        leaf(&routes, "/user/a/").unwrap().last_use.touch();
        let before = routes.activity();
        assert_eq!(before.routes.len(), 1);
        routes
            .replace(table(2, &[("/user/a/", Some("http://a:1"))]))
            .unwrap();
        assert_eq!(routes.activity(), before);
        routes.save_activity().unwrap();
        let again = Routes::open(dir.path()).unwrap();
        assert_eq!(again.activity(), before);
        assert_eq!(again.with_table(Table::clone), routes.with_table(Table::clone));
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
        assert!(has(&routes, "/user/a/"));
        std::fs::create_dir(&state).unwrap();
        assert_eq!(routes.replace(first.clone()).unwrap(), 1);
        assert_eq!(
            Routes::open(&state).unwrap().with_table(Table::clone),
            first
        );
    }
}
