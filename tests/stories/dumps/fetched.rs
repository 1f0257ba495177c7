//! From a mirror to a cell: what `holt dumps fetch` got and said is all that it takes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holt_tests::docker;
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::mirror::{Mirror, Way};
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use sha1::{Digest, Sha1};
use tempfile::TempDir;

use super::SOON;
use super::notebook::pack;

const FETCHING: Duration = Duration::from_secs(60);

/// Runs `holt dumps fetch` where the hub is, and returns what it said.
async fn fetch(hub: &Hub, mirror: &Mirror, date: &str) -> Result<String> {
    let url = mirror.url();
    let arguments = [
        "dumps",
        "fetch",
        "simplewiki",
        "articlesdump",
        "--date",
        date,
    ];
    let command = hub.command(&[&arguments[..], &["--mirror", &url]].concat())?;
    let mut command = tokio::process::Command::from(command);
    let output = command.kill_on_drop(true).output();
    let output = tokio::time::timeout(FETCHING, output).await??;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{said}");
    Ok(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_is_read_in_a_notebook_by_doing_what_was_said() -> Result<()> {
    docker::engine_answers().await?;
    let packed = TempDir::new()?;
    pack(packed.path(), "simplewiki", "bz2", &[0..40, 40..80]).await?;
    let name = "simplewiki-20260101-pages-articles1.xml-p1p40.bz2";
    let content = std::fs::read(packed.path().join("simplewiki/20260101").join(name))?;
    let mirror = Mirror::start()?;
    mirror.publish(
        "simplewiki",
        "20260101",
        "articlesdump",
        &[(name, &content)],
    );
    let path = format!("simplewiki/20260101/{name}");
    mirror.answer_next(&path, [Way::Cut(500), Way::Corrupt]);

    let image = images::single_user().await?;
    let mut hub = Hub::new(Wish::default().config(&format!(
        "[docker]\nimage = \"{image}\"\n[node]\ncheck_every = \"1s\""
    )))?;
    let said = fetch(&hub, &mirror, "latest").await?;
    let lines = said
        .split_once("[mount.")
        .and_then(|(_, rest)| rest.split_once("\n\n"))
        .with_context(|| format!("no lines for the settings in {said}"))?
        .0;
    hub.configure(&format!("\n[mount.{lines}\n"))?;
    hub.up().await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    let mut kernel = Kernel::started(&rook, "").await?;
    let code = format!(
        "import bz2, hashlib, mwxml\nfrom pathlib import Path\nfile = Path('/public/dumps/public/{path}')\nprint(hashlib.sha1(file.read_bytes()).hexdigest())\nprint(sum(1 for page in mwxml.Dump.from_file(bz2.open(file, 'rt', encoding='utf-8'))), 'pages')"
    );
    let printed = kernel.run(&code).await?;
    let sum = hex::encode(Sha1::digest(&content));
    ensure!(
        printed.contains(&sum) && printed.contains("40 pages"),
        "{printed}"
    );
    let refused = kernel
        .run(
            "try:\n    file.write_bytes(b'x')\nexcept OSError as error:\n    print(error.strerror)",
        )
        .await?;
    ensure!(refused.contains("Read-only file system"), "{refused}");

    // A newer one is got while the server runs: it is there without a word to anybody.
    let newer = "simplewiki-20260201-pages-articles1.xml-p1p40.bz2";
    mirror.publish(
        "simplewiki",
        "20260201",
        "articlesdump",
        &[(newer, &content)],
    );
    let said = fetch(&hub, &mirror, "latest").await?;
    let seen = "/public/dumps/public/simplewiki/20260201";
    ensure!(
        said.contains(&format!("Notebooks see them now, at {seen}")),
        "{said}"
    );
    let printed = kernel
        .run(&format!(
            "print((Path('{seen}') / '{newer}').stat().st_size)"
        ))
        .await?;
    ensure!(printed.trim() == content.len().to_string(), "{printed}");

    // Nobody keeps the mount any more, and it says so.
    hub.holt(&["down"]).await?;
    eventually("a fetch says that nobody keeps the mount", SOON, || async {
        let said = fetch(&hub, &mirror, "20260101").await;
        let said = said.map_err(|error| format!("{error:#}"))?;
        match said.contains("nobody keeps it up") && said.contains("holt node --data-dir") {
            true => Ok(()),
            false => Err(said),
        }
    })
    .await
}
