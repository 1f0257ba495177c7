//! What users take of the replicas: statements and time, by user and section.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use holt_spec::replicas::{Usage, UsageOf};

/// So many users are counted; of more only metrics tell.
const USERS: usize = 10_000;

/// The counts since the gateway began.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    // Held for one change, never across a wait.
    all: Mutex<BTreeMap<(i64, String), UsageOf>>,
}

impl Counts {
    /// A statement ended.
    pub(crate) fn add(&self, user: i64, section: &str, time: Duration, bytes: u64) {
        let mut all = self.all.lock().expect("no panic under this lock");
        let key = (user, section.to_owned());
        if all.len() >= USERS && !all.contains_key(&key) {
            return;
        }
        let of = all.entry(key).or_insert_with(|| UsageOf {
            user,
            section: section.to_owned(),
            statements: 0,
            milliseconds: 0,
            bytes: 0,
        });
        of.statements += 1;
        of.milliseconds += u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        of.bytes += bytes;
    }

    /// All of them.
    pub(crate) fn tell(&self) -> Usage {
        let all = self.all.lock().expect("no panic under this lock");
        Usage {
            usage: all.values().cloned().collect(),
        }
    }
}
