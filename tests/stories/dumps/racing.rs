//! Whoever may change names below a source, on the machine or on its file server, leads root nowhere.
//!
//! The file server here changes a directory to a link behind the kernel's back. The list of mounts goes on to name what was mounted there
//! until somebody walks that way, so whoever walks for root meets the link, each time.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use holt_tests::dying::Dying;
use holt_tests::hub::{Hub, Wish};
use holt_tests::wait::eventually;
use rustix::mount::UnmountFlags;
use tempfile::TempDir;

use super::node::{Mounted, Node, SHUT, is_mounted, lines, reads};
use super::{SOON, dumps_from};

/// A directory of a file server with something mounted at `a/b` in it, and one elsewhere that has `b` too.
struct Ground {
    server: Dying,
    source: TempDir,
    elsewhere: TempDir,
    _mounted: [Mounted; 2],
}

impl Ground {
    fn new() -> Result<Self> {
        let server = Dying::new()?;
        std::fs::create_dir_all(server.tree().join("a/b"))?;
        std::fs::write(server.tree().join("page.txt"), "Apple")?;
        let source = TempDir::new()?;
        let elsewhere = TempDir::new()?;
        std::fs::create_dir(elsewhere.path().join("b"))?;
        std::fs::write(elsewhere.path().join("b/key.txt"), "secret")?;
        let whole = Mounted::at(source.path(), "fuse3", &server.source()?)?;
        let part = Mounted::at(&source.path().join("a/b"), "tmpfs", "none")?;
        std::fs::write(source.path().join("a/b/plum.txt"), "Plum")?;
        Ok(Self {
            server,
            source,
            elsewhere,
            _mounted: [part, whole],
        })
    }

    /// Where `a` was is a link now, and the kernel knows nothing of it.
    fn change_names(&self) -> Result<()> {
        let tree = self.server.tree();
        std::fs::rename(tree.join("a"), tree.join("old"))?;
        std::os::unix::fs::symlink(self.elsewhere.path(), tree.join("a"))?;
        Ok(())
    }

    fn elsewhere(&self) -> PathBuf {
        self.elsewhere.path().join("b")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_came_in_the_way_is_not_mounted_nor_mounted_over() -> Result<()> {
    let ground = Ground::new()?;
    ground.change_names()?;
    let node = Node::start(&dumps_from(ground.source.path()))?;
    reads(&node.dumps().join("page.txt"), "Apple").await?;
    node.says("a link is on the way").await?;
    ensure!(
        lines(&ground.elsewhere())?.is_empty(),
        "something is mounted elsewhere: {:?}",
        lines(&ground.elsewhere())?
    );
    reads(&ground.elsewhere().join("key.txt"), "secret").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_where_a_link_leads_is_not_taken_away() -> Result<()> {
    let ground = Ground::new()?;
    let node = Node::with(
        "check_every = \"10m\"\nanswer_within = \"2s\"",
        &dumps_from(ground.source.path()),
    )?;
    let place = node.dumps().join("a/b");
    reads(&place.join("plum.txt"), "Plum").await?;
    is_mounted(&place, SHUT).await?;
    let elsewhere = ground.elsewhere();
    let _theirs = Mounted::at(&elsewhere, "tmpfs", "none")?;
    std::fs::write(elsewhere.join("fig.txt"), "Fig")?;

    // Unmounted without anybody walking there: ours is to go as well.
    let held = File::open(ground.source.path().join("a/b"))?;
    ground.change_names()?;
    let name = format!("/proc/self/fd/{}", held.as_raw_fd());
    rustix::mount::unmount(&name, UnmountFlags::DETACH)?;
    eventually("ours is taken away", SOON, || async {
        let said = node.said();
        let is_done = said.contains("was taken away: its source has it no more");
        if is_done { Ok(()) } else { Err(said) }
    })
    .await?;
    ensure!(
        lines(&elsewhere)?.len() == 1,
        "what is mounted elsewhere was taken away"
    );
    reads(&elsewhere.join("fig.txt"), "Fig").await
}

/// A process of a node that has ended would be in the way of the next node.
#[tokio::test(flavor = "multi_thread")]
async fn a_hand_whose_node_has_ended_does_nothing() -> Result<()> {
    let hub = Hub::new(Wish::default())?;
    let hand = async |node: u32| -> Result<(bool, String)> {
        let errand = format!("{{\"node\":{node},\"job\":{{\"Find\":{{\"source\":\"/\"}}}}}}");
        let mut child = hub
            .command(&["node-hand"])?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut stdin = child.stdin.take().context("its input")?;
        stdin.write_all(errand.as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.success(), said))
    };
    let (is_done, said) = hand(std::process::id()).await?;
    ensure!(is_done && said.contains("Done"), "{said}");
    let (is_done, said) = hand(std::process::id() + 1).await?;
    ensure!(!is_done && said.is_empty(), "{said}");
    Ok(())
}
