//! Sources that are another directory later, and what is mounted below them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use holt_tests::dying::{Dying, Mode};
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use tempfile::TempDir;

use super::node::{Mounted, Node, SHUT, is_mounted, lines, reads};
use super::{SOON, container, dumps_from, home_says, hub, sees, system};

fn directory_with(parent: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = parent.join(name);
    std::fs::create_dir_all(&path)?;
    std::fs::write(path.join("page.txt"), text)?;
    Ok(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_at_a_source_and_unmounted_there_reaches_running_notebooks() -> Result<()> {
    let folder = TempDir::new()?;
    let source = directory_with(folder.path(), "dumps", "Apple")?;
    let hub = hub(&dumps_from(&source)).await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    let server = container(&hub).await?;
    let read = ["cat", "/public/dumps/public/page.txt"];
    sees(&server, &read, "Apple").await?;

    let over = Mounted::at(&source, "tmpfs", "none")?;
    std::fs::write(source.join("page.txt"), "Pear")?;
    sees(&server, &read, "Pear").await?;
    home_says(&rook, "There since").await?;
    eventually("the log tells it", SOON, || async {
        let said = hub.said();
        let is_told = said.contains("is another directory now, of none (tmpfs)");
        if is_told { Ok(()) } else { Err(said) }
    })
    .await?;
    let status = std::fs::read_to_string(hub.data_dir().join("mounts/status.json"))?;
    ensure!(status.contains("is another directory now"), "{status}");

    drop(over);
    sees(&server, &read, "Apple").await?;
    home_says(&rook, "There since").await?;
    // Above it.
    let over = Mounted::at(folder.path(), "tmpfs", "none")?;
    directory_with(folder.path(), "dumps", "Plum")?;
    sees(&server, &read, "Plum").await?;
    drop(over);
    sees(&server, &read, "Apple").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_a_source_that_leads_elsewhere_later_is_followed() -> Result<()> {
    let folder = TempDir::new()?;
    let one = directory_with(folder.path(), "one", "One")?;
    let two = directory_with(folder.path(), "two", "Two")?;
    directory_with(&one, "sub", "")?;
    let link = folder.path().join("current");
    std::os::unix::fs::symlink("one", &link)?;
    let _sub = Mounted::at(&one.join("sub"), "tmpfs", "none")?;
    std::fs::write(one.join("sub/page.txt"), "Sub")?;

    let mut node = Node::start(&dumps_from(&link))?;
    let page = node.dumps().join("page.txt");
    let sub = node.dumps().join("sub");
    reads(&page, "One").await?;
    reads(&sub.join("page.txt"), "Sub").await?;
    let made = is_mounted(&sub, SHUT).await?;

    // The next node knows as much, and leaves alone what is as it should be.
    node.kill()?;
    let before = node.said().len();
    node.run()?;
    eventually("the next node has looked", SOON, || async {
        let said = node.said().split_off(before);
        let has_looked = said.contains("A mount is there and answers");
        if has_looked { Ok(()) } else { Err(said) }
    })
    .await?;
    reads(&sub.join("page.txt"), "Sub").await?;
    ensure!(is_mounted(&sub, SHUT).await? == made, "{}", node.said());

    // While there is no link, what is there stays.
    std::fs::remove_file(&link)?;
    node.says("The source of a mount cannot be found").await?;
    reads(&page, "One").await?;
    std::os::unix::fs::symlink("two", &link)?;
    reads(&page, "Two").await?;
    node.says(&format!("its source leads to {} now", two.display()))
        .await?;
    is_mounted(&node.dumps(), SHUT).await?;
    ensure!(!sub.exists(), "what was below the other source is there");

    // A new directory is put in the place of the old one.
    std::fs::rename(&two, folder.path().join("old"))?;
    directory_with(folder.path(), "two", "New")?;
    reads(&page, "New").await?;
    node.says("its source was renamed or deleted").await?;

    // Who is not root may not say which directory of the machine is shown.
    std::os::unix::fs::lchown(&link, Some(65534), Some(65534))?;
    node.says("others than root may change").await?;
    eventually("it is not there", SOON, || async {
        std::fs::read_to_string(&page).map_or(Ok(()), Err)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_below_a_source_holds_up_neither_the_mount_nor_the_others() -> Result<()> {
    let server = Dying::new()?;
    let source = TempDir::new()?;
    directory_with(source.path(), "", "Apple")?;
    let mut mounted = Vec::new();
    // Those that hang are first by name.
    for name in ["a-far", "b-far", "c-far"] {
        let point = directory_with(source.path(), name, "")?;
        mounted.push(Mounted::at(&point, "fuse3", &server.source()?)?);
    }
    for name in ["near", "other"] {
        let point = directory_with(source.path(), name, "")?;
        mounted.push(Mounted::at(&point, "tmpfs", "none")?);
        std::fs::write(point.join("page.txt"), name)?;
        let inner = directory_with(&point, "inner", "")?;
        mounted.push(Mounted::at(&inner, "tmpfs", "none")?);
        std::fs::write(inner.join("page.txt"), "inner")?;
    }
    server.be(Mode::Hang)?;
    let node = Node::with(
        "check_every = \"1s\"\nanswer_within = \"4s\"\nmount_within = \"5s\"\nretry_most = \"1s\"",
        &dumps_from(source.path()),
    )?;
    for name in ["near", "other"] {
        reads(&node.dumps().join(name).join("page.txt"), name).await?;
        reads(&node.dumps().join(name).join("inner/page.txt"), "inner").await?;
    }
    node.says("it did not answer within 4 s").await?;
    let said = node.said();
    let told = |words: &str| said.find(words).with_context(|| format!("{words}: {said}"));
    let late = told("it did not answer within 4 s")?;
    ensure!(told("A mount is there and answers")? < late, "{said}");
    for name in ["near", "near/inner", "other", "other/inner"] {
        ensure!(told(&format!("\"path\":\"{name}\""))? < late, "{said}");
    }
    for name in ["a-far", "b-far", "c-far"] {
        ensure!(lines(&node.dumps().join(name))?.is_empty());
        let nothing_left = || async {
            let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            let staging = node.directory().join(".staging/dumps");
            let is_left = table.contains(&format!(" {}", staging.display()));
            if is_left { Err(table) } else { Ok(()) }
        };
        eventually("nothing is left in staging", SOON, nothing_left).await?;
    }
    server.be(Mode::Well)?;
    for name in ["a-far", "b-far", "c-far"] {
        is_mounted(&node.dumps().join(name), SHUT).await?;
    }
    drop(mounted);
    Ok(())
}

/// Whoever asks those that hang waits for a minute; the mount itself is looked at all the same, and is back at once.
#[tokio::test(flavor = "multi_thread")]
async fn however_many_hang_below_a_source_the_mount_itself_is_back_as_soon_as_ever() -> Result<()> {
    let server = Dying::new()?;
    let source = TempDir::new()?;
    directory_with(source.path(), "", "Apple")?;
    let mut mounted = Vec::new();
    for number in 0..60 {
        let point = directory_with(source.path(), &format!("far-{number}"), "")?;
        let next = match mounted.first() {
            None => Mounted::at(&point, "fuse3", &server.source()?)?,
            Some(first) => Mounted::again_at(first, &point)?,
        };
        mounted.push(next);
    }
    server.be(Mode::Hang)?;
    let node = Node::with(
        "check_every = \"1s\"\nanswer_within = \"60s\"\nmount_within = \"60s\"\nretry_most = \"1s\"",
        &dumps_from(source.path()),
    )?;
    let place = node.dumps();
    reads(&place.join("page.txt"), "Apple").await?;
    eventually("some are being asked", SOON, || async {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let staging = node.directory().join(".staging/dumps+parts/");
        if table.contains(&format!(" {}", staging.display())) {
            Ok(())
        } else {
            Err(node.said())
        }
    })
    .await?;
    for _ in 0..3 {
        is_mounted(&place, SHUT).await?;
        rustix::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH)?;
        is_mounted(&place, SHUT).await?;
        reads(&place.join("page.txt"), "Apple").await?;
    }
    let options = "remount,bind,rw,nosuid,nodev,noexec";
    system("mount", &["-o", options, &place.to_string_lossy()])?;
    node.says("its flags were changed from").await?;
    is_mounted(&place, SHUT).await?;
    reads(&place.join("page.txt"), "Apple").await?;
    let said = node.said();
    ensure!(!said.contains("did not answer within"), "{said}");
    server.be(Mode::Well)?;
    for number in [0, 59] {
        is_mounted(&place.join(format!("far-{number}")), SHUT).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_below_a_source_need_not_be_letters_of_any_kind() -> Result<()> {
    let source = TempDir::new()?;
    let name = OsStr::from_bytes(b"d\xe4ten \xff");
    let point = source.path().join(name);
    std::fs::create_dir(&point)?;
    let mounted = Mounted::at(&point, "tmpfs", "none")?;
    std::fs::write(point.join("page.txt"), "Apple")?;
    let node = Node::start(&dumps_from(source.path()))?;
    let place = node.dumps().join(name);
    reads(&place.join("page.txt"), "Apple").await?;
    ensure!(std::fs::write(place.join("x"), "").is_err());
    // Asked there, and taken away.
    node.says("What is mounted below the source is there too")
        .await?;
    drop(mounted);
    eventually("it is taken away", SOON, || async {
        let left = std::fs::read_to_string(place.join("page.txt"));
        left.map_or(Ok(()), Err)
    })
    .await
}

/// The node itself is never held: it goes on telling how things are while a server hangs in what is being made.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_from_the_first_question_on_does_not_hold_the_node() -> Result<()> {
    let server = Dying::new()?;
    server.be(Mode::Hang)?;
    let node = Node::with(
        "check_every = \"1s\"\nanswer_within = \"1s\"\nmount_within = \"12s\"\nretry_most = \"10m\"",
        &server.as_dumps()?,
    )?;
    let written = || -> Result<u64> {
        let text = std::fs::read(node.directory().join("status.json"))?;
        let status: serde_json::Value = serde_json::from_slice(&text)?;
        status["written"].as_u64().context("when it was written")
    };
    let staging = node.directory().join(".staging/dumps");
    let is_staged = || -> Result<bool> {
        let table = std::fs::read_to_string("/proc/self/mountinfo")?;
        Ok(table.contains(&format!(" {} ", staging.display())))
    };
    eventually("it is being made", SOON, || async {
        match is_staged() {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    let began = written()?;
    eventually("the node tells more while it hangs", SOON, || async {
        match (written(), is_staged()) {
            (Ok(now), Ok(true)) if now > began + 3000 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    let late = "it could not be mounted within 12 s";
    ensure!(!node.said().contains(late), "it told nothing before");
    node.says(late).await?;
    // Given up, it holds nobody any more.
    eventually("nothing is left half made", SOON, || async {
        match is_staged() {
            Ok(false) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}
