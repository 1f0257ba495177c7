//! What a person sees and stops, and what an end of their sessions does to a bot.

use anyhow::{Result, ensure};
use holt_tests::docker;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wait::eventually;

use super::{NAME, RAW, SOON, acting, container, ends_now, lingers};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_stops_and_allows_what_their_server_sends() -> Result<()> {
    let (hub, wiki, person) = acting("oauth2", "").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    kernel.run(RAW).await?;
    let ask = "print(raw(api + '?action=query&meta=userinfo&uiprop=rights'))";
    ensure!(kernel.run(ask).await?.trim() == "(200, 'answered')");
    let shows = async |words: &str| {
        eventually("the page says it", SOON, || async {
            let page = async { anyhow::Ok(person.open("/hub/wiki").await?.text().await?) };
            let text = page.await.map_err(|error| format!("{error:#}"))?;
            if text.contains(words) {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await
    };
    shows("<strong>query</strong>").await?;
    let rows = hub.rows().await?;
    let launch = rows
        .texts("SELECT launch FROM broker_grants")
        .await?
        .remove(0);
    person
        .post(&format!("/hub/wiki/{launch}/stop"), &[])
        .await?;
    ensure!(kernel.run(ask).await?.trim() == "(403, 'not-sent')");
    shows("stopped: nothing is sent").await?;
    // Nobody else allows it, and the server itself does not.
    let said = kernel
        .run(&format!(
            "headers = {{'Authorization': 'token ' + os.environ['JUPYTERHUB_API_TOKEN']}}\n\
             print(requests.delete(os.environ['JUPYTERHUB_API_URL'] + '/broker/halts/{launch}', headers=headers).status_code)"
        ))
        .await?;
    ensure!(said.trim() == "403", "{said}");
    wiki.account(7_000_004, "Other user");
    let other = Person::by_wiki(&hub, "Other user").await?;
    other
        .post(&format!("/hub/wiki/{launch}/allow"), &[])
        .await?;
    ensure!(kernel.run(ask).await?.trim() == "(403, 'not-sent')");
    person
        .post(&format!("/hub/wiki/{launch}/allow"), &[])
        .await?;
    ensure!(kernel.run(ask).await?.trim() == "(200, 'answered')");
    // An ordinary sign-out does not stop a bot.
    let container = container(&hub).await?;
    let url = kernel.run("print(os.environ['HOLT_BROKER_URL'])").await?;
    let line = format!(
        "import json, requests; token = open('/run/holt/broker/token').read(); \
         site = json.load(open('/run/holt/broker/sites.json'))['sites'][0]; \
         headers = {{'Authorization': 'Bearer ' + token, 'Holt-Method': 'GET', 'Holt-Url': site['origin'] + site['api'] + '?action=query'}}; \
         answer = requests.post({:?}, headers=headers); print(answer.status_code, answer.headers.get('Holt-Outcome'))",
        url.trim()
    );
    let bot = async || docker::exec(&container, &["python3", "-c", &line]).await;
    person.open("/hub/logout").await?;
    ensure!(person.who().await.is_err());
    let said = bot().await?;
    ensure!(said.trim() == "200 answered", "{said}");
    // Signing out everywhere does, at once, while the container still ends.
    let again = Person::by_wiki(&hub, NAME).await?;
    lingers(&container).await?;
    again.post("/hub/sessions/end", &[]).await?;
    let said = bot().await?;
    ensure!(said.trim() == "403 not-sent", "{said}");
    ends_now(&container).await?;
    eventually("its token is gone", SOON, || async {
        match rows.count("SELECT count(*) FROM broker_grants").await {
            Ok(0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    Ok(())
}
