//! Folders of mounts that launches share with the machine.
//!
//! A launch gets a folder, read-only and as a slave: what is mounted or taken away in it on the machine happens in the launch too. Each
//! mount in it has its own flags, set on the machine, because the engine's `ro` reaches neither mounts below nor later ones.
//!
//! **Invariant:** a folder that cannot be given never stops a start; the launch is made without it.

use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use bollard::models::{Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType};

use super::Shared;
use super::oneshot::OneShot;
use crate::mountinfo::Table;
use crate::spawner::{LaunchPlan, SpawnerError};

/// After the engine refused folders, launches are made without them for so long.
const WITHHELD: Duration = Duration::from_secs(10);
/// What engines say when a folder is not there, or is in no shared mount.
const REFUSALS: [&str; 3] = [
    "bind source path does not exist",
    "not a shared or slave mount",
    "not a shared mount",
];

/// What a throwaway container saw of a shared folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareSeen {
    /// A word that was mounted into it after the container had started.
    Late,
    /// It is a slave there, but no word came.
    Slave,
    /// It is no slave, so nothing mounted later reaches it.
    Alone,
    /// The engine does not give it to a container, in its own words.
    Refused(String),
}

/// Looks for five seconds.
const LOOK: &str = "grep -q ' /share .*master:' /proc/self/mountinfo && echo slave
for i in $(seq 100); do [ -e /share/late/word ] && echo late && exit; sleep 0.05; done";

impl Shared {
    /// Gives `folder` to a throwaway container, which waits some seconds for a file `word` to appear in its folder `late`; `mount` is called once it
    /// runs.
    pub(super) async fn try_share(
        &self,
        folder: &Path,
        mount: impl FnOnce() + Send,
    ) -> Result<ShareSeen, SpawnerError> {
        let source = match self.own().await? {
            Some(own) => own.on_the_machine(folder),
            None => Some(folder.to_owned()),
        };
        let Some(source) = source else {
            return Ok(ShareSeen::Refused(
                "the directory of mounts is inside the hub's own container".to_owned(),
            ));
        };
        let shot = OneShot {
            command: ["sh", "-c", LOOK].map(str::to_owned).to_vec(),
            mounts: vec![as_slave(&source.to_string_lossy(), "/share")],
            ..OneShot::new("share")
        };
        let seen = match self.run_helper_while(shot, mount).await {
            Ok(output) => output.text,
            Err(SpawnerError::Refused { reason, .. }) => return Ok(ShareSeen::Refused(reason)),
            Err(error) => return Err(error),
        };
        Ok(match seen {
            seen if seen.contains("late") => ShareSeen::Late,
            seen if seen.contains("slave") => ShareSeen::Slave,
            _ => ShareSeen::Alone,
        })
    }

    /// What a launch gets of the shared folders.
    pub(super) async fn share_mounts(&self, plan: &LaunchPlan) -> Vec<Mount> {
        if self.are_withheld() {
            return Vec::new();
        }
        let own = self.own().await.ok().flatten();
        let given = self
            .settings
            .shares
            .iter()
            .filter(|share| share.mounts.iter().all(|mount| plan.mounts.contains(mount)));
        let table = Table::read().unwrap_or_default();
        let home = self.data_dir.canonicalize();
        let home = home.unwrap_or_else(|_| self.data_dir.clone());
        let mut mounts = Vec::new();
        for share in given {
            // What is mounted over it may be dead, and then the engine waits for that.
            let here = match table.without_links(&share.source, &home) {
                Ok(here) => here.is_dir().then_some(here),
                Err(mount) => {
                    tracing::warn!(
                        folder = share.target,
                        over = %mount.point.display(),
                        "A server is made without a folder of mounts: something else is mounted over it"
                    );
                    continue;
                }
            };
            let source = here.and_then(|here| match own {
                // Where the hub is a container, the machine's view is another, and only the engine can tell.
                Some(own) => own.on_the_machine(&here),
                None => table.is_shared(&here).then_some(here),
            });
            let Some(source) = source.as_deref().and_then(std::path::Path::to_str) else {
                tracing::warn!(
                    folder = share.target,
                    "A server is made without a folder of mounts: it is not there, or in no shared mount. Does `holt node` run?"
                );
                continue;
            };
            mounts.push(as_slave(source, &share.target));
        }
        mounts
    }

    /// Whether the engine's refusal is about the shared folders. From then on launches are made without them for a while.
    pub(super) fn withhold_shares(&self, reason: &str) -> bool {
        let is_about_them =
            !self.settings.shares.is_empty() && REFUSALS.iter().any(|words| reason.contains(words));
        if is_about_them {
            tracing::warn!(
                reason,
                "The engine refuses folders of mounts: servers are made without them. `holt doctor` says why"
            );
            *self.withheld.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        is_about_them
    }

    fn are_withheld(&self) -> bool {
        let withheld = self.withheld.lock().unwrap_or_else(PoisonError::into_inner);
        withheld.is_some_and(|since| since.elapsed() < WITHHELD)
    }
}

fn as_slave(source: &str, target: &str) -> Mount {
    Mount {
        target: Some(target.to_owned()),
        source: Some(source.to_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RSLAVE),
            // Newer engines would make what is mounted in it read-only too, and some of it is to be written.
            read_only_non_recursive: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    }
}
