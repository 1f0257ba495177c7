//! configurable-http-proxy, installed below the build directory and run as it comes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Contestant, Ground, add_routes, token};
use crate::process::Running;

const PACKAGE: &str = "configurable-http-proxy@5.3.0";

pub(super) async fn start(
    _: &Contestant,
    ground: &Ground,
    port: u16,
    cpus: &[usize],
) -> Result<Running> {
    let api = holt_tests::free_port()?;
    let token = token()?;
    let mut command = Command::new(installed(&ground.target)?);
    command
        .args(["--ip", "127.0.0.1", "--port", &port.to_string()])
        .args(["--api-ip", "127.0.0.1", "--api-port", &api.to_string()])
        .args(["--log-level", "warn"])
        .env("CONFIGPROXY_AUTH_TOKEN", &token);
    let log = ground.dir.join(format!("chp-{port}.log"));
    let running = Running::start(&mut command, cpus, &log)?;
    add_routes(api, &token, ground.upstream, &running).await?;
    Ok(running)
}

/// The program, installed when it is not there yet.
pub(super) fn installed(target: &Path) -> Result<PathBuf> {
    let home = target.join("peers/chp");
    let program = home.join("node_modules/.bin/configurable-http-proxy");
    if !program.is_file() {
        println!("Installing {PACKAGE} ...");
        std::fs::create_dir_all(&home)?;
        let output = Command::new("npm")
            .args(["install", "--silent", "--prefix"])
            .arg(&home)
            .arg(PACKAGE)
            .output()
            .context("npm is missing: install Node.js and npm, or leave this peer out")?;
        ensure!(
            output.status.success(),
            "npm install {PACKAGE}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(program)
}
