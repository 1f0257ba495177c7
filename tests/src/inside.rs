//! A hub in a container of the engine that it makes servers with, as it is run where everything is a container.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// Where the hub's files are inside: not where the engine's machine has them.
const FOLDER: &str = "/t";

/// How the hub's container shall be.
#[derive(Debug, Clone)]
pub struct Inside {
    /// Image with what the binary needs.
    pub image: String,
    /// Network that its port is published from.
    pub network: String,
}

impl Inside {
    /// The container's name.
    fn name(port: u16) -> String {
        format!("holt-t-inside-{port}")
    }

    /// `docker run` of `holt` with these arguments; `up` has the port.
    pub(crate) fn command(
        &self,
        binary: &Path,
        home: &Path,
        port: u16,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Command {
        let mut command = Command::new("docker");
        command.args([
            "run",
            "--rm",
            "--network",
            &self.network,
            "--workdir",
            FOLDER,
        ]);
        if arguments.first() == Some(&"up") {
            command.args(["--name", &Self::name(port)]);
            command.args(["--publish", &format!("127.0.0.1:{port}:{port}")]);
        }
        for (source, target) in [
            (home.as_os_str(), FOLDER),
            (binary.as_os_str(), "/usr/local/bin/holt:ro"),
            ("/var/run/docker.sock".as_ref(), "/var/run/docker.sock"),
        ] {
            let mut volume = OsString::from(source);
            volume.push(":");
            volume.push(target);
            command.arg("--volume").arg(volume);
        }
        command.args(["--env", &format!("HOLT_DATA_DIR={FOLDER}/data")]);
        for (key, value) in environment {
            command.args(["--env", &format!("{key}={value}")]);
        }
        command
            .args(["--entrypoint", "holt", &self.image])
            .args(arguments);
        command
    }

    /// Ends the container as a power cut does.
    pub(crate) fn remove(port: u16) {
        let _ = Command::new("docker")
            .args(["rm", "--force", &Self::name(port)])
            .output();
    }
}
