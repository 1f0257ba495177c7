//! A mirror that hangs, or sends next to nothing, is given up in bounded time and with words.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use holt_tests::mirror::Way;

use super::{DATE, JOB, Scene, WIKI, words};

const OFTEN: usize = 100;
/// Faster than the floor's window, so it is never silent.
const NOW_AND_THEN: Duration = Duration::from_millis(50);

/// Impatient, for a floor of ten kilobytes a second over a second.
const IMPATIENT: [&str; 8] = [
    WIKI,
    JOB,
    "--speed-limit",
    "10kB",
    "--speed-time",
    "1s",
    "--list-within",
    "5s",
];

#[tokio::test]
async fn a_file_that_trickles_is_given_up_and_what_came_is_kept() -> Result<()> {
    for way in [Way::Slow(1, NOW_AND_THEN), Way::Mute] {
        let scene = Scene::new()?;
        let ways = std::iter::repeat_n(way.clone(), OFTEN);
        scene.mirror.answer_next(&Scene::path(), ways);
        let begun = Instant::now();
        let output = scene.run(&IMPATIENT).await?;
        let expected = match way {
            Way::Mute => "did not answer within 1s",
            _ => "the mirror is too slow",
        };
        scene.is_refused(&output, 69, expected)?;
        ensure!(words(&output).contains("another --mirror"));
        ensure!(begun.elapsed() < Duration::from_secs(20));
        // It is better again.
        let output = scene.fetch([]).await?;
        scene.is_right(&output)?;
    }
    Ok(())
}

#[tokio::test]
async fn slow_is_not_too_slow_above_the_floor() -> Result<()> {
    let scene = Scene::new()?;
    // Several times the floor; the whole takes several windows.
    let way = Way::Slow(4000, NOW_AND_THEN);
    scene.mirror.answer_next(&Scene::path(), [way]);
    let output = scene.run(&IMPATIENT).await?;
    scene.is_right(&output)?;
    let said = words(&output);
    ensure!(!said.contains("trying again"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_byte_each_time_is_no_progress() -> Result<()> {
    let scene = Scene::new()?;
    let output = scene.fetch(std::iter::repeat_n(Way::Cut(1), 20)).await?;
    scene.is_refused(&output, 69, "3 tries in a row brought too little")?;
    Ok(())
}

#[tokio::test]
async fn a_mirror_that_can_only_begin_anew_is_not_begun_for_ever() -> Result<()> {
    let scene = Scene::new()?;
    // Each comes further than the one before.
    let ways = (1..100).map(|time| Way::WholeCut(time * 40_000));
    let output = scene.fetch(ways).await?;
    scene.is_refused(&output, 69, "it was begun 4 times and cannot be taken up")?;
    let asked = scene.mirror.asked();
    let times = asked
        .iter()
        .filter(|asked| asked.contains(super::NAME))
        .count();
    ensure!(times == 4, "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn no_list_is_waited_for_without_end() -> Result<()> {
    let folder = format!("{WIKI}/");
    let status = format!("{WIKI}/{DATE}/dumpstatus.json");
    for (path, way, expected) in [
        (&folder, Way::Slow(1, NOW_AND_THEN), "too slow"),
        (&folder, Way::Mute, "did not answer within"),
        (&status, Way::Slow(1, NOW_AND_THEN), "too slow"),
        // Never too slow, and never at its end.
        (
            &status,
            Way::Endless(1000, NOW_AND_THEN),
            "did not come within 2s",
        ),
        (
            &status,
            Way::Endless(10 << 20, NOW_AND_THEN),
            "too large for a list",
        ),
    ] {
        let scene = Scene::new()?;
        let ways = std::iter::repeat_n(way.clone(), OFTEN);
        scene.mirror.answer_next(path, ways);
        let mut arguments = IMPATIENT;
        arguments[7] = "2s";
        let begun = Instant::now();
        let output = scene.run(&arguments).await?;
        scene
            .is_refused(&output, 69, expected)
            .map_err(|error| error.context(format!("{path} {way:?}")))?;
        ensure!(begun.elapsed() < Duration::from_secs(30), "{way:?}");
        // Whoever waits is told why, but for what is no use to try again.
        let said = words(&output);
        let is_told = said.matches("; trying again").count() == 3;
        ensure!(is_told || expected == "too large for a list", "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn sums_that_do_not_come_are_not_waited_for_either() -> Result<()> {
    let scene = Scene::new()?;
    // The list has no checksum, and the list of them hangs.
    let list = serde_json::json!({ "jobs": { JOB: { "status": "done", "files": {
        super::NAME: { "size": scene.content.len() } } } } });
    scene.mirror.list(WIKI, DATE, &list);
    let sums = format!("{WIKI}/{DATE}/{WIKI}-{DATE}-sha1sums.txt");
    scene.mirror.put(&sums, b"no matter");
    scene
        .mirror
        .answer_next(&sums, std::iter::repeat_n(Way::Mute, OFTEN));
    let output = scene.run(&IMPATIENT).await?;
    scene.is_refused(&output, 69, "did not answer within")
}
