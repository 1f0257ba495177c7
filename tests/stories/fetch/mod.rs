//! `holt dumps fetch` against a mirror that cuts, truncates, lies and forbids: right files or a clear error, never a wrong file.

mod interrupted;
mod planted;
mod slow;
mod told;

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use holt_tests::hub::binary;
use holt_tests::mirror::{Mirror, Way};
use holt_tests::wait::eventually;
use rand::Rng;
use serde_json::json;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);
const WIKI: &str = "simplewiki";
const DATE: &str = "20260101";
const JOB: &str = "articlesdump";
const NAME: &str = "simplewiki-20260101-pages-articles.xml.bz2";

/// A mirror with one file, and a place for what is got.
struct Scene {
    mirror: Mirror,
    content: Vec<u8>,
    to: TempDir,
    data: TempDir,
}

impl Scene {
    fn new() -> Result<Self> {
        Self::of(Mirror::start()?, 300_000)
    }

    fn of(mirror: Mirror, size: usize) -> Result<Self> {
        let mut content = vec![0; size];
        rand::rng().fill_bytes(&mut content);
        mirror.publish(WIKI, DATE, JOB, &[(NAME, &content)]);
        Ok(Self {
            mirror,
            content,
            to: TempDir::new()?,
            data: TempDir::new()?,
        })
    }

    fn path() -> String {
        format!("{WIKI}/{DATE}/{NAME}")
    }

    fn file(&self) -> PathBuf {
        self.to.path().join(Self::path())
    }

    fn part(&self) -> PathBuf {
        self.file().with_file_name(format!(".{NAME}.part"))
    }

    fn note(&self) -> PathBuf {
        self.file().with_file_name(format!(".{NAME}.part.json"))
    }

    /// Waits until the part has at least so many bytes.
    async fn part_has(&self, bytes: u64) -> Result<u64> {
        let look = || async {
            match std::fs::metadata(self.part()) {
                Ok(found) if found.len() >= bytes => Ok(found.len()),
                other => Err(format!("{other:?}")),
            }
        };
        eventually("so much of the part is there", SOON, look).await
    }

    fn command(&self, more: &[&str]) -> Result<tokio::process::Command> {
        let mut command = self.bare_command()?;
        command
            .args(["--mirror", &self.mirror.url(), "--to"])
            .arg(self.to.path())
            .args(["--tries", "3"])
            .args(more);
        Ok(command)
    }

    /// Without any flag.
    fn bare_command(&self) -> Result<tokio::process::Command> {
        let mut command = tokio::process::Command::new(binary()?);
        command
            .args(["dumps", "fetch"])
            .env("HOLT_DATA_DIR", self.data.path().join("data"))
            .current_dir(self.to.path())
            .kill_on_drop(true);
        Ok(command)
    }

    async fn run(&self, more: &[&str]) -> Result<Output> {
        ended(self.command(more)?).await
    }

    /// Gets the file, the next requests for it being answered so.
    async fn fetch(&self, ways: impl IntoIterator<Item = Way>) -> Result<Output> {
        self.mirror.answer_next(&Self::path(), ways);
        let _ = self.mirror.asked();
        self.run(&[WIKI, JOB]).await
    }

    /// The file is there and right, and nothing of a part is left.
    fn is_right(&self, output: &Output) -> Result<()> {
        ensure!(output.status.success(), "{}", words(output));
        ensure!(std::fs::read(self.file())? == self.content, "another file");
        let folder = self.file().parent().expect("it has one").to_owned();
        let mut names: Vec<_> = std::fs::read_dir(folder)?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        ensure!(names == [".lock", NAME], "{names:?}");
        Ok(())
    }

    /// It ended with this code and these words, and no file has the name.
    fn is_refused(&self, output: &Output, code: i32, expected: &str) -> Result<()> {
        let words = words(output);
        ensure!(
            output.status.code() == Some(code),
            "{:?} {words}",
            output.status
        );
        ensure!(words.contains(expected), "no {expected:?} in {words}");
        ensure!(!self.file().exists(), "a file is there");
        Ok(())
    }
}

async fn ended(mut command: tokio::process::Command) -> Result<Output> {
    Ok(tokio::time::timeout(Duration::from_secs(60), command.output()).await??)
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_cut_transfer_goes_on_where_it_was_cut() -> Result<()> {
    let scene = Scene::new()?;
    let output = scene
        .fetch([Way::Cut(100_000), Way::Status(503), Way::Cut(50_000)])
        .await?;
    scene.is_right(&output)?;
    let asked = scene.mirror.asked();
    let ranges: Vec<_> = asked
        .iter()
        .filter(|asked| asked.contains(" from "))
        .collect();
    ensure!(ranges.len() == 3, "{asked:?}");
    let last = ranges[2]
        .rsplit(' ')
        .next()
        .and_then(|first| first.parse::<usize>().ok());
    ensure!(last == Some(150_000), "{asked:?}");
    // There and right: not a byte is asked for again.
    let output = scene.fetch([]).await?;
    scene.is_right(&output)?;
    let asked = scene.mirror.asked();
    ensure!(!asked.iter().any(|asked| asked.contains(NAME)), "{asked:?}");
    // There and wrong: replaced.
    std::fs::write(scene.file(), &scene.content[1..])?;
    let output = scene.fetch([]).await?;
    scene.is_right(&output)
}

#[tokio::test]
async fn a_killed_run_is_taken_up_and_a_changed_file_is_not() -> Result<()> {
    let scene = Scene::new()?;
    let path = Scene::path();
    // The mirror cuts and then is busy for long: the run is killed meanwhile.
    let busy = std::iter::repeat_n(Way::Status(503), 3);
    scene
        .mirror
        .answer_next(&path, std::iter::once(Way::Cut(120_000)).chain(busy));
    let mut run = scene.command(&[WIKI, JOB])?.stderr(Stdio::null()).spawn()?;
    scene.part_has(120_000).await?;
    run.kill().await?;
    let output = scene.fetch([]).await?;
    scene.is_right(&output)?;
    let asked = scene.mirror.asked();
    ensure!(asked.contains(&format!("{path} from 120000")), "{asked:?}");

    // Another version of the same name and length: what was begun is no beginning of it.
    let mut scene = Scene::new()?;
    scene.mirror.answer_next(
        &path,
        [Way::Cut(120_000)]
            .into_iter()
            .chain(std::iter::repeat_n(Way::Status(503), 5)),
    );
    let output = scene.run(&[WIKI, JOB]).await?;
    scene.is_refused(&output, 69, "run the same again later")?;
    scene.content.reverse();
    scene
        .mirror
        .publish(WIKI, DATE, JOB, &[(NAME, &scene.content)]);
    let output = scene.fetch([]).await?;
    scene.is_right(&output)
}

#[tokio::test]
async fn a_mirror_without_ranges_is_used_as_it_is() -> Result<()> {
    let scene = Scene::new()?;
    let output = scene.fetch([Way::WholeCut(90_000), Way::Whole]).await?;
    scene.is_right(&output)?;
    let scene = Scene::new()?;
    let output = scene
        .fetch(std::iter::repeat_n(Way::WholeCut(90_000), 20))
        .await?;
    scene.is_refused(&output, 69, "broke off")
}

#[tokio::test]
async fn lies_about_length_range_and_content_never_make_a_file() -> Result<()> {
    // Each once, and then the truth.
    for way in [
        Way::Short(1000),
        Way::SaysMore(10),
        Way::Longer(10),
        Way::Corrupt,
        Way::Status(500),
    ] {
        let scene = Scene::new()?;
        let output = scene.fetch([way.clone()]).await?;
        scene
            .is_right(&output)
            .map_err(|error| error.context(format!("{way:?}")))?;
    }
    let scene = Scene::new()?;
    let output = scene.fetch([Way::Cut(1000), Way::OtherRange]).await?;
    scene.is_right(&output)?;
    // Always.
    for (way, code, expected) in [
        (
            Way::Short(1000),
            69,
            "the mirror says 1000 bytes, the dump's list 300000",
        ),
        (Way::SaysMore(10), 69, "the mirror says 300010 bytes"),
        (Way::Longer(10), 69, "sends more than the 300000 bytes"),
        (Way::Corrupt, 69, "its checksum was wrong 2 times"),
        (Way::Status(403), 69, "the mirror answers 403"),
        (Way::Status(404), 69, "not on the mirror"),
    ] {
        let scene = Scene::new()?;
        let output = scene.fetch(std::iter::repeat_n(way, 20)).await?;
        scene.is_refused(&output, code, expected)?;
    }
    Ok(())
}

#[tokio::test]
async fn two_runs_at_once_get_one_file_once() -> Result<()> {
    let scene = Scene::new()?;
    let (one, other) = tokio::join!(scene.run(&[WIKI, JOB]), scene.run(&[WIKI, JOB]));
    scene.is_right(&one?)?;
    scene.is_right(&other?)?;
    let asked = scene.mirror.asked();
    let times = asked.iter().filter(|asked| asked.contains(NAME)).count();
    ensure!(times == 1, "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn the_latest_that_is_done_is_taken_and_mistakes_are_told() -> Result<()> {
    let scene = Scene::new()?;
    let unfinished = json!({ "jobs": { JOB: { "status": "in-progress", "files": {} } } });
    scene.mirror.list(WIKI, "20260120", &unfinished);
    let output = scene.run(&[WIKI, JOB, "--only", "articles"]).await?;
    scene.is_right(&output)?;
    ensure!(
        words(&output).contains("[mount.dumps]"),
        "{}",
        words(&output)
    );

    let listed = scene.run(&[WIKI, "--list", "--date", DATE]).await?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    ensure!(
        text.contains("articlesdump") && text.contains("done"),
        "{text}"
    );

    for (arguments, code, expected) in [
        (&["nowiki", JOB][..], 69, "has no wiki nowiki"),
        (&["../etc", JOB], 64, "is not the database name of a wiki"),
        (
            &[WIKI, "articles", "--date", DATE],
            64,
            "it has articlesdump",
        ),
        (
            &[WIKI, JOB, "--date", "20260120"],
            69,
            "is not done (in-progress)",
        ),
        (&[WIKI, JOB, "--date", "20200101"], 69, "has no dump"),
        (
            &[WIKI, JOB, "--date", "yesterday"],
            64,
            "is no date of a dump",
        ),
        (&[WIKI, JOB, "--only", "stubs"], 64, "leave --only out"),
        (&[WIKI], 64, "required"),
    ] {
        let output = scene.run(arguments).await?;
        let words = words(&output);
        ensure!(
            output.status.code() == Some(code),
            "{arguments:?}: {:?} {words}",
            output.status
        );
        ensure!(
            words.contains(expected),
            "{arguments:?}: no {expected:?} in {words}"
        );
    }
    // A list whose files have no checksum gives none, unless the dump's own list of sums has it.
    let unsummed = json!({ "jobs": { JOB: { "status": "done", "files": { NAME: { "size": scene.content.len() } } } } });
    let scene = Scene::new()?;
    scene.mirror.list(WIKI, DATE, &unsummed);
    let output = scene.fetch([]).await?;
    scene.is_refused(&output, 69, "no size or checksum")
}
