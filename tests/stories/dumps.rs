//! Shared files in notebooks: there, shut, and never the reason that a server does not start or stop.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use holt_tests::docker;
use holt_tests::dying::{Dying, Mode};
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::kernel::Kernel;
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
