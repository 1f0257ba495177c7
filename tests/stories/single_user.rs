//! Unmodified `jupyterhub-singleuser` 5.5.4 and 6.1.1 in real containers: sign-in, kernels, activity, and who is kept out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use holt_tests::docker::{self, inspect};
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use reqwest::Method;

/// The names a wiki lets people have, and worse.
fn hostile_names() -> [String; 3] {
    [
        "Ünï \"Cödé\" (WMF)'s".to_owned(),
        "'; rm -rf ~".to_owned(),
        format!("{}abc", "🦦".repeat(63)),
    ]
}

async fn hub_with(image: &str) -> Result<Hub> {
    docker::engine_answers().await?;
    Wish::default()
        .config(&format!("[docker]\nimage = \"{image}\""))
        // A server posts that it is used three times within this.
        .config("[server]\nidle_timeout = \"45s\"")
        .start()
        .await
}

async fn signs_in_works_and_is_kept_apart(image: &str, version: &str) -> Result<()> {
    let hub = hub_with(image).await?;
    let rook = Person::user(&hub, "Rook").await?;
    let wren = Person::user(&hub, "Wren").await?;
    rook.start("").await?;

    let mut kernel = Kernel::started(&rook, "").await?;
    ensure!(kernel.run("6 * 7").await? == "42");
    let seen = kernel
        .run("import jupyterhub, os, getpass; print(jupyterhub.__version__, os.getuid(), getpass.getuser(), os.path.expanduser('~'))")
        .await?;
    ensure!(
        seen == format!("{version} 52771 tools.paws /home/paws"),
        "{seen}"
    );

    stranger_is_sent_to_sign_in_and_comes_back(&hub, &rook).await?;
    other_user_is_refused(&rook, &wren).await?;
    activity_is_posted(&hub, &rook).await?;
    nothing_secret_is_described(&hub, &mut kernel).await
}

async fn other_user_is_refused(rook: &Person, wren: &Person) -> Result<()> {
    let page = wren.open(&format!("{}lab", rook.prefix(""))).await?;
    ensure!(
        page.status() == 403,
        "another user's browser got {}",
        page.status()
    );
    let api = wren
        .api(
            Method::GET,
            &format!("{}api/kernels", rook.prefix("")),
            None,
        )
        .await?;
    ensure!(
        api.status() == 403,
        "another user's script got {}",
        api.status()
    );
    Ok(())
}

async fn stranger_is_sent_to_sign_in_and_comes_back(hub: &Hub, rook: &Person) -> Result<()> {
    let wanted = format!("{}lab/tree/a%20b.ipynb", rook.prefix(""));
    let stranger = Person::stranger(hub)?;
    let page = stranger.open(&wanted).await?;
    let url = page.url().clone();
    ensure!(url.path() == "/hub/login", "a stranger ended at {url}");
    let next = url
        .query_pairs()
        .find(|(key, _)| key == "next")
        .map(|(_, value)| value.into_owned())
        .context("no way back")?;
    // The same browser signs in by a link in another tab, then goes where it was sent from.
    let link = hub.user_link(rook.name()).await?;
    stranger.open(&link).await?;
    let page = stranger.open(&next).await?;
    ensure!(
        page.status().is_success(),
        "{} at {}",
        page.status(),
        page.url()
    );
    ensure!(
        page.url().path() == wanted,
        "it came back to {} and wanted {wanted}",
        page.url()
    );
    Ok(())
}

/// A kernel that goes on printing with nobody connected is used all the same, and only its server can know that.
async fn activity_is_posted(hub: &Hub, rook: &Person) -> Result<()> {
    let kernel = Kernel::started(rook, "").await?;
    kernel
        .leave_running("import time\nfor _ in range(120):\n    print('.')\n    time.sleep(1)")
        .await?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let rows = hub.rows().await?;
    eventually(
        "the server posts that it is used",
        Duration::from_secs(100),
        || async {
            let last = rows
                .count("SELECT last_activity FROM servers")
                .await
                .map_err(|error| format!("{error:#}"))?;
            // What the proxy saw is older than this.
            if i128::from(last) > since.cast_signed() + 10_000 {
                Ok(())
            } else {
                Err(format!("used at {last}, connected until {since}"))
            }
        },
    )
    .await
}

async fn nothing_secret_is_described(hub: &Hub, kernel: &mut Kernel) -> Result<()> {
    let token = kernel
        .run("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])")
        .await?;
    ensure!(token.len() >= 16, "no token in the server's environment");
    let containers = hub.containers().await?;
    ensure!(containers.len() == 1, "{containers:?}");
    let description = inspect(&containers[0].name).await?.to_string();
    ensure!(
        !description.contains(&token),
        "the API token is in the description"
    );
    ensure!(
        !description.contains("JUPYTERHUB_API_TOKEN"),
        "a token's name is in the description"
    );
    ensure!(
        !description.contains("Rook"),
        "the user's name is in the description"
    );
    let logs = docker::docker(&["logs", &containers[0].name]).await?;
    ensure!(
        !logs.contains(&token),
        "the API token is in the container's log"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn jupyterhub_5_servers_sign_in_and_stay_apart() -> Result<()> {
    let image = images::single_user().await?;
    signs_in_works_and_is_kept_apart(&image, "5.5.4").await
}

#[tokio::test(flavor = "multi_thread")]
async fn jupyterhub_6_servers_sign_in_and_stay_apart() -> Result<()> {
    let image = images::single_user_6().await?;
    signs_in_works_and_is_kept_apart(&image, "6.1.1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_get_a_working_kernel() -> Result<()> {
    let hub = hub_with(&images::single_user().await?).await?;
    for name in hostile_names() {
        let person = Person::user(&hub, &name).await?;
        person.start("").await.with_context(|| name.clone())?;
        let mut kernel = Kernel::started(&person, "").await?;
        let seen = kernel
            .run("import os; print(os.environ['JUPYTERHUB_USER'])")
            .await?;
        ensure!(seen == name, "{name:?} became {seen:?}");
        let home = person.open("/hub/home").await?;
        ensure!(home.status().is_success());
        for container in hub.containers().await? {
            let description = inspect(&container.name).await?.to_string();
            ensure!(
                !description.contains("rm -rf"),
                "a name reached the engine: {description}"
            );
        }
        person.ask_stop("").await?;
        person.until_stopped("", Duration::from_secs(40)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_ends_entry_to_the_server_and_open_websockets() -> Result<()> {
    let hub = hub_with(&images::single_user().await?).await?;
    let rook = Person::user(&hub, "Rook").await?;
    rook.start("").await?;
    let mut kernel = Kernel::started(&rook, "").await?;
    let kernels = format!("{}api/kernels", rook.prefix(""));
    ensure!(rook.api(Method::GET, &kernels, None).await?.status() == 200);
    // What a thief would have kept.
    let kept = rook.cookies(&kernels)?;
    rook.open("/hub/logout").await?;
    kernel.until_closed(Duration::from_secs(5)).await?;
    let thief = Person::stranger(&hub)?;
    for pair in kept.split("; ") {
        thief.set_cookie(&kernels, &format!("{pair}; Path=/"))?;
    }
    let refused = thief.api(Method::GET, &kernels, None).await?;
    ensure!(
        refused.status() == 403,
        "kept cookies still enter: {}",
        refused.status()
    );
    Ok(())
}
