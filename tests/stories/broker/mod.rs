//! Acting on wikis from a notebook: pywikibot and plain requests as the person who signed in, with nothing secret in the container.

mod acts;
mod clients;
mod ends;
mod families;
mod grant;
mod hostile;
mod page;
mod polite;
mod requests;
mod secrets;
mod sites;
mod unknown;
mod uploads;
mod wire;

use std::time::Duration;

use anyhow::{Result, ensure};
use holt_tests::docker::docker;
use holt_tests::hub::Hub;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wiki::Wiki;

use crate::wiki::hub_with;

pub(super) const SOON: Duration = Duration::from_secs(40);
pub(super) const NAME: &str = "O'Brien (WMF)";

/// A hub that acts on the wiki for its people, and one of them whose server runs.
pub(super) async fn acting(protocol: &str, broker: &str) -> Result<(Hub, Wiki, Person)> {
    let others = format!("[broker]\nprovider = \"wiki\"\n{broker}");
    let (hub, wiki) = hub_with(protocol, &others, "").await?;
    wiki.account(7_000_003, NAME);
    let person = Person::by_wiki(&hub, NAME).await?;
    person.start("").await?;
    Ok((hub, wiki, person))
}

/// The only container of the hub.
pub(super) async fn container(hub: &Hub) -> Result<String> {
    let all = hub.containers().await?;
    ensure!(all.len() == 1, "{all:?}");
    Ok(all[0].name.clone())
}

/// From here on the container hears of no end until it is killed, after the grace: other programs in it go on meanwhile.
pub(super) async fn lingers(container: &str) -> Result<()> {
    docker(&["kill", "--signal", "STOP", container]).await?;
    Ok(())
}

/// And now it hears of it.
pub(super) async fn ends_now(container: &str) -> Result<()> {
    docker(&["kill", "--signal", "CONT", container]).await?;
    Ok(())
}

/// Runs a shell's line as the server's own processes run it.
pub(super) async fn run(kernel: &mut Kernel, line: &str) -> Result<String> {
    let code = format!(
        "import subprocess\ndone = subprocess.run({line:?}, shell=True, capture_output=True, text=True)\n\
         print(done.returncode, done.stdout[-3000:], done.stderr[-3000:])"
    );
    kernel.run(&code).await
}

/// Code for a notebook: asks the broker as anybody could, and prints status and outcome.
pub(super) const RAW: &str = "import os, requests, holt_broker\n\
    token = open(os.environ['HOLT_BROKER_TOKEN_FILE']).read()\n\
    api = holt_broker.sites()[0]['origin'] + holt_broker.sites()[0]['api']\n\
    rest = holt_broker.sites()[0]['origin'] + holt_broker.sites()[0]['rest']\n\
    def raw(url, method='GET', token=token, headers={}, **more):\n    \
        headers = {'Authorization': 'Bearer ' + token, 'Holt-Method': method, 'Holt-Url': url, **headers}\n    \
        answer = requests.post(os.environ['HOLT_BROKER_URL'], headers=headers, allow_redirects=False, **more)\n    \
        return answer.status_code, answer.headers.get('Holt-Outcome')\n";
