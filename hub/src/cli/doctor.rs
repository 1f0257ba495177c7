//! `holt doctor`: what on this machine would stop a notebook server or break its isolation, and how to mend it.

mod mounts;
mod replicas;

use std::io::Write;
use std::time::Duration;

use super::Failure;
use super::terminal::Terminal;
use super::tools;
use crate::config::Settings;
use crate::engine::{self, Engine};
use crate::spawner::docker::{self, Finding, Level};
use crate::store::Store;
use crate::supervisor::listeners::Listeners;
use crate::supervisor::lock::{LockError, UpLock};

/// Less free space than this stops an image from being built.
const LITTLE_SPACE: u64 = 6 << 30;
/// Less than this stops everything.
const NO_SPACE: u64 = 256 << 20;
/// Trying the forbidden ways takes seconds, and at first the making of a small image.
const TRYING: Duration = Duration::from_secs(300);
/// The exit code when something is wrong.
const WRONG: u8 = 1;

pub(super) async fn run(settings: Settings) -> Result<(), Failure> {
    let mut findings = vec![fine(match &settings.file {
        Some(file) => format!("The settings in {} have no mistakes", file.display()),
        None => "There is no settings file, and none is needed".to_owned(),
    })];
    match settings.data_dir.prepare() {
        Ok(()) => {
            findings.push(fine(format!(
                "The data directory {} can be written",
                settings.data_dir.path().display()
            )));
            findings.push(space(&settings));
            findings.push(port(&settings));
            findings.extend(spawner(&settings).await);
            findings.extend(replicas::look(&settings).await);
            findings.extend(mounts::look(&settings));
        }
        Err(error) => findings.push(wrong(error.to_string(), None)),
    }
    let mut out = std::io::stdout().lock();
    for finding in &findings {
        // Nobody may be there to read on.
        let _ = writeln!(out, "{}", line(finding));
    }
    if findings.iter().any(|finding| finding.level == Level::Error) {
        return Err(Failure::silent(WRONG));
    }
    Ok(())
}

fn line(finding: &Finding) -> String {
    let mark = match finding.level {
        Level::Fine => "  ok  ",
        Level::Warning => " note ",
        Level::Error => "WRONG ",
    };
    match &finding.fix {
        Some(fix) => format!("{mark} {}\n        {fix}", finding.what),
        None => format!("{mark} {}", finding.what),
    }
}

fn fine(what: String) -> Finding {
    Finding {
        level: Level::Fine,
        what,
        fix: None,
    }
}

fn wrong(what: String, fix: Option<String>) -> Finding {
    Finding {
        level: Level::Error,
        what,
        fix,
    }
}

fn space(settings: &Settings) -> Finding {
    let path = settings.data_dir.path();
    let free = match rustix::fs::statvfs(path) {
        Ok(system) => system.f_bavail.saturating_mul(system.f_frsize),
        Err(cause) => {
            return wrong(
                format!(
                    "The free space of {} cannot be seen: {cause}",
                    path.display()
                ),
                None,
            );
        }
    };
    let what = format!(
        "{} MiB are free on the disk of {}",
        free >> 20,
        path.display()
    );
    let fix = Some("Free some space, or give another place with --data-dir".to_owned());
    if free < NO_SPACE {
        wrong(what, fix)
    } else if free < LITTLE_SPACE {
        Finding {
            level: Level::Warning,
            what,
            fix,
        }
    } else {
        fine(what)
    }
}

/// The port is free, or ours.
fn port(settings: &Settings) -> Finding {
    let listen = settings.proxy.listen;
    if let Err(LockError::Held { pid, .. }) = UpLock::take(&settings.data_dir) {
        let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        return fine(format!("`holt up`{pid} runs and holds its address"));
    }
    match Listeners::open(listen, 1) {
        Ok(_) => fine(format!("{listen} can be listened on")),
        Err(error) => wrong(error.to_string(), None),
    }
}

async fn spawner(settings: &Settings) -> Vec<Finding> {
    let store = match Store::open(&settings.data_dir.database()).await {
        Ok(store) => store,
        Err(error) => return vec![wrong(crate::error_chain(&error), None)],
    };
    let engine = match engine::look_at(settings, &store).await {
        Ok(engine) => engine,
        Err(error) => return vec![wrong(error.to_string(), None)],
    };
    let mut findings = match &engine {
        // What the engine says of itself comes from its own room.
        Engine::Docker { .. } => Vec::new(),
        Engine::Process { reason } => vec![Finding {
            level: Level::Warning,
            what: format!(
                "{reason}: notebooks run as local processes without isolation, for one user, on loopback only"
            ),
            fix: Some(
                "For isolation and more users install Docker: sudo apt-get install docker.io"
                    .to_owned(),
            ),
        }],
    };
    if settings.replicas.is_on() && matches!(engine, Engine::Process { .. }) {
        findings.push(replicas::shared_address());
    }
    for missing in tools::missing(&engine).await {
        findings.push(Finding {
            level: if missing.needed {
                Level::Error
            } else {
                Level::Warning
            },
            what: missing.sentence.to_owned(),
            fix: None,
        });
    }
    if matches!(engine, Engine::Docker { .. }) {
        let docker = crate::hub::docker_settings(settings);
        let looked = docker::diagnose(&docker).await;
        let answers = looked.iter().all(|finding| finding.level != Level::Error);
        findings.extend(looked);
        if answers {
            findings.extend(isolation(settings).await);
            findings.extend(mounts::propagation(settings).await);
        }
    }
    findings
}

/// Tries every forbidden way from a throwaway container, as `up` does before others can come in.
async fn isolation(settings: &Settings) -> Vec<Finding> {
    let terminal = Terminal::new();
    terminal.progress(None, "Trying what a notebook server can reach");
    let report = tokio::time::timeout(TRYING, crate::hub::try_isolation(settings)).await;
    terminal.done();
    let untried = |why: String| {
        vec![Finding {
            level: Level::Error,
            what: format!("the isolation of servers could not be tried: {why}"),
            fix: Some("mend the above, then look again".to_owned()),
        }]
    };
    match report {
        Ok(Ok(tried)) => {
            let report = tried.report.as_ref().map(docker::findings_of);
            let mut findings = report.unwrap_or_default();
            if settings.replicas.is_on() && !tried.has_addresses {
                findings.push(replicas::hidden_addresses());
            }
            findings
        }
        Ok(Err(error)) => untried(format!("{error:#}")),
        Err(_) => untried(format!("it took longer than {} s", TRYING.as_secs())),
    }
}
