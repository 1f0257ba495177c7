//! What is mounted below the source of a bind mount: copied one by one, asked, and left out when it is dead.
//!
//! Each has hands, pauses (`followed`) and a staging directory of its own, so one that is dead holds neither the others nor the mount they are in.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::{FuturesUnordered, iter};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::followed::Followed;
use super::job::{Access, Part};
use super::round::Round;
use super::status::Missing;
use super::submounts::difference;
use crate::mountinfo::Table;

/// Most mounts below one source that are followed.
const MOST: usize = 128;
/// Most that are worked on at once.
const AT_ONCE: usize = 16;

/// With so many processes that hang, nobody is sent to one that holds some already.
const CROWD: usize = 24;

/// All that is mounted below one source.
#[derive(Debug)]
pub(super) struct Follower {
    /// The mount's name.
    mount: String,
    /// The directory in which each is made before it is moved to its place.
    staging: PathBuf,
    access: Access,
    answer_within: Duration,
    retry_most: Duration,
    parts: BTreeMap<PathBuf, Followed>,
    has_told_too_many: bool,
    left_out: usize,
}

impl Follower {
    pub(super) fn new(
        mount: &str,
        staging: PathBuf,
        access: Access,
        answer_within: Duration,
        retry_most: Duration,
    ) -> Self {
        Self {
            mount: mount.to_owned(),
            staging,
            access,
            answer_within,
            retry_most,
            parts: BTreeMap::new(),
            has_told_too_many: false,
            left_out: 0,
        }
    }

    /// Those that are not there, and why.
    pub(super) fn missing(&self) -> Vec<Missing> {
        let missing = self.parts.values().filter_map(|part| part.missing.clone());
        missing.collect()
    }

    /// How many are not followed, because there are too many.
    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }

    /// How many processes hang in them.
    pub(super) fn stuck(&mut self) -> usize {
        self.parts.values_mut().map(Followed::stuck).sum()
    }

    /// The mount they are in was made anew: all are due.
    pub(super) fn begin_anew(&mut self) {
        for part in self.parts.values_mut() {
            part.next_try = Instant::now();
        }
    }

    /// Brings what is below our mount to what is below its source: takes away what is no longer there, or not as it was made, and copies
    /// what is new, several at once, as long as the round says: the others come in the next one. One that failed is tried again after
    /// growing pauses.
    pub(super) async fn follow(&mut self, table: &Table, round: &Round<'_>) {
        let Round { source, top, .. } = *round;
        let difference = difference(table, source, top, self.access);
        let gone = outermost(&difference.gone).cloned().collect();
        self.take_away(top, gone, "its source has it no more").await;
        let theirs: BTreeSet<_> = table
            .met_below(source)
            .into_iter()
            .filter_map(|mount| mount.point.strip_prefix(source).ok())
            .collect();
        // One that holds processes of ours is remembered: whoever mounts it again and again would have more of them each time.
        self.parts.retain(|path, part| {
            let is_theirs = theirs.contains(&**path);
            if !is_theirs {
                part.missing = None;
            }
            is_theirs || part.stuck() > 0
        });
        self.left_out = theirs.len().saturating_sub(MOST);
        if theirs.len() > MOST && !self.has_told_too_many {
            self.has_told_too_many = true;
            warn!(
                mount = self.mount,
                "More than {MOST} mounts are below the source: the rest is left out"
            );
        }
        self.attach(round, difference.new).await;
    }

    /// Several at once; what is within another waits for that alone, and those that failed before come last.
    async fn attach(&mut self, round: &Round<'_>, new: Vec<PathBuf>) {
        let jobs: BTreeMap<_, _> = new
            .iter()
            .map(|path| (path.clone(), self.job(round, path)))
            .collect();
        let is_crowded = self.stuck() >= CROWD;
        let mut waiting: BTreeMap<_, _> = self
            .of(new.iter())
            .into_iter()
            .filter_map(|followed| (!is_crowded || followed.stuck() == 0).then_some(followed))
            .map(|followed| (followed.path.clone(), followed))
            .collect();
        let mut there = BTreeSet::new();
        let mut at_work = FuturesUnordered::new();
        loop {
            let is_ready = |path: &Path| {
                let mut around = new
                    .iter()
                    .filter(|other| *other != path && path.starts_with(other));
                around.all(|other| there.contains(other))
            };
            let next = waiting
                .iter()
                .filter(|(path, _)| at_work.len() < AT_ONCE && is_ready(path))
                .min_by_key(|(_, followed)| followed.missing.is_some())
                .map(|(path, _)| path.clone());
            if let Some(path) = next {
                if let (Some(followed), Some(part)) = (waiting.remove(&path), jobs.get(&path)) {
                    at_work.push(followed.attach(part.clone(), round));
                }
                continue;
            }
            match at_work.next().await {
                Some(attached) => there.extend(attached),
                None => return,
            }
        }
    }

    fn job(&self, round: &Round<'_>, path: &Path) -> Part {
        // A name of its own: one that is stuck there is met by nobody else.
        let name = hex::encode(&Sha256::digest(path.as_os_str().as_bytes())[..16]);
        Part {
            source: round.source.join(path),
            staging: self.staging.join(name),
            top: round.top.to_owned(),
            top_id: round.id,
            place: round.top.join(path),
            access: self.access,
        }
    }

    /// Asks all that are there, each by hands of its own, and takes away those that do not answer.
    pub(super) async fn ask(&mut self, table: &Table, round: &Round<'_>) {
        let Round { source, top, .. } = *round;
        let there: Vec<PathBuf> = table
            .below(top)
            .into_iter()
            .filter_map(|mount| Some(mount.point.strip_prefix(top).ok()?.to_owned()))
            .filter(|path| table.at(&source.join(path)).is_some())
            .collect();
        let mut asked = Vec::new();
        for followed in self.of(there.iter()) {
            let place = top.join(&followed.path);
            asked.push(followed.ask(place, round));
        }
        let answers: Vec<_> = iter(asked).buffer_unordered(AT_ONCE).collect().await;
        // What is there is another's by now.
        if !round.is_current() {
            return;
        }
        let ill: BTreeMap<_, _> = answers.into_iter().flatten().collect();
        let paths: Vec<_> = ill.keys().cloned().collect();
        let outer: Vec<_> = outermost(&paths).cloned().collect();
        for path in &outer {
            if let (Some(part), Some(problem)) = (self.parts.get_mut(path), ill.get(path)) {
                part.miss(problem.clone());
            }
        }
        self.take_away(top, outer, "it is ill").await;
    }

    /// Takes them away, several at once; none may be within another.
    async fn take_away(&mut self, top: &Path, paths: Vec<PathBuf>, why: &str) {
        let mut taken = Vec::new();
        for followed in self.of(paths.iter()) {
            taken.push(followed.take_away(top, why));
        }
        let taken = iter(taken).buffer_unordered(AT_ONCE);
        taken.collect::<Vec<()>>().await;
    }

    /// Those of the paths; when there are too many, not all of them.
    fn of<'p>(&mut self, paths: impl Iterator<Item = &'p PathBuf>) -> Vec<&mut Followed> {
        let paths: BTreeSet<_> = paths.cloned().collect();
        for path in &paths {
            if self.parts.len() < MOST && !self.parts.contains_key(path) {
                let (limit, most) = (self.answer_within, self.retry_most);
                let followed = Followed::new(&self.mount, path, limit, most);
                self.parts.insert(path.clone(), followed);
            }
        }
        self.parts
            .iter_mut()
            .filter_map(|(path, part)| paths.contains(path).then_some(part))
            .collect()
    }
}

/// Those that are within no other: with one, all within it are taken away.
fn outermost(paths: &[PathBuf]) -> impl Iterator<Item = &PathBuf> {
    paths.iter().filter(|path| {
        !paths
            .iter()
            .any(|other| other != *path && path.starts_with(other))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_problem_is_told_once_and_tried_after_growing_pauses() {
        let access = Access {
            write: false,
            exec: false,
        };
        let second = Duration::from_secs(1);
        let mut follower = Follower::new("dumps", "/s".into(), access, second, 60 * second);
        let far = PathBuf::from("far");
        let mut miss = |problem: &str| {
            let part = follower.of([&far].into_iter()).pop().expect("it is new");
            let told = part.miss(problem.to_owned());
            let pause = part.next_try - Instant::now();
            (told, pause.as_secs_f64())
        };
        assert!(miss("it is late").0);
        for least in [1.7, 3.5] {
            let (told, pause) = miss("it is late");
            assert!(!told && pause > least, "{told} {pause}");
        }
        assert!(miss("it is stale").0);
        let missing = follower.missing();
        assert_eq!(
            (&*missing[0].path, &*missing[0].problem),
            ("far", "it is stale")
        );
    }

    #[test]
    fn with_one_all_within_it_is_taken_away() {
        let paths: Vec<_> = ["a/b", "a", "ab", "c/d"].map(PathBuf::from).to_vec();
        let outer: Vec<_> = outermost(&paths).collect();
        assert_eq!(outer, [&paths[1], &paths[2], &paths[3]]);
    }
}
