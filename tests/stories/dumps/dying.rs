//! A file server dies, in each way it can: what notebooks, the hub and the node do then, and how long it takes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use holt_tests::docker;
use holt_tests::dying::{Dying, Mode};
use holt_tests::hub::Wish;
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;

use super::{container, home_says, hub, page, sees, stop};

/// One figure of a story, for people who run it with `--nocapture`, and in `tests/output`.
fn figure(what: &str, took: Duration) -> Result<()> {
    use std::io::Write;
    let line = format!("{what}: {:.2} s", took.as_secs_f64());
    println!("{line}");
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(holt_tests::output_dir().join("mounts.txt"))?;
    Ok(writeln!(file, "{line}")?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dying_file_server_is_taken_away_and_is_back_in_running_notebooks() -> Result<()> {
    let server = Dying::new()?;
    std::fs::write(server.tree().join("page.txt"), "Apple")?;
    let hub = hub(&server.as_dumps()?).await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    let notebook = container(&hub).await?;
    let read = ["cat", "/public/dumps/public/page.txt"];
    sees(&notebook, &read, "Apple").await?;
    home_says(&rook, "There since").await?;
    let mut kernel = Kernel::started(&rook, "").await?;
    for (mode, name) in [
        (Mode::Hang, "hangs"),
        (Mode::Error, "answers with EIO"),
        (Mode::Stale, "is stale"),
        (Mode::Gone, "is gone"),
    ] {
        // A cell that reads on and on, and says what it met.
        let reading = kernel.run(
            "import time\n\
             began = time.monotonic()\n\
             try:\n    \
                 while time.monotonic() < began + 30:\n        \
                     open('/public/dumps/public/page.txt').read()\n        \
                     time.sleep(0.05)\n    \
                 print('no error')\n\
             except OSError as error:\n    \
                 print(type(error).__name__, error.errno)",
        );
        let dying = async {
            // The cell has begun when this is told; one that begins later meets the same.
            tokio::time::sleep(Duration::from_millis(500)).await;
            server.be(mode)?;
            let began = Instant::now();
            let line = home_says(&rook, "Not there since").await?;
            figure(
                &format!("server {name}: the home page says so after"),
                began.elapsed(),
            )?;
            ensure!(line.contains("mounted again"), "{line}");
            // A look into the directory is answered at once, whatever the server does.
            let asked = Instant::now();
            sees(&notebook, &["sh", "-c", "ls /mnt/nfs/dumps | wc -l"], "0").await?;
            figure(
                &format!("server {name}: a notebook lists the folder in"),
                asked.elapsed(),
            )?;
            let asked = Instant::now();
            page(&rook, "/hub/home").await?;
            ensure!(asked.elapsed() < Duration::from_secs(2), "the hub waited");
            anyhow::Ok(began)
        };
        let (met, began) = tokio::join!(reading, dying);
        let met = met?;
        let began = began?;
        ensure!(met.contains("Error"), "the reading cell met {met:?}");
        figure(
            &format!("server {name}: a reading cell had its error ({met}) within"),
            began.elapsed(),
        )?;
        server.be(Mode::Well)?;
        let began = Instant::now();
        sees(&notebook, &read, "Apple").await?;
        figure(
            &format!("server {name}, then well: seen in a running notebook after"),
            began.elapsed(),
        )?;
        home_says(&rook, "There since").await?;
    }
    let metrics = page(&Person::admin(&hub).await?, "/hub/metrics").await?;
    for line in [
        "holt_node_up 1",
        "holt_mount_up{mount=\"dumps\"} 1",
        "holt_mount_heals_total{mount=\"dumps\"} 4",
    ] {
        ensure!(metrics.contains(line), "no {line:?} in {metrics}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_hangs_servers_start_and_stop_and_the_node_may_be_killed() -> Result<()> {
    let server = Dying::new()?;
    std::fs::write(server.tree().join("page.txt"), "Apple")?;
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    // Nobody looks at the mount for ten minutes: it hangs, and is in its place.
    let mut hub = Wish::default()
        .config(&format!("[docker]\nimage = \"{image}\""))
        .config("[node]\ncheck_every = \"10m\"\nanswer_within = \"1s\"")
        .config(&server.as_dumps()?)
        .start()
        .await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    let notebook = container(&hub).await?;
    sees(&notebook, &["cat", "/mnt/nfs/dumps/page.txt"], "Apple").await?;
    let kernel = Kernel::started(&rook, "").await?;
    server.be(Mode::Hang)?;
    kernel
        .leave_running("print('reading', flush=True)\nopen('/mnt/nfs/dumps/page.txt').read()")
        .await?;
    let heron = Person::user(&hub, "Heron").await?;
    let began = Instant::now();
    heron.start("").await?;
    let took = began.elapsed();
    figure("a start while the mount hangs in its place", took)?;
    ensure!(took < Duration::from_secs(15), "a start took {took:?}");
    let began = Instant::now();
    stop(&heron).await?;
    figure("a stop while the mount hangs in its place", began.elapsed())?;

    // The node is killed with its mount as it is: the next one finds that it hangs, and heals it.
    let before = hub.kill("node")?;
    let began = Instant::now();
    hub.replaced("node", before).await?;
    home_says(&rook, "Not there since").await?;
    figure(
        "a killed node is back and has found the mount ill after",
        began.elapsed(),
    )?;
    // Whoever waited in it can be ended now.
    let began = Instant::now();
    stop(&rook).await?;
    figure(
        "a stop of a server with a reader that hung",
        began.elapsed(),
    )?;
    ensure!(
        began.elapsed() < Duration::from_secs(25),
        "a stop took {:?}",
        began.elapsed()
    );

    server.be(Mode::Well)?;
    rook.start("").await?;
    let notebook = container(&hub).await?;
    sees(&notebook, &["cat", "/mnt/nfs/dumps/page.txt"], "Apple").await?;

    // The whole of `up` goes and comes: what is mounted stays mounted.
    hub.kill_supervisor()?;
    hub.up().await?;
    sees(&notebook, &["cat", "/mnt/nfs/dumps/page.txt"], "Apple").await
}
