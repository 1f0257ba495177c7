//! Acting on wikis from a notebook: pywikibot and plain requests as the person who signed in, with nothing secret in the container.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use holt_tests::docker::{self, docker};
use holt_tests::hub::Hub;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use holt_tests::wiki::Wiki;

use crate::wiki::hub_with;

const SOON: Duration = Duration::from_secs(40);
const NAME: &str = "O'Brien (WMF)";

/// A hub that acts on the wiki for its people, and one of them whose server runs.
async fn acting(protocol: &str, broker: &str) -> Result<(Hub, Wiki, Person)> {
    let others = format!("[broker]\nprovider = \"wiki\"\n{broker}");
    let (hub, wiki) = hub_with(protocol, &others, "").await?;
    wiki.account(7_000_003, NAME);
    let person = Person::by_wiki(&hub, NAME).await?;
    person.start("").await?;
    Ok((hub, wiki, person))
}

/// The only container of the hub.
async fn container(hub: &Hub) -> Result<String> {
    let all = hub.containers().await?;
    ensure!(all.len() == 1, "{all:?}");
    Ok(all[0].name.clone())
}

/// Runs a shell's line as the server's own processes run it.
async fn run(kernel: &mut Kernel, line: &str) -> Result<String> {
    let code = format!(
        "import subprocess\ndone = subprocess.run({line:?}, shell=True, capture_output=True, text=True)\n\
         print(done.returncode, done.stdout[-3000:], done.stderr[-3000:])"
    );
    kernel.run(&code).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pywikibot_is_the_person_who_signed_in() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let (hub, wiki, person) = acting(protocol, "").await?;
        let mut kernel = Kernel::started(&person, "").await?;
        let said = run(&mut kernel, "pwb login").await?;
        ensure!(
            said.contains("Logged in on") && said.contains(NAME),
            "{protocol}: {said}"
        );
        let said = kernel
            .run(
                "import pywikibot\n\
                 page = pywikibot.Page(pywikibot.Site(), 'Sandbox')\n\
                 page.text = 'Ünïcode & = + % ~ text\\n'\n\
                 page.save(summary='Trying + out')\n\
                 print(pywikibot.Site().user())",
            )
            .await?;
        ensure!(said.contains(NAME), "{protocol}: {said}");
        let edits = wiki.edits();
        ensure!(edits.len() == 1, "{protocol}: {edits:?} {said}");
        ensure!(
            edits[0].user == NAME
                && edits[0].title == "Sandbox"
                && edits[0].text.trim() == "Ünïcode & = + % ~ text"
                && edits[0].summary == "Trying + out",
            "{edits:?}"
        );
        let agent = &edits[0].user_agent;
        ensure!(
            agent.starts_with("Holt/")
                && agent.contains("user/O%27Brien%20%28WMF%29")
                && agent.contains("Pywikibot/"),
            "{agent}"
        );
        let _ = hub;
    }
    Ok(())
}
