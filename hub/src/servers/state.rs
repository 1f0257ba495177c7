//! Decides the next step of a server's life from what is wanted and where its launch is. Pure: no clock, no I/O.
//!
//! ```text
//! planned -> creating -> binding -> waiting -> ready        each step is written down before it is taken
//!     \          \           \          \        \
//!      +----------+-----------+----------+--------+--> stopping -> removing -> gone
//! ```

use crate::spawner::Seen;
pub use crate::store::rows::{Phase, Wanted};

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// All is as wanted.
    Rest,
    /// Make the image ready.
    Prepare,
    /// Let the engine make it.
    Create,
    /// Start it and hand over the bundle.
    Bind,
    /// Wait until it answers, then route to it.
    Await,
    /// Take away route and tokens because it is no longer wanted.
    Retire,
    /// Take away route and tokens because it ended by itself.
    Mourn,
    /// End it.
    Stop,
    /// Remove what the engine has of it.
    Remove,
    /// Forget the server: nothing of it is left.
    Forget,
}

/// The next step; `launch` is the present launch's phase and what was last seen of it (`None`: unknown).
#[must_use]
pub fn next_step(wanted: Wanted, launch: Option<(Phase, Option<&Seen>)>) -> Step {
    let Some((phase, seen)) = launch else {
        return match wanted {
            // A launch is claimed from the queue, not by the worker.
            Wanted::Running | Wanted::Stopped => Step::Rest,
            Wanted::Deleted => Step::Forget,
        };
    };
    match (phase, wanted) {
        (Phase::Stopping, _) => Step::Stop,
        (Phase::Removing, _) => Step::Remove,
        (
            Phase::Planned | Phase::Creating | Phase::Binding | Phase::Waiting | Phase::Ready,
            Wanted::Stopped | Wanted::Deleted,
        ) => Step::Retire,
        (Phase::Planned, Wanted::Running) => Step::Prepare,
        (Phase::Creating, Wanted::Running) => Step::Create,
        (Phase::Binding, Wanted::Running) => Step::Bind,
        (Phase::Waiting, Wanted::Running) => Step::Await,
        (Phase::Ready, Wanted::Running) => match seen {
            Some(Seen::Exited { .. } | Seen::Absent | Seen::Created) => Step::Mourn,
            // An engine that is down says nothing about a server.
            Some(Seen::Running { .. }) | None => Step::Rest,
        },
    }
}

impl Step {
    /// The name of the moment before this step is taken.
    pub(super) fn begun(self) -> &'static str {
        match self {
            Self::Rest => "rest:begun",
            Self::Prepare => "prepare:begun",
            Self::Create => "create:begun",
            Self::Bind => "bind:begun",
            Self::Await => "await:begun",
            Self::Retire => "retire:begun",
            Self::Mourn => "mourn:begun",
            Self::Stop => "stop:begun",
            Self::Remove => "remove:begun",
            Self::Forget => "forget:begun",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wanted_server_goes_one_step_at_a_time() {
        let steps = Phase::ALL.map(|phase| next_step(Wanted::Running, Some((phase, None))));
        assert_eq!(
            steps,
            [
                Step::Prepare,
                Step::Create,
                Step::Bind,
                Step::Await,
                Step::Rest,
                Step::Stop,
                Step::Remove
            ]
        );
    }

    #[test]
    fn an_unwanted_server_is_retired_wherever_it_is() {
        for wanted in [Wanted::Stopped, Wanted::Deleted] {
            let steps = Phase::ALL.map(|phase| next_step(wanted, Some((phase, None))));
            assert_eq!(
                steps,
                [
                    Step::Retire,
                    Step::Retire,
                    Step::Retire,
                    Step::Retire,
                    Step::Retire,
                    Step::Stop,
                    Step::Remove
                ]
            );
        }
        assert_eq!(next_step(Wanted::Stopped, None), Step::Rest);
        assert_eq!(next_step(Wanted::Deleted, None), Step::Forget);
    }

    #[test]
    fn unknown_is_not_dead() {
        assert_eq!(
            next_step(Wanted::Running, Some((Phase::Ready, None))),
            Step::Rest
        );
        let exited = Seen::Exited {
            code: 1,
            out_of_memory: false,
        };
        assert_eq!(
            next_step(Wanted::Running, Some((Phase::Ready, Some(&exited)))),
            Step::Mourn
        );
        assert_eq!(
            next_step(Wanted::Running, Some((Phase::Ready, Some(&Seen::Absent)))),
            Step::Mourn
        );
    }

    #[test]
    fn names_of_phases_come_back() {
        for phase in Phase::ALL {
            assert_eq!(phase.as_str().parse(), Ok(phase));
        }
        assert_eq!("gone".parse::<Phase>(), Err(()));
    }
}
