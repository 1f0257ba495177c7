//! The table of the REST API: what was posted, word for word, and what requests see of it.
//!
//! A route is in force for the next request when `add` returns.
//! Entries are kept as the text that a listing gives of them, so that ten thousand are listed in milliseconds.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use imbl::{HashMap, OrdMap};
use serde_json::value::{RawValue, to_raw_value};

use super::path::{self, BadPath, Hosts, Place};
use super::store::Store;
use super::time::{read_moment, write_moment};
use crate::table::{BadTarget, LastUse, Leaf, Live, Snapshot, Target};

/// Every host, where a route could be one host's.
const ALL_HOSTS: &str = "\"*\"";
const LAST_ACTIVITY: &str = "last_activity";

/// What a route was posted with, each value as it was written.
pub(super) type Fields = BTreeMap<String, Box<RawValue>>;

/// Why a route was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// Without a target, or with one that is no string.
    #[error("Must specify 'target' as string")]
    NoTarget,
    /// A target that leads nowhere.
    #[error(transparent)]
    Target(#[from] BadTarget),
    /// A path that cannot be a route's.
    #[error(transparent)]
    Path(#[from] BadPath),
}

/// How routes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rules {
    /// Whether the first part of a path is a host.
    pub(super) by_host: bool,
    /// Whether targets that make no sense are taken.
    pub(super) lenient: bool,
}

/// A route.
#[derive(Debug)]
struct Entry {
    place: Place,
    leaf: Arc<Leaf>,
    target: Box<str>,
    // The object up to the value of its last field, which is the last activity.
    text: Box<str>,
}

#[derive(Debug, Default, Clone)]
struct Table {
    entries: OrdMap<Arc<str>, Arc<Entry>>,
    places: HashMap<Place, Arc<str>>,
    version: u64,
}

/// The table.
#[derive(Debug)]
pub(super) struct Routes {
    /// What requests see of it.
    pub(super) live: Arc<Live>,
    rules: Rules,
    // The one writer holds it while it changes the table and what requests see; readers, to take a copy, which is cheap.
    table: Mutex<Table>,
    store: Option<Store>,
}

impl Routes {
    /// An empty table that is kept in memory only.
    pub(super) fn in_memory(rules: Rules) -> Self {
        Routes {
            live: Arc::new(Live::new(Snapshot::default())),
            rules,
            table: Mutex::default(),
            store: None,
        }
    }

    /// A table that is kept in a file too, begun with what the file holds.
    pub(super) fn in_file(rules: Rules, file: &Path) -> io::Result<Self> {
        let (store, kept) = Store::open(file)?;
        let routes = Routes::in_memory(rules);
        for (key, fields) in kept {
            let used = fields
                .get(LAST_ACTIVITY)
                .and_then(|text| serde_json::from_str::<String>(text.get()).ok())
                .and_then(|text| read_moment(&text))
                .and_then(|ms| u64::try_from(ms).ok());
            if let Err(error) = routes.put(&path::key(&key), fields, used.unwrap_or_else(now)) {
                tracing::warn!(%error, "The kept route {key} makes no sense and is left out");
            }
        }
        Ok(Routes {
            store: Some(store),
            ..routes
        })
    }

    /// Adds a route or replaces it; gives its target.
    pub(super) fn add(&self, key: &str, fields: Fields) -> Result<String, Refused> {
        self.put(key, fields, now())
    }

    /// Adds a route that has nothing but a target.
    pub(super) fn add_target(&self, key: &str, target: &str) -> Result<(), Refused> {
        let value = to_raw_value(target).map_err(|_| Refused::NoTarget)?;
        let fields = Fields::from([("target".to_owned(), value)]);
        self.add(key, fields).map(|_| ())
    }

    fn put(&self, key: &str, mut fields: Fields, used: u64) -> Result<String, Refused> {
        let url = fields
            .get("target")
            .and_then(|value| serde_json::from_str::<String>(value.get()).ok())
            .ok_or(Refused::NoTarget)?;
        let target = self.target(&url)?;
        let hosts = self.hosts(&fields);
        let place = path::place(key, hosts)?;
        if hosts == Hosts::First
            && let Some(host) = path::first_part(key)
            && let Ok(host) = to_raw_value(host)
        {
            fields.insert("host".to_owned(), host);
        }
        let text = text_of(&fields);

        let mut table = self.lock();
        let before = table.entries.get(key).cloned();
        let leaf = match &before {
            Some(entry) if *entry.target == *url && entry.place == place => {
                entry.leaf.last_use.touch();
                Arc::clone(&entry.leaf)
            }
            other => {
                // Open connections of the route that was there touch the one that takes its place.
                let last_use = match other {
                    Some(entry) => {
                        entry.leaf.last_use.touch();
                        Arc::clone(&entry.leaf.last_use)
                    }
                    None => Arc::new(LastUse::at(used)),
                };
                let depth = place.segments.len();
                Arc::new(Leaf::new(Some(Arc::new(target)), last_use, depth))
            }
        };
        let entry = Entry {
            leaf: Arc::clone(&leaf),
            target: url.as_str().into(),
            text: text.into(),
            place: place.clone(),
        };

        let mut snapshot = Snapshot::clone(&self.live.now());
        if let Some(before) = before.filter(|before| before.place != place) {
            table.forget(&before.place, &mut snapshot);
        }
        let key: Arc<str> = key.into();
        if let Some(other) = table.places.insert(place.clone(), Arc::clone(&key))
            && other != key
        {
            table.entries.remove(&other);
        }
        snapshot.insert(place.host.as_deref(), &place.segments, leaf);
        table.entries.insert(key, Arc::new(entry));
        table.version += 1;
        self.live.publish(snapshot);
        Ok(url)
    }

    /// Takes a route away; whether there was one.
    pub(super) fn remove(&self, key: &str) -> bool {
        let mut table = self.lock();
        let Some(entry) = table.entries.remove(key) else {
            return false;
        };
        let mut snapshot = Snapshot::clone(&self.live.now());
        table.forget(&entry.place, &mut snapshot);
        table.version += 1;
        self.live.publish(snapshot);
        true
    }

    /// One route, as JSON.
    pub(super) fn one(&self, key: &str) -> Option<String> {
        let entry = self.lock().entries.get(key).cloned()?;
        let mut out = String::with_capacity(entry.text.len() + 32);
        entry.write(&mut out);
        Some(out)
    }

    /// All routes, as JSON: those that were used before a moment, where one is given.
    pub(super) fn all(&self, before: Option<i64>) -> String {
        listing(&self.lock().entries.clone(), before)
    }

    /// Waits until what is in force now is kept, where it is to be kept.
    pub(super) async fn kept(self: &Arc<Self>) -> io::Result<()> {
        if self.store.is_none() {
            return Ok(());
        }
        let wanted = self.lock().version;
        let routes = Arc::clone(self);
        tokio::task::spawn_blocking(move || routes.keep(wanted))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Writes down the routes and when they were last used, where they are to be kept. Blocks on the disk.
    pub(super) fn keep_activity(&self) -> io::Result<()> {
        self.keep(u64::MAX)
    }

    fn keep(&self, wanted: u64) -> io::Result<()> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        store.keep(wanted, || {
            let table = self.lock().clone();
            (table.version, listing(&table.entries, None))
        })
    }

    fn target(&self, url: &str) -> Result<Target, BadTarget> {
        match Target::parse(url) {
            Err(_) if self.rules.lenient => Ok(Target::nowhere()),
            parsed => parsed,
        }
    }

    fn hosts(&self, fields: &Fields) -> Hosts {
        let every = fields
            .get("host")
            .is_some_and(|host| host.get() == ALL_HOSTS);
        if self.rules.by_host && !every {
            Hosts::First
        } else {
            Hosts::All
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no panic under this lock")
    }
}

impl Table {
    fn forget(&mut self, place: &Place, snapshot: &mut Snapshot) {
        self.places.remove(place);
        snapshot.remove(place.host.as_deref(), &place.segments);
    }
}

impl Entry {
    fn write(&self, out: &mut String) {
        out.push_str(&self.text);
        write_moment(out, self.leaf.last_use.get().unwrap_or(0));
        out.push_str("\"}");
    }
}

fn text_of(fields: &Fields) -> String {
    let mut text = String::from("{");
    for (name, value) in fields {
        if name != LAST_ACTIVITY {
            push_json(&mut text, name);
            text.push(':');
            text.push_str(value.get());
            text.push(',');
        }
    }
    text.push_str("\"last_activity\":\"");
    text
}

fn listing(entries: &OrdMap<Arc<str>, Arc<Entry>>, before: Option<i64>) -> String {
    let mut out = String::with_capacity(64 + entries.len() * 256);
    out.push('{');
    for (key, entry) in entries {
        let used = entry
            .leaf
            .last_use
            .get()
            .and_then(|ms| i64::try_from(ms).ok());
        if before.is_some_and(|before| used.is_some_and(|used| used >= before)) {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        push_json(&mut out, key);
        out.push(':');
        entry.write(&mut out);
    }
    out.push('}');
    out
}

fn push_json(out: &mut String, text: &str) {
    if text
        .bytes()
        .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
    {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// The precise clock: a caller may compare it with its own.
pub(super) fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
