//! One round of following what is mounted below a source, and whether it is still wanted.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::sync::watch;

/// What is to be followed, as the mount's watch says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The source without links, and the number of our mount of it. None while that is not there.
    pub(super) of: Option<(PathBuf, u32)>,
    /// How often our mount was made: numbers are used again.
    pub(super) made: u64,
    /// How often all was to be asked.
    pub(super) asks: u64,
    /// How often the kernel's list was to be looked at.
    pub(super) looks: u64,
}

/// One round.
#[derive(Debug)]
pub(super) struct Round<'r> {
    pub(super) source: &'r Path,
    /// The mount of ours.
    pub(super) top: &'r Path,
    /// Its number.
    pub(super) id: u32,
    /// Nothing is begun later.
    pub(super) until: Instant,
    /// What it was begun for.
    pub(super) begun: &'r Wanted,
    /// What is wanted now.
    pub(super) wanted: &'r watch::Receiver<Wanted>,
}

impl Round<'_> {
    /// Whether our mount is the one that it was begun for.
    pub(super) fn is_current(&self) -> bool {
        let wanted = self.wanted.borrow();
        (&wanted.of, wanted.made) == (&self.begun.of, self.begun.made)
    }

    /// Whether something may be copied still. Not once the kernel's list changed: what is new comes first then, in the next round.
    pub(super) fn may_begin(&self) -> bool {
        let has_changed = self.wanted.borrow().looks != self.begun.looks;
        !has_changed && self.is_current() && Instant::now() < self.until
    }
}
