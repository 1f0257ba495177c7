//! Shared files in notebooks: there, shut, and never the reason that a server does not start or stop.

mod covered;
mod dying;
mod fetched;
mod hostile;
mod keeper;
mod nfs;
mod node;
mod notebook;
mod operator;
mod racing;
mod sources;
mod upkeep;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use holt_tests::docker;
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::person::Person;
use holt_tests::wait::eventually;

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

/// A page's text.
async fn page(person: &Person, path: &str) -> Result<String> {
    let answer = person.open(path).await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "{path}: {status} {text}");
    Ok(text)
}

async fn stop(person: &Person) -> Result<()> {
    ensure!(person.ask_stop("").await?.is_success());
    person.until_stopped("", Duration::from_secs(60)).await
}

/// What the home page says of the mount.
async fn home_says(person: &Person, words: &str) -> Result<String> {
    eventually(&format!("the home page says {words:?}"), SOON, || async {
        let home = page(person, "/hub/home")
            .await
            .map_err(|error| format!("{error:#}"))?;
        let line = home
            .split("id=\"mount-dumps\"")
            .nth(1)
            .and_then(|rest| rest.split("</li>").next())
            .ok_or("no line of the mount")?
            .to_owned();
        if line.contains(words) {
            Ok(line)
        } else {
            Err(line)
        }
    })
    .await
}
