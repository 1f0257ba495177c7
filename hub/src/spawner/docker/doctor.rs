//! What on this machine would stop a start or break isolation, and how to mend it.

use std::path::Path;

use bollard::models::SystemInfo;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::engine::{Detected, Engine, detect, or_absent};
use super::image::reference_of;
use super::settings::DockerSettings;
use crate::spawner::local::which;
use crate::spawner::{IsolationReport, WayResult};

/// Less free space than this stops a start.
const DISK_NEEDED: u64 = 1 << 30;
/// Less than this will, soon.
const DISK_LOW: u64 = 5 << 30;
/// Clocks further apart than this, in seconds, make sessions and tokens end at the wrong time.
const CLOCK: i64 = 5;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Fine,
    /// Works, and should be looked at.
    Warning,
    /// Would stop a start or break isolation.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl Finding {
    fn fine(what: impl Into<String>) -> Self {
        Self {
            level: Level::Fine,
            what: what.into(),
            fix: None,
        }
    }

    fn warning(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            what: what.into(),
            fix: Some(fix.into()),
        }
    }

    fn error(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            what: what.into(),
            fix: Some(fix.into()),
        }
    }
}

/// Looks at engine, image, the engine's disk and clock. Changes nothing.
pub async fn diagnose(settings: &DockerSettings) -> Vec<Finding> {
    let mut findings = Vec::new();
    match detect(settings.host.as_deref()).await {
        Detected::None => findings.push(Finding::warning(
            "no container engine is installed: notebooks would run as local processes, for one user",
            "install Docker: sudo apt-get install docker.io",
        )),
        Detected::Refusing { hint } => {
            findings.push(Finding::error(
                "the container engine does not serve us",
                hint,
            ));
        }
        Detected::Docker { host } => {
            let engine = Engine::new(Some(&host), settings.call_timeout);
            findings.extend(look_at_engine(&engine, settings).await);
        }
    }
    findings
}

/// The same words for what trying the forbidden ways showed.
#[must_use]
pub fn findings_of(report: &IsolationReport) -> Vec<Finding> {
    let ways = report.ways.iter().map(|way| {
        let fix = way.fix.clone().unwrap_or_else(|| "look again".into());
        match way.result {
            WayResult::Good => Finding::fine(format!("{}: as it should be", way.way)),
            WayResult::Bad => Finding::error(format!("{}: not as it should be", way.way), fix),
            WayResult::Unproven => Finding::warning(format!("{}: not proved", way.way), fix),
        }
    });
    ways.collect()
}

async fn look_at_engine(engine: &Engine, settings: &DockerSettings) -> Vec<Finding> {
    let info = engine
        .call(|docker| async move { docker.info().await })
        .await;
    let info = match info {
        Ok(info) => info,
        Err(trouble) => {
            return vec![Finding::error(
                trouble.doing("describe the engine").to_string(),
                "restart the engine: sudo systemctl restart docker",
            )];
        }
    };
    let version = info.server_version.clone().unwrap_or_default();
    let mut findings = vec![Finding::fine(format!(
        "Docker {version} answers at {}",
        engine.host()
    ))];
    findings.push(clock(&info));
    findings.extend(limits(&info));
    if engine.host().starts_with("unix://")
        && let Some(root) = &info.docker_root_dir
        && Path::new(root).exists()
    {
        findings.push(disk(Path::new(root), "the engine's directory"));
    }
    findings.push(image(engine, settings).await);
    findings
}

async fn image(engine: &Engine, settings: &DockerSettings) -> Finding {
    let reference = match reference_of(settings) {
        Ok(reference) => reference,
        Err(error) => {
            return Finding::error(error.to_string(), "install this program again");
        }
    };
    let wanted = reference.as_str();
    let found = engine
        .call(|docker| async move { docker.inspect_image(wanted).await })
        .await;
    match or_absent(found) {
        Ok(Some(_)) => Finding::fine(format!("the image {reference} is there")),
        Ok(None) if settings.image.is_some() => Finding::warning(
            format!("the image {reference} is missing and will be pulled at first need"),
            format!("pull it now: docker pull {reference}"),
        ),
        Ok(None) if which("mmdebstrap").is_none() => Finding::warning(
            format!(
                "the image {reference} is missing; building it needs a registry that answers, or mmdebstrap"
            ),
            "install it: sudo apt-get install mmdebstrap",
        ),
        Ok(None) => Finding::warning(
            format!("the image {reference} is missing and will be built at first need"),
            "start the hub: it builds it, and says how far it is",
        ),
        Err(trouble) => Finding::error(
            trouble.doing("look at an image").to_string(),
            "restart the engine: sudo systemctl restart docker",
        ),
    }
}

fn clock(info: &SystemInfo) -> Finding {
    let theirs = info
        .system_time
        .as_ref()
        .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    match theirs.map(|theirs| (OffsetDateTime::now_utc() - theirs).whole_seconds().abs()) {
        Some(apart) if apart > CLOCK => Finding::error(
            format!("the engine's clock is {apart} s off ours"),
            "set both clocks: sudo timedatectl set-ntp true",
        ),
        Some(_) => Finding::fine("the engine's clock agrees with ours"),
        None => Finding::warning(
            "the engine does not tell its time",
            "compare the clocks by hand",
        ),
    }
}

/// Limits that this engine cannot give.
fn limits(info: &SystemInfo) -> Vec<Finding> {
    let missing = [
        (info.memory_limit, "memory"),
        (info.pids_limit, "processes"),
        (info.cpu_cfs_quota, "processor time"),
    ];
    let missing = missing
        .iter()
        .filter(|(is_there, _)| *is_there == Some(false));
    missing
        .map(|(_, what)| {
            Finding::warning(
                format!("the engine cannot limit {what}: one user can take all of it"),
                "turn on that cgroup controller in the kernel's command line",
            )
        })
        .collect()
}

fn disk(path: &Path, what: &str) -> Finding {
    // A directory that is not there yet will be made on its parent's disk.
    let there = path.ancestors().find(|path| path.exists());
    let Some(found) = there.and_then(|path| rustix::fs::statvfs(path).ok()) else {
        return Finding::error(
            format!("{} cannot be looked at", path.display()),
            "make it, and give it to the user that runs the hub",
        );
    };
    if found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return Finding::error(
            format!("{what} is on a read-only disk ({})", path.display()),
            "set another --data-dir",
        );
    }
    let free = found.f_bavail * found.f_frsize;
    let words = format!(
        "{} GiB are free for {what} ({})",
        free >> 30,
        path.display()
    );
    let fix = "remove what is not needed, for example: docker system prune";
    match free {
        free if free < DISK_NEEDED => Finding::error(words, fix),
        free if free < DISK_LOW => Finding::warning(words, fix),
        _ => Finding::fine(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_that_is_away_is_an_error_with_its_fix() {
        let settings = DockerSettings {
            host: Some("unix:///nowhere/docker.sock".into()),
            ..DockerSettings::default()
        };
        let findings = diagnose(&settings).await;
        let worst = findings.iter().max_by_key(|finding| finding.level).unwrap();
        assert_eq!(worst.level, Level::Error);
        assert!(
            worst
                .fix
                .as_ref()
                .unwrap()
                .contains("systemctl start docker")
        );
    }

    #[test]
    fn a_clock_that_is_off_is_an_error() {
        let info = SystemInfo {
            system_time: Some("2001-01-01T00:00:00Z".into()),
            ..Default::default()
        };
        assert_eq!(clock(&info).level, Level::Error);
    }
}
