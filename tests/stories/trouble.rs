//! An engine that hangs or is away says nothing about a server: what runs is still there, and what waits goes on when it is back.

use std::time::Duration;

use anyhow::{Result, ensure};
use holt_tests::docker;
use holt_tests::engine_door::{EngineDoor, Stand};
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;

const SOON: Duration = Duration::from_secs(90);
/// Longer than two looks at the engine take.
const A_WHILE: Duration = Duration::from_secs(35);

async fn hub_behind_a_door() -> Result<(Hub, EngineDoor)> {
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    let door = EngineDoor::open()?;
    let hub = Wish::default()
        .config(&format!("[docker]\nimage = \"{image}\""))
        .env("DOCKER_HOST", &door.host())
        .start()
        .await?;
    Ok((hub, door))
}

async fn engine_away_is_not_death(stand: Stand) -> Result<()> {
    let (hub, door) = hub_behind_a_door().await?;
    let (rook, wren) = (
        Person::user(&hub, "Rook").await?,
        Person::user(&hub, "Wren").await?,
    );
    rook.start("").await?;
    let mut kernel = Kernel::started(&rook, "").await?;
    door.put(stand);
    let until = tokio::time::Instant::now() + A_WHILE;
    // Somebody else wants a server now; nobody is told that theirs is dead.
    let wish = async {
        let _ = tokio::time::timeout(A_WHILE, wren.ask_start("")).await;
        Ok::<_, anyhow::Error>(())
    };
    let watch = async {
        while tokio::time::Instant::now() < until {
            ensure!(kernel.run("1").await? == "1");
            let model = rook.server("").await?;
            ensure!(
                model.is_some_and(|model| model["ready"] == true),
                "it was called dead"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    };
    let (wished, watched) = tokio::join!(wish, watch);
    wished?;
    watched?;
    door.put(Stand::Open);
    wren.until_ready("", SOON).await?;
    let before = rook.server("").await?;
    ensure!(before.is_some_and(|model| model["ready"] == true));
    ensure!(hub.containers().await?.len() == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_is_not_a_dead_server() -> Result<()> {
    engine_away_is_not_death(Stand::Shut).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_is_not_a_dead_server() -> Result<()> {
    engine_away_is_not_death(Stand::Jammed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_refuses_is_an_error_with_its_fix_and_never_a_fallback() -> Result<()> {
    let mut hub = Hub::new(Wish::default().env("DOCKER_HOST", "unix:///nonexistent/engine.sock"))?;
    hub.launch_up()?;
    let (code, said) = hub.ended(Duration::from_secs(60)).await?;
    ensure!(code == Some(69), "{code:?}: {said}");
    ensure!(said.contains("/nonexistent/engine.sock"), "{said}");
    ensure!(
        !said.contains("local process, for one user, on loopback"),
        "{said}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_started_while_the_engine_is_away_serves_pages_and_waits_for_it() -> Result<()> {
    let (mut hub, door) = hub_behind_a_door().await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    door.put(Stand::Shut);
    let before = hub.kill("hub")?;
    hub.replaced("hub", before).await?;
    let home = holt_tests::wait::eventually("the home page", Duration::from_secs(20), || async {
        match rook.open("/hub/home").await {
            Ok(page) if page.status().is_success() => Ok(page.status()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    ensure!(home == 200);
    ensure!(
        rook.server("")
            .await?
            .is_some_and(|model| model["ready"] == true),
        "it was called dead"
    );
    door.put(Stand::Open);
    hub.ready(SOON).await?;
    let mut kernel = Kernel::started(&rook, "").await?;
    ensure!(kernel.run("6*7").await? == "42");
    hub.interrupt()?;
    hub.ended(Duration::from_secs(30)).await.map(|_| ())
}
