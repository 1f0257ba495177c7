//! The life of a server as people push at it: twice at once, against each other, in line, and when nobody uses it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use holt_tests::docker;
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use reqwest::Method;

const SOON: Duration = Duration::from_secs(45);

async fn hub(config: &str) -> Result<Hub> {
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    Wish::default()
        .config(&format!("[docker]\nimage = \"{image}\""))
        .config(config)
        .start()
        .await
}

/// Every launch row that is not gone has one container, and every container such a row.
async fn until_rows_and_containers_agree(hub: &Hub, expected: usize) -> Result<()> {
    let rows = hub.rows().await?;
    eventually(
        &format!("{expected} launches, each with one container"),
        SOON,
        || async {
            let launches = rows.live_launches().await.map_err(|e| format!("{e:#}"))?;
            let containers = hub.containers().await.map_err(|e| format!("{e:#}"))?;
            let mut found: Vec<_> = containers.iter().map(|c| c.launch.clone()).collect();
            found.sort();
            if launches == found && launches.len() == expected {
                Ok(())
            } else {
                Err(format!("rows {launches:?}, containers {containers:?}"))
            }
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn started_twice_at_once_it_runs_once() -> Result<()> {
    let hub = hub("").await?;
    let rook = Person::user(&hub, "Rook").await?;
    let other_tab = rook.clone();
    let answers = join_all((0..6).map(|n| {
        let tab = if n % 2 == 0 { &rook } else { &other_tab };
        tab.ask_start("")
    }))
    .await;
    for answer in answers {
        // Who asks when it is there already is told so.
        let status = answer?;
        ensure!(status.is_success() || status == 400, "{status}");
    }
    rook.until_ready("", SOON).await?;
    until_rows_and_containers_agree(&hub, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_while_starting_nothing_is_left() -> Result<()> {
    let hub = hub("").await?;
    let rook = Person::user(&hub, "Rook").await?;
    let starting = {
        let rook = rook.clone();
        async move {
            rook.api(
                Method::POST,
                &format!("/hub/api/users/{}/server", rook.name()),
                None,
            )
            .await
        }
    };
    let stopping = async {
        let rows = hub.rows().await?;
        eventually("a launch is claimed", SOON, || async {
            match rows.live_launches().await {
                Ok(launches) if !launches.is_empty() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
        rook.ask_stop("").await
    };
    let (_, stopped) = tokio::join!(starting, stopping);
    ensure!(stopped?.is_success());
    rook.until_stopped("", SOON).await?;
    until_rows_and_containers_agree(&hub, 0).await?;
    // And it can be started again.
    rook.start("").await?;
    until_rows_and_containers_agree(&hub, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_while_stopping_it_is_forgotten_and_the_home_stays() -> Result<()> {
    let hub = hub("[server]\nnamed_servers_per_user = 2").await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("lab").await?;
    let mut kernel = Kernel::started(&rook, "lab").await?;
    kernel.run("open('kept.txt', 'w').write('here')").await?;
    let (stopped, deleted) = tokio::join!(rook.ask_stop("lab"), rook.ask_delete("lab"));
    ensure!(stopped?.is_success());
    let deleted = deleted?;
    ensure!(deleted.is_success(), "{deleted}");
    let rows = hub.rows().await?;
    eventually("the server is forgotten", SOON, || async {
        match rows.servers().await {
            Ok(servers) if servers.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    until_rows_and_containers_agree(&hub, 0).await?;
    rook.start("lab").await?;
    let mut kernel = Kernel::started(&rook, "lab").await?;
    ensure!(kernel.run("print(open('kept.txt').read())").await? == "here");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_must_wait_stands_in_line_and_is_served_in_turn() -> Result<()> {
    let hub = hub("[server]\nconcurrent_starts = 1").await?;
    let names = ["Ada", "Bea", "Cy"];
    let mut people = Vec::new();
    for name in names {
        people.push(Person::user(&hub, name).await?);
    }
    // Asked through the page, which answers at once.
    for person in &people {
        person.open("/hub/home").await?;
        let answer = person.post("/hub/spawn", &[]).await?;
        ensure!(
            answer.status().is_redirection() || answer.status().is_success(),
            "{}",
            answer.status()
        );
    }
    let last = people.last().context("three people")?;
    let page = last.open("/hub/spawn-pending/Cy").await?.text().await?;
    ensure!(
        !page.contains("try again later"),
        "somebody was sent away: {page}"
    );
    for person in &people {
        person.until_ready("", SOON).await?;
    }
    let rows = hub.rows().await?;
    let order = rows
        .texts("SELECT u.name FROM launches l JOIN servers s ON s.id = l.server_id JOIN users u ON u.id = s.user_id ORDER BY l.ready_at")
        .await?;
    ensure!(order == names, "served in the order {order:?}");
    until_rows_and_containers_agree(&hub, 3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_is_stopped_and_a_used_one_is_not() -> Result<()> {
    let hub = hub("[server]\nidle_timeout = \"8s\"").await?;
    let (idle, busy) = (
        Person::user(&hub, "Idle").await?,
        Person::user(&hub, "Busy").await?,
    );
    idle.start("").await?;
    busy.start("").await?;
    let mut kernel = Kernel::started(&busy, "").await?;
    let rows = hub.rows().await?;
    let running = || async {
        let names = rows
            .texts("SELECT u.name FROM servers s JOIN users u ON u.id = s.user_id WHERE s.launch IS NOT NULL ORDER BY u.name")
            .await;
        names.unwrap_or_default()
    };
    for _ in 0..100 {
        ensure!(kernel.run("1").await? == "1");
        if running().await == ["Busy"] {
            return until_rows_and_containers_agree(&hub, 1).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    anyhow::bail!("running are {:?}", running().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_by_itself_says_why() -> Result<()> {
    let hub = hub("[server]\nmemory = \"320MiB\"").await?;
    let rook = Person::user(&hub, "Rook").await?;
    let failure = |word: &'static str| {
        let hub = &hub;
        async move {
            let rows = hub.rows().await?;
            eventually(word, SOON, || async {
                match rows.servers().await {
                    Ok(servers) => match servers.first().and_then(|s| s.failure.clone()) {
                        Some(words) if words.contains(word) => Ok(words),
                        other => Err(format!("{other:?}")),
                    },
                    Err(error) => Err(format!("{error:#}")),
                }
            })
            .await
        }
    };
    rook.start("").await?;
    let container = hub.containers().await?.remove(0);
    docker::exec(
        &container.name,
        &[
            "sh",
            "-c",
            "kill -TERM $(pgrep -f jupyterhub-singleuser | tail -1)",
        ],
    )
    .await
    .ok();
    let killed = docker::docker(&["kill", "--signal", "KILL", &container.name]).await;
    drop(killed);
    failure("exit code").await?;
    until_rows_and_containers_agree(&hub, 0).await?;
    let page = rook.open("/hub/home").await?.text().await?;
    ensure!(page.contains("exit code"), "the home page does not say why");

    rook.start("").await?;
    let container = hub.containers().await?.remove(0);
    // Eats memory in the server's own process tree, and asks to be the one that is killed last.
    let eat = "import os\nfor p in os.listdir('/proc'):\n    if p.isdigit() and b'jupyterhub-singleuser' in open(f'/proc/{p}/cmdline','rb').read() and p not in ('1', str(os.getpid())):\n        open(f'/proc/{p}/oom_score_adj','w').write('1000')\nb = []\nwhile True: b.append(bytearray(8<<20))";
    docker::exec(&container.name, &["/opt/venv/bin/python", "-c", eat])
        .await
        .ok();
    let words = failure("out of memory").await?;
    ensure!(words.contains("320 MiB"), "the limit is not told: {words}");
    until_rows_and_containers_agree(&hub, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_launch_is_ended_after_its_grace() -> Result<()> {
    let hub = hub("").await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    let short = hub.short().await?;
    let mine = hub.containers().await?.remove(0);
    let label = docker::docker(&[
        "inspect",
        "--format",
        "{{index .Config.Labels \"holt.hub\"}}",
        &mine.name,
    ])
    .await?;
    let image = docker::docker(&["inspect", "--format", "{{.Image}}", &mine.name]).await?;
    let launch = "00000000000000000000000000";
    docker::docker(&[
        "run",
        "--detach",
        "--name",
        &format!("holt-{short}-{launch}"),
        "--label",
        &format!("holt.hub={label}"),
        "--label",
        &format!("holt.launch={launch}"),
        "--network",
        "none",
        "--entrypoint",
        "sleep",
        &image,
        "600",
    ])
    .await?;
    eventually(
        "only the known launch is left",
        Duration::from_secs(150),
        || async {
            match hub.containers().await {
                Ok(containers) if containers.len() == 1 && containers[0].launch == mine.launch => {
                    Ok(())
                }
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_that_works_with_the_tab_closed_keeps_its_server() -> Result<()> {
    let hub = hub("[server]\nidle_timeout = \"9s\"").await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    let kernel = Kernel::started(&rook, "").await?;
    kernel
        .leave_running("import time\nfor _ in range(25):\n    print('.')\n    time.sleep(1)")
        .await?;
    let left = std::time::Instant::now();
    rook.until_stopped("", SOON * 2).await?;
    let lived = left.elapsed();
    ensure!(
        lived > Duration::from_secs(22),
        "stopped after {lived:?}, in the middle of its work"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_stopped_and_started_opens_in_the_same_browser() -> Result<()> {
    let hub = hub("").await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    rook.ask_stop("").await?;
    rook.until_stopped("", SOON).await?;
    // The browser still has the old server's cookie.
    rook.start("").await?;
    ensure!(
        Kernel::started(&rook, "").await?.run("6*7").await? == "42",
        "no kernel"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_out_and_in_again_opens_the_server_in_the_same_browser() -> Result<()> {
    let hub = hub("").await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    rook.open("/hub/logout").await?;
    ensure!(rook.who().await.is_err(), "still signed in");
    let link = hub.user_link("Rook").await?;
    rook.open(&link).await?;
    rook.enter("").await?;
    ensure!(
        Kernel::started(&rook, "").await?.run("6*7").await? == "42",
        "no kernel"
    );
    Ok(())
}
