//! Whether somebody keeps the mounts, how they are, and whether they reach containers.

use super::super::node::how_to_run;
use super::super::terminal::Terminal;
use super::{Finding, Level, TRYING, fine, wrong};
use crate::config::Settings;
use crate::node::{self, Condition, MountStatus, Status, StatusPlace};
use crate::spawner::docker::ShareSeen;

/// What the node says, or that there is none.
pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    if settings.mounts.is_empty() {
        return Vec::new();
    }
    let mut findings: Vec<_> = settings
        .mounts_that_wait()
        .into_iter()
        .map(|(name, words)| Finding {
            level: Level::Warning,
            what: format!("the mount {name} may hold notebooks for ever"),
            fix: Some(words),
        })
        .collect();
    let directory = node::directory(settings);
    findings.extend(node::covers(settings).into_iter().map(|what| {
        wrong(
            what,
            Some("a node that runs, or begins, takes away what covers a folder of its own; what covers the whole directory has to be gone before one begins".to_owned()),
        )
    }));
    let status =
        Status::read(&StatusPlace::of(settings)).filter(|status| status.is_fresh(node::now()));
    let Some(status) = status else {
        let notes = node::image_notes(settings).into_iter();
        findings.extend(notes.map(|(name, note)| Finding {
            level: Level::Warning,
            what: format!("the mount {name}: {note}"),
            fix: None,
        }));
        findings.push(Finding {
            level: Level::Warning,
            what: format!(
                "nobody keeps the mounts below {}: servers start without them",
                directory.display()
            ),
            fix: Some(format!("run it, beside the hub: {}", how_to_run(settings))),
        });
        return findings;
    };
    findings.push(fine(format!(
        "`holt node` (pid {}) keeps the mounts below {}",
        status.pid,
        directory.display()
    )));
    if let Some(since) = status.shared_anew {
        let minutes = node::now().saturating_sub(since) / 60_000;
        findings.push(Finding {
            level: Level::Warning,
            what: format!("the directory of mounts was made private or unmounted by somebody, and was shared again {minutes} min ago: servers that were started before see no mount come or go"),
            fix: Some("restart those servers; find out what runs `mount --make-private` or `umount` there".to_owned()),
        });
    }
    for mount in &status.mounts {
        findings.push(of_mount(mount));
        findings.extend(mount.notes.iter().map(|note| Finding {
            level: Level::Warning,
            what: format!("the mount {}: {note}", mount.name),
            fix: None,
        }));
        findings.extend(mount.missing.iter().map(|missing| Finding {
            level: Level::Warning,
            what: format!(
                "the mount {} is there without {}: {}",
                mount.name, missing.path, missing.problem
            ),
            fix: Some(format!(
                "mend or unmount {} below its source; it is tried again by itself",
                missing.path
            )),
        }));
    }
    findings
}

fn of_mount(mount: &MountStatus) -> Finding {
    let problem = mount.problem.as_deref().unwrap_or("it is not there yet");
    match mount.condition {
        Condition::Up => fine(format!("the mount {} is there and answers", mount.name)),
        Condition::Mounting => Finding {
            level: Level::Warning,
            what: format!("the mount {} is being made", mount.name),
            fix: None,
        },
        Condition::Down => Finding {
            level: Level::Warning,
            what: format!("the mount {} is not there: {problem}", mount.name),
            fix: Some(format!(
                "it is tried again by itself, {} times so far; servers start without it and see it when it is back",
                mount.failures
            )),
        },
        Condition::Refused => wrong(
            format!("the mount {} is not made: {problem}", mount.name),
            Some("it is made by itself once the way is free".to_owned()),
        ),
    }
}

/// Tried with a throwaway container: the engine may see other mounts than we do.
pub(super) async fn propagation(settings: &Settings) -> Vec<Finding> {
    if settings.mounts.is_empty() {
        return Vec::new();
    }
    let terminal = Terminal::new();
    terminal.progress(None, "Trying whether mounts reach containers");
    let tried = tokio::time::timeout(TRYING, crate::hub::try_propagation(settings)).await;
    terminal.done();
    let same_view = || {
        Some(format!(
            "run `holt node` where the engine's mounts are seen (not in a container, nor in a service with PrivateMounts or PrivateTmp): {}",
            how_to_run(settings)
        ))
    };
    let finding = match tried {
        Ok(Ok(ShareSeen::Late)) => fine("what is mounted late reaches containers that run".into()),
        Ok(Ok(ShareSeen::Slave)) if rustix::process::geteuid().is_root() => wrong(
            "containers get the folders of mounts, but not what is mounted in them by this process: the engine sees other mounts".into(),
            same_view(),
        ),
        Ok(Ok(ShareSeen::Slave)) => fine(
            "containers get the folders of mounts as slaves; `sudo holt doctor` tries it with a mount".into(),
        ),
        Ok(Ok(ShareSeen::Alone)) => wrong(
            "containers get the folders of mounts, but nothing that is mounted later".into(),
            same_view(),
        ),
        Ok(Ok(ShareSeen::Refused(reason))) => wrong(
            format!("the engine does not give the folders of mounts to containers: {reason}"),
            same_view(),
        ),
        Ok(Err(error)) => wrong(
            format!("whether mounts reach containers could not be tried: {error:#}"),
            Some("mend the above, then look again".to_owned()),
        ),
        Err(_) => wrong(
            format!(
                "trying whether mounts reach containers took longer than {} s",
                TRYING.as_secs()
            ),
            None,
        ),
    };
    vec![finding]
}
