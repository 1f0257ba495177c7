//! Programs that Holt needs from the machine, and the commands that install them. Nothing is installed by itself.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::engine::Engine;

/// How long a program may take to say that it is there.
const LIMIT: Duration = Duration::from_secs(10);

/// A program that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    /// Without it nothing works.
    pub(super) needed: bool,
    /// What is missing, and how to get it.
    pub(super) sentence: &'static str,
}

/// Everything that is missing, at once.
pub(super) async fn missing(engine: &Engine) -> Vec<Missing> {
    match engine {
        Engine::Docker { .. } if !is_on_path("mmdebstrap") => vec![Missing {
            needed: false,
            sentence: "mmdebstrap is missing: when no registry answers, the image cannot be built without it. Install it: sudo apt-get install mmdebstrap",
        }],
        Engine::Docker { .. } => Vec::new(),
        Engine::Process { .. } if !is_on_path("python3") => vec![Missing {
            needed: true,
            sentence: "python3 is missing. Install it: sudo apt-get install python3 python3-venv",
        }],
        Engine::Process { .. } if !can_make_environments().await => vec![Missing {
            needed: true,
            sentence: "Python cannot make virtual environments. Install what it needs: sudo apt-get install python3-venv",
        }],
        Engine::Process { .. } => Vec::new(),
    }
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Some tools live where only administrators look.
    std::env::split_paths(&path)
        .chain([
            Path::new("/usr/sbin").to_owned(),
            Path::new("/usr/local/sbin").to_owned(),
        ])
        .any(|directory| directory.join(program).is_file())
}

async fn can_make_environments() -> bool {
    let mut command = tokio::process::Command::new("python3");
    command
        .args(["-c", "import venv, ensurepip"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    matches!(tokio::time::timeout(LIMIT, command.status()).await, Ok(Ok(status)) if status.success())
}
