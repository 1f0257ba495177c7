//! The connection to the engine: every call under a timeout, every failure one of a few that callers act on.
//!
//! The engine may be away when the hub begins, so the client is made at the first call and again after it could not be made.

use std::future::Future;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;

use crate::spawner::SpawnerError;
use crate::spawner::local::which;

/// The socket that an engine listens on when nobody says otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// The oldest API we know how to speak: Docker 20.10.
const API: bollard::ClientVersion = bollard::ClientVersion {
    major_version: 1,
    minor_version: 41,
};

/// An engine, connected or not.
pub(crate) struct Engine {
    host: String,
    call_timeout: Duration,
    // A plain mutex around a value: nothing is awaited while it is held.
    client: Mutex<Option<Docker>>,
}

/// A call that did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// 404.
    Absent(String),
    /// 409.
    Conflict(String),
    /// 304: it is so already.
    Unchanged,
    /// Any other answer.
    Refused(String),
    /// No answer.
    Unavailable {
        hint: String,
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    Timeout(u64),
}

impl Trouble {
    /// As the spawner's error, for the call `what`.
    pub(crate) fn doing(self, what: &'static str) -> SpawnerError {
        match self {
            Self::Absent(reason) | Self::Conflict(reason) | Self::Refused(reason) => {
                SpawnerError::Refused { what, reason }
            }
            Self::Unchanged => SpawnerError::Refused {
                what,
                reason: "it is so already".into(),
            },
            Self::Unavailable { hint, cause } => SpawnerError::Unavailable { hint, cause },
            Self::Timeout(seconds) => SpawnerError::Timeout { what, seconds },
        }
    }
}

/// Makes "it is so already" a success.
pub(crate) fn or_already(answer: Result<(), Trouble>) -> Result<(), Trouble> {
    match answer {
        Err(Trouble::Unchanged | Trouble::Absent(_)) => Ok(()),
        other => other,
    }
}

/// Makes 404 `None`.
pub(crate) fn or_absent<T>(answer: Result<T, Trouble>) -> Result<Option<T>, Trouble> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(Trouble::Absent(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

impl Engine {
    /// An engine at `host`, as `DOCKER_HOST` has it; none: that variable, then the default socket.
    pub(crate) fn new(host: Option<&str>, call_timeout: Duration) -> Self {
        Self {
            host: resolve_host(host),
            call_timeout,
            client: Mutex::new(None),
        }
    }

    /// Where the engine is.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The client, made if need be. Its own limit is an hour: the limits that count are ours.
    pub(crate) fn client(&self) -> Result<Docker, Trouble> {
        let mut kept = self.client.lock().expect("nothing panics while it is held");
        if let Some(client) = kept.as_ref() {
            return Ok(client.clone());
        }
        let made = if let Some(path) = self.host.strip_prefix("unix://") {
            Docker::connect_with_unix(path, 3600, &API)
        } else {
            let address = self.host.replacen("tcp://", "http://", 1);
            Docker::connect_with_http(&address, 3600, &API)
        };
        let client = made.map_err(|error| self.trouble(error))?;
        *kept = Some(client.clone());
        Ok(client)
    }

    /// One short call.
    pub(crate) async fn call<T, F, Fut>(&self, ask: F) -> Result<T, Trouble>
    where
        F: FnOnce(Docker) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        self.call_within(self.call_timeout, ask).await
    }

    /// One call with a limit of its own.
    pub(crate) async fn call_within<T, F, Fut>(&self, limit: Duration, ask: F) -> Result<T, Trouble>
    where
        F: FnOnce(Docker) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let client = self.client()?;
        match tokio::time::timeout(limit, ask(client)).await {
            Ok(answer) => answer.map_err(|error| self.trouble(error)),
            Err(_) => Err(Trouble::Timeout(limit.as_secs())),
        }
    }

    /// What an error of the client means to us.
    pub(crate) fn trouble(&self, error: Error) -> Trouble {
        match error {
            Error::DockerResponseServerError {
                status_code: 304, ..
            } => Trouble::Unchanged,
            Error::DockerResponseServerError {
                status_code: 404,
                message,
            } => Trouble::Absent(message),
            Error::DockerResponseServerError {
                status_code: 409,
                message,
            } => Trouble::Conflict(message),
            Error::DockerResponseServerError {
                status_code,
                message,
            } => Trouble::Refused(format!("{message} ({status_code})")),
            Error::DockerStreamError { error } | Error::DockerContainerWaitError { error, .. } => {
                Trouble::Refused(error)
            }
            other => Trouble::Unavailable {
                hint: hint_for(&self.host, &other),
                cause: Box::new(other),
            },
        }
    }
}

/// The engine's address: what was set, then `DOCKER_HOST`, then the default socket.
fn resolve_host(host: Option<&str>) -> String {
    host.map(str::to_owned)
        .or_else(|| std::env::var("DOCKER_HOST").ok())
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| format!("unix://{DEFAULT_SOCKET}"))
}

/// What a person can do about an engine that does not answer.
fn hint_for(host: &str, error: &(dyn std::error::Error + 'static)) -> String {
    let Some(path) = host.strip_prefix("unix://") else {
        return format!("nothing answers at {host}; check DOCKER_HOST and that the engine runs");
    };
    match io_kind(error) {
        Some(std::io::ErrorKind::PermissionDenied) => permission_hint(path),
        Some(std::io::ErrorKind::ConnectionRefused) => {
            format!(
                "{path} is there but nothing answers; start the engine: sudo systemctl start docker"
            )
        }
        _ if !Path::new(path).exists() => {
            format!("{path} is missing; start the engine: sudo systemctl start docker")
        }
        _ => match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                permission_hint(path)
            }
            Err(_) => format!(
                "{path} is there but nothing answers; start the engine: sudo systemctl start docker"
            ),
            Ok(_) => "the engine closed the connection; look at its log: sudo journalctl -u docker"
                .into(),
        },
    }
}

fn permission_hint(path: &str) -> String {
    format!(
        "no permission on {path}; add your user to the docker group: sudo usermod -aG docker $USER, then sign in again"
    )
}

/// The first input/output error in the chain.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.kind() != std::io::ErrorKind::Other
        {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}

/// What this machine has of Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detected {
    /// An engine that answers.
    Docker {
        /// Where it is, as in `DOCKER_HOST`.
        host: String,
    },
    /// No engine is installed.
    None,
    /// An engine is there and does not serve us. Never a reason to fall back to something weaker.
    Refusing {
        /// What to do.
        hint: String,
    },
}

/// Looks for an engine: at `host`, `DOCKER_HOST` or the default socket.
pub async fn detect(host: Option<&str>) -> Detected {
    let named = host.is_some() || std::env::var("DOCKER_HOST").is_ok_and(|host| !host.is_empty());
    let engine = Engine::new(host, Duration::from_secs(5));
    match engine
        .call(|docker| async move { docker.ping().await })
        .await
    {
        Ok(_) => Detected::Docker {
            host: engine.host().to_owned(),
        },
        Err(_) if !named && !Path::new(DEFAULT_SOCKET).exists() && which("dockerd").is_none() => {
            Detected::None
        }
        Err(Trouble::Unavailable { hint, .. }) => Detected::Refusing { hint },
        Err(Trouble::Timeout(seconds)) => Detected::Refusing {
            hint: format!(
                "{} did not answer within {seconds} s; restart the engine: sudo systemctl restart docker",
                engine.host()
            ),
        },
        Err(Trouble::Absent(reason) | Trouble::Conflict(reason) | Trouble::Refused(reason)) => {
            Detected::Refusing {
                hint: format!("the engine says: {reason}; Docker 20.10 or later is needed"),
            }
        }
        Err(Trouble::Unchanged) => Detected::Refusing {
            hint: format!("what answers at {} is no container engine", engine.host()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_socket_is_unavailable_with_the_command_that_starts_it() {
        let engine = Engine::new(Some("unix:///nowhere/docker.sock"), Duration::from_secs(1));
        let answer = engine
            .call(|docker| async move { docker.ping().await })
            .await;
        let Err(Trouble::Unavailable { hint, .. }) = answer else {
            panic!("{answer:?}");
        };
        assert!(hint.contains("systemctl start docker"), "{hint}");
    }

    #[tokio::test]
    async fn an_engine_that_was_named_and_is_away_is_refusing_and_never_none() {
        assert!(matches!(
            detect(Some("unix:///nowhere/docker.sock")).await,
            Detected::Refusing { .. }
        ));
    }

    #[tokio::test]
    async fn a_silent_engine_times_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("silent.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let engine = Engine::new(
            Some(&format!("unix://{}", path.display())),
            Duration::from_millis(50),
        );
        let answer = engine
            .call(|docker| async move { docker.ping().await })
            .await;
        assert!(matches!(answer, Err(Trouble::Timeout(_))), "{answer:?}");
    }

    #[tokio::test]
    async fn a_socket_nobody_listens_on_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let Detected::Refusing { hint } = detect(Some(&format!("unix://{}", path.display()))).await
        else {
            panic!("must refuse");
        };
        assert!(hint.contains("nothing answers"), "{hint}");
    }
}
