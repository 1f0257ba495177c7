//! Something is mounted over the node's own directory or in it, and is dead: nobody of Holt waits for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use holt_tests::docker;
use holt_tests::dying::{Dying, Mode};
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use tempfile::TempDir;

use super::node::{Mounted, Node, ends, is_mounted, reads};
use super::{SOON, dumps_from, system};

/// A file system that hangs, in a place where nobody looks; to be mounted elsewhere too.
struct Dead {
    server: Dying,
    own: Option<Mounted>,
    _place: TempDir,
}

impl Dead {
    fn new() -> Result<Self> {
        let server = Dying::new()?;
        let place = TempDir::new()?;
        let own = Mounted::at(place.path(), "fuse3", &server.source()?)?;
        server.be(Mode::Hang)?;
        Ok(Self {
            server,
            own: Some(own),
            _place: place,
        })
    }

    fn over(&self, place: &Path) -> Result<Mounted> {
        self.own.as_ref().context("it is mounted")?.again_at(place)
    }
}

/// A mount that is older than the node, to be moved over something of it: the kernel's list has it before all that is the node's.
struct Older {
    _mounted: Vec<Mounted>,
    place: TempDir,
}

impl Older {
    /// What `make` mounts, on a mount of its own that is private: nothing is moved away from a shared one.
    fn new(make: impl FnOnce(&Path) -> Result<Mounted>) -> Result<Self> {
        let place = TempDir::new()?;
        let around = Mounted::at(place.path(), "tmpfs", "none")?;
        system(
            "mount",
            &["--make-private", &place.path().to_string_lossy()],
        )?;
        let old = place.path().join("old");
        std::fs::create_dir(&old)?;
        Ok(Self {
            _mounted: vec![make(&old)?, around],
            place,
        })
    }

    /// Moves it there. No program is asked: it would look at what may be dead.
    fn move_over(&self, place: &Path) -> Result<()> {
        Ok(rustix::mount::mount_move(
            self.place.path().join("old"),
            place,
        )?)
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        // Who waits in it can go.
        let _ = self.server.be(Mode::Well);
        self.own = None;
    }
}

/// Points of mounts of the dead kind at this place or below it; nothing is looked at but the kernel's list.
fn dead_within(place: &Path) -> Result<Vec<String>> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let is_dead = |line: &&str| {
        let point = line.split(' ').nth(4).map(Path::new);
        point.is_some_and(|point| point.starts_with(place)) && line.contains(" - fuse")
    };
    Ok(table.lines().filter(is_dead).map(str::to_owned).collect())
}

async fn is_free(place: &Path) -> Result<()> {
    eventually(
        &format!("nothing dead is mounted in {}", place.display()),
        SOON,
        || async {
            match dead_within(place) {
                Ok(dead) if dead.is_empty() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await
}

/// The node goes on: it writes down how its mounts are, again and again.
async fn goes_on(node: &Node) -> Result<()> {
    let written = || -> Option<u64> {
        let text = std::fs::read_to_string(node.directory().join("status.json")).ok()?;
        let status: serde_json::Value = serde_json::from_str(&text).ok()?;
        status["written"].as_u64()
    };
    let before = written();
    eventually("the status is written anew", SOON, || async {
        match written() {
            now if now > before => Ok(()),
            now => Err(format!("{now:?}: {}", node.said())),
        }
    })
    .await
}

/// A node with a mount that is there, and the file `page.txt` in it.
async fn node() -> Result<(Node, TempDir)> {
    let source = TempDir::new()?;
    std::fs::write(source.path().join("page.txt"), "Apple")?;
    let node = Node::start(&dumps_from(source.path()))?;
    reads(&node.dumps().join("page.txt"), "Apple").await?;
    Ok((node, source))
}

const SHUT: &str = "ro,nosuid,nodev,noexec";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dead_is_taken_away_from_wherever_it_covers_a_running_node() -> Result<()> {
    let dead = Dead::new()?;
    let (node, _source) = node().await?;
    let directory = node.directory();
    std::fs::create_dir_all(directory.join("mnt+nfs/deeper/down"))?;
    let covered: Vec<PathBuf> = [
        "mnt+nfs",
        "mnt+nfs/dumps",
        "public+dumps",
        "mnt+nfs/deeper/down",
        ".staging/dumps",
        ".staging",
        "",
    ]
    .map(|name| directory.join(name))
    .to_vec();
    for place in covered {
        let place: PathBuf = place.components().collect();
        let _dead = dead.over(&place)?;
        // Work goes on in the staging directory only when something is mounted anew.
        if place.ends_with("dumps") && place.starts_with(directory.join(".staging")) {
            std::mem::forget(dead.over(&node.dumps())?);
        }
        is_free(&directory).await.with_context(|| node.said())?;
        goes_on(&node).await?;
        is_mounted(&node.dumps(), SHUT).await?;
        reads(&node.dumps().join("page.txt"), "Apple").await?;
    }
    node.says("What was mounted in the directory of mounts")
        .await
}

/// The kernel's list has a mount that was moved where it was when it was made: before all that it covers now.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_node_and_moved_over_a_place_or_over_all_is_taken_away() -> Result<()>
{
    let dead = Dead::new()?;
    let files = |place: &Path| {
        let mounted = Mounted::at(place, "tmpfs", "none")?;
        std::fs::write(place.join("page.txt"), "Pear")?;
        Ok(mounted)
    };
    let names = ["mnt+nfs/dumps", "mnt+nfs", ".staging", ""];
    let mut older = Vec::new();
    for name in names {
        older.push((name, "Pear", Older::new(files)?));
        older.push((name, "hangs", Older::new(|place| dead.over(place))?));
    }
    let (mut node, _source) = node().await?;
    let directory = node.directory();
    let mut heals = 0;
    for (name, what, older) in &older {
        let place: PathBuf = directory.join(name).components().collect();
        let before = std::fs::read_to_string("/proc/self/mountinfo")?;
        older.move_over(&place)?;
        heals += usize::from(*name == "mnt+nfs/dumps");
        eventually("it is taken away", SOON, || async {
            let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            let within = |text: &str| text.matches(&format!(" {}", directory.display())).count();
            if within(&table) == within(&before) {
                Ok(())
            } else {
                Err(table)
            }
        })
        .await
        .with_context(|| format!("{name:?} {what}: {}", node.said()))?;
        goes_on(&node).await?;
        is_mounted(&node.dumps(), SHUT).await?;
        reads(&node.dumps().join("page.txt"), "Apple").await?;
        let told = node
            .said()
            .matches("something else is mounted over its place")
            .count();
        ensure!(told == heals, "{name:?} {what}: {}", node.said());
    }
    // While no node runs: whoever comes is told.
    let old = Older::new(|place| dead.over(place))?;
    node.kill()?;
    old.move_over(&directory)?;
    for command in [&["node"][..], &["doctor"], &["node", "--unmount"]] {
        let (code, said) = ends(&node.hub, command).await?;
        ensure!(
            code != Some(0) && said.contains(&format!("is mounted over {}", directory.display())),
            "{command:?} ended with {code:?}: {said}"
        );
    }
    rustix::mount::unmount(&directory, rustix::mount::UnmountFlags::DETACH)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_begins_and_all_commands_end_where_a_folder_is_covered_by_something_dead()
-> Result<()> {
    let dead = Dead::new()?;
    let (mut node, _source) = node().await?;
    let folder = node.directory().join("mnt+nfs");
    node.kill()?;
    let _one = dead.over(&folder)?;
    let (code, said) = ends(&node.hub, &["check"]).await?;
    ensure!(code == Some(0), "{said}");
    let (_, said) = ends(&node.hub, &["doctor"]).await?;
    ensure!(
        said.contains(&format!("is mounted over {}", folder.display())),
        "{said}"
    );
    ensure!(said.contains("umount --lazy"), "{said}");
    node.run()?;
    is_free(&folder).await?;
    is_mounted(&node.dumps(), SHUT).await?;
    reads(&node.dumps().join("page.txt"), "Apple").await?;
    node.kill()?;
    let _two = dead.over(&folder)?;
    let (code, said) = ends(&node.hub, &["down"]).await?;
    ensure!(code == Some(0), "{said}");
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let left = node.directory().display().to_string();
    ensure!(!table.contains(&left), "{said}{table}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_whole_directory_is_covered_all_commands_end_and_say_what_to_do() -> Result<()> {
    let dead = Dead::new()?;
    let source = TempDir::new()?;
    std::fs::write(source.path().join("page.txt"), "Apple")?;
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    let mut hub = Hub::new(
        Wish::default()
            .config(&format!("[docker]\nimage = \"{image}\""))
            .config(&dumps_from(source.path())),
    )?;
    let directory = hub.data_dir().join("mounts");
    std::fs::create_dir_all(&directory)?;
    let over = dead.over(&directory)?;
    let words = format!(
        "is mounted over {0}, and may hold whoever looks at it: take it away with `umount --lazy {0}`",
        directory.display()
    );
    for command in [&["node"][..], &["doctor"], &["node", "--unmount"]] {
        let (code, said) = ends(&hub, command).await?;
        ensure!(
            code != Some(0) && said.contains(&words),
            "{command:?} ended with {code:?}: {said}"
        );
    }
    let (code, said) = ends(&hub, &["check"]).await?;
    ensure!(code == Some(0), "{said}");
    // The hub comes up without mounts, says so, and its pages answer.
    hub.up().await?;
    ensure!(hub.said().contains(&words), "{}", hub.said());
    let rook = Person::user(&hub, "Rook").await?;
    let page = tokio::time::timeout(Duration::from_secs(5), super::page(&rook, "/hub/home"));
    ensure!(page.await??.contains("Not there"), "it is told");
    // The engine is not sent there either.
    tokio::time::timeout(SOON, rook.start("")).await??;
    let (_, said) = ends(&hub, &["down"]).await?;
    ensure!(said.contains(&words), "{said}");
    // Done as it was told: it comes up with its mounts.
    drop(over);
    hub.up().await?;
    reads(&directory.join("mnt+nfs/dumps/page.txt"), "Apple").await
}
