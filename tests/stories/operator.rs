//! What whoever runs the machine meets: a second `up`, a broken disk, a clean end, and everything as it was afterwards.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Result, ensure};
use holt_tests::docker;
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;

const END: Duration = Duration::from_secs(30);

async fn hub() -> Result<Hub> {
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    Wish::default()
        .config(&format!("[docker]\nimage = \"{image}\""))
        .start()
        .await
}

/// One line that a person can use: not a chain of causes over a page, no panic.
fn is_one_clear_line(said: &str) -> bool {
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("holt: "))
        .collect();
    lines.len() == 1 && !said.contains("panicked") && !said.contains("RUST_BACKTRACE")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_up_on_the_same_data_is_refused() -> Result<()> {
    let hub = hub().await?;
    let output = tokio::process::Command::from(hub.command(&["up", "--listen", "127.0.0.1:0"])?)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(75),
        "{:?}: {said}",
        output.status
    );
    ensure!(
        is_one_clear_line(&said) && said.contains("already"),
        "{said}"
    );
    hub.ready(END).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named() -> Result<()> {
    let mut hub = Hub::new(Wish::default())?;
    let _taken = std::net::TcpListener::bind(("127.0.0.1", hub.port()))?;
    hub.launch_up()?;
    let (code, said) = hub.ended(END).await?;
    ensure!(code == Some(69), "{code:?}: {said}");
    ensure!(is_one_clear_line(&said), "{said}");
    ensure!(
        said.contains(&hub.port().to_string()),
        "the port is not named: {said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_servers_running_and_the_next_up_finds_them() -> Result<()> {
    let mut hub = hub().await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    let mut kernel = Kernel::started(&rook, "").await?;
    kernel.run("kept = 'here'").await?;
    let id = kernel.id().to_owned();
    drop(kernel);
    hub.interrupt()?;
    let (code, said) = hub.ended(END).await?;
    ensure!(code == Some(0), "{code:?}: {said}");
    ensure!(
        said.contains("holt down"),
        "it does not say what goes on: {said}"
    );
    ensure!(hub.containers().await?.len() == 1, "the server was stopped");
    hub.up().await?;
    let mut kernel = Kernel::connect(&rook, "", &id).await?;
    ensure!(kernel.run("print(kept)").await? == "here");
    hub.holt(&["down"]).await?;
    ensure!(hub.containers().await?.is_empty(), "holt down left servers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_that_cannot_be_written_is_one_clear_line() -> Result<()> {
    // Root may write everywhere, but not into what is not a directory, nor on a read-only file system.
    let mut hub = Hub::new(Wish::default())?;
    std::fs::write(hub.data_dir(), "a file")?;
    hub.launch_up()?;
    let (code, said) = hub.ended(END).await?;
    ensure!(code == Some(73), "{code:?}: {said}");
    ensure!(is_one_clear_line(&said), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_is_one_clear_line() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        // Permissions do not bind root; the same words are proven by the damaged database below.
        return Ok(());
    }
    let mut hub = Hub::new(Wish::default())?;
    hub.holt(&["user", "list"]).await?;
    std::fs::set_permissions(
        hub.data_dir().join("holt.db"),
        PermissionsExt::from_mode(0o400),
    )?;
    hub.launch_up()?;
    let (code, said) = hub.ended(END).await?;
    ensure!(
        code == Some(74) && is_one_clear_line(&said),
        "{code:?}: {said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_one_clear_line_and_is_left_as_it_is() -> Result<()> {
    let mut hub = Hub::new(Wish::default())?;
    std::fs::create_dir_all(hub.data_dir())?;
    let damaged = [b"SQLite format 3\0".as_slice(), &[0xA5; 8192]].concat();
    let path = hub.data_dir().join("holt.db");
    std::fs::write(&path, &damaged)?;
    hub.launch_up()?;
    let (code, said) = hub.ended(END).await?;
    ensure!(code == Some(74), "{code:?}: {said}");
    ensure!(is_one_clear_line(&said), "{said}");
    ensure!(
        std::fs::read(&path)? == damaged,
        "the damaged database was changed"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_one_clear_line() -> Result<()> {
    // A file system of one megabyte, where this user may mount one.
    let mut hub = Hub::new(Wish::default())?;
    std::fs::create_dir_all(hub.data_dir())?;
    let target = hub.data_dir().display().to_string();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs", &target])
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("this user may not mount: the full disk was not tried");
        return Ok(());
    }
    let _ = std::fs::write(hub.data_dir().join("filling"), vec![1; 60 << 10]);
    hub.launch_up()?;
    let ended = hub.ended(END).await;
    let unmounted = std::process::Command::new("umount")
        .args(["-l", &target])
        .status();
    let (code, said) = ended?;
    ensure!(unmounted.is_ok());
    ensure!(matches!(code, Some(73 | 74)), "{code:?}: {said}");
    ensure!(is_one_clear_line(&said), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_in_the_settings_is_told_at_once() -> Result<()> {
    let hub = Hub::new(Wish::default().config(
        "[server]\nidle_timout = \"1h\"\nmemory = \"lots\"\n[proxy]\nlisten = \"nowhere\"",
    ))?;
    let output = tokio::process::Command::from(hub.command(&["check"])?)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(64),
        "{:?} {said}",
        output.status
    );
    for part in [
        "holt.toml:2",
        "idle_timeout",
        "holt.toml:3",
        "holt.toml:5",
        "3 mistakes",
    ] {
        ensure!(said.contains(part), "no {part} in {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_with_a_secret_is_named_before_anything_starts() -> Result<()> {
    let hub = Hub::new(Wish::default().config(
        "[provider.wiki]\nindex_url = \"https://wiki.example/w/index.php\"\nclient_id = \"x\"\nclient_secret_file = \"/nowhere/secret\"",
    ))?;
    for command in ["check", "up"] {
        let output = tokio::process::Command::from(hub.command(&[command])?)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(64), "{command}: {said}");
        ensure!(
            said.contains("[provider.wiki]: client_secret_file: /nowhere/secret cannot be read"),
            "{command}: {said}"
        );
    }
    let clear = Hub::new(Wish::default().config("[provider.wiki]\nclient_secret = \"x\""))?;
    let output = tokio::process::Command::from(clear.command(&["check"])?)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in [
        "provider.wiki.client_secret: a secret must not stand in the settings file",
        "provider.wiki.client_id: nobody can sign in without it",
        "provider.wiki.index_url: it does not lead to a wiki's index.php",
    ] {
        ensure!(said.contains(part), "no {part} in {said}");
    }
    Ok(())
}
