//! Wikis by the list of a wiki: fetched, kept and fetched again; and reached elsewhere than their names say.

use anyhow::{Result, ensure};
use holt_tests::kernel::Kernel;
use holt_tests::wait::eventually;
use holt_tests::wiki::{Trouble, Wiki};

use super::{NAME, RAW, SOON};
use crate::wiki::hub_with;
use holt_tests::person::Person;

const META: &str = "https://meta.wiki.example";
const EN: &str = "https://en.wiki.example";
const DE: &str = "https://de.wiki.example";

/// Waits until a call of a wiki ends so.
async fn until(kernel: &mut Kernel, origin: &str, expected: &str) -> Result<()> {
    let ask = format!("print(raw('{origin}/w/api.php?action=query&meta=userinfo&uiprop=rights'))");
    let began = std::time::Instant::now();
    loop {
        let said = kernel.run(&ask).await?;
        if said.trim() == expected {
            return Ok(());
        }
        ensure!(began.elapsed() < SOON, "{origin} is {said}, not {expected}");
    }
}

/// Waits until the list was asked for, and then once more: what the first answer changed is done.
async fn asked(wiki: &Wiki) -> Result<()> {
    wiki.forget_seen();
    eventually("the list is asked for twice", SOON, || async {
        match wiki.count("sitematrix") {
            count if count >= 2 => Ok(()),
            count => Err(count.to_string()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_line_names_all_wikis_and_an_outage_of_their_list_changes_nothing() -> Result<()> {
    let called = "(200, 'answered')";
    let refused = "(400, 'not-sent')";
    // The list's wiki has a name of its own, and so have the others: all are reached at one place.
    let wiki = Wiki::start()?;
    let broker = format!(
        "[broker]\nprovider = \"wiki\"\nsites_matrix = \"{META}/w/api.php\"\nsites_refresh = \"1s\"\n\
         requests_per_second = 100\nconnect_to = [\"*={}\"]",
        wiki.url()
    );
    // The wiki to sign in with is another one.
    let (hub, accounts) = hub_with("oauth2", &broker, "").await?;
    accounts.account(7_000_003, NAME);
    wiki.set_matrix(&[
        (EN, None),
        (META, None),
        ("https://board.wiki.example", Some("private")),
    ]);
    let person = Person::by_wiki(&hub, NAME).await?;
    eventually("the list is kept", SOON, || async {
        let rows = hub.rows().await.map_err(|error| format!("{error:#}"))?;
        match rows
            .texts("SELECT value FROM settings WHERE key = 'broker.sites'")
            .await
        {
            Ok(kept) if kept.iter().any(|text| text.contains(EN)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    person.start("").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    kernel.run(RAW).await?;
    let told = kernel
        .run("print(sorted(site['origin'] for site in holt_broker.sites()))")
        .await?;
    ensure!(
        told.contains(EN) && told.contains(META) && !told.contains("board"),
        "{told}"
    );
    // Each is asked under its own name, at that one place. Who asks there is nobody it knows: the credential is another wiki's.
    let code = "mwoauth-invalid-authorization";
    let said = kernel
        .run(&format!(
            "import json\nanswer = holt_broker.session().get('{EN}/w/api.php', params={{'action': 'query', 'meta': 'userinfo', 'format': 'json'}})\n\
             print(answer.status_code, answer.text)"
        ))
        .await?;
    ensure!(said.contains(code), "{said}");
    ensure!(
        wiki.seen()
            .iter()
            .any(|seen| seen.host == "en.wiki.example")
    );
    until(&mut kernel, EN, called).await?;
    for origin in [
        DE,
        "https://board.wiki.example",
        "https://en.wiki.example.evil.example",
    ] {
        until(&mut kernel, origin, refused).await?;
    }
    // A list that does not come, or is none, or leads astray, changes nothing.
    for trouble in [
        Trouble::ErrorPage {
            status: 503,
            retry_after: None,
        },
        Trouble::HtmlPage,
        Trouble::Moved {
            status: 302,
            to: format!("{DE}/w/api.php"),
        },
    ] {
        wiki.cause_at("sitematrix", trouble);
        asked(&wiki).await?;
        until(&mut kernel, EN, called).await?;
        until(&mut kernel, DE, refused).await?;
        wiki.cure();
    }
    for bad in ["http://127.0.0.1:1", "http://plain.wiki.example"] {
        wiki.set_matrix(&[(EN, None), (DE, None), (bad, None)]);
        asked(&wiki).await?;
        until(&mut kernel, DE, refused).await?;
        until(&mut kernel, bad, refused).await?;
    }
    // A hub that starts while it is away knows what was there; and a new list is taken.
    wiki.cause_at("sitematrix", Trouble::Closes);
    let before = hub.kill("hub")?;
    hub.replaced("hub", before).await?;
    hub.ready(SOON).await?;
    until(&mut kernel, EN, called).await?;
    wiki.cure();
    wiki.set_matrix(&[(DE, None), (META, None)]);
    until(&mut kernel, DE, called).await?;
    until(&mut kernel, EN, refused).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiki_is_dialled_elsewhere_and_signed_for_by_its_own_name() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let broker = format!(
            "[broker]\nprovider = \"wiki\"\nsites = [\"{EN}\"]\nconnect_to = [\"en.wiki.example=http://127.0.0.1:{{port}}\"]"
        );
        let (hub, wiki) = dialled(protocol, &broker).await?;
        wiki.account(7_000_003, NAME);
        let person = Person::by_wiki(&hub, NAME).await?;
        // From now on it is that wiki, and reckons signatures with its name.
        wiki.set_server(EN);
        person.start("").await?;
        let mut kernel = Kernel::started(&person, "").await?;
        let said = kernel
            .run(&format!(
                "import holt_broker\nanswer = holt_broker.session().post('{EN}/w/api.php', data={{'action': 'query', 'meta': 'userinfo', 'format': 'json'}})\n\
                 print(answer.json()['query']['userinfo']['name'])"
            ))
            .await?;
        ensure!(said.trim() == NAME, "{protocol}: {said}");
        ensure!(
            wiki.seen()
                .iter()
                .any(|seen| seen.host == "en.wiki.example"),
            "{protocol}"
        );
    }
    Ok(())
}

/// A hub whose settings name the port of its wiki.
async fn dialled(protocol: &str, broker: &str) -> Result<(holt_tests::hub::Hub, Wiki)> {
    use holt_tests::hub::{Hub, Wish};
    use holt_tests::wiki::Consumer;

    use crate::wiki::{KEY, SECRET};

    holt_tests::docker::engine_answers().await?;
    let image = holt_tests::images::single_user().await?;
    let mut hub = Hub::new(Wish::default().env("HOLT__PROVIDER__WIKI__CLIENT_SECRET", SECRET))?;
    let wiki = Wiki::start()?;
    let callback = format!("{}/hub/oauth_callback", hub.url());
    wiki.consumer(match protocol {
        "oauth1" => Consumer::oauth1(KEY, SECRET, &callback),
        _ => Consumer::oauth2(KEY, SECRET, &callback),
    });
    let port = wiki.url().rsplit(':').next().unwrap_or_default().to_owned();
    let broker = broker.replace("{port}", &port);
    hub.configure(&format!(
        "{broker}\n[docker]\nimage = \"{image}\"\n[access]\nallow_all = true\n\
         [provider.wiki]\nprotocol = \"{protocol}\"\nclient_id = \"{KEY}\"\nindex_url = \"{}\"\n",
        wiki.index_url()
    ))?;
    hub.up().await?;
    Ok((hub, wiki))
}
