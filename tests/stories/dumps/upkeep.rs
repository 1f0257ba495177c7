//! What `holt node` sees to beside its mounts: whose its directory is, whether it is shared, and what is left of earlier ones.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use holt_tests::dying::{Dying, Mode};
use holt_tests::wait::eventually;
use tempfile::TempDir;

use super::node::{Mounted, Node, ends, is_mounted, lines, reads};
use super::{SOON, dumps_from, system};

fn apple() -> Result<TempDir> {
    let source = TempDir::new()?;
    std::fs::write(source.path().join("page.txt"), "Apple")?;
    Ok(source)
}

/// 1. One node has mounts in a directory; another data directory names the same one.
/// 2. The second node is told whose it is, while the first runs and after it was killed, and takes nothing away.
/// 3. The first data directory is moved: the second is told how to take it over, and then begins.
#[tokio::test(flavor = "multi_thread")]
async fn two_data_directories_have_no_directory_of_mounts_together() -> Result<()> {
    let (source, elsewhere) = (apple()?, TempDir::new()?);
    let mounts = elsewhere.path().join("mounts");
    let mut first = Node::start_in(Some(&mounts), &dumps_from(source.path()))?;
    let page = first.dumps().join("page.txt");
    reads(&page, "Apple").await?;
    let mut second = Node::new(Some(&mounts), &dumps_from(source.path()))?;
    let whose = first.hub.data_dir().display().to_string();
    for is_running in [true, false] {
        if !is_running {
            first.kill()?;
        }
        for command in [&["node"][..], &["node", "--unmount"]] {
            let (code, said) = ends(&second.hub, command).await?;
            ensure!(code == Some(69), "{code:?}: {said}");
            for words in ["node.directory", &whose, "holt node --unmount --take-over"] {
                ensure!(said.contains(words), "no {words:?} in {said}");
            }
            ensure!(
                said.contains("whose node runs (pid ") == is_running,
                "{said}"
            );
        }
        is_mounted(&first.dumps(), "ro,nosuid").await?;
        reads(&page, "Apple").await?;
    }
    let (code, said) = ends(&second.hub, &["down"]).await?;
    ensure!(code == Some(0), "{said}");
    reads(&page, "Apple").await?;

    let (code, said) = ends(&second.hub, &["node", "--unmount", "--take-over"]).await?;
    ensure!(code == Some(0), "{said}");
    ensure!(lines(&mounts)?.is_empty(), "mounts are left");
    second.run()?;
    reads(&page, "Apple").await?;
    let (code, said) = ends(&first.hub, &["node"]).await?;
    ensure!(code == Some(69), "{code:?}: {said}");
    // Once it left nothing, the directory is anybody's.
    second.kill()?;
    let (code, said) = ends(&second.hub, &["node", "--unmount"]).await?;
    ensure!(code == Some(0), "{said}");
    first.run()?;
    reads(&page, "Apple").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_somebody_made_private_is_shared_again_and_that_is_told() -> Result<()> {
    let source = apple()?;
    let mut node = Node::start(&dumps_from(source.path()))?;
    reads(&node.dumps().join("page.txt"), "Apple").await?;
    let directory = node.directory();
    let is_shared = async || {
        eventually("the directory is shared", SOON, || async {
            match lines(&directory)
                .map_err(|error| format!("{error:#}"))?
                .as_slice()
            {
                [line] if line.contains(" shared:") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    };
    is_shared().await?;
    node.tells("\"shared_anew\":null").await?;
    let private = |place: &Path| system("mount", &["--make-private", &place.to_string_lossy()]);
    private(&directory)?;
    node.says("it is shared again").await?;
    is_shared().await?;
    node.tells("\"shared_anew\":1").await?;
    ensure!(
        node.said().matches("it is shared again").count() == 1,
        "{}",
        node.said()
    );
    let (_, said) = ends(&node.hub, &["doctor"]).await?;
    ensure!(
        said.contains("was made private or unmounted by somebody")
            && said.contains("restart those servers"),
        "{said}"
    );
    // While no node looks, and the next one finds it.
    node.kill()?;
    private(&directory)?;
    node.run()?;
    is_shared().await?;
    eventually("the next one tells it too", SOON, || async {
        match node.said().matches("it is shared again").count() {
            2 => Ok(()),
            _ => Err(node.said()),
        }
    })
    .await?;
    reads(&node.dumps().join("page.txt"), "Apple").await
}

/// The program that mounts is slow; the node is killed or ended meanwhile, many times. What it had sent out ends, and mounts nothing later.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_sent_by_a_node_that_was_killed_ends_too() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = TempDir::new()?;
    let program = folder.path().join("slow");
    let pid = folder.path().join("pid");
    std::fs::write(
        &program,
        format!(
            "#!/bin/sh\necho $$ > {0}.new; mv {0}.new {0}\nsleep 1000\nmount -t tmpfs late \"$2\"\n",
            pid.display()
        ),
    )?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let mut node = Node::new(
        None,
        &format!(
            "[mount.dumps]\nsource = \"{}#x\"\nkind = \"fuse3\"\ntarget = \"/mnt/nfs/dumps\"",
            program.display()
        ),
    )?;
    // Once it may end by luck.
    for round in 0..12 {
        node.run()?;
        let slow = eventually("the slow program runs", SOON, || async {
            std::fs::read_to_string(&pid).map_err(|error| format!("{error} {}", node.said()))
        })
        .await?;
        let process = Path::new("/proc").join(slow.trim());
        let line = std::fs::read_to_string(process.join("stat")).context("it has just begun")?;
        let group = line.split(' ').nth(4).context("its group")?.to_owned();
        match round % 3 {
            0 => node.end().await?,
            _ => node.kill()?,
        }
        eventually(
            &format!("nobody of its group is left, round {round}"),
            SOON,
            || async {
                let found = std::process::Command::new("pgrep")
                    .args(["-g", &group])
                    .output();
                match found {
                    Ok(output) if output.stdout.is_empty() => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            },
        )
        .await?;
        std::fs::remove_file(&pid)?;
    }
    Ok(())
}

/// Something is mounted over what is being made once that has its flags, and before it is moved to its place.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_over_what_is_being_made_is_not_placed() -> Result<()> {
    let server = Dying::new()?;
    std::fs::write(server.tree().join("page.txt"), "Apple")?;
    server.be(Mode::Hang)?;
    let node = Node::with(
        "check_every = \"1s\"\nanswer_within = \"2s\"\nmount_within = \"60s\"\nretry_most = \"1s\"",
        &server.as_dumps()?,
    )?;
    let staging = node.directory().join(".staging/dumps");
    let staged = || -> Result<Vec<String>> {
        let table = std::fs::read_to_string("/proc/self/mountinfo")?;
        let is_there = |line: &&str| line.split(' ').nth(4) == staging.to_str();
        Ok(table.lines().filter(is_there).map(str::to_owned).collect())
    };
    eventually("it has its flags, and is asked", SOON, || async {
        match staged().map_err(|error| error.to_string())?.as_slice() {
            [line] if line.contains(" ro,nosuid,nodev,noexec") => Ok(()),
            other => Err(format!("{other:?} {}", node.said())),
        }
    })
    .await?;
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("late", &staging, "tmpfs", flags, None)?;
    server.be(Mode::Well)?;
    node.says("something else was mounted meanwhile where it is made")
        .await?;
    let line = is_mounted(&node.dumps(), "ro,nosuid,nodev,noexec").await?;
    ensure!(!line.contains(" late "), "{line}");
    reads(&node.dumps().join("page.txt"), "Apple").await?;
    ensure!(staged()?.is_empty(), "it is left half made");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_node_left_in_the_staging_directory_is_removed_if_it_is_empty() -> Result<()>
{
    let source = apple()?;
    let mut node = Node::start(&dumps_from(source.path()))?;
    reads(&node.dumps().join("page.txt"), "Apple").await?;
    node.kill()?;
    let staging = node.directory().join(".staging");
    for name in ["old", "old+parts", "dumps+parts", "full/inner"] {
        std::fs::create_dir_all(staging.join(name))?;
    }
    std::fs::write(staging.join("old+parts.file"), "")?;
    std::fs::write(staging.join("plan"), "mine")?;
    // One that hung in the middle of its work left it mounted.
    let left = staging.join("old+parts");
    let _left = Mounted::at(&left, "tmpfs", "none")?;
    node.run()?;
    eventually("it is tidy", SOON, || async {
        let names = std::fs::read_dir(&staging).map_err(|error| error.to_string())?;
        let mut names: Vec<_> = names.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        if names == ["dumps", "dumps+parts", "full", "plan"] {
            Ok(())
        } else {
            Err(format!("{names:?} {}", node.said()))
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_image_keeps_its_size_and_that_is_told() -> Result<()> {
    let folder = TempDir::new()?;
    let image = folder.path().join("team.img");
    let mut node = Node::start(&format!(
        "[mount.team]\nkind = \"image\"\nsource = \"{}\"\ntarget = \"/srv/team/files\"\nread_only = false\nquota = \"16MiB\"",
        image.display()
    ))?;
    let place = node.directory().join("srv+team/files");
    is_mounted(&place, "rw,nosuid").await?;
    node.tells("\"notes\":[]").await?;
    node.kill()?;
    let settings = node.hub.scratch("holt.toml");
    let text = std::fs::read_to_string(&settings)?.replace("16MiB", "32MiB");
    std::fs::write(&settings, text)?;
    let (code, said) = ends(&node.hub, &["check"]).await?;
    ensure!(code == Some(0) && said.contains("is 16MiB large"), "{said}");
    node.run()?;
    node.tells("is 16MiB large, and stays so, though quota is 32MiB")
        .await?;
    is_mounted(&place, "rw,nosuid").await?;
    let (_, said) = ends(&node.hub, &["doctor"]).await?;
    ensure!(
        said.contains("the mount team: ") && said.contains("is 16MiB large"),
        "{said}"
    );
    Ok(())
}

/// While its disk is not mounted the image is not there, and an empty one would be served in its stead.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_image_that_is_gone_is_not_made_anew_until_somebody_says_so() -> Result<()> {
    let folder = TempDir::new()?;
    let disk = Mounted::at(folder.path(), "tmpfs", "none")?;
    let image = folder.path().join("team.img");
    let mut node = Node::start(&format!(
        "[mount.team]\nkind = \"image\"\nsource = \"{}\"\ntarget = \"/srv/team/files\"\nread_only = false\nquota = \"16MiB\"",
        image.display()
    ))?;
    let place = node.directory().join("srv+team/files");
    is_mounted(&place, "rw,nosuid").await?;
    node.tells(&format!("\"image\":\"{}\"", image.display()))
        .await?;
    // The machine is started anew, and its disk is not mounted.
    node.kill()?;
    let status = node.directory().join("status.json");
    let mut told: serde_json::Value = serde_json::from_slice(&std::fs::read(&status)?)?;
    told["boot"] = "another".into();
    std::fs::write(&status, told.to_string())?;
    rustix::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH)?;
    drop(disk);
    node.run()?;
    node.says("was there before and is gone").await?;
    ensure!(!image.exists(), "an empty one was made");
    node.kill()?;
    node.run()?;
    node.tells("was there before and is gone").await?;
    ensure!(!image.exists(), "an empty one was made");
    node.kill()?;
    let (code, said) = ends(&node.hub, &["node", "--unmount"]).await?;
    ensure!(code == Some(0), "{said}");
    node.run()?;
    is_mounted(&place, "rw,nosuid").await?;
    ensure!(image.exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_mounts_below_a_source_than_are_followed_are_told() -> Result<()> {
    let source = apple()?;
    let mut many = Vec::new();
    for number in 0..130 {
        let place = source.path().join(number.to_string());
        std::fs::create_dir(&place)?;
        rustix::mount::mount_bind(source.path().join("0"), &place)?;
        many.push(Mounted(place));
    }
    let node = Node::start(&dumps_from(source.path()))?;
    node.tells("2 of the mounts below its source are left out")
        .await?;
    reads(&node.dumps().join("page.txt"), "Apple").await
}
