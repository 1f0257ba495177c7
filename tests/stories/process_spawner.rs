//! A machine without a container engine: notebooks as local processes, for one user.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holt_tests::hub::Wish;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;

const KILLED: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn one_user_works_and_a_second_is_refused_with_the_reason() -> Result<()> {
    let hub = Wish::default()
        .config("[spawner]\nkind = \"process\"")
        .start()
        .await?;
    ensure!(
        hub.said().contains("process"),
        "it does not say what it does: {}",
        hub.said()
    );
    let admin = Person::admin(&hub).await?;
    // The first start makes the environment.
    admin.start("").await?;
    let mut kernel = Kernel::started(&admin, "").await?;
    ensure!(kernel.run("kept = 6*7; kept").await? == "42");
    let arguments = std::process::Command::new("ps")
        .args(["-eo", "args"])
        .output()?;
    let token = kernel
        .run("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])")
        .await?;
    ensure!(
        !String::from_utf8_lossy(&arguments.stdout).contains(&token),
        "a token is on a command line"
    );

    let second = Person::user(&hub, "Second").await?;
    let answer = second
        .api(reqwest::Method::POST, "/hub/api/users/Second/server", None)
        .await?;
    let code = answer.status();
    let words = answer.text().await?;
    ensure!(code.is_client_error(), "{code} {words}");
    ensure!(
        words.contains("one user") || words.contains("second user"),
        "{words}"
    );

    let before = hub.kill("hub")?;
    ensure!(kernel.run("kept").await? == "42");
    hub.replaced("hub", before).await?;
    hub.ready(KILLED).await?;
    ensure!(kernel.run("kept").await? == "42");
    ensure!(
        admin
            .server("")
            .await?
            .is_some_and(|model| model["ready"] == true)
    );
    let pid: i32 = kernel
        .run("import os; os.getppid()")
        .await?
        .parse()
        .context("a number")?;
    admin.ask_stop("").await?;
    admin.until_stopped("", KILLED).await?;
    ensure!(
        !std::path::Path::new(&format!("/proc/{pid}")).exists(),
        "the server goes on"
    );
    Ok(())
}
