//! What whoever runs the machine meets: shared disks, missing rights, an engine with another view, a hub in a container.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use holt_tests::docker;
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::inside::Inside;
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use tempfile::TempDir;

use super::{container, dumps_from, home_says, hub, page, sees, stop, system};

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_disk_has_its_people_its_owner_and_its_limit() -> Result<()> {
    let folder = TempDir::new()?;
    let disk = folder.path().join("team.img");
    let hub = hub(&format!(
        "[mount.team]\nkind = \"image\"\nsource = \"{}\"\ntarget = \"/srv/shared/team\"\nread_only = false\nowner = \"52771:52771\"\nquota = \"32MiB\"\ngroups = [\"team\"]\n[group.team]\nusers = [\"Rook\"]",
        disk.display()
    ))
    .await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    let server = container(&hub).await?;
    sees(
        &server,
        &[
            "sh",
            "-c",
            "echo plan > /srv/shared/team/plan.txt; cat /srv/shared/team/plan.txt",
        ],
        "plan",
    )
    .await?;
    let full = docker::exec(
        &server,
        &[
            "dd",
            "if=/dev/zero",
            "of=/srv/shared/team/large",
            "bs=1M",
            "count=64",
        ],
    )
    .await
    .unwrap_err();
    ensure!(format!("{full:#}").contains("No space left"), "{full:#}");
    stop(&rook).await?;
    let heron = Person::user(&hub, "Heron").await?;
    heron.start("").await?;
    let server = container(&hub).await?;
    let absent = docker::exec(&server, &["ls", "/srv/shared"])
        .await
        .unwrap_err();
    ensure!(format!("{absent:#}").contains("No such file"), "{absent:#}");
    let page = page(&heron, "/hub/home").await?;
    ensure!(
        !page.contains("/srv/shared/team"),
        "it is on a page of somebody who does not get it"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_rights_or_the_engines_view_it_says_what_to_run() -> Result<()> {
    let source = TempDir::new()?;
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    let wish = Wish::default()
        .config(&format!("[docker]\nimage = \"{image}\""))
        .config(&dumps_from(source.path()));
    let mut hub = Hub::new(wish)?;
    // Without the one capability that mounting needs.
    let mut node = Command::new("setpriv");
    let command = hub.command(&["node"])?;
    node.args(["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(hub.scratch(""))
        .env("HOLT_DATA_DIR", hub.data_dir());
    std::fs::create_dir_all(hub.data_dir())?;
    let output = node.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(69) && said.contains("needs the rights of root"),
        "{said}"
    );

    // Servers start without a node, and the home page and the doctor say what is missing.
    hub.configure("[node]\ndirectory = \"/nonexistent/mounts\"")?;
    hub.up().await?;
    ensure!(
        hub.said().contains("servers start without them"),
        "{}",
        hub.said()
    );
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    home_says(&rook, "holt node").await?;
    let doctor = hub.command(&["doctor"])?.output()?;
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    ensure!(
        said.contains("nobody keeps the mounts") && said.contains("sudo holt node --data-dir"),
        "{said}"
    );

    // A node whose mounts the engine does not see.
    let hidden = hub.scratch("hidden");
    std::fs::create_dir(&hidden)?;
    let mut doctor = Command::new("unshare");
    let command = hub.command(&["doctor"])?;
    doctor
        .args(["--mount", "--propagation", "private"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(hub.scratch(""))
        .env("HOLT_DATA_DIR", hub.data_dir())
        .env("HOLT__NODE__DIRECTORY", &hidden);
    let said = String::from_utf8_lossy(&doctor.output()?.stdout).into_owned();
    ensure!(
        said.contains("run `holt node` where the engine's mounts are seen"),
        "{said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_in_a_container_starts_servers_without_a_node_and_with_one_beside_it() -> Result<()> {
    let source = TempDir::new()?;
    std::fs::write(source.path().join("page.txt"), "Apple")?;
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    let helpers = docker::docker(&[
        "images",
        "holt-helper",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ])
    .await?;
    let network = Network::new().await?;
    let mut hub = Hub::new(
        Wish::default()
            .config(&format!("[docker]\nimage = \"{image}\""))
            .config(&dumps_from(source.path()))
            .inside(Inside {
                image: helpers.lines().next().unwrap_or_default().to_owned(),
                network: network.0.clone(),
            }),
    )?;
    // Left from a node of another day: the folder is there, but in no shared mount, which only the engine can tell.
    std::fs::create_dir_all(hub.data_dir().join("mounts/mnt+nfs"))?;
    std::fs::create_dir_all(hub.data_dir().join("mounts/public+dumps"))?;
    hub.up().await?;
    let rook = Person::admin(&hub).await?;
    rook.start("").await?;
    let server = container(&hub).await?;
    sees(&server, &["sh", "-c", "ls /mnt/nfs | wc -l"], "0").await?;
    stop(&rook).await?;

    // The node runs on the engine's machine, which has another view of the same directory.
    let mut node = Command::new(holt_tests::hub::binary()?)
        .args(["node", "--config"])
        .arg(hub.scratch("holt.toml"))
        .arg("--data-dir")
        .arg(hub.data_dir())
        .spawn()?;
    let seen = async {
        home_says(&rook, "There since").await?;
        eventually(
            "a server gets the mounts",
            Duration::from_secs(60),
            || async {
                let tried = async {
                    rook.start("").await?;
                    let server = container(&hub).await?;
                    let read =
                        docker::exec(&server, &["cat", "/public/dumps/public/page.txt"]).await;
                    if read.is_err() {
                        stop(&rook).await?;
                    }
                    read
                };
                match tried.await {
                    Ok(text) if text == "Apple" => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            },
        )
        .await?;
        // Unmounted by somebody, and mounted again: both happen in the running server.
        let place = hub.data_dir().join("mounts/mnt+nfs/dumps");
        system("umount", &[&place.to_string_lossy()])?;
        std::fs::write(source.path().join("page.txt"), "Pear")?;
        let server = container(&hub).await?;
        sees(&server, &["cat", "/mnt/nfs/dumps/page.txt"], "Pear").await
    }
    .await;
    node.kill()?;
    node.wait()?;
    seen
}

/// The hub has no rights, and the node is root's: who may keep mounts and who may serve people are two.
#[tokio::test(flavor = "multi_thread")]
async fn a_hub_of_another_user_tells_what_a_node_of_roots_keeps() -> Result<()> {
    let source = TempDir::new()?;
    std::fs::write(source.path().join("page.txt"), "Apple")?;
    let mut hub = Hub::new(
        Wish::default()
            .config("[spawner]\nkind = \"process\"")
            .config(&dumps_from(source.path()))
            .as_user(65534),
    )?;
    let directory = hub.scratch("mounts");
    hub.configure(&format!(
        "[node]\ndirectory = \"{}\"\ncheck_every = \"1s\"",
        directory.display()
    ))?;
    let of_root = |arguments: &[&str]| -> Result<Command> {
        let mut command = Command::new(holt_tests::hub::binary()?);
        command
            .args(arguments)
            .arg("--config")
            .arg(hub.scratch("holt.toml"))
            .arg("--data-dir")
            .arg(hub.data_dir());
        Ok(command)
    };
    let (mut node, mut unmount) = (of_root(&["node"])?, of_root(&["node", "--unmount"])?);
    // `holt check`, by who runs the hub, says who has to mount.
    let said = hub.holt(&["check"]).await?;
    ensure!(
        said.contains("mounting needs root") && said.contains("sudo holt node --data-dir"),
        "{said}"
    );
    hub.up().await?;
    ensure!(
        hub.said()
            .contains("until it is run: sudo holt node --data-dir"),
        "{}",
        hub.said()
    );
    let rook = Person::admin(&hub).await?;
    home_says(&rook, "Nobody has mounted it yet").await?;
    let metric = |line: &'static str| {
        let rook = &rook;
        async move {
            eventually(line, super::SOON, || async {
                let text = page(rook, "/hub/metrics")
                    .await
                    .map_err(|error| format!("{error:#}"))?;
                if text.contains(line) {
                    Ok(())
                } else {
                    Err(text)
                }
            })
            .await
        }
    };
    metric("holt_mount_up{mount=\"dumps\"} 0").await?;
    let mut child = node.spawn()?;
    let seen = async {
        home_says(&rook, "There since").await?;
        metric("holt_mount_up{mount=\"dumps\"} 1").await?;
        ensure!(std::fs::read_to_string(directory.join("mnt+nfs/dumps/page.txt"))? == "Apple");
        // No node writes any more, and what stands there in its stead holds nobody.
        child.kill()?;
        child.wait()?;
        let status = directory.join("status.json");
        std::fs::remove_file(&status)?;
        system("mkfifo", &[&status.to_string_lossy()])?;
        home_says(&rook, "Nobody has mounted it yet").await?;
        metric("holt_mount_up{mount=\"dumps\"} 0").await?;
        metric("holt_node_up 0").await
    }
    .await;
    let _ = child.kill();
    let _ = child.wait();
    // The hub's own `down` has not the rights, and says so.
    let down = hub.command(&["down"])?.output()?;
    let output = unmount.output()?;
    seen?;
    let said = String::from_utf8_lossy(&down.stderr).into_owned();
    ensure!(said.contains("sudo holt node --unmount"), "{said}");
    ensure!(
        output.status.success() && !directory.join("status.json").exists(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    ensure!(!table.contains(&*directory.to_string_lossy()), "{table}");
    Ok(())
}

/// A network of the hub's own port; gone with it.
struct Network(String);

impl Network {
    async fn new() -> Result<Self> {
        let network = Self(format!("zz-holt-d-{}", std::process::id()));
        docker::docker(&["network", "create", &network.0]).await?;
        Ok(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["network", "rm", &self.0])
            .output();
    }
}
