//! What is on a mount, below it and in its place cannot do harm.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use holt_tests::docker;
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use tempfile::TempDir;

use super::{SOON, container, dumps_from, home_says, hub, sees, system};

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

/// A source with everything that a file server should not hand out.
fn hostile_source() -> Result<TempDir> {
    let source = TempDir::new()?;
    let path = |name: &str| source.path().join(name).to_string_lossy().into_owned();
    let mode = |name: &str, mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(source.path().join(name), mode)
    };
    mode("", 0o755)?;
    std::os::unix::fs::symlink("/etc/machine-secret", source.path().join("absolute"))?;
    std::os::unix::fs::symlink(
        "../../../../../../../etc/machine-secret",
        source.path().join("relative"),
    )?;
    system("mknod", &[&path("disk"), "b", "254", "0"])?;
    system("mknod", &[&path("null"), "c", "1", "3"])?;
    mode("disk", 0o666)?;
    mode("null", 0o666)?;
    std::fs::copy("/usr/bin/id", source.path().join("id"))?;
    mode("id", 0o4755)?;
    std::fs::write(source.path().join("open"), "")?;
    mode("open", 0o666)?;
    Ok(source)
}

#[tokio::test(flavor = "multi_thread")]
async fn links_devices_and_set_user_id_programs_on_a_mount_do_nothing() -> Result<()> {
    let source = hostile_source()?;
    let places = [
        ("dumps", "/mnt/nfs/dumps", "read_only = true"),
        ("tools", "/srv/tools/bin", "read_only = false\nexec = true"),
    ];
    let mounts: Vec<_> = places
        .iter()
        .map(|(name, target, more)| {
            format!(
                "[mount.{name}]\nsource = \"{}\"\ntarget = \"{target}\"\n{more}",
                source.path().display()
            )
        })
        .collect();
    let hub = hub(&mounts.join("\n")).await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    let server = container(&hub).await?;
    sees(&server, &["sh", "-c", "ls /mnt/nfs/dumps | wc -l"], "6").await?;
    sees(&server, &["sh", "-c", "ls /srv/tools/bin | wc -l"], "6").await?;
    // A container without the engine's own locks, with every right: the mount's flags alone are left.
    let bare = format!("holt-t-bare-{}", std::process::id());
    let directory = hub.data_dir().join("mounts");
    let folder = |name: &str, target: &str| {
        format!(
            "type=bind,src={},dst={target},bind-propagation=rslave",
            directory.join(name).display()
        )
    };
    let image = images::single_user().await?;
    docker::docker(&[
        "run",
        "--rm",
        "--detach",
        "--name",
        &bare,
        "--network",
        "none",
        "--user",
        "0",
        "--cap-add",
        "MKNOD",
        "--device",
        "/dev/vda",
        "--mount",
        &folder("mnt+nfs", "/mnt/nfs"),
        "--mount",
        &folder("srv+tools", "/srv/tools"),
        "--entrypoint",
        "sleep",
        &image,
        "300",
    ])
    .await?;
    let tried = try_hostile(&server, &bare).await;
    let _ = docker::docker(&["rm", "--force", &bare]).await;
    tried?;
    ensure!(
        source.path().join("open").metadata()?.len() == 4,
        "the writable mount was not written"
    );
    Ok(())
}

async fn try_hostile(server: &str, bare: &str) -> Result<()> {
    for container in [server, bare] {
        for (command, expected) in [
            // Links lead within the container, where there is no such file.
            ("cat /mnt/nfs/dumps/absolute", "No such file"),
            ("cat /mnt/nfs/dumps/relative", "No such file"),
            ("head -c 1 /mnt/nfs/dumps/disk", "Permission denied"),
            ("head -c 1 /mnt/nfs/dumps/null", "Permission denied"),
            ("head -c 1 /srv/tools/bin/null", "Permission denied"),
            ("/mnt/nfs/dumps/id -u", "Permission denied"),
            ("echo x > /mnt/nfs/dumps/open", "Read-only"),
            (
                "touch /mnt/nfs/new",
                if container == server { "Read-only" } else { "" },
            ),
        ] {
            if expected.is_empty() {
                continue;
            }
            let refused =
                docker::docker(&["exec", "--user", "0", container, "sh", "-c", command]).await;
            let refused = refused.map_or_else(
                |error| format!("{error:#}"),
                |text| format!("it printed {text}"),
            );
            ensure!(
                refused.contains(expected),
                "{container}: {command}: {refused}"
            );
        }
        let who = docker::docker(&[
            "exec",
            "--user",
            "52771",
            container,
            "/srv/tools/bin/id",
            "-u",
        ])
        .await?;
        ensure!(who == "52771", "a set-user-id program ran as {who}");
    }
    docker::docker(&["exec", server, "sh", "-c", "echo new > /srv/tools/bin/open"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_point_that_holds_files_is_refused_and_nothing_is_hidden() -> Result<()> {
    let source = TempDir::new()?;
    std::fs::write(source.path().join("page.txt"), "Apple")?;
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    let mut hub = Hub::new(
        Wish::default()
            .config(&format!(
                "[docker]\nimage = \"{image}\"\n[node]\ncheck_every = \"1s\""
            ))
            .config(&dumps_from(source.path())),
    )?;
    let place = hub.data_dir().join("mounts/mnt+nfs/dumps");
    std::fs::create_dir_all(&place)?;
    std::fs::write(place.join("thesis.txt"), "mine")?;
    // The mark of a node that was here before.
    std::fs::write(hub.data_dir().join("mounts/node.lock"), "")?;
    hub.up().await?;
    let rook = Person::user(&hub, "Rook").await?;
    home_says(&rook, "Something is in its place").await?;
    ensure!(
        std::fs::read_to_string(place.join("thesis.txt"))? == "mine",
        "it is hidden"
    );
    let doctor = hub.command(&["doctor"])?.output()?;
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    ensure!(
        doctor.status.code() == Some(1) && said.contains("already holds files"),
        "{said}"
    );
    ensure!(
        said.contains("what is mounted late reaches containers"),
        "{said}"
    );
    // It starts all the same, and sees the mount once the way is free.
    rook.start("").await?;
    let server = container(&hub).await?;
    std::fs::remove_file(place.join("thesis.txt"))?;
    sees(&server, &["cat", "/mnt/nfs/dumps/page.txt"], "Apple").await
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

/// Root covers nothing of others, works in no directory that others could swap, and obeys no settings that others write.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_and_settings_that_are_not_roots_own_are_refused() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let source = TempDir::new()?;
    let elsewhere = TempDir::new()?;
    let [full, foreign] = ["full", "foreign"].map(|name| elsewhere.path().join(name));
    for place in [&full, &foreign] {
        std::fs::create_dir_all(place.join("mounts"))?;
    }
    std::fs::write(full.join("mounts/thesis.txt"), "mine")?;
    std::os::unix::fs::chown(&foreign, Some(65534), Some(65534))?;
    for (place, words) in [
        (&full, "it holds other things"),
        (&foreign, "others than root may change"),
    ] {
        let hub = Hub::new(Wish::default().config(&format!(
            "[node]\ndirectory = \"{}\"\n{}",
            place.join("mounts").display(),
            dumps_from(source.path())
        )))?;
        for arguments in [&["node"][..], &["node", "--unmount"]] {
            let output = hub.command(arguments)?.output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(!output.status.success() && said.contains(words), "{said}");
        }
    }
    ensure!(std::fs::read_to_string(full.join("mounts/thesis.txt"))? == "mine");
    ensure!(std::fs::read_dir(foreign.join("mounts"))?.next().is_none());
    let hub = Hub::new(Wish::default().config(&dumps_from(source.path())))?;
    let settings = hub.scratch("holt.toml");
    std::fs::set_permissions(&settings, std::fs::Permissions::from_mode(0o666))?;
    let output = hub.command(&["node"])?.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        !output.status.success() && said.contains("can be written by others than root"),
        "{said}"
    );
    Ok(())
}

/// Where a disk image cannot be looked at, none is made in its place; and a link beside it leads nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_seen_is_not_made_anew() -> Result<()> {
    let folder = TempDir::new()?;
    let precious = folder.path().join("precious");
    std::fs::write(&precious, "all of it")?;
    let disk = folder.path().join("team.img");
    std::os::unix::fs::symlink(&precious, folder.path().join("team.img.new"))?;
    let image = |source: &std::path::Path| {
        format!(
            "[mount.team]\nkind = \"image\"\nsource = \"{}\"\ntarget = \"/srv/shared/team\"\nquota = \"16MiB\"",
            source.display()
        )
    };
    let hub = super::hub(&image(&disk)).await?;
    eventually("the disk is made", SOON, || async {
        match std::fs::metadata(&disk) {
            Ok(found) if found.len() == 16 << 20 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    ensure!(std::fs::read_to_string(&precious)? == "all of it");
    let link = std::fs::read_link(folder.path().join("team.img.new"))?;
    ensure!(link == precious, "a file of others was removed");
    ensure!(
        std::fs::read_dir(folder.path())?.count() == 3,
        "more was left"
    );
    drop(hub);
    // A file where the folder of the disk should be: every look fails.
    let hub = super::hub(&image(&precious.join("team.img"))).await?;
    eventually("the operator is told", SOON, || async {
        let said = hub.said();
        if said.contains("is no directory; nothing is made") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await?;
    ensure!(std::fs::read_to_string(&precious)? == "all of it");
    Ok(())
}
