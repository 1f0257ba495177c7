//! Removes what a hub of a test left at the engine, whatever state the hub is in.
//!
//! Everything here is blocking and shrugs at failure: it runs while a test ends, perhaps in a panic.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Result;
use sha2::{Digest, Sha256};

use crate::docker::docker;
use crate::rows::Rows;

/// The eight letters in the names of a hub's containers: made from its id, which is one of its settings.
///
/// # Errors
/// When the database or the engine does not answer.
pub async fn short_of(data_dir: &Path) -> Result<Option<String>> {
    let rows = Rows::open(data_dir).await?;
    let values = rows.texts("SELECT value FROM settings").await?;
    let networks = docker(&["network", "ls", "--format", "{{.Name}}"]).await?;
    Ok(values
        .iter()
        .map(|value| hex::encode(&Sha256::digest(value.as_bytes())[..4]))
        .find(|short| networks.lines().any(|name| name == format!("holt-{short}"))))
}

/// Runs a command, at most for `limit`.
pub fn run_for(mut command: Command, limit: Duration) -> bool {
    let Ok(mut child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
        return false;
    };
    let began = Instant::now();
    while began.elapsed() < limit {
        if let Ok(Some(status)) = child.try_wait() {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

fn docker_now(arguments: &[&str]) -> String {
    Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}

/// Removes containers, volumes, the network and the firewall table of the hub in `data_dir`.
pub fn remove_leftovers(data_dir: &Path) {
    let data_dir = data_dir.to_owned();
    // A thread of its own: a runtime may be running on this one.
    let short = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .ok()?;
        runtime.block_on(short_of(&data_dir)).ok().flatten()
    })
    .join()
    .ok()
    .flatten();
    let Some(short) = short else {
        return;
    };
    let of_ours = format!("name=^/holt-{short}-");
    for container in docker_now(&["ps", "-aq", "--filter", &of_ours]).lines() {
        docker_now(&["rm", "-f", container]);
    }
    for volume in docker_now(&[
        "volume",
        "ls",
        "-q",
        "--filter",
        &format!("name=^holt-home-{short}-"),
    ])
    .lines()
    {
        docker_now(&["volume", "rm", "-f", volume]);
    }
    docker_now(&["network", "rm", &format!("holt-{short}")]);
    remove_table(&short);
}

/// Takes away whatever is mounted below a directory, so that removing it removes nothing else.
pub fn unmount_within(directory: &Path) {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let mut points: Vec<_> = points
        .filter(|point| Path::new(point).starts_with(directory))
        .collect();
    points.sort_by_key(|point| std::cmp::Reverse(point.len()));
    for point in points {
        let _ = Command::new("umount").args(["-f", "-l", point]).output();
    }
}

/// Removes the firewall tables of a hub, with the host's `nft` or one in a throwaway container.
pub fn remove_table(short: &str) {
    let script = format!(
        "for family in inet bridge ip ip6; do nft delete table $family holt_{short} 2>/dev/null; done; true"
    );
    let has_nft = Command::new("nft")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if has_nft {
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        run_for(command, Duration::from_secs(10));
    } else if let Some(helper) = helper_image() {
        docker_now(&[
            "run",
            "--rm",
            "--network",
            "host",
            "--cap-drop",
            "ALL",
            "--cap-add",
            "NET_ADMIN",
            "--user",
            "0",
            "--entrypoint",
            "sh",
            &helper,
            "-c",
            &script,
        ]);
    }
}

fn helper_image() -> Option<String> {
    docker_now(&["images", "--format", "{{.Repository}}:{{.Tag}}"])
        .lines()
        .find(|name| name.starts_with("holt-helper:") || name.starts_with("holt-dev-helper:"))
        .map(str::to_owned)
}
