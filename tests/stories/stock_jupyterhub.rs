//! A stock JupyterHub whose configurable-http-proxy is ours: it must not notice.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::stock::{PASSWORD, Stock, StockHub};
use holt_tests::wait::eventually;
use rustix::process::{Signal, kill_process};

/// From the proxy's death until JupyterHub has started another, and told it every route.
const BACK: Duration = Duration::from_secs(40);
/// Its own tests take half a minute; twice as long with TLS.
const TESTS: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn its_users_work_and_a_killed_proxy_comes_back_with_its_routes() -> Result<()> {
    let hub = StockHub::start(Stock::installed().await?).await?;
    let told = work(&hub).await;
    told.with_context(|| format!("JupyterHub said:\n{}", hub.log()))
}

async fn work(hub: &StockHub) -> Result<()> {
    // Signed in, with a server, and with JupyterLab's page before them.
    let ada = Person::at(&hub.url())?.log_in("ada", PASSWORD).await?;
    ada.start("").await?;
    let page = ada.follow("/user/ada/lab").await?;
    ensure!(page.url().path() == "/user/ada/lab", "{}", page.url());
    let page = page.error_for_status()?.text().await?;
    ensure!(page.contains("JupyterLab"), "no page: {page}");
    let mut kernel = Kernel::started(&ada, "").await?;
    ensure!(kernel.run("kept = 6*7; kept").await? == "42");

    // The page of another's server is the hub's to refuse.
    let other = Person::at(&hub.url())?.log_in("bob", PASSWORD).await?;
    let refused = other.follow("/user/ada/lab").await?;
    ensure!(
        refused.status() == 403 || refused.status() == 404,
        "{} at {}",
        refused.status(),
        refused.url()
    );

    // The proxy is killed. JupyterHub starts another and tells it its routes; servers go on meanwhile.
    let before = hub.proxy()?;
    let program = std::fs::read_link(format!("/proc/{}/exe", before.as_raw_pid()))?;
    ensure!(
        program.ends_with("holt-proxy"),
        "{} is another's",
        program.display()
    );
    kill_process(before, Signal::KILL)?;
    kernel.until_closed(BACK).await?;
    eventually("there is another proxy", BACK, || async {
        match hub.proxy() {
            Ok(pid) if pid != before => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    eventually("routes are back", BACK, || async {
        let answer = ada.open("/user/ada/api/status").await;
        answer
            .and_then(|answer| Ok(answer.error_for_status()?))
            .map(drop)
            .map_err(|error| format!("{error:#}"))
    })
    .await?;
    let mut again = Kernel::connect(&ada, "", kernel.id()).await?;
    ensure!(again.run("kept").await? == "42");

    // A server that is stopped is no longer routed to, and the hub says so.
    ada.ask_stop("").await?;
    ada.until_stopped("", BACK).await?;
    let gone = ada.open("/user/ada/api/status").await?;
    ensure!(gone.status() == 424, "{}", gone.status());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_tests_of_the_proxy_pass() -> Result<()> {
    let stock = Stock::installed().await?;
    let proxy = ["jupyterhub.tests.test_proxy"];
    let at_least = 30;
    tests(&stock, &proxy, false, at_least)?;
    // Servers behind TLS, and the proxy's API with certificates both ways.
    let routes = ["jupyterhub.tests.test_proxy", "-k", "check_routes"];
    tests(&stock, &routes, true, 5)?;
    tests(
        &stock,
        &["jupyterhub.tests.test_internal_ssl_connections"],
        true,
        3,
    )
}

/// Runs some of them; all must pass, and there must be so many.
fn tests(stock: &Stock, which: &[&str], tls: bool, at_least: usize) -> Result<()> {
    let log = stock.dir().join("pytest.log");
    let out = std::fs::File::create(&log)?;
    let mut command = stock.command("pytest");
    command
        .args([
            "-q",
            "-W",
            "ignore",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:jupyter_server",
        ])
        .args(["-o", "asyncio_mode=auto"])
        .args(["-o", "asyncio_default_fixture_loop_scope=module"])
        .args(["-o", "asyncio_default_test_loop_scope=module"])
        .arg("--pyargs")
        .args(which)
        .stdout(out.try_clone()?)
        .stderr(out);
    if tls {
        command.env("SSL_ENABLED", "1");
    }
    let mut child = command.spawn()?;
    let began = std::time::Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if began.elapsed() > TESTS => {
                child.kill()?;
                child.wait()?;
                bail!("they do not end: {}", std::fs::read_to_string(&log)?);
            }
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    };
    let said = std::fs::read_to_string(&log)?;
    let passed = said
        .lines()
        .rev()
        .find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = words.iter().position(|word| word.starts_with("passed"))?;
            words.get(at.checked_sub(1)?)?.parse::<usize>().ok()
        })
        .unwrap_or(0);
    ensure!(
        status.success() && passed >= at_least,
        "{which:?} ended with {status}, {passed} passed:\n{said}"
    );
    Ok(())
}
