//! What whoever runs it reads: progress, and what is to be done next.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use anyhow::{Result, ensure};
use holt_tests::hub::binary;
use holt_tests::mirror::{Mirror, Way};

use super::{JOB, NAME, Scene, WIKI, ended, words};

#[tokio::test]
async fn in_a_log_progress_is_plain_lines() -> Result<()> {
    let scene = Scene::of(Mirror::start()?, 4 << 20)?;
    let output = scene.fetch([Way::Cut(2_200_000)]).await?;
    scene.is_right(&output)?;
    let said = words(&output);
    ensure!(
        !said.contains(|c: char| c.is_control() && c != '\n'),
        "{said:?}"
    );
    let lines: Vec<_> = said.lines().collect();
    ensure!(lines[0] == format!("{NAME}, 4.00 MiB"), "{said}");
    let percents: Vec<u32> = lines
        .iter()
        .take_while(|line| !line.contains("Checking"))
        .filter_map(|line| line.strip_suffix("%)")?.rsplit('(').next()?.parse().ok())
        .collect();
    // A megabyte apart, or more: as it came.
    ensure!((2..=4).contains(&percents.len()), "{said}");
    ensure!(percents.is_sorted(), "{said}");
    for expected in [
        "the transfer broke off",
        "; trying again",
        "  Checking",
        &format!("  {NAME} is there and right"),
        "1 file of simplewiki 20260101 is in",
    ] {
        ensure!(said.contains(expected), "no {expected:?} in {said}");
    }
    Ok(())
}

#[tokio::test]
async fn on_a_terminal_a_line_moves() -> Result<()> {
    let scene = Scene::of(Mirror::start()?, 2 << 20)?;
    let flow = Way::Slow(50_000, std::time::Duration::from_millis(20));
    scene.mirror.answer_next(&Scene::path(), [flow]);
    let line = format!(
        "stty cols 120; exec {} dumps fetch {WIKI} {JOB} --mirror {} --to .",
        binary()?.display(),
        scene.mirror.url()
    );
    let mut command = tokio::process::Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(scene.to.path())
        .env("HOLT_DATA_DIR", scene.data.path().join("data"))
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(super::SOON, command.output()).await??;
    scene.is_right(&output)?;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let bars = shown.matches("MiB of 2.00 MiB, ").count();
    ensure!(bars > 1 && shown.contains("[="), "{shown:?}");
    ensure!(shown.contains("is there and right"), "{shown:?}");
    Ok(())
}

#[tokio::test]
async fn what_comes_next_depends_on_the_settings() -> Result<()> {
    let scene = Scene::new()?;
    let said = words(&scene.fetch([]).await?);
    let here = scene.to.path().display();
    let new = scene.data.path().join("data/holt.toml");
    for expected in [
        &format!(
            "at /public/dumps/public/{WIKI}/20260101, add to {}",
            new.display()
        ),
        "[mount.dumps]",
        &format!("source = \"{here}\""),
        "start it again",
        "sudo holt node --data-dir",
        "spec/rules/config.md",
    ] {
        ensure!(said.contains(expected), "no {expected:?} in {said}");
    }

    // Other files are shown there: there can be no second of that name.
    let file = scene.to.path().join("holt.toml");
    let mount = |kind: &str, source: &str| {
        format!(
            "[mount.dumps]\nkind = {kind:?}\nsource = {source:?}\ntarget = \"/mnt/nfs/dumps\"\nlinks = [\"/public/dumps/public\"]\n"
        )
    };
    std::fs::write(&file, mount("nfs", "dumps.example.org:/dumps"))?;
    let said = words(&scene.fetch([]).await?);
    for expected in [
        "[mount.dumps] shows them \"dumps.example.org:/dumps\"",
        "kind = \"bind\"",
        &format!("in {}", file.display()),
    ] {
        ensure!(said.contains(expected), "no {expected:?} in {said}");
    }
    ensure!(!said.contains("\n[mount."), "{said}");

    // Processes need no mount.
    std::fs::write(&file, "[spawner]\nkind = \"process\"\n")?;
    let said = words(&scene.fetch([]).await?);
    let link = format!("sudo ln -sT {here} /public/dumps/public");
    ensure!(said.contains(&link) && !said.contains("[mount."), "{said}");

    // These are, and nobody keeps the mount; and the folder is shut.
    std::fs::write(&file, mount("bind", &here.to_string()))?;
    std::fs::set_permissions(scene.to.path(), PermissionsExt::from_mode(0o700))?;
    std::fs::set_permissions(scene.file(), PermissionsExt::from_mode(0o600))?;
    let said = words(&scene.fetch([]).await?);
    for expected in [
        &format!("chmod o+rx {here}"),
        &format!("chmod o+r {here}/simplewiki/20260101/*"),
        "nobody keeps it up",
        "sudo holt node --data-dir",
    ] {
        ensure!(said.contains(expected), "no {expected:?} in {said}");
    }
    Ok(())
}

#[tokio::test]
async fn the_data_directory_stays_shut_and_what_is_for_notebooks_is_open() -> Result<()> {
    let scene = Scene::new()?;
    let mut command = scene.bare_command()?;
    command.args([WIKI, JOB, "--mirror", &scene.mirror.url()]);
    let output = ended(command).await?;
    ensure!(output.status.success(), "{}", words(&output));
    let data = scene.data.path().join("data");
    for (path, expected) in [
        ("", 0o700),
        ("dumps", 0o755),
        ("dumps/simplewiki", 0o755),
        ("dumps/simplewiki/20260101", 0o755),
        (&format!("dumps/{}", Scene::path()), 0o644),
    ] {
        let mode = std::fs::metadata(data.join(path))?.permissions().mode() & 0o777;
        ensure!(mode == expected, "{path}: {mode:o}");
    }
    ensure!(std::fs::read(data.join("dumps").join(Scene::path()))? == scene.content);
    Ok(())
}

#[tokio::test]
async fn mistakes_in_flags_are_told_with_the_fix() -> Result<()> {
    let scene = Scene::new()?;
    for (flag, value, expected) in [
        ("--speed-time", "30", "30s"),
        ("--speed-time", "0", "100ms"),
        ("--list-within", "3d", "100ms"),
        ("--speed-limit", "fast", "512MiB"),
        ("--tries", "0", "1..=100"),
    ] {
        let mut command = scene.bare_command()?;
        command.args([WIKI, JOB, flag, value]);
        let output = ended(command).await?;
        scene.is_refused(&output, 64, expected)?;
        ensure!(words(&output).contains(flag));
    }
    Ok(())
}
