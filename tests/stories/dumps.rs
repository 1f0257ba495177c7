//! Shared files in notebooks: there, shut, and never the reason that a server does not start or stop.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use holt_tests::docker;
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

/// A hub with these lines of `[mount...]`.
async fn hub(mounts: &str) -> Result<Hub> {
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    Wish::default()
        .config(&format!("[docker]\nimage = \"{image}\""))
        .config("[node]\ncheck_every = \"1s\"\nanswer_within = \"1s\"\nmount_within = \"3s\"\nretry_most = \"2s\"")
        .config(mounts)
        .start()
        .await
}

fn dumps_from(source: &Path) -> String {
    format!(
        "[mount.dumps]\nsource = \"{}\"\ntarget = \"/mnt/nfs/dumps\"\nlinks = [\"/public/dumps/public\"]",
        source.display()
    )
}

/// The container of the default server of the only person who has one.
async fn container(hub: &Hub) -> Result<String> {
    let mut all = hub.containers().await?;
    ensure!(all.len() == 1, "{all:?}");
    Ok(all.remove(0).name)
}

/// Runs a command in a container until it succeeds and prints what is expected.
async fn sees(container: &str, command: &[&str], expected: &str) -> Result<()> {
    eventually(
        &format!("{command:?} prints {expected:?}"),
        SOON,
        || async {
            match docker::exec(container, command).await {
                Ok(text) if text == expected => Ok(()),
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await
}

fn system(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    ensure!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A file system in memory; taken away with its end.
struct Tmpfs(String);

impl Tmpfs {
    fn at(path: &Path) -> Result<Self> {
        let path = path.to_string_lossy().into_owned();
        system("mount", &["-t", "tmpfs", "none", &path])?;
        Ok(Self(path))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", &self.0]).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_the_machine_is_read_by_both_paths_and_written_by_none() -> Result<()> {
    let source = TempDir::new()?;
    let wiki = source.path().join("simplewiki/20260101");
    std::fs::create_dir_all(&wiki)?;
    std::fs::write(wiki.join("page.txt"), "Apple")?;
    std::fs::create_dir(source.path().join("late"))?;
    let hub = hub(&dumps_from(source.path())).await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    let server = container(&hub).await?;
    for path in ["/mnt/nfs/dumps", "/public/dumps/public"] {
        let file = format!("{path}/simplewiki/20260101/page.txt");
        sees(&server, &["cat", &file], "Apple").await?;
        for user in ["52771", "0"] {
            let refused =
                docker::docker(&["exec", "-u", user, &server, "touch", &format!("{path}/x")])
                    .await
                    .unwrap_err();
            ensure!(format!("{refused:#}").contains("Read-only"), "{refused:#}");
        }
    }
    // Mounted below the source while the server runs: it is seen there, and written no more than the rest.
    let late = Tmpfs::at(&source.path().join("late"))?;
    std::fs::write(source.path().join("late/new.txt"), "Pear")?;
    sees(&server, &["cat", "/mnt/nfs/dumps/late/new.txt"], "Pear").await?;
    let refused = docker::docker(&["exec", "-u", "0", &server, "touch", "/mnt/nfs/dumps/late/x"])
        .await
        .unwrap_err();
    ensure!(format!("{refused:#}").contains("Read-only"), "{refused:#}");
    ensure!(!source.path().join("late/x").exists());
    drop(late);
    sees(
        &server,
        &["sh", "-c", "ls /mnt/nfs/dumps/late | wc -l"],
        "0",
    )
    .await
}
