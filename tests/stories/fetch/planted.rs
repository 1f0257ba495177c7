//! What a hostile mirror says, and what hostile neighbours put on the disk.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use holt_tests::mirror::{Mirror, Way};
use rand::Rng;
use rand::RngExt;
use serde_json::json;
use tempfile::TempDir;

use super::{DATE, JOB, NAME, Scene, WIKI, ended, words};

#[tokio::test]
async fn nothing_of_a_list_is_obeyed_and_one_bad_entry_spoils_no_other() -> Result<()> {
    let scene = Scene::new()?;
    let sum = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let good = json!({ "size": 0, "sha1": sum });
    let (empty, broken) = ("simplewiki-20260120-a.gz", "simplewiki-20260120-b.gz");
    scene.mirror.list(
        WIKI,
        "20260120",
        &json!({ "jobs": {
            JOB: { "status": "done", "files": { empty: good, broken: { "size": "x\u{1b}[2J" }, "../../etc/x": good } },
            "\u{1b}]0;mine\u{7}\u{1b}[2J": { "status": "done", "files": { empty: good } },
            "\u{202e}evil": { "status": "done" },
            "long".repeat(10_000): { "status": "done", "files": { empty: good } },
            "abstractsdump": { "status": "done\u{1b}[31m", "files": 7 },
            "emptydump": { "status": "done", "files": { "\u{1b}[2J": good } },
            "sitestatstable": [7] } }),
    );
    scene.mirror.put(&format!("{WIKI}/20260120/{empty}"), &[]);
    let listed = scene.run(&[WIKI, "--list", "--date", "20260120"]).await?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    ensure!(listed.status.success() && text.contains(JOB), "{text:?}");
    ensure!(is_harmless(&text) && text.len() < 1000, "{text:?}");

    for (arguments, expected) in [
        (
            &[WIKI, "nojob", "--date", "20260120"][..],
            "it has abstractsdump, articlesdump",
        ),
        (
            &[WIKI, "abstractsdump", "--date", "20260120"],
            "is not done (unreadable)",
        ),
        (
            &[WIKI, "emptydump", "--date", "20260120"],
            "has no files in the mirror's list",
        ),
        // Files of which nothing is known are not passed over in silence.
        (&[WIKI, JOB, "--date", "20260120"], "no size or checksum"),
    ] {
        let output = scene.run(arguments).await?;
        let said = words(&output);
        ensure!(
            !output.status.success() && said.contains(expected),
            "{said:?}"
        );
        ensure!(is_harmless(&said) && said.len() < 2000, "{said:?}");
    }
    let output = scene
        .run(&[WIKI, JOB, "--date", "20260120", "--only", "20-a.gz"])
        .await?;
    let said = words(&output);
    ensure!(output.status.success(), "{said}");
    ensure!(
        said.contains("1 entry of the list of articlesdump left out"),
        "{said}"
    );
    Ok(())
}

/// Lines of text, and nothing else.
fn is_harmless(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}')
}

#[tokio::test]
async fn links_and_pipes_in_the_place_of_our_files_are_refused() -> Result<()> {
    for place in ["part", "note", "lock"] {
        for kind in ["link", "dangling", "pipe", "folder"] {
            let scene = Scene::new()?;
            let elsewhere = TempDir::new()?;
            let victim = elsewhere.path().join("victim");
            let path = match place {
                "part" => scene.part(),
                "note" => scene.note(),
                _ => scene.file().with_file_name(".lock"),
            };
            std::fs::create_dir_all(path.parent().expect("it has one"))?;
            match kind {
                "link" => {
                    std::fs::write(&victim, "precious")?;
                    std::os::unix::fs::symlink(&victim, &path)?;
                }
                "dangling" => std::os::unix::fs::symlink(&victim, &path)?,
                "pipe" => ensure!(Command::new("mkfifo").arg(&path).status()?.success()),
                _ => std::fs::create_dir(&path)?,
            }
            let output = scene.fetch([]).await?;
            let said = words(&output);
            let told = format!("{place} {kind}: {said}");
            ensure!(output.status.code() == Some(74), "{told}");
            ensure!(said.contains(&path.display().to_string()), "{told}");
            if kind.ends_with("link") {
                ensure!(said.contains("symbolic link"), "{told}");
            }
            ensure!(!scene.file().exists(), "{told}");
            ensure!(
                std::fs::read(&victim).map_or(kind != "link", |found| found == b"precious"),
                "{told}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_part_with_another_name_or_owner_is_refused_and_a_folder_of_that_name_too() -> Result<()>
{
    let scene = Scene::new()?;
    std::fs::create_dir_all(scene.part().parent().expect("it has one"))?;
    let victim = scene.to.path().join("victim");
    std::fs::write(&victim, "precious")?;
    std::fs::hard_link(&victim, scene.part())?;
    let output = scene.fetch([]).await?;
    scene.is_refused(&output, 74, "has another name too")?;
    ensure!(std::fs::read(&victim)? == b"precious");
    std::fs::remove_file(&victim)?;
    std::os::unix::fs::chown(scene.part(), Some(52771), None)?;
    let output = scene.fetch([]).await?;
    scene.is_refused(&output, 74, "belongs to somebody else")?;
    // Whose the folder is may do as they like; some file systems know one owner only.
    let folder = scene.part().parent().expect("it has one").to_owned();
    std::os::unix::fs::chown(&folder, Some(52771), None)?;
    let output = scene.fetch([]).await?;
    scene.is_right(&output)?;
    std::fs::remove_file(scene.file())?;
    let _ = scene.mirror.asked();

    std::fs::create_dir(scene.file())?;
    let output = scene.fetch([]).await?;
    let said = words(&output);
    ensure!(
        said.contains("is a folder, where a file shall be"),
        "{said}"
    );
    ensure!(!scene.mirror.asked().contains(&Scene::path()));
    // A link of the operator's at the name itself is replaced, and what it leads to is left alone.
    std::fs::remove_dir(scene.file())?;
    std::fs::write(&victim, "precious")?;
    std::os::unix::fs::symlink(&victim, scene.file())?;
    let output = scene.fetch([]).await?;
    scene.is_right(&output)?;
    ensure!(std::fs::read(&victim)? == b"precious");
    Ok(())
}

#[tokio::test]
async fn what_is_secret_on_the_way_stays_so() -> Result<()> {
    let keys = TempDir::new()?;
    let certificate = keys.path().join("mirror.pem");
    let scene = Scene::of(Mirror::start_with_tls(&certificate)?, 300_000)?;
    let open = Scene::new()?;
    let fetch = async |elsewhere: Option<(&str, String)>| {
        if let Some((path, address)) = elsewhere {
            scene.mirror.answer_next(path, [Way::Elsewhere(address)]);
        }
        scene.run_trusting(&certificate).await
    };
    let path = Scene::path();
    let lists = [
        format!("{WIKI}/"),
        format!("{WIKI}/{DATE}/dumpstatus.json"),
        path.clone(),
    ];
    for asked in &lists {
        let output = fetch(Some((asked, format!("{}{asked}", open.mirror.url())))).await?;
        scene.is_refused(&output, 69, "leads from https to http://127.0.0.1")?;
    }
    ensure!(open.mirror.asked().is_empty(), "it was followed");
    // From https to https is a mirror's right.
    let output = fetch(Some((&path, format!("{}{path}", scene.mirror.url())))).await?;
    scene.is_right(&output)?;

    // In circles is nobody's.
    let ways = std::iter::repeat_n(Way::Elsewhere(format!("/dumps/{path}")), 100);
    let output = open.fetch(ways).await?;
    open.is_refused(&output, 69, "leads from one address to the next")?;
    // Passwords are not for process lists.
    let mut command = open.bare_command()?;
    command.args([WIKI, JOB, "--mirror", "https://rook:verysecret@127.0.0.1/"]);
    let output = ended(command).await?;
    open.is_refused(&output, 64, "leave it out")?;
    ensure!(!words(&output).contains("verysecret"));
    Ok(())
}

impl Scene {
    async fn run_trusting(&self, certificate: &Path) -> Result<Output> {
        let mut command = self.command(&[WIKI, JOB])?;
        command.env("SSL_CERT_FILE", certificate);
        ended(command).await
    }
}

#[tokio::test]
async fn two_entries_of_one_name_that_disagree_are_no_file() -> Result<()> {
    let scene = Scene::new()?;
    let entry = |sum: &str| json!({ "size": scene.content.len(), "sha1": sum.repeat(20) });
    let job = |sum| json!({ "status": "done", "files": { NAME: entry(sum) } });
    let list = json!({ "jobs": { JOB: job("ab"), "samedump": job("ab"), "otherdump": job("cd") } });
    scene.mirror.list(WIKI, DATE, &list);
    let output = scene.run(&[WIKI, JOB, "otherdump"]).await?;
    scene.is_refused(&output, 69, "two sizes or checksums")?;
    ensure!(!scene.mirror.asked().contains(&Scene::path()));
    // Those that agree are one file.
    let output = scene.run(&[WIKI, JOB, "samedump"]).await?;
    scene.is_refused(&output, 69, "its checksum was wrong 2 times")?;
    let asked = scene.mirror.asked();
    let times = asked.iter().filter(|asked| asked.contains(NAME)).count();
    ensure!(times == 2, "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn an_entry_of_another_wiki_leads_nowhere() -> Result<()> {
    let scene = Scene::new()?;
    let list = json!({ "jobs": { JOB: { "status": "done", "files": {
        format!("../../{NAME}"): { "size": 1, "sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709" } } } } });
    scene.mirror.list(WIKI, DATE, &list);
    let output = scene.run(&[WIKI, JOB, "--date", DATE]).await?;
    scene.is_refused(&output, 69, "has no files in the mirror's list")
}

/// Any way but those that only take time.
fn any_way(dice: &mut impl Rng, size: usize) -> Way {
    let bytes = dice.random_range(1..size);
    match dice.random_range(0..12) {
        0 | 1 => Way::Cut(bytes),
        2 => Way::Short(bytes),
        3 => Way::SaysMore(bytes),
        4 => Way::Longer(bytes),
        5 => Way::Whole,
        6 => Way::WholeCut(bytes),
        7 => Way::OtherRange,
        8 => Way::Corrupt,
        9 => Way::Status(503),
        10 => Way::Elsewhere(format!("/dumps/{}", Scene::path())),
        _ => Way::Right,
    }
}

/// Twenty mirrors throw dice; each run ends with the right file or with none, and an honest mirror then gives the right one.
#[tokio::test(flavor = "multi_thread")]
async fn no_row_of_lies_makes_a_wrong_file() -> Result<()> {
    let rounds = (0..20).map(|_| async {
        let scene = Scene::new()?;
        let ways: Vec<Way> = {
            let mut dice = rand::rng();
            let count = dice.random_range(2..12);
            (0..count)
                .map(|_| any_way(&mut dice, scene.content.len()))
                .collect()
        };
        let told = format!("{ways:?}");
        let output = scene.fetch(ways).await?;
        if output.status.success() {
            scene.is_right(&output)
        } else {
            scene.is_refused(&output, 69, "another --mirror")
        }
        .with_context(|| told.clone())?;
        let output = scene.fetch([]).await?;
        scene.is_right(&output).context(told)
    });
    for round in futures_util::future::join_all(rounds).await {
        round?;
    }
    Ok(())
}
