//! What is mounted below the source of a bind mount: copied one by one, asked, and left out when it is dead.
//!
//! Each has hands and pauses of its own, so one that is dead holds neither the others nor the mount they are in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tracing::{info, warn};

use super::backoff::Backoff;
use super::hand::{Access, Job, Reads};
use super::hands::{Hands, Outcome};
use super::status::{Missing, now};
use super::submounts::difference;
use crate::mountinfo::Table;

/// Most mounts below one source that are followed.
const MOST: usize = 128;
/// Most that are asked at once.
const AT_ONCE: usize = 8;

/// All that is mounted below one source.
#[derive(Debug)]
pub(super) struct Follower {
    /// The mount's name.
    mount: String,
    /// Where each is made before it is moved to its place.
    staging: PathBuf,
    access: Access,
    answer_within: Duration,
    retry_most: Duration,
    parts: BTreeMap<PathBuf, Part>,
    has_told_too_many: bool,
    left_out: usize,
}

/// One of them, by its path below the source.
#[derive(Debug)]
struct Part {
    hands: Hands,
    backoff: Backoff,
    next_try: Instant,
    missing: Option<Missing>,
}

impl Part {
    /// Asks it. Returns its path, and what is wrong.
    async fn ask(
        &mut self,
        path: PathBuf,
        place: PathBuf,
        limit: Duration,
    ) -> (PathBuf, Option<String>) {
        let job = Job::Ask { path: place };
        let problem = problem(self.hands.send(&job, limit).await, limit);
        if problem.is_none() {
            self.backoff.reset();
        }
        (path, problem)
    }
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
        self.parts.values_mut().map(|part| part.hands.stuck()).sum()
    }

    /// Brings what is below `top` to what is below `source`: takes away what is no longer there, or not as it was made, and copies
    /// what is new, until `until`; the rest at the next look. One that failed is tried again after growing pauses.
    pub(super) async fn follow(
        &mut self,
        table: &Table,
        source: &Path,
        top: &Path,
        until: Instant,
    ) {
        let difference = difference(table, source, top, self.access);
        for path in outermost(&difference.gone) {
            self.take_away(top, path, "its source has it no more").await;
        }
        let theirs: Vec<_> = table.below(source);
        self.parts
            .retain(|path, _| theirs.iter().any(|mount| mount.point == source.join(path)));
        self.left_out = theirs.len().saturating_sub(MOST);
        if theirs.len() > MOST && !self.has_told_too_many {
            self.has_told_too_many = true;
            warn!(
                mount = self.mount,
                "More than {MOST} mounts are below the source: the rest is left out"
            );
        }
        for path in &difference.new {
            let is_within_missing = self.parts.iter().any(|(other, part)| {
                part.missing.is_some() && other != path && path.starts_with(other)
            });
            if is_within_missing || Instant::now() >= until {
                continue;
            }
            self.attach(source, top, path).await;
        }
    }

    async fn attach(&mut self, source: &Path, top: &Path, path: &Path) {
        let job = Job::Attach {
            source: source.join(path),
            staging: self.staging.clone(),
            place: top.join(path),
            access: self.access,
        };
        let is_due = |part: &mut Part| Instant::now() >= part.next_try;
        if !self.part(path).is_some_and(is_due) {
            return;
        }
        let limit = self.answer_within;
        let Some(part) = self.parts.get_mut(path) else {
            return;
        };
        let outcome = part.hands.send(&job, limit).await;
        match problem(outcome, limit) {
            None => {
                // The pauses begin anew once it answered in its place.
                part.missing = None;
                info!(
                    mount = self.mount,
                    path = %path.display(),
                    "What is mounted below the source is there too"
                );
            }
            Some(problem) => {
                self.miss(path, problem);
            }
        }
    }

    /// Asks all that are there, each by hands of its own, and takes away those that do not answer.
    pub(super) async fn ask(&mut self, table: &Table, source: &Path, top: &Path) {
        let limit = self.answer_within;
        let there: Vec<PathBuf> = table
            .below(top)
            .into_iter()
            .filter_map(|mount| Some(mount.point.strip_prefix(top).ok()?.to_owned()))
            .filter(|path| table.at(&source.join(path)).is_some())
            .collect();
        for path in &there {
            self.part(path);
        }
        let mut asked = Vec::new();
        for (path, part) in &mut self.parts {
            if there.contains(path) {
                asked.push(part.ask(path.clone(), top.join(path), limit));
            }
        }
        let answers: Vec<_> = futures_util::stream::iter(asked)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let ill: Vec<_> = answers
            .into_iter()
            .filter_map(|(path, problem)| Some((path, problem?)))
            .collect();
        let paths: Vec<_> = ill.iter().map(|(path, _)| path.clone()).collect();
        for path in outermost(&paths) {
            if let Some((path, problem)) = ill.iter().find(|(other, _)| other == path) {
                self.miss(path, problem.clone());
                self.take_away(top, path, "it is ill").await;
            }
        }
    }

    /// What hangs may also be taken away: that waits for nobody, unless it is below another that hangs.
    async fn take_away(&mut self, top: &Path, path: &Path, why: &str) {
        let limit = self.answer_within;
        let Some(part) = self.part(path) else { return };
        let place = top.join(path);
        let outcome = part.hands.take_away(&place, Reads::Wait, limit).await;
        match problem(outcome, limit) {
            None => info!(
                mount = self.mount,
                path = %path.display(),
                "What is mounted below a source was taken away: {why}"
            ),
            Some(problem) => warn!(
                mount = self.mount,
                path = %path.display(),
                problem,
                "What is mounted below a source could not be taken away"
            ),
        }
    }

    /// Notes that one is not there, and tells it once for each reason. Returns whether it was told.
    fn miss(&mut self, path: &Path, problem: String) -> bool {
        let mount = self.mount.clone();
        let Some(part) = self.part(path) else {
            return false;
        };
        part.next_try = Instant::now() + part.backoff.pause(rand::random());
        let known = part.missing.as_ref();
        if known.is_some_and(|known| known.problem == problem) {
            return false;
        }
        warn!(
            mount,
            path = %path.display(),
            problem,
            "What is mounted below a source is left out, and tried again"
        );
        let since = known.map_or_else(now, |known| known.since);
        part.missing = Some(Missing {
            path: path.to_string_lossy().into_owned(),
            problem,
            since,
        });
        true
    }

    /// That of the path; none when there are too many.
    fn part(&mut self, path: &Path) -> Option<&mut Part> {
        if !self.parts.contains_key(path) {
            if self.parts.len() >= MOST {
                return None;
            }
            let part = Part {
                hands: Hands::default(),
                backoff: Backoff::new(self.retry_most),
                next_try: Instant::now(),
                missing: None,
            };
            self.parts.insert(path.to_owned(), part);
        }
        self.parts.get_mut(path)
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

fn problem(outcome: Outcome, limit: Duration) -> Option<String> {
    match outcome {
        Outcome::Done { .. } => None,
        Outcome::Failed { reason } | Outcome::Refused { reason } => Some(reason),
        Outcome::Late => Some(format!("it did not answer within {}", super::words(limit))),
        Outcome::Full => Some("it holds all who asked it".to_owned()),
    }
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
        let path = Path::new("far");
        let mut miss = |problem: &str| {
            let told = follower.miss(path, problem.to_owned());
            let pause = follower.parts[path].next_try - Instant::now();
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
