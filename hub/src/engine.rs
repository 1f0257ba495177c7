//! Which way of making servers this machine has: chosen once, kept, and never weakened silently.

use crate::config::{Problem, Settings, SpawnerKind};
use crate::spawner::docker;
use crate::store::{Store, StoreError};

/// The row that keeps the first choice.
pub const KEPT: &str = "spawner.kind";
const INSTALL: &str = "Install it (sudo apt-get install docker.io), or set spawner.kind = \"process\" to run notebooks as local processes, for one user";

/// What servers are made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// Containers.
    Docker {
        /// The engine's address.
        host: String,
    },
    /// Local processes.
    Process {
        /// Why not containers.
        reason: String,
    },
}

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine is there and does not serve us.
    #[error("Docker is there but does not serve us: {hint}")]
    Refusing {
        /// What to do.
        hint: String,
    },
    /// The engine that was chosen is not there.
    #[error("{why}, but no Docker is installed. {INSTALL}")]
    Missing {
        /// Who chose it.
        why: &'static str,
    },
    /// Local processes cannot be offered to others.
    #[error("{0}")]
    OpenProcesses(Problem),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was found when an engine was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It answers at this address.
    Docker(String),
    /// None is installed.
    Nothing,
    /// It is there and does not serve us.
    Refusing(String),
}

/// Chooses by the settings, else by the kept choice, else by what is there, which is then kept.
///
/// # Errors
/// [`EngineError`], each with its fix.
pub async fn choose(settings: &Settings, store: &Store) -> Result<Engine, EngineError> {
    let engine = look_at(settings, store).await?;
    if settings.spawner.kind == SpawnerKind::Auto {
        let word = match engine {
            Engine::Docker { .. } => SpawnerKind::Docker.word(),
            Engine::Process { .. } => SpawnerKind::Process.word(),
        };
        store.keep_setting(KEPT, word).await?;
    }
    Ok(engine)
}

/// What [`choose`] would choose; nothing is kept.
///
/// # Errors
/// [`EngineError`], each with its fix.
pub async fn look_at(settings: &Settings, store: &Store) -> Result<Engine, EngineError> {
    let kept = match settings.spawner.kind {
        SpawnerKind::Auto => store.setting(KEPT).await?,
        _ => None,
    };
    let found = match settings.spawner.kind {
        SpawnerKind::Process => Found::Nothing,
        _ => look(settings.docker.host.as_deref()).await,
    };
    let engine = decide(settings.spawner.kind, kept.as_deref(), found)?;
    if matches!(engine, Engine::Process { .. }) {
        settings
            .allow_processes()
            .map_err(EngineError::OpenProcesses)?;
    }
    Ok(engine)
}

/// The choice itself. An engine that refuses is never a reason for something weaker.
fn decide(kind: SpawnerKind, kept: Option<&str>, found: Found) -> Result<Engine, EngineError> {
    let processes = |reason: &str| {
        Ok(Engine::Process {
            reason: reason.to_owned(),
        })
    };
    match (kind, kept, found) {
        (SpawnerKind::Process, ..) => processes("spawner.kind is \"process\""),
        (SpawnerKind::Auto, Some("process"), Found::Docker(_)) => processes(
            "Docker is there now, but this hub began with local processes (spawner.kind = \"docker\" changes that)",
        ),
        (SpawnerKind::Auto, Some("process"), _) => processes("This hub began with local processes"),
        (_, _, Found::Docker(host)) => Ok(Engine::Docker { host }),
        (_, _, Found::Refusing(hint)) => Err(EngineError::Refusing { hint }),
        (SpawnerKind::Docker, _, Found::Nothing) => Err(EngineError::Missing {
            why: "spawner.kind is \"docker\"",
        }),
        (SpawnerKind::Auto, Some(_), Found::Nothing) => Err(EngineError::Missing {
            why: "This hub began with Docker",
        }),
        (SpawnerKind::Auto, None, Found::Nothing) => processes("No Docker is installed"),
    }
}

async fn look(host: Option<&str>) -> Found {
    match docker::detect(host).await {
        docker::Detected::Docker { host } => Found::Docker(host),
        docker::Detected::None => Found::Nothing,
        docker::Detected::Refusing { hint } => Found::Refusing(hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_never_weakened_silently() {
        let docker = || Found::Docker("h".into());
        let is_docker =
            |outcome: Result<Engine, EngineError>| matches!(outcome, Ok(Engine::Docker { .. }));
        let is_process =
            |outcome: Result<Engine, EngineError>| matches!(outcome, Ok(Engine::Process { .. }));
        let refused = |outcome: Result<Engine, EngineError>| {
            matches!(outcome, Err(EngineError::Refusing { .. }))
        };
        let missing = |outcome: Result<Engine, EngineError>| {
            matches!(outcome, Err(EngineError::Missing { .. }))
        };
        use SpawnerKind::{Auto, Docker, Process};
        assert!(is_docker(decide(Auto, None, docker())));
        assert!(is_process(decide(Auto, None, Found::Nothing)));
        assert!(refused(decide(Auto, None, Found::Refusing("x".into()))));
        assert!(is_process(decide(Auto, Some("process"), docker())));
        assert!(missing(decide(Auto, Some("docker"), Found::Nothing)));
        assert!(refused(decide(Docker, None, Found::Refusing("x".into()))));
        assert!(missing(decide(Docker, None, Found::Nothing)));
        assert!(is_docker(decide(Docker, Some("process"), docker())));
        assert!(is_process(decide(Process, Some("docker"), docker())));
    }
}
