//! A real NFS server and the kernel's own client, in a small machine of their own: the server stops answering, and dies.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use holt_tests::{hub, output_dir};

/// Unpacking, starting and all that is waited for, on a busy machine that emulates another.
const WHOLE: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn an_nfs_server_that_stops_or_dies_is_taken_away_and_is_back() -> Result<()> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/nfs/machine.sh");
    let log = output_dir().join("nfs-machine.log");
    let file = std::fs::File::create(&log)?;
    let mut command = Command::new("bash");
    command
        .arg(script)
        .arg(hub::binary()?)
        .arg(output_dir().join("nfs-machine"))
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let mut machine = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()?;
    let ended = tokio::time::timeout(WHOLE, machine.wait()).await;
    let said = String::from_utf8_lossy(&std::fs::read(&log)?).replace('\r', "");
    ended.with_context(|| format!("the machine went on: {said}"))??;
    let facts: Vec<&str> = said.lines().filter(|line| line.contains("ok: ")).collect();
    for fact in [
        "the server listens",
        "a page is read",
        "what is mounted in a mount below a source is read",
        "SIGSTOP: it is taken away",
        "SIGSTOP: who read has an error or can be ended",
        "SIGSTOP: below a source it is left out",
        "SIGSTOP: what it was below is read",
        "SIGSTOP: it is back",
        "SIGSTOP: below a source it is back",
        "SIGKILL: it is taken away",
        "SIGKILL: who read has an error or can be ended",
        "SIGKILL: below a source it is left out",
        "SIGKILL: what it was below is read",
        "SIGKILL: it is back",
        "SIGKILL: below a source it is back",
        "the tree was mounted once",
        "all is taken away",
    ] {
        let found = facts.iter().find(|line| line.contains(fact));
        let found = found.with_context(|| format!("not {fact:?}: {said}"))?;
        println!("{found}");
    }
    ensure!(
        said.contains("vers=4") && !said.contains("could not be taken away"),
        "{said}"
    );
    Ok(())
}
