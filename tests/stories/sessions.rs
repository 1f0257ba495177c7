//! Sessions: two hubs see the same ones, they end by themselves in time, and whoever ends all of theirs ends all that came of them.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use holt_tests::hub::Hub;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use holt_tests::wiki::{Consent, Visitor, Wiki};
use reqwest::Method;

use crate::wiki::hub_with;

const SOON: Duration = Duration::from_secs(30);
const MINUTES: Duration = Duration::from_secs(120);

async fn hub_of(protocol: &str, others: &str) -> Result<(Hub, Wiki)> {
    hub_with(protocol, others, "").await
}

/// A second process `holt hub` on the same data directory.
pub(super) struct Second {
    child: Child,
    pub(super) socket: PathBuf,
}

impl Second {
    pub(super) async fn start(hub: &Hub) -> Result<Self> {
        let socket = hub.scratch("second.sock");
        let mut command = hub.command(&["hub", "--socket"])?;
        let log = std::fs::File::create(hub.scratch("second.err"))?;
        let second = Self {
            child: command
                .arg(&socket)
                .args(["--listen", &format!("127.0.0.1:{}", hub.port())])
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()?,
            socket,
        };
        let person = Person::stranger(hub)?.at_socket(&second.socket)?;
        eventually("the second hub answers", SOON, || async {
            match person.look("/hub/login").await {
                Ok(page) if page.status().is_success() => Ok(()),
                Ok(page) => Err(page.status().to_string()),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await?;
        Ok(second)
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each sign-in begins at one process and is finished by the other; then both know the browser, and one's sign-out is the other's.
#[tokio::test(flavor = "multi_thread")]
async fn two_hubs_finish_each_others_sign_ins_and_see_the_same_sessions() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let (hub, wiki) = hub_of(protocol, "").await?;
        let second = Second::start(&hub).await?;
        let first = hub.data_dir().join("run/hub.sock");
        for (number, (begins, finishes)) in [(&first, &second.socket), (&second.socket, &first)]
            .into_iter()
            .enumerate()
        {
            let name = format!("Person {number}");
            wiki.account(7_000_003 + number as u64, &name);
            let browser = Person::stranger(&hub)?;
            let (one, other) = (browser.at_socket(begins)?, browser.at_socket(finishes)?);
            let page = one.look("/hub/login/wiki?next=/hub/home").await?;
            let to = page
                .headers()
                .get("location")
                .context("no way to the wiki")?;
            let back = Visitor::new(&name)?
                .comes_back(to.to_str()?, Consent::Accept)
                .await?;
            let page = other
                .look(&format!(
                    "{}?{}",
                    back.path(),
                    back.query().unwrap_or_default()
                ))
                .await?;
            ensure!(
                page.status().is_redirection(),
                "{protocol}: {} {}",
                page.status(),
                page.text().await?
            );
            for person in [&one, &other, &browser] {
                ensure!(person.who().await? == name, "{protocol}");
            }
            // What was brought back is used up for both.
            let again = Person::stranger(&hub)?.at_socket(begins)?;
            let page = again
                .look(&format!(
                    "{}?{}",
                    back.path(),
                    back.query().unwrap_or_default()
                ))
                .await?;
            ensure!(page.status() == 400, "{protocol}: {}", page.status());
            // A server's sign-in crosses over too.
            let browser = browser.known().await?;
            browser.start("").await?;
            let mut kernel = Kernel::started(&browser, "").await?;
            let kept = other.cookies("/hub/")?;
            one.open("/hub/logout").await?;
            kernel.until_closed(Duration::from_secs(5)).await?;
            let thief = Person::stranger(&hub)?.at_socket(finishes)?;
            for pair in kept.split("; ") {
                thief.set_cookie("/hub/", &format!("{pair}; Path=/hub/"))?;
            }
            ensure!(
                thief.who().await.is_err(),
                "{protocol}: the other hub still lets it in"
            );
        }
    }
    Ok(())
}

/// The proxy does not answer the hub in the moment of a sign-out, as when one of the two is killed then: it is told when it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_that_the_proxy_missed_reaches_it_later() -> Result<()> {
    let (hub, wiki) = hub_of("oauth2", "").await?;
    wiki.account(7_000_003, "Leaving");
    let person = Person::by_wiki(&hub, "Leaving").await?;
    person.start("").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    let kernels = format!("{}api/kernels", person.prefix(""));
    let kept = person.cookies(&kernels)?;
    let socket = hub.data_dir().join("run/proxy.sock");
    let aside = socket.with_extension("aside");
    std::fs::rename(&socket, &aside)?;
    person.open("/hub/logout").await?;
    let missed = async || {
        let said = hub.said();
        if said.contains("could not be told of") {
            Ok(())
        } else {
            Err(said)
        }
    };
    eventually("the proxy missed it", SOON, missed).await?;
    ensure!(kernel.run("6*7").await? == "42", "it was told after all");
    std::fs::rename(&aside, &socket)?;
    kernel.until_closed(Duration::from_secs(5)).await?;
    let thief = Person::stranger(&hub)?;
    for pair in kept.split("; ") {
        thief.set_cookie(&kernels, &format!("{pair}; Path=/"))?;
    }
    let refused = thief.api(Method::GET, &kernels, None).await?;
    ensure!(refused.status() == 403, "{}", refused.status());
    let rows = hub.rows().await?;
    let left = "SELECT count(*) FROM revocations";
    eventually("nothing is left to be told", SOON, || async {
        match rows.count(left).await {
            Ok(0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// Who does nothing is signed out after the one time, and who is busy after the other.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_by_themselves() -> Result<()> {
    let times = "[hub]\nsession_lifetime = \"90s\"\nsession_idle = \"1m\"";
    let (hub, wiki) = hub_of("oauth2", times).await?;
    wiki.account(7_000_003, "Busy");
    wiki.account(7_000_004, "Idle");
    let rows = hub.rows().await?;
    let begun = Instant::now();
    let busy = Person::by_wiki(&hub, "Busy").await?;
    let idle = Person::by_wiki(&hub, "Idle").await?;
    eventually("only the busy one's session is left", MINUTES, || async {
        busy.who().await.map_err(|error| format!("{error:#}"))?;
        match rows.count("SELECT count(*) FROM sessions").await {
            Ok(1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    ensure!(idle.who().await.is_err());
    let page = idle.open("/hub/home").await?;
    ensure!(page.url().path() == "/hub/login", "{}", page.url());
    eventually("the busy one's ends too", MINUTES, || async {
        match busy.who().await {
            Ok(name) => Err(name),
            Err(_) => Ok(()),
        }
    })
    .await?;
    ensure!(
        begun.elapsed() >= Duration::from_secs(90),
        "{:?}",
        begun.elapsed()
    );
    Ok(())
}

/// One browser is lost; another of the same person ends all others: what they had open is closed, in a second, and the server goes on.
#[tokio::test(flavor = "multi_thread")]
async fn ending_all_other_sessions_closes_what_they_had_open() -> Result<()> {
    let (hub, wiki) = hub_of("oauth1", "").await?;
    wiki.account(7_000_003, "Careless");
    let lost = Person::by_wiki(&hub, "Careless").await?;
    lost.start("").await?;
    let mut open = Kernel::started(&lost, "").await?;
    let kept = Person::by_wiki(&hub, "Careless").await?;
    kept.enter("").await?;
    let mut own = Kernel::started(&kept, "").await?;
    let page = kept.open("/hub/sessions").await?.text().await?;
    ensure!(
        page.contains("this one") && page.contains("By wiki"),
        "{page}"
    );
    let asked = Instant::now();
    let answer = kept.post("/hub/sessions/end-others", &[]).await?;
    ensure!(answer.status().is_redirection(), "{}", answer.status());
    open.until_closed(Duration::from_secs(5)).await?;
    eprintln!(
        "the other browser's websocket was closed {:?} after the button",
        asked.elapsed()
    );
    let kernels = format!("{}api/kernels", lost.prefix(""));
    let refused = lost.api(Method::GET, &kernels, None).await?;
    ensure!(refused.status() == 403, "{}", refused.status());
    ensure!(lost.who().await.is_err());
    ensure!(own.run("6*7").await? == "42");
    ensure!(kept.who().await? == "Careless");
    Ok(())
}
