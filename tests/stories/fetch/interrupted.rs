//! Killed anywhere, two at once, no room: the next run ends with the right file.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use holt_tests::mirror::{Mirror, Way};
use holt_tests::wait::eventually;

use super::{JOB, NAME, SOON, Scene, WIKI, words};

/// Half a megabyte a second: there is time to look.
const FLOW: Way = Way::Slow(10_000, Duration::from_millis(20));

#[tokio::test]
async fn killed_while_it_writes_again_and_again_it_comes_to_its_end() -> Result<()> {
    let scene = Scene::of(Mirror::start()?, 3_000_000)?;
    let mut length = 0;
    for _ in 0..8 {
        scene.mirror.answer_next(&Scene::path(), [FLOW]);
        let mut run = scene.command(&[WIKI, JOB])?.stderr(Stdio::null()).spawn()?;
        length = scene.part_has(length + 1).await?;
        run.kill().await?;
        ensure!(!scene.file().exists(), "a file is there");
    }
    let output = scene.fetch([]).await?;
    scene.is_right(&output)?;
    let asked = scene.mirror.asked();
    let from = asked.iter().find_map(|asked| asked.split(" from ").nth(1));
    let from: u64 = from.unwrap_or("0").parse()?;
    ensure!(from >= length, "{from} of {length}");
    Ok(())
}

#[tokio::test]
async fn killed_around_the_name_nothing_is_asked_for_again_and_nothing_is_left() -> Result<()> {
    // Right before it got its name.
    let scene = Scene::new()?;
    let output = scene
        .fetch([Way::Cut(299_999)].into_iter().chain(busy()))
        .await?;
    scene.is_refused(&output, 69, "of 300000 bytes are kept")?;
    let (note, whole) = (std::fs::read(scene.note())?, scene.content.clone());
    std::fs::write(scene.part(), &whole)?;
    let output = scene.fetch([]).await?;
    scene.is_right(&output)?;
    ensure!(
        !scene
            .mirror
            .asked()
            .iter()
            .any(|asked| asked.contains(NAME))
    );
    // Right after, with the note still there; and with a part of an even earlier one.
    for with_part in [false, true] {
        std::fs::write(scene.note(), &note)?;
        if with_part {
            std::fs::write(scene.part(), &whole[..1000])?;
        }
        let output = scene.fetch([]).await?;
        scene.is_right(&output)?;
        ensure!(
            !scene
                .mirror
                .asked()
                .iter()
                .any(|asked| asked.contains(NAME))
        );
    }
    // The power went, and what was written last is not what was sent; or the note is half.
    std::fs::remove_file(scene.file())?;
    let mut spoilt = whole.clone();
    spoilt[299_000..].fill(0);
    for (part, note) in [
        (&spoilt[..], &note[..]),
        (&spoilt[..299_500], &note[..]),
        (&whole[..200_000], &note[..20]),
    ] {
        std::fs::write(scene.part(), part)?;
        std::fs::write(scene.note(), note)?;
        let output = scene.fetch([]).await?;
        scene.is_right(&output)?;
        std::fs::remove_file(scene.file())?;
    }
    Ok(())
}

fn busy() -> impl Iterator<Item = Way> {
    std::iter::repeat_n(Way::Status(503), 10)
}

#[tokio::test]
async fn a_lock_that_somebody_deletes_lets_no_two_write_one_file() -> Result<()> {
    let scene = Scene::of(Mirror::start()?, 1_000_000)?;
    scene.mirror.answer_next(&Scene::path(), [FLOW]);
    let first = tokio::spawn(scene.command(&[WIKI, JOB])?.output());
    scene.part_has(10_000).await?;
    std::fs::remove_file(scene.file().with_file_name(".lock"))?;
    let second = scene.run(&[WIKI, JOB]).await?;
    scene.is_refused(&second, 74, "another process writes it")?;
    let first = tokio::time::timeout(SOON, first).await???;
    scene.is_right(&first)
}

#[tokio::test]
async fn several_runs_of_which_one_is_killed_end_with_one_right_file() -> Result<()> {
    let scene = Scene::of(Mirror::start()?, 1_000_000)?;
    scene.mirror.answer_next(&Scene::path(), [FLOW]);
    let mut first = scene.command(&[WIKI, JOB])?.stderr(Stdio::null()).spawn()?;
    scene.part_has(10_000).await?;
    let waiting = [(); 3].map(|()| scene.run(&[WIKI, JOB]));
    let kill = async {
        scene.part_has(100_000).await?;
        first.kill().await?;
        Ok(())
    };
    let [one, two, three] = waiting;
    let (one, two, three, killed) = tokio::join!(one, two, three, kill);
    killed.map_err(|error: anyhow::Error| error)?;
    for output in [one?, two?, three?] {
        scene.is_right(&output)?;
    }
    let asked = scene.mirror.asked();
    let times = asked.iter().filter(|asked| asked.contains(NAME)).count();
    ensure!(times == 2, "{asked:?}");
    Ok(())
}

/// A small disk in memory in a scene's place; taken away with its end.
struct Disk(String);

impl Disk {
    fn below(scene: &Scene, kilobytes: u32) -> Result<Self> {
        let path = scene.to.path().display().to_string();
        let size = format!("size={kilobytes}k");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "none", &path])
            .status()?;
        ensure!(mounted.success(), "mounting takes root");
        Ok(Self(path))
    }

    fn fill(&self) -> Result<()> {
        let file = Path::new(&self.0).join("filling");
        // It ends with an error: that there is no more room.
        let _ = std::io::copy(&mut std::io::repeat(1), &mut std::fs::File::create(file)?);
        Ok(())
    }

    fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(Path::new(&self.0).join("filling"))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", &self.0]).status();
    }
}

#[tokio::test]
async fn room_that_a_part_has_is_not_asked_for_again() -> Result<()> {
    let scene = Scene::new()?;
    let disk = Disk::below(&scene, 400)?;
    let cut = [Way::Cut(200_000)].into_iter().chain(busy());
    let output = scene.fetch(cut).await?;
    scene.is_refused(&output, 69, "200000 of 300000 bytes are kept")?;
    // 200 kilobytes are free: less than the file, more than what is missing.
    let output = scene.fetch([]).await?;
    scene.is_right(&output)?;
    // Less than what is missing is told before anything is asked for.
    drop(disk);
    let _small = Disk::below(&scene, 200)?;
    let _ = scene.mirror.asked();
    let output = scene.fetch([]).await?;
    scene.is_refused(&output, 64, "free some space")?;
    ensure!(!scene.mirror.asked().contains(&Scene::path()));
    Ok(())
}

#[tokio::test]
async fn a_disk_that_fills_up_meanwhile_is_one_clear_line_and_the_rest_comes_later() -> Result<()> {
    let scene = Scene::of(Mirror::start()?, 1_000_000)?;
    let disk = Disk::below(&scene, 2000)?;
    scene.mirror.answer_next(&Scene::path(), [FLOW]);
    let mut command = scene.command(&[WIKI, JOB])?;
    let run = tokio::spawn(command.output());
    scene.part_has(10_000).await?;
    disk.fill()?;
    let output = tokio::time::timeout(SOON, run).await???;
    scene.is_refused(
        &output,
        74,
        "the disk is full; free some space and run the same again",
    )?;
    let kept = scene.part_has(10_000).await?;
    disk.empty()?;
    let output = scene.fetch([]).await?;
    scene.is_right(&output)?;
    let asked = scene.mirror.asked();
    ensure!(
        asked.contains(&format!("{} from {kept}", Scene::path())),
        "{asked:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_is_told_with_what_to_do() -> Result<()> {
    let scene = Scene::new()?;
    let _disk = Disk::below(&scene, 400)?;
    let place = scene.to.path();
    let options = ["-o", "remount,ro"];
    ensure!(
        Command::new("mount")
            .args(options)
            .arg(place)
            .status()?
            .success()
    );
    let output = scene.fetch([]).await?;
    scene.is_refused(&output, 74, "give another place with --to")
}

#[tokio::test]
async fn a_disk_without_room_for_the_first_byte_leaves_nothing() -> Result<()> {
    let scene = Scene::new()?;
    let disk = Disk::below(&scene, 400)?;
    // Long enough to look, and then it answers.
    scene.mirror.answer_next(&Scene::path(), [Way::Mute]);
    let mut command = scene.command(&[WIKI, JOB, "--speed-time", "2s"])?;
    let run = tokio::spawn(command.output());
    let made = || async { scene.part().metadata().map(|_| ()) };
    eventually("the part is made", SOON, made).await?;
    disk.fill()?;
    let output = tokio::time::timeout(SOON, run).await???;
    let said = words(&output);
    ensure!(!output.status.success(), "{said}");
    ensure!(!scene.part().exists() && !scene.note().exists(), "{said}");
    disk.empty()?;
    let output = scene.fetch([]).await?;
    scene.is_right(&output)
}
