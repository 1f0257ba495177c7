//! What the source of a bind mount is: whether it is another now, and what is mounted below it.

use std::path::PathBuf;

use tracing::warn;

use super::Watch;
use crate::mountinfo::Table;
use crate::node::hands::Outcome;
use crate::node::job::Job;

impl Watch {
    /// For a bind mount: whether something was mounted at its source or above it since, or is mounted there no more.
    pub(super) fn is_covered(&self, table: &Table) -> Option<String> {
        self.status
            .mark
            .as_ref()?
            .origin
            .as_ref()?
            .is_covered(table)
    }

    /// For a bind mount: whether its source is another directory now, also because a link on the way leads elsewhere.
    /// One that cannot be found now, such as while a link is made anew, is no reason to take away what is there.
    pub(super) async fn has_moved(&mut self) -> Option<String> {
        if self.make.kind != "bind" {
            return None;
        }
        if let Some(problem) = self.is_covered(&Table::read().ok()?) {
            return Some(problem);
        }
        let job = Job::Find {
            source: self.make.source.clone(),
        };
        let found = match self.finders.send(&job, self.node.answer_within).await {
            Outcome::Done { origin } => origin?,
            Outcome::Refused { reason } => return Some(reason),
            other => {
                let problem = format!("{other:?}");
                if self.unfound.as_ref() != Some(&problem) {
                    warn!(mount = self.status.name, outcome = ?other, "The source of a mount cannot be found; what is there stays");
                }
                self.unfound = Some(problem);
                return None;
            }
        };
        self.unfound = None;
        let mark = self.status.mark.as_mut()?;
        match &mark.origin {
            Some(known) if known.what != found.what => Some(format!(
                "its source leads to {} now, which is another directory",
                found.path.display()
            )),
            // Also by another way, or of a node that did not note it.
            _ => {
                mark.origin = Some(found);
                None
            }
        }
    }

    /// Has what is mounted below a bind mount's source asked too, and what changed there followed (`parts`).
    pub(super) fn ask_parts(&self) {
        self.parts.ask(self.followed());
    }

    /// Has what is mounted below a bind mount's source copied, and what is so no longer taken away.
    pub(super) fn follow_source(&self) {
        self.parts.look(self.followed());
    }

    /// The source whose mounts below it are copied, once it is known without links; and the number of our mount.
    fn followed(&self) -> Option<(PathBuf, u32)> {
        let mark = self.status.mark.as_ref()?;
        let origin = mark.origin.as_ref()?;
        let is_followed = self.make.is_followed();
        is_followed.then(|| (origin.path.clone(), mark.id))
    }
}
