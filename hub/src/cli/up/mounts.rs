//! Whether this `up` keeps the mounts itself: found out by trying.

use super::super::node::how_to_run;
use super::Terminal;
use crate::config::Settings;
use crate::node::{self, NodeError};
use crate::supervisor::node_pid;

/// Whether a child of `up` keeps the mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeepsMounts {
    Yes,
    No,
}

/// Looks whether there are mounts to keep, whether nobody does, and whether we may. Says what is to be done if not; that is no reason
/// not to come up.
pub(super) fn look(settings: &Settings, terminal: &Terminal) -> KeepsMounts {
    if settings.mounts.is_empty() {
        return KeepsMounts::No;
    }
    match node::prepare(settings) {
        Ok(()) => KeepsMounts::Yes,
        // One of an earlier `up` is taken over or ended by the supervisor; any other has its own.
        Err(NodeError::Held { pid, .. } | NodeError::Earlier { pid, .. })
            if pid.is_some() && pid == node_pid(settings) =>
        {
            KeepsMounts::Yes
        }
        Err(NodeError::Held { pid, .. }) => {
            let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            terminal.say(format!("A node of its own{pid} keeps the mounts"));
            KeepsMounts::No
        }
        Err(NodeError::Rights) => {
            terminal.say(format!(
                "Mounts need the rights of root; servers start without them until it is run: {}",
                how_to_run(settings)
            ));
            KeepsMounts::No
        }
        Err(error) => {
            terminal.say(format!(
                "Mounts cannot be kept, and servers start without them: {}",
                crate::error_chain(&error)
            ));
            KeepsMounts::No
        }
    }
}

/// Where the settings have no mounts: takes away what earlier ones had, which nobody would keep.
pub(super) async fn take_left_away(settings: &Settings, terminal: &Terminal) {
    if !settings.mounts.is_empty() {
        return;
    }
    match node::take_left_away(settings).await {
        // Without the rights there may be nothing to take away; `holt down` tells.
        Ok(()) | Err(NodeError::Held { .. } | NodeError::Rights) => {}
        Err(error) => terminal.say(format!(
            "Mounts of earlier settings could not be taken away: {}",
            crate::error_chain(&error)
        )),
    }
}
