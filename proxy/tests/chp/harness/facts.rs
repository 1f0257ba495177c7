//! A fact: a name, a look at a program, and what is to be seen on ours and on the peer.

use std::any::Any;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use super::program::{Program, Start};
use super::running::Running;

/// What is to be seen; `*` stands for anything, and `||` parts what is equally good.
#[derive(Debug, Clone)]
pub(crate) enum Expect {
    /// This.
    Is(String),
    /// The program is not asked: the option is not its own, or what it does is left to chance.
    NotAsked,
}

impl Expect {
    fn holds(&self, seen: &str) -> bool {
        match self {
            Expect::Is(pattern) => matches(pattern, seen),
            Expect::NotAsked => true,
        }
    }
}

type Look<S> = Box<dyn Fn(&S) -> String + Sync>;

/// What is looked at, on each program.
pub(crate) struct Fact<S = Running> {
    pub(crate) name: String,
    pub(crate) ours: Expect,
    pub(crate) peer: Expect,
    pub(crate) look: Look<S>,
}

impl<S> Fact<S> {
    pub(crate) fn expect(&self, program: Program) -> &Expect {
        match program {
            Program::Ours => &self.ours,
            Program::Peer => &self.peer,
        }
    }
}

/// Both do the same.
pub(crate) fn same<S>(
    name: &str,
    both: &str,
    look: impl Fn(&S) -> String + Sync + 'static,
) -> Fact<S> {
    differs(name, both, both, look)
}

/// Each does its own.
pub(crate) fn differs<S>(
    name: &str,
    ours: &str,
    peer: &str,
    look: impl Fn(&S) -> String + Sync + 'static,
) -> Fact<S> {
    Fact {
        name: name.to_owned(),
        ours: Expect::Is(ours.to_owned()),
        peer: Expect::Is(peer.to_owned()),
        look: Box::new(look),
    }
}

/// Only ours is asked.
pub(crate) fn ours<S>(
    name: &str,
    ours: &str,
    look: impl Fn(&S) -> String + Sync + 'static,
) -> Fact<S> {
    Fact {
        name: name.to_owned(),
        ours: Expect::Is(ours.to_owned()),
        peer: Expect::NotAsked,
        look: Box::new(look),
    }
}

/// Tries facts on both programs, each started once like this.
pub(crate) fn check(start: &Start, facts: &[Fact]) {
    check_on(|program| start.run(program), facts);
}

/// Tries facts on both programs, each on a stage of its own that is set once.
pub(crate) fn check_on<S>(stage: impl Fn(Program) -> S + Sync, facts: &[Fact<S>]) {
    let wrong = thread::scope(|scope| {
        let trying = [Program::Ours, Program::Peer].map(|program| {
            let stage = &stage;
            scope.spawn(move || tried(program, stage, facts))
        });
        trying
            .into_iter()
            .map(|trying| match trying.join() {
                Ok(wrong) => wrong,
                Err(panic) => format!("\n- {}", words(&*panic)),
            })
            .collect::<String>()
    });
    assert!(wrong.is_empty(), "{wrong}\n");
}

fn tried<S>(program: Program, stage: &impl Fn(Program) -> S, facts: &[Fact<S>]) -> String {
    let mut wrong = String::new();
    let asked: Vec<_> = facts
        .iter()
        .filter(|fact| !matches!(fact.expect(program), Expect::NotAsked))
        .collect();
    if asked.is_empty() {
        return wrong;
    }
    let stage = stage(program);
    for fact in asked {
        let seen = catch_unwind(AssertUnwindSafe(|| (fact.look)(&stage)))
            .unwrap_or_else(|panic| format!("the look failed: {}", words(&*panic)));
        if let expect @ Expect::Is(pattern) = fact.expect(program)
            && !expect.holds(&seen)
        {
            write!(
                wrong,
                "\n- {program}: {}\n    expected: {pattern}\n    seen:     {seen}",
                fact.name
            )
            .unwrap();
        }
    }
    wrong
}

fn words(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_default()
}

/// Whether a text is like a pattern, or one of several.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    pattern.split(" || ").any(|one| matches_one(one, text))
}

fn matches_one(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let pieces: Vec<_> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn a_star_stands_for_anything() {
    for (pattern, text) in [
        ("a*c", "abc"),
        ("a*c", "ac"),
        ("*", ""),
        ("a", "a"),
        ("*b*", "abc"),
        ("x || a", "a"),
    ] {
        assert!(matches(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [("a*c", "ab"), ("a", "ab"), ("ab*bc", "abc"), ("*b", "bc")] {
        assert!(!matches(pattern, text), "{pattern} {text}");
    }
}
