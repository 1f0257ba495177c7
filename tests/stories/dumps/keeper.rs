//! `holt node` alone, without servers: what it notices, what it mends, and what it takes away.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Result, ensure};
use holt_tests::dying::{Dying, Mode};
use holt_tests::hub::Wish;
use holt_tests::wait::eventually;
use tempfile::TempDir;

use super::node::{Mounted, Node, SHUT, is_mounted, lines, reads};
use super::{SOON, dumps_from, system};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_over_it_and_changed_flags_are_noticed_and_mended() -> Result<()> {
    let source = TempDir::new()?;
    std::fs::write(source.path().join("page.txt"), "Apple")?;
    let node = Node::start(&format!(
        "{}\n[mount.team]\nsource = \"{}\"\ntarget = \"/srv/team/files\"\nread_only = false",
        dumps_from(source.path()),
        source.path().display()
    ))?;
    let place = node.dumps();
    let team = node.directory().join("srv+team/files");
    is_mounted(&place, SHUT).await?;
    is_mounted(&team, "rw,nosuid,nodev,noexec").await?;

    let cover = |place: &Path| system("mount", &["-t", "tmpfs", "none", &place.to_string_lossy()]);
    // The one that was covered goes too: only the next one stays.
    let is_made_times = async |times: usize| {
        eventually(&format!("it was made {times} times"), SOON, || async {
            let said = node.said();
            let made = said.lines().filter(|line| {
                line.contains("A mount is there and answers") && line.contains("\"dumps\"")
            });
            if made.count() == times {
                Ok(())
            } else {
                Err(said)
            }
        })
        .await
    };
    cover(&place)?;
    node.says("something else is mounted over its place")
        .await?;
    is_made_times(2).await?;
    is_mounted(&place, SHUT).await?;
    reads(&place.join("page.txt"), "Apple").await?;

    let folder = node.directory().join("mnt+nfs");
    cover(&folder)?;
    node.says(
        "What was mounted in the directory of mounts, and is not wanted there, was taken away",
    )
    .await?;
    eventually("the folder is free", SOON, || async {
        match lines(&folder) {
            Ok(lines) if lines.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    is_mounted(&place, SHUT).await?;
    reads(&place.join("page.txt"), "Apple").await?;

    // Their copies in containers have old flags for ever: only a new mount reaches them, not another change of flags.
    for (number, (place, flags, shut)) in [
        (&place, "rw,nosuid,nodev,noexec", SHUT),
        (&place, "ro,suid,nodev,noexec", SHUT),
        (&place, "ro,nosuid,dev,noexec", SHUT),
        (&place, "ro,nosuid,nodev,exec", SHUT),
        (&team, SHUT, "rw,nosuid,nodev,noexec"),
    ]
    .into_iter()
    .enumerate()
    {
        is_mounted(place, shut).await?;
        let options = format!("remount,bind,{flags}");
        system("mount", &["-o", &options, &place.to_string_lossy()])?;
        eventually("the change is told", SOON, || async {
            let told = node.said().matches("its flags were changed from").count();
            if told == number + 1 {
                Ok(())
            } else {
                Err(node.said())
            }
        })
        .await?;
        is_mounted(place, shut).await?;
        reads(&place.join("page.txt"), "Apple").await?;
    }

    // Who mounts over it while no node looks is found by the next one.
    let mut node = node;
    node.kill()?;
    cover(&place)?;
    node.run()?;
    is_mounted(&place, SHUT).await?;
    reads(&place.join("page.txt"), "Apple").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_mount_below_a_source_is_left_out_and_all_else_is_served() -> Result<()> {
    let server = Dying::new()?;
    std::fs::write(server.tree().join("page.txt"), "Pear")?;
    std::fs::create_dir(server.tree().join("inner"))?;
    let source = TempDir::new()?;
    std::fs::write(source.path().join("page.txt"), "Apple")?;
    std::fs::write(source.path().join("file"), "")?;
    for name in ["far", "near"] {
        std::fs::create_dir(source.path().join(name))?;
    }
    let far = source.path().join("far");
    let _far = Mounted::at(&far, "fuse3", &server.source()?)?;
    let _inner = Mounted::at(&far.join("inner"), "tmpfs", "none")?;
    std::fs::write(far.join("inner/plum.txt"), "Plum")?;
    let _near = Mounted::at(&source.path().join("near"), "tmpfs", "none")?;
    std::fs::write(source.path().join("near/fig.txt"), "Fig")?;
    // A file is mounted too.
    let file = source.path().join("file");
    system(
        "mount",
        &[
            "--bind",
            &source.path().join("page.txt").to_string_lossy(),
            &file.to_string_lossy(),
        ],
    )?;
    let _file = Mounted(file);

    server.be(Mode::Hang)?;
    let node = Node::start(&dumps_from(source.path()))?;
    let place = node.dumps();
    let far_is_there = async || {
        reads(&place.join("far/page.txt"), "Pear").await?;
        is_mounted(&place.join("far"), SHUT).await
    };
    let inner_is_there = async || {
        reads(&place.join("far/inner/plum.txt"), "Plum").await?;
        is_mounted(&place.join("far/inner"), SHUT).await
    };
    let rest_is_there = async || {
        reads(&place.join("page.txt"), "Apple").await?;
        reads(&place.join("file"), "Apple").await?;
        reads(&place.join("near/fig.txt"), "Fig").await?;
        is_mounted(&place.join("near"), SHUT).await
    };
    rest_is_there().await?;
    ensure!(lines(&place.join("far"))?.is_empty(), "a dead one is there");
    node.says("it did not answer within 500 ms").await?;
    server.be(Mode::Well)?;
    far_is_there().await?;
    inner_is_there().await?;
    let whole = is_mounted(&place, SHUT).await?;
    for (mode, words) in [
        (Mode::Hang, "it did not answer within 500 ms"),
        (Mode::Error, "input or output error (EIO)"),
        (Mode::Stale, "its file handle is stale"),
    ] {
        server.be(mode)?;
        eventually("the dead one is taken away", SOON, || async {
            match lines(&place.join("far")) {
                Ok(lines) if lines.is_empty() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
        node.says(words).await?;
        rest_is_there().await?;
        server.be(Mode::Well)?;
        far_is_there().await?;
        // After an error the kernel itself takes away what is mounted below.
        if mode == Mode::Hang {
            inner_is_there().await?;
        }
    }
    ensure!(
        is_mounted(&place, SHUT).await? == whole,
        "the mount they are in was made again: {}",
        node.said()
    );
    // The client of the file server has ended: it stays away, and the rest stays.
    server.be(Mode::Gone)?;
    node.says("its server is gone (ENOTCONN)").await?;
    rest_is_there().await?;
    ensure!(is_mounted(&place, SHUT).await? == whole, "{}", node.said());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_were_removed_or_lead_elsewhere_are_made_again() -> Result<()> {
    let source = TempDir::new()?;
    let node = Node::start(&dumps_from(source.path()))?;
    let link = node.directory().join("public+dumps/public");
    let leads = async || {
        eventually("the link leads to the mount", SOON, || async {
            match std::fs::read_link(&link) {
                Ok(to) if to == Path::new("/mnt/nfs/dumps") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    };
    leads().await?;
    std::fs::remove_file(&link)?;
    leads().await?;
    std::fs::remove_file(&link)?;
    std::os::unix::fs::symlink("/etc", &link)?;
    leads().await?;
    // What is no link is not ours to remove.
    std::fs::remove_file(&link)?;
    std::fs::write(&link, "mine")?;
    node.says("something that is no link stands there").await?;
    ensure!(std::fs::read_to_string(&link)? == "mine");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_written_is_given_to_its_owner_and_nothing_in_it_is() -> Result<()> {
    let source = TempDir::new()?;
    let inside = source.path().join("plan.txt");
    std::fs::write(&inside, "mine")?;
    let node = Node::start(&format!(
        "[mount.team]\nsource = \"{}\"\ntarget = \"/srv/team/files\"\nread_only = false\nowner = \"52771:52772\"",
        source.path().display()
    ))?;
    is_mounted(&node.directory().join("srv+team/files"), "rw,nosuid").await?;
    let found = source.path().metadata()?;
    ensure!((found.uid(), found.gid()) == (52771, 52772), "{found:?}");
    ensure!(inside.metadata()?.uid() == 0, "a file was given away");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn down_takes_the_mounts_away_and_then_the_directory_can_be_deleted() -> Result<()> {
    let source = TempDir::new()?;
    std::fs::write(source.path().join("page.txt"), "Apple")?;
    let mut node = Node::start(&format!(
        "[mount.dumps]\nsource = \"{}\"\ntarget = \"/mnt/nfs/dumps\"\nread_only = false",
        source.path().display()
    ))?;
    reads(&node.dumps().join("page.txt"), "Apple").await?;
    node.kill()?;
    reads(&node.dumps().join("page.txt"), "Apple").await?;
    node.hub.holt(&["down"]).await?;
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let data = node.hub.data_dir().to_string_lossy().into_owned();
    ensure!(!table.contains(&data), "{table}");
    ensure!(!node.directory().join("status.json").exists());
    std::fs::remove_dir_all(node.hub.data_dir())?;
    reads(&source.path().join("page.txt"), "Apple").await
}

/// `node.directory` was changed: nothing is left below the old one, neither by the next node nor by `holt down`.
#[tokio::test(flavor = "multi_thread")]
async fn mounts_below_an_earlier_directory_are_taken_away_or_it_says_who_has_them() -> Result<()> {
    let source = TempDir::new()?;
    std::fs::write(source.path().join("page.txt"), "Apple")?;
    let mut node = Node::start(&dumps_from(source.path()))?;
    reads(&node.dumps().join("page.txt"), "Apple").await?;
    let new = node.hub.scratch("elsewhere");
    let old = node.directory();
    let has_mounts = |directory: &Path| -> Result<bool> {
        let table = std::fs::read_to_string("/proc/self/mountinfo")?;
        Ok(table.contains(&format!(" {}", directory.display())))
    };

    // The old node runs.
    let environment = [("HOLT__NODE__DIRECTORY", &new)];
    let mut second = node.hub.command(&["node"])?;
    let output = second.envs(environment).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        !output.status.success() && said.contains("end it first") && said.contains("(pid "),
        "{said}"
    );
    reads(&node.dumps().join("page.txt"), "Apple").await?;

    // It does not: the next one takes its mounts away, and has its own.
    node.kill()?;
    let mut second = node.hub.command(&["node"])?.envs(environment).spawn()?;
    let seen = reads(&new.join("mnt+nfs/dumps/page.txt"), "Apple").await;
    second.kill()?;
    second.wait()?;
    seen?;
    ensure!(
        !has_mounts(&old)?,
        "mounts are left below {}",
        old.display()
    );
    ensure!(!old.join("status.json").exists());

    // And so does `holt down`, with the settings of before.
    ensure!(has_mounts(&new)?);
    node.hub.holt(&["down"]).await?;
    ensure!(
        !has_mounts(&new)?,
        "mounts are left below {}",
        new.display()
    );
    reads(&source.path().join("page.txt"), "Apple").await
}

/// The same under `holt up`, which goes on with the processes of an earlier one: another directory, then no mounts at all.
#[tokio::test(flavor = "multi_thread")]
async fn up_with_other_settings_leaves_no_mounts_of_earlier_ones() -> Result<()> {
    let source = TempDir::new()?;
    std::fs::write(source.path().join("page.txt"), "Apple")?;
    let process = "[spawner]\nkind = \"process\"\n";
    let mut hub = Wish::default()
        .config(process)
        .config(&dumps_from(source.path()))
        .start()
        .await?;
    let old = hub.data_dir().join("mounts");
    let new = hub.scratch("elsewhere");
    reads(&old.join("mnt+nfs/dumps/page.txt"), "Apple").await?;
    let nothing_below = async |directory: &Path| {
        eventually("nothing is mounted there", SOON, || async {
            let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            if table.contains(&format!(" {}", directory.display())) {
                Err(table)
            } else {
                Ok(())
            }
        })
        .await
    };
    let with_directory = format!(
        "{process}[node]\ndirectory = \"{}\"\n{}",
        new.display(),
        dumps_from(source.path())
    );
    std::fs::write(hub.scratch("holt.toml"), with_directory)?;
    hub.kill_supervisor()?;
    hub.up().await?;
    reads(&new.join("mnt+nfs/dumps/page.txt"), "Apple").await?;
    nothing_below(&old).await?;

    let without_mounts = format!("{process}[node]\ndirectory = \"{}\"\n", new.display());
    std::fs::write(hub.scratch("holt.toml"), without_mounts)?;
    hub.kill_supervisor()?;
    hub.up().await?;
    nothing_below(&new).await?;
    reads(&source.path().join("page.txt"), "Apple").await
}
