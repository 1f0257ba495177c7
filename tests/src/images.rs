//! The images servers are made from in stories: the one that the hub builds, and that one with another version of JupyterHub.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::docker::docker;
use crate::hub::Hub;
use crate::wait::eventually;

/// An image that is built from nothing takes minutes.
const BUILD: Duration = Duration::from_secs(1200);

/// The image that this Holt makes its servers from; a hub builds it if it is not there.
///
/// # Errors
/// When it cannot be had.
pub async fn single_user() -> Result<String> {
    static IMAGE: OnceCell<String> = OnceCell::const_new();
    if let Ok(image) = std::env::var("HOLT_TEST_IMAGE") {
        return Ok(image);
    }
    IMAGE.get_or_try_init(ask_a_hub).await.cloned()
}

async fn ask_a_hub() -> Result<String> {
    let hub = Hub::start().await?;
    eventually("the hub has its image", BUILD, || async {
        let said = hub.said();
        let told = said
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|line| line["message"] == "The notebook image is ready")
            .find_map(|line| line["image"].as_str().map(str::to_owned));
        told.ok_or_else(|| said.lines().last().unwrap_or_default().to_owned())
    })
    .await
}

/// The same image with JupyterHub 6.1.1 in it.
///
/// # Errors
/// When it cannot be made.
pub async fn single_user_6() -> Result<String> {
    let base = single_user().await?;
    let id = docker(&["image", "inspect", "--format", "{{.Id}}", &base]).await?;
    let short = id
        .trim_start_matches("sha256:")
        .chars()
        .take(12)
        .collect::<String>();
    let image = format!("holt-test-singleuser6:{short}");
    if docker(&["image", "inspect", &image]).await.is_ok() {
        return Ok(image);
    }
    // The packages come through the machine's own pip: what it needs to reach them never enters the image.
    let wheels = tempfile::Builder::new().prefix("holt-wheels-").tempdir()?;
    let output = Command::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--only-binary=:all:",
            "--python-version",
            "3.11",
        ])
        .args(["--implementation", "cp", "--dest"])
        .arg(wheels.path())
        .arg("jupyterhub==6.1.1")
        .stdin(Stdio::null())
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "pip download: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let name = format!("holt-t-image6-{}", std::process::id());
    docker(&[
        "create",
        "--name",
        &name,
        "--user",
        "0",
        "--network",
        "none",
        "--entrypoint",
        "sleep",
        &base,
        "900",
    ])
    .await?;
    let built = install(&name, wheels.path(), &image).await;
    let _ = docker(&["rm", "-f", &name]).await;
    built?;
    Ok(image)
}

async fn install(name: &str, wheels: &std::path::Path, image: &str) -> Result<()> {
    docker(&[
        "cp",
        &wheels.display().to_string(),
        &format!("{name}:/wheels"),
    ])
    .await?;
    docker(&["start", name]).await?;
    // An image may ship without pip: the wheel that brings it can run itself.
    let script = "set -e; cd /; python=/opt/venv/bin/python; \
         $python -m pip --version >/dev/null 2>&1 || $python -m ensurepip >/dev/null 2>&1 || true; \
         PIP_NO_INDEX=1 $python -m pip install --quiet --no-compile --find-links /wheels jupyterhub==6.1.1; \
         $python -m compileall -q --invalidation-mode unchecked-hash -f /opt/venv/lib/python3*/site-packages/jupyterhub || true; \
         rm -rf /wheels";
    docker(&["exec", "--user", "0", name, "sh", "-c", script]).await?;
    let old = docker(&["inspect", "--format", "{{json .Config.Entrypoint}}", name]).await?;
    ensure!(!old.is_empty(), "a container without a description");
    commit(name, image).await
}

/// Commits with the entry point, command and user of the base.
async fn commit(name: &str, image: &str) -> Result<()> {
    let base = docker(&["inspect", "--format", "{{.Config.Image}}", name]).await?;
    let text = docker(&["image", "inspect", "--format", "{{json .Config}}", &base]).await?;
    let config: serde_json::Value = serde_json::from_str(&text)?;
    let user = config["User"].as_str().unwrap_or_default();
    let mut arguments = vec!["commit".to_owned()];
    for (word, key) in [("ENTRYPOINT", "Entrypoint"), ("CMD", "Cmd")] {
        let value = match &config[key] {
            serde_json::Value::Null => "[]".to_owned(),
            value => value.to_string(),
        };
        arguments.extend(["--change".to_owned(), format!("{word} {value}")]);
    }
    if !user.is_empty() {
        arguments.extend(["--change".to_owned(), format!("USER {user}")]);
    }
    arguments.extend([name.to_owned(), image.to_owned()]);
    let slow = docker(&arguments);
    tokio::time::timeout(Duration::from_secs(120), slow).await??;
    docker(&["image", "inspect", image]).await?;
    Ok(())
}

/// An image with R and `RMariaDB`, of a Debian that has it.
///
/// # Errors
/// When it cannot be made.
pub async fn r_client() -> Result<String> {
    let image = "holt-test-r:trixie".to_owned();
    if docker(&["image", "inspect", &image]).await.is_ok() {
        return Ok(image);
    }
    let folder = tempfile::Builder::new().prefix("holt-r-").tempdir()?;
    let archive = folder.path().join("r.tar").display().to_string();
    let mut command = Command::new("mmdebstrap");
    command.args([
        "--variant=minbase",
        "--aptopt=APT::Install-Recommends \"false\"",
    ]);
    command.args([
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
    ]);
    command.args(["--include=r-cran-rmariadb", "trixie", &archive]);
    if let Ok(mirror) = std::env::var("HOLT_APT_MIRROR") {
        command.arg(mirror);
    }
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(BUILD, output).await??;
    ensure!(
        output.status.success(),
        "mmdebstrap: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    docker(&["import", &archive, &image]).await?;
    Ok(image)
}
