//! Whoever may change names below a source, on the machine or on its file server, leads root nowhere.
//!
//! The file server here changes a directory to a link behind the kernel's back. The list of mounts goes on to name what was mounted there
//! until somebody walks that way, so whoever walks for root meets the link, each time.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, lchown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use holt_tests::dying::Dying;
use holt_tests::hub::{Hub, Wish};
use holt_tests::wait::eventually;
use rustix::mount::UnmountFlags;
use tempfile::TempDir;

use super::node::{Mounted, Node, SHUT, is_mounted, lines, reads};
use super::{SOON, dumps_from, system};

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
        symlink(self.elsewhere.path(), tree.join("a"))?;
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

/// A directory of root's, one of somebody's, and what neither shows anybody.
struct Village {
    all: TempDir,
}

impl Village {
    fn new() -> Result<Self> {
        let village = Self {
            all: TempDir::new()?,
        };
        for name in ["r", "bob", "vault/private"] {
            std::fs::create_dir_all(village.at(name))?;
        }
        std::fs::write(village.at("vault/private/key.txt"), "secret")?;
        village.mode("vault", 0o700)?;
        Ok(village)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.all.path().join(name)
    }

    fn mode(&self, name: &str, mode: u32) -> Result<()> {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        Ok(std::fs::set_permissions(self.at(name), mode)?)
    }

    fn give(&self, name: &str) -> Result<()> {
        Ok(lchown(self.at(name), Some(65534), Some(65534))?)
    }

    fn link(&self, to: &str, name: &str) -> Result<()> {
        Ok(symlink(to, self.at(name))?)
    }
}

/// The link that is written down is root's, and leads through what is somebody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_somebodys_behind_one_of_roots_leads_nowhere() -> Result<()> {
    let village = Village::new()?;
    let (private, vault) = (village.at("vault/private"), village.at("vault"));
    let [private, vault] = [&private, &vault].map(|path| path.display().to_string());
    for (to, name) in [
        (&*private, "bob/cur"),
        (&*vault, "bob/up"),
        ("../bob/cur", "r/share"),
        ("../bob/up", "r/up"),
    ] {
        village.link(to, name)?;
    }
    for name in ["bob", "bob/cur", "bob/up"] {
        village.give(name)?;
    }
    for (source, more) in [
        ("r/share", ""),
        ("r/share", "\nread_only = false\nowner = \"52771:52771\""),
        ("r/up/private", ""),
        (
            "r/up/private",
            "\nread_only = false\nowner = \"52771:52771\"",
        ),
    ] {
        let node = Node::start(&format!("{}{more}", dumps_from(&village.at(source))))?;
        let words = format!(
            "others than root may change {}",
            village.at("bob").display()
        );
        node.says(&words).await?;
        ensure!(lines(&node.dumps())?.is_empty(), "{source}: it is shown");
    }
    let owner = std::fs::metadata(village.at("vault/private"))?.uid();
    ensure!(owner == 0, "it was given to {owner}");
    Ok(())
}

/// It leads so deep that a look at the whole path fails, while the kernel follows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_too_long_for_a_look_is_looked_at() -> Result<()> {
    let village = Village::new()?;
    let names = |count| format!("{}/", "d".repeat(250)).repeat(count);
    let deep = village.at("bob").join(names(14));
    std::fs::create_dir_all(&deep)?;
    symlink(village.at("vault/private"), deep.join("cur"))?;
    let far = village.at(&names(4));
    std::fs::create_dir_all(&far)?;
    let (bob, source) = (far.join("bob"), far.join("share"));
    std::fs::rename(village.at("bob"), &bob)?;
    symlink(format!("bob/{}cur", names(14)), &source)?;
    lchown(&bob, Some(65534), Some(65534))?;
    ensure!(source.canonicalize().is_err() && std::fs::metadata(&source)?.is_dir());
    let node = Node::start(&dumps_from(&source))?;
    let words = format!("others than root may change {}", bob.display());
    node.says(&words).await?;
    ensure!(lines(&node.dumps())?.is_empty(), "it is shown");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_image_that_somebody_may_swap_is_not_mounted() -> Result<()> {
    let village = Village::new()?;
    let (other, image) = (village.at("vault/other.img"), village.at("bob/team.img"));
    std::fs::File::create(&other)?.set_len(16 << 20)?;
    system("mkfs.ext4", &["-q", &other.display().to_string()])?;
    let mount = |kind: &str, more: &str| {
        format!(
            "[mount.dumps]\nkind = \"{kind}\"\nsource = \"{}\"\ntarget = \"/mnt/nfs/dumps\"\n{more}",
            image.display()
        )
    };
    let refused = async |mount: &str, words: &str| -> Result<()> {
        let node = Node::start(mount)?;
        node.says(words).await?;
        ensure!(lines(&node.dumps())?.is_empty(), "it is mounted");
        Ok(())
    };
    let whole = mount("image", "read_only = false\nquota = \"16MiB\"");
    // None is there, and none is made where somebody could swap it.
    village.give("bob")?;
    let words = format!(
        "others than root may change {}",
        village.at("bob").display()
    );
    refused(&whole, &words).await?;
    ensure!(std::fs::read_dir(village.at("bob"))?.next().is_none());
    symlink(&other, &image)?;
    village.give("bob/team.img")?;
    refused(&whole, &words).await?;
    refused(&mount("ext4", ""), &words).await?;
    // The directory is root's again; what is in it is not.
    std::os::unix::fs::chown(village.at("bob"), Some(0), Some(0))?;
    refused(&whole, "is a link").await?;
    std::fs::remove_file(&image)?;
    std::fs::copy(&other, &image)?;
    village.give("bob/team.img")?;
    let words = "root's kernel would read what they made up";
    refused(&whole, words).await?;
    refused(&mount("ext4", ""), words).await?;
    std::os::unix::fs::chown(&image, Some(0), Some(0))?;
    for lawful in [&whole, &mount("ext4", "")] {
        let node = Node::start(lawful)?;
        node.says("A mount is there and answers").await?;
    }
    Ok(())
}

/// A process of a node that has ended would be in the way of the next node.
#[tokio::test(flavor = "multi_thread")]
async fn a_hand_whose_node_has_ended_does_nothing() -> Result<()> {
    let hub = Hub::new(Wish::default())?;
    let hand = async |node: u32| -> Result<(bool, String)> {
        let errand = format!("{{\"node\":{node},\"job\":{{\"Find\":{{\"source\":\"/\"}}}}}}\n");
        let mut child = hub
            .command(&["node-hand"])?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // It ends its group.
            .process_group(0)
            .spawn()?;
        let mut stdin = child.stdin.take().context("its input")?;
        stdin.write_all(errand.as_bytes())?;
        // Open until the answer is there: its end ends the process.
        let output = child.wait_with_output()?;
        drop(stdin);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.success(), said))
    };
    let (is_done, said) = hand(std::process::id()).await?;
    ensure!(is_done && said.contains("Done"), "{said}");
    let (is_done, said) = hand(std::process::id() + 1).await?;
    ensure!(!is_done && said.is_empty(), "{said}");
    Ok(())
}
