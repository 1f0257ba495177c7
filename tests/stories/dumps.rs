//! Shared files in notebooks: there, shut, and never the reason that a server does not start or stop.

use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use holt_tests::docker;
use holt_tests::dying::{Dying, Mode};
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::inside::Inside;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_disk_has_its_people_its_owner_and_its_limit() -> Result<()> {
    let folder = TempDir::new()?;
    let disk = folder.path().join("team.img");
    let hub = hub(&format!(
        "[mount.team]\nkind = \"image\"\nsource = \"{}\"\ntarget = \"/srv/shared/team\"\nread_only = false\nowner = \"52771:52771\"\nquota = \"32MiB\"\nusers = [\"Rook\"]",
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

/// A dump in MediaWiki's export schema 0.11: these pages, some of them redirects or talk pages.
fn export(wiki: &str, pages: Range<usize>) -> String {
    let mut xml = format!(
        r#"<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://www.mediawiki.org/xml/export-0.11/ http://www.mediawiki.org/xml/export-0.11.xsd" version="0.11" xml:lang="en">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <dbname>{wiki}</dbname>
    <base>https://example.org/wiki/Main_Page</base>
    <generator>MediaWiki 1.45.0-wmf.1</generator>
    <case>first-letter</case>
    <namespaces>
      <namespace key="0" case="first-letter" />
      <namespace key="1" case="first-letter">Talk</namespace>
    </namespaces>
  </siteinfo>
"#
    );
    for number in pages {
        let (title, namespace, redirect) = match number % 10 {
            1 => (format!("Talk:Page {number}"), 1, ""),
            2 => (
                format!("Other {number}"),
                0,
                "    <redirect title=\"Page 3\" />\n",
            ),
            _ => (format!("Page {number} \u{e4}&amp;"), 0, ""),
        };
        let text =
            format!("'''Page {number}''' is [[linked]] to [[Page 3|another]]. ").repeat(number);
        xml.push_str(&format!(
            r#"  <page>
    <title>{title}</title>
    <ns>{namespace}</ns>
    <id>{id}</id>
{redirect}    <revision>
      <id>{revision}</id>
      <parentid>{id}</parentid>
      <timestamp>20{year:02}-03-04T05:06:07Z</timestamp>
      <contributor>
        <username>Rook</username>
        <id>7</id>
      </contributor>
      <comment>a word</comment>
      <origin>{revision}</origin>
      <model>wikitext</model>
      <format>text/x-wiki</format>
      <text bytes="{bytes}" sha1="phoiac9h4m842xq45sp7s6u21eteeq1" xml:space="preserve">{text}</text>
      <sha1>phoiac9h4m842xq45sp7s6u21eteeq1</sha1>
    </revision>
  </page>
"#,
            id = number + 1,
            revision = number + 1000,
            year = 10 + number % 15,
            bytes = text.len(),
        ));
    }
    xml.push_str("</mediawiki>\n");
    xml
}

/// Packs the parts of a dump in a container that has the programs for it.
async fn pack(source: &Path, wiki: &str, ending: &str, parts: &[Range<usize>]) -> Result<()> {
    let folder = source.join(format!("{wiki}/20260101"));
    std::fs::create_dir_all(&folder)?;
    for (place, pages) in parts.iter().enumerate() {
        let name = format!(
            "{wiki}-20260101-pages-articles{}.xml-p{}p{}",
            place + 1,
            pages.start + 1,
            pages.end
        );
        std::fs::write(folder.join(&name), export(wiki, pages.clone()))?;
    }
    let script = match ending {
        "bz2" => "cd /s && bzip2 *.xml-*",
        _ => {
            "cd /s && for f in *.xml-*; do 7z a -bd \"$f.7z\" \"$f\" >/dev/null && rm \"$f\"; done"
        }
    };
    let volume = format!("{}:/s", folder.display());
    let image = images::single_user().await?;
    let run = ["run", "--rm", "--network", "none", "--user", "0"];
    let what = [
        "--volume",
        &volume,
        "--entrypoint",
        "sh",
        &image,
        "-c",
        script,
    ];
    docker::docker(&[&run[..], &what[..]].concat()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_notebook_reads_a_dump_of_several_parts_and_draws_it() -> Result<()> {
    let source = TempDir::new()?;
    docker::engine_answers().await?;
    pack(source.path(), "simplewiki", "bz2", &[0..120, 120..200]).await?;
    pack(source.path(), "testwiki", "7z", &[0..100, 100..150]).await?;
    let hub = hub(&dumps_from(source.path())).await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    // A new home has the notebook.
    let path = format!("{}api/contents/examples/dumps.ipynb", rook.prefix(""));
    let answer = rook.api(reqwest::Method::GET, &path, None).await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    let notebook: serde_json::Value = serde_json::from_str(&answer.text().await?)?;
    let cells: Vec<String> = notebook["content"]["cells"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|cell| cell["cell_type"] == "code")
        .filter_map(|cell| cell["source"].as_str().map(str::to_owned))
        .collect();
    ensure!(cells.len() == 4, "{} cells", cells.len());
    for (wiki, articles) in [("simplewiki", 160), ("testwiki", 120)] {
        let mut kernel = Kernel::started(&rook, "").await?;
        let mut printed = Vec::new();
        for cell in &cells {
            let code = cell.replace("\"simplewiki\"", &format!("{wiki:?}"));
            printed.push(kernel.run(&code).await?);
        }
        ensure!(printed[0].contains("2 files"), "{}", printed[0]);
        let read = &printed[1];
        ensure!(read.contains(&format!("{articles} articles")), "{read}");
        ensure!(
            read.contains("100%"),
            "the bar did not reach its end: {read}"
        );
        ensure!(printed[2].contains("characters"), "{}", printed[2]);
        ensure!(printed[3].contains("<Figure size"), "{}", printed[3]);
    }
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
