//! Starting a launch's process: a session of its own, an environment of its own, and nothing secret in its arguments.

use std::path::Path;
use std::process::Stdio;

use holt_spec::bundle::{Bundle, REPLICA_FILE, REPLICA_LINKS};

use super::launch::Launch;
use super::refused;
use crate::spawner::SpawnerError;
use crate::spawner::local::which;

/// Writes `pid`, runs the server, writes `exit`. Signals reach the server, which is in the same group; the shell outlives it.
const LEADER: &str = r#"
umask 077
mkdir "$HOLT_LAUNCH_DIR/claim" 2>/dev/null || exit 98
read -r boot < /proc/sys/kernel/random/boot_id
read -r stat < /proc/$$/stat
printf '%s %s\n' "$boot" "$stat" > "$HOLT_LAUNCH_DIR/pid.new"
mv "$HOLT_LAUNCH_DIR/pid.new" "$HOLT_LAUNCH_DIR/pid"
here="$HOLT_LAUNCH_DIR"
unset HOLT_LAUNCH_DIR
trap : TERM INT HUP
"$@"
printf '%s\n' "$?" > "$here/exit.new"
mv "$here/exit.new" "$here/exit"
"#;

impl Launch {
    pub(super) fn spawn(
        &self,
        home: &Path,
        venv: &Path,
        port: u16,
        bundle: &Bundle,
    ) -> Result<(), SpawnerError> {
        let what = "start a process";
        let failed = |error: std::io::Error| refused(what, error.to_string());
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .map_err(failed)?;
        self.write_files(bundle).map_err(failed)?;
        self.link_files(bundle, home);
        let mut command = match which("setsid") {
            Some(setsid) => {
                let mut command = tokio::process::Command::new(setsid);
                command.arg("sh");
                command
            }
            None => {
                let mut command = tokio::process::Command::new("sh");
                command.process_group(0);
                command
            }
        };
        let mut program = bundle.command.clone();
        if program.is_empty() {
            program.push(
                venv.join("bin/jupyterhub-singleuser")
                    .to_string_lossy()
                    .into_owned(),
            );
            // It is the hub's own account either way; whoever runs the hub as root has decided.
            if rustix::process::geteuid().is_root() {
                program.push("--allow-root".to_owned());
            }
        }
        command
            .args(["-c", LEADER, "sh"])
            .args(program)
            .env_clear()
            .envs(inherited())
            .env("HOME", home)
            .env("VIRTUAL_ENV", venv)
            .env("PATH", path_with(venv))
            .envs(
                bundle
                    .env
                    .iter()
                    .map(|(name, value)| (name, self.local(name, value, port))),
            )
            .env("HOLT_LAUNCH_DIR", &self.folder)
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .kill_on_drop(false);
        // The runtime reaps it when it ends; how it ended is in its files.
        let _child = command.spawn().map_err(failed)?;
        Ok(())
    }

    /// A variable's value as it is true for a process of this machine.
    fn local(&self, name: &str, value: &str, port: u16) -> String {
        if name == "JUPYTERHUB_SERVICE_URL" {
            return with_authority(value, &format!("127.0.0.1:{port}"));
        }
        self.local_path(value)
    }

    /// A text with the place of the bundle's files as it is here.
    fn local_path(&self, value: &str) -> String {
        let files = self.folder.join("run");
        value.replace("/run/holt", &files.to_string_lossy())
    }

    /// The bundle's files, below the launch's own directory.
    fn write_files(&self, bundle: &Bundle) -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        for file in &bundle.files {
            let below = Path::new(&file.path)
                .strip_prefix("/run/holt")
                .map_err(std::io::Error::other)?;
            if below
                .components()
                .any(|part| !matches!(part, std::path::Component::Normal(_)))
            {
                return Err(std::io::Error::other("a file leaves its directory"));
            }
            let path = self.folder.join("run").join(below);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(&path, &file.content)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(file.mode))?;
        }
        Ok(())
    }

    /// Leads names in the home to files of the bundle, as the starter of an image does. A link of an earlier launch is replaced;
    /// what a person has there stays, and where nothing can be written the environment says the same.
    fn link_files(&self, bundle: &Bundle, home: &Path) {
        if !bundle.files.iter().any(|file| file.path == REPLICA_FILE) {
            return;
        }
        let target = self.local_path(REPLICA_FILE);
        for name in REPLICA_LINKS {
            let link = home.join(name);
            let old = std::fs::read_link(&link);
            if old.is_ok_and(|old| old.ends_with("run/replica.my.cnf")) {
                let _ = std::fs::remove_file(&link);
            }
            let _ = std::os::unix::fs::symlink(&target, &link);
        }
    }
}

/// An address with another host and port.
fn with_authority(url: &str, authority: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let path = rest.find('/').map_or("", |start| &rest[start..]);
    format!("{scheme}://{authority}{path}")
}

/// What of our own environment a server may have: who and where, no settings of ours.
fn inherited() -> Vec<(String, String)> {
    [
        "USER",
        "LOGNAME",
        "LANG",
        "LC_ALL",
        "TZ",
        "SHELL",
        "TERM",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "SSL_CERT_FILE",
    ]
    .iter()
    .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
    .collect()
}

fn path_with(venv: &Path) -> std::ffi::OsString {
    let mut path = venv.join("bin").into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()));
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_address_keeps_its_path() {
        assert_eq!(
            with_authority("http://0.0.0.0:8888/user/%C3%BC/", "127.0.0.1:4000"),
            "http://127.0.0.1:4000/user/%C3%BC/"
        );
    }
}
