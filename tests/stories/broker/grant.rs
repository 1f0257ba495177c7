//! Where signing in allows nothing but to know who somebody is, they allow the rest when it is first needed, and take it back.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use holt_tests::chrome::Chrome;
use holt_tests::docker;
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use holt_tests::wiki::{Arrived, Consent, Consumer, Visitor, Wiki};
use reqwest::Response;

use super::{NAME, RAW, SOON, run};
use crate::sessions::Second;
use crate::wiki::{KEY, SECRET};

/// What the hub acts by; secrets of tests only.
const EDIT_KEY: &str = "0b5e1f60c1a24e5bb1d3c5a7f0a9e2d4";
const EDIT_SECRET: &str = "5ec4e70f0e4a11111111111111111111111111a1";
const SUB: u64 = 7_000_003;
/// The rows of what was allowed.
const ALLOWED: &str = "SELECT count(*) FROM auth_states WHERE consumer <> ''";
/// Code for a notebook: asks what is answered to a program.
const ASK: &str = "answer = requests.post(os.environ['HOLT_BROKER_URL'], headers={'Authorization': 'Bearer ' + token, 'Holt-Method': 'GET',\n    \
    'Holt-Url': api + '?action=query&meta=userinfo&uiprop=rights&format=json'})\nprint(answer.status_code, answer.text)";

/// A hub with a consumer for signing in and another one that acts.
pub(super) async fn apart(protocol: &str, broker: &str) -> Result<(Hub, Wiki)> {
    let paths = ("/hub/oauth_callback", "/hub/wiki/callback");
    apart_at(protocol, broker, paths).await
}

/// The same, with the ways back of both.
async fn apart_at(
    protocol: &str,
    broker: &str,
    (signs_in, acts): (&str, &str),
) -> Result<(Hub, Wiki)> {
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    let wish = Wish::default().env("HOLT__PROVIDER__WIKI__CLIENT_SECRET", SECRET);
    let mut hub = Hub::new(wish)?;
    let wiki = Wiki::start()?;
    let sign_in = format!("{}{signs_in}", hub.url());
    let act = format!("{}{acts}", hub.url());
    let grants = ["basic", "editpage"];
    if protocol == "oauth1" {
        wiki.consumer(Consumer::oauth1(KEY, SECRET, &sign_in));
        wiki.consumer(Consumer::oauth1(EDIT_KEY, EDIT_SECRET, &act).with_grants(&grants));
    } else {
        wiki.consumer(Consumer::oauth2(KEY, SECRET, &sign_in));
        wiki.consumer(Consumer::oauth2(EDIT_KEY, EDIT_SECRET, &act).with_grants(&grants));
    }
    let secret = hub.scratch("edit-secret");
    std::fs::write(&secret, EDIT_SECRET)?;
    hub.configure(&format!(
        "[broker]\nprovider = \"wiki\"\nclient_id = \"{EDIT_KEY}\"\nclient_secret_file = {secret:?}\nprotocol = \"{protocol}\"\ncallback_path = \"{acts}\"\n{broker}\n\
         [docker]\nimage = \"{image}\"\n[access]\nallow_all = true\n\
         [provider.wiki]\nlabel = \"Wikimedia\"\ncallback_path = \"{signs_in}\"\nprotocol = \"{protocol}\"\nclient_id = \"{KEY}\"\nindex_url = \"{}\"\n",
        wiki.index_url()
    ))?;
    hub.up().await?;
    wiki.account(SUB, NAME);
    Ok((hub, wiki))
}

/// Begins it on the page, and returns where that leads.
async fn begin(person: &Person) -> Result<String> {
    let page = person.post("/hub/wiki/permission", &[]).await?;
    let (status, text) = (page.status(), page.text().await?);
    ensure!(status.is_success(), "{status} {text}");
    let link = text
        .split("id=\"go-on\" href=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .context("no way to the wiki")?;
    Ok(link.replace("&amp;", "&").replace("&#38;", "&"))
}

/// The path and query that the wiki sends an account's browser back to.
async fn allowed_by(name: &str, to: &str) -> Result<String> {
    let back = Visitor::new(name)?.comes_back(to, Consent::Accept).await?;
    Ok(format!(
        "{}?{}",
        back.path(),
        back.query().unwrap_or_default()
    ))
}

async fn allow(person: &Person) -> Result<Response> {
    let to = begin(person).await?;
    person.open(&allowed_by(NAME, &to).await?).await
}

/// Checks status and words of a page.
async fn says(page: Response, status: u16, words: &str) -> Result<()> {
    let (seen, url) = (page.status(), page.url().clone());
    let text = page.text().await?;
    ensure!(
        seen == status && text.contains(words),
        "{url}: {seen} without {words:?}: {text}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_allowed_when_it_is_first_needed_and_taken_back() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let (hub, wiki) = apart(protocol, "scopes = [\"basic\", \"editpage\"]").await?;
        let rows = hub.rows().await?;
        let person = Person::by_wiki(&hub, NAME).await.context(protocol)?;
        person.start("").await?;
        let mut kernel = Kernel::started(&person, "").await?;
        kernel.run(RAW).await?;
        // Before: programs and people are told what to do, and where.
        let page = format!("{}/hub/wiki", hub.url());
        let said = kernel.run(ASK).await?;
        ensure!(
            said.starts_with("403")
                && said.contains("\"code\":\"needs_grant\"")
                && said.contains(&format!("\"url\":\"{page}\"")),
            "{protocol}: {said}"
        );
        let said = kernel
            .run("try:\n    holt_broker.session().get(api)\nexcept holt_broker.Refused as error:\n    print(error)")
            .await?;
        ensure!(
            said.starts_with("You have not allowed the hub") && said.trim().ends_with(&page),
            "{protocol}: {said}"
        );
        let said = run(&mut kernel, "pwb login").await?;
        ensure!(
            said.contains("You have not allowed the hub to act on wikis for you")
                && said.contains(&page),
            "{protocol}: {said}"
        );
        eventually("the page says it", SOON, || async {
            let page = async { anyhow::Ok(person.open("/hub/wiki").await?.text().await?) };
            let text = page.await.map_err(|error| format!("{error:#}"))?;
            let words = [
                "Not given",
                "edit pages (editpage)",
                "O&#39;Brien (WMF)",
                "Allow it at Wikimedia",
                "not sent (needs-grant)",
            ];
            match words.iter().find(|words| !text.contains(**words)) {
                Some(missing) => Err(format!("no {missing:?} in {text}")),
                None => Ok(()),
            }
        })
        .await?;
        // After: the server that runs acts, by the other consumer.
        says(allow(&person).await?, 200, "Given just now")
            .await
            .context(protocol)?;
        let said = kernel
            .run(
                "import pywikibot\npage = pywikibot.Page(pywikibot.Site(), 'Sandbox')\npage.text = 'tried out'\n\
                 page.save(summary='Trying out')\nprint(pywikibot.Site().user())",
            )
            .await?;
        let edits = wiki.edits();
        ensure!(
            edits.len() == 1 && edits[0].user == NAME && edits[0].consumer == EDIT_KEY,
            "{protocol}: {edits:?} {said}"
        );
        ensure!(rows.count(ALLOWED).await? == 1);
        // Taken back: nothing more is sent, and what signing in gave stays.
        person.post("/hub/wiki/permission/withdraw", &[]).await?;
        person.post("/hub/wiki/permission/withdraw", &[]).await?;
        wiki.forget_seen();
        let said = kernel.run(ASK).await?;
        ensure!(
            said.starts_with("403") && said.contains("needs_grant"),
            "{protocol}: {said}"
        );
        ensure!(wiki.seen().is_empty(), "{protocol}: {:?}", wiki.seen());
        ensure!(rows.count(ALLOWED).await? == 0);
        ensure!(rows.count("SELECT count(*) FROM auth_states").await? == 1);
        says(person.open("/hub/wiki").await?, 200, "Not given").await?;
        // Given again, and taken back at the wiki: the hub finds out with the next request, and nobody is signed out.
        says(allow(&person).await?, 200, "Given just now").await?;
        ensure!(kernel.run(ASK).await?.starts_with("200"));
        wiki.revoke(EDIT_KEY, SUB);
        let said = kernel.run(ASK).await?;
        ensure!(
            said.starts_with("403") && said.contains("needs_grant"),
            "{protocol}: {said}"
        );
        ensure!(rows.count(ALLOWED).await? == 0 && person.who().await? == NAME);
        // Signing out everywhere forgets it with all else.
        says(allow(&person).await?, 200, "Given just now").await?;
        person.post("/hub/sessions/end", &[]).await?;
        ensure!(rows.count("SELECT count(*) FROM auth_states").await? == 0);
        let again = Person::by_wiki(&hub, NAME).await?;
        says(again.open("/hub/wiki").await?, 200, "Not given").await?;
        let said = hub.said();
        for secret in [EDIT_SECRET, "oauth_token=", "code=", "oauth_verifier"] {
            ensure!(!said.contains(secret), "the log holds {secret}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_allows_it_and_nothing_half_done_counts() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let (hub, wiki) = apart(protocol, "").await?;
        wiki.account(7_000_004, "Other user");
        let rows = hub.rows().await?;
        let none = async || -> Result<()> {
            ensure!(rows.count(ALLOWED).await? == 0, "{protocol}: it was kept");
            Ok(())
        };
        let person = Person::by_wiki(&hub, NAME).await.context(protocol)?;
        // What one person brings back, in somebody else's browser, and in another one of the same person: nobody asks the wiki.
        let back = allowed_by(NAME, &begin(&person).await?).await?;
        let other = Person::by_wiki(&hub, "Other user").await?;
        let elsewhere = Person::by_wiki(&hub, NAME).await?;
        wiki.forget_seen();
        for browser in [&other, &elsewhere] {
            says(browser.open(&back).await?, 400, "in another browser")
                .await
                .context(protocol)?;
        }
        ensure!(wiki.seen().is_empty(), "{protocol}: {:?}", wiki.seen());
        none().await?;
        // A script of a notebook does not finish it, even in the right browser; the person does, once.
        let script = person.api(reqwest::Method::GET, &back, None).await?;
        ensure!(script.status() == 403, "{protocol}: {}", script.status());
        says(person.open(&back).await?, 200, "Given just now")
            .await
            .context(protocol)?;
        says(person.open(&back).await?, 200, "Given just now")
            .await
            .context(protocol)?;
        ensure!(rows.count(ALLOWED).await? == 1);
        person.post("/hub/wiki/permission/withdraw", &[]).await?;
        says(person.open(&back).await?, 400, "finished already")
            .await
            .context(protocol)?;
        none().await?;
        // Allowed as another account at the wiki.
        let back = allowed_by("Other user", &begin(&person).await?).await?;
        says(
            person.open(&back).await?,
            403,
            "You allowed it at the wiki as",
        )
        .await
        .context(protocol)?;
        none().await?;
        // Not allowed.
        let to = begin(&person).await?;
        match Visitor::new(NAME)?.go(&to, Consent::Decline).await? {
            Arrived::Away(url) => {
                let back = format!("{}?{}", url.path(), url.query().unwrap_or_default());
                says(person.open(&back).await?, 403, "not allowed at the wiki").await?;
            }
            Arrived::Stays { .. } => ensure!(protocol == "oauth1"),
        }
        // Made up, and incomplete.
        for query in [
            "",
            "?code=x&state=y",
            "?oauth_token=x&oauth_verifier=y",
            "?state=y&state=z&code=x",
            "?error=access_denied",
        ] {
            let page = person.open(&format!("/hub/wiki/callback{query}")).await?;
            ensure!(
                page.status().is_client_error(),
                "{protocol} {query}: {}",
                page.status()
            );
        }
        // Signed out on the way: what the wiki sent is in no address, and worth nothing afterwards.
        let back = allowed_by(NAME, &begin(&person).await?).await?;
        person.open("/hub/logout").await?;
        let page = person.look(&back).await?;
        let to = page.headers().get("location").context("a way to sign in")?;
        ensure!(to == "/hub/login?next=/hub/wiki", "{to:?}");
        none().await?;
        // Two tabs at once, and a hub that is killed meanwhile.
        let person = Person::by_wiki(&hub, NAME).await?;
        let tabs = [begin(&person).await?, begin(&person).await?];
        let mut backs = Vec::new();
        for to in &tabs {
            backs.push(allowed_by(NAME, to).await?);
        }
        let before = hub.kill("hub")?;
        hub.replaced("hub", before).await?;
        hub.ready(SOON).await?;
        for back in &backs {
            says(person.open(back).await?, 200, "Given just now")
                .await
                .context(protocol)?;
        }
        ensure!(rows.count(ALLOWED).await? == 1);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hubs_know_the_same_of_it() -> Result<()> {
    let (hub, wiki) = apart("oauth2", "").await?;
    let second = Second::start(&hub).await?;
    let first: &Path = &hub.data_dir().join("run/hub.sock");
    let person = Person::by_wiki(&hub, NAME).await?;
    let rows = hub.rows().await?;
    for (begins, finishes) in [(first, &*second.socket), (&second.socket, first)] {
        let (one, other) = (person.at_socket(begins)?, person.at_socket(finishes)?);
        let back = allowed_by(NAME, &begin(&one).await?).await?;
        let page = other.look(&back).await?;
        ensure!(page.status().is_redirection(), "{}", page.status());
        says(one.look("/hub/wiki").await?, 200, "Given just now").await?;
        ensure!(rows.count(ALLOWED).await? == 1);
        one.post("/hub/wiki/permission/withdraw", &[]).await?;
        says(other.look("/hub/wiki").await?, 200, "Not given").await?;
        ensure!(rows.count(ALLOWED).await? == 0);
    }
    drop(wiki);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_allows_it_takes_it_back_and_stops_a_server() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let (hub, wiki) = apart(protocol, "scopes = [\"basic\", \"editpage\"]").await?;
        let chrome = Chrome::start().await?;
        chrome
            .go(&format!("{}/hub/login/wiki?next=/hub/wiki", hub.url()))
            .await?;
        chrome
            .element("#wpName1", SOON)
            .await?
            .send_keys(NAME)
            .await?;
        chrome.click("#wpLoginAttempt", SOON).await?;
        chrome.click("#mw-oauth-accept", SOON).await?;
        chrome.element("#allow", SOON).await?;
        chrome
            .picture(&format!("permission-1-not-given-{protocol}"))
            .await?;
        // The form leads to our own page, and that goes on by itself.
        chrome.click("#allow", SOON).await?;
        chrome.click("#mw-oauth-accept", SOON).await?;
        chrome.element("#withdraw", SOON).await?;
        chrome
            .picture(&format!("permission-2-given-{protocol}"))
            .await?;
        let person = Person::by_wiki(&hub, NAME).await?;
        person.start("").await?;
        let mut kernel = Kernel::started(&person, "").await?;
        kernel.run(RAW).await?;
        ensure!(kernel.run(ASK).await?.starts_with("200"));
        // The button of the server: stopped, and allowed again.
        chrome.go(&format!("{}/hub/wiki", hub.url())).await?;
        chrome.click("#launches button", SOON).await?;
        let is = |words: &str| {
            format!(
                "return document.querySelector('#launches .state')?.innerText.includes('{words}')"
            )
        };
        chrome
            .until("it is stopped", &is("nothing is sent"), SOON)
            .await?;
        ensure!(kernel.run(ASK).await?.starts_with("403"));
        chrome.click("#launches button", SOON).await?;
        chrome.until("it is allowed", &is("may send"), SOON).await?;
        ensure!(kernel.run(ASK).await?.starts_with("200"));
        chrome.click("#withdraw", SOON).await?;
        chrome.element("#allow", SOON).await?;
        ensure!(kernel.run(ASK).await?.contains("needs_grant"));
        chrome.close().await?;
        drop(wiki);
    }
    Ok(())
}

/// A page of the notebook's own hub where one consumer does both says where the permission came from.
#[tokio::test(flavor = "multi_thread")]
async fn with_one_consumer_the_page_says_that_it_came_with_signing_in() -> Result<()> {
    let (hub, _wiki) = crate::wiki::hub_with("oauth2", "[broker]\nprovider = \"wiki\"", "").await?;
    _wiki.account(SUB, NAME);
    let person = Person::by_wiki(&hub, NAME).await?;
    let text = person.open("/hub/wiki").await?.text().await?;
    for words in [
        "came with signing in",
        "/hub/sessions",
        "Special:OAuthManageMyGrants",
    ] {
        ensure!(text.contains(words), "{words} in {text}");
    }
    ensure!(!text.contains("id=\"allow\""), "{text}");
    let page = person.post("/hub/wiki/permission", &[]).await?;
    ensure!(page.status() == 400, "{}", page.status());
    eventually("nothing was kept", SOON, || async {
        match hub.rows().await {
            Ok(rows) => match rows.count(ALLOWED).await {
                Ok(0) => Ok(()),
                other => Err(format!("{other:?}")),
            },
            Err(error) => Err(format!("{error:#}")),
        }
    })
    .await
}

/// Where the operator wants keys in notebooks, they are those of the consumer that acts, and only of people who allowed it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_environment_is_that_of_the_consumer_that_acts() -> Result<()> {
    let (hub, _wiki) = apart("oauth1", "paws_environment = true").await?;
    let person = Person::by_wiki(&hub, NAME).await?;
    let keys = "import os; print(os.environ.get('CLIENT_ID'), os.environ.get('CLIENT_SECRET'), 'ACCESS_KEY' in os.environ)";
    person.start("").await?;
    let said = Kernel::started(&person, "").await?.run(keys).await?;
    ensure!(said.trim() == "None None False", "{said}");
    person.ask_stop("").await?;
    person.until_stopped("", SOON).await?;
    says(
        allow(&person).await?,
        200,
        "a server gets the key itself when it starts",
    )
    .await?;
    person.start("").await?;
    let said = Kernel::started(&person, "").await?.run(keys).await?;
    ensure!(
        said.trim() == format!("{EDIT_KEY} {EDIT_SECRET} True"),
        "{said}"
    );
    Ok(())
}

/// The consumer that people signed in by before acts from now on, where it was registered; signing in comes back elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_people_signed_in_by_before_acts_where_it_is_registered() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let paths = ("/hub/oauth_callback/wiki", "/hub/oauth_callback");
        let (hub, _wiki) = apart_at(protocol, "", paths).await?;
        let person = Person::by_wiki(&hub, NAME).await.context(protocol)?;
        let back = allowed_by(NAME, &begin(&person).await?).await?;
        ensure!(back.starts_with("/hub/oauth_callback?"), "{protocol}");
        says(person.open(&back).await?, 200, "Given just now")
            .await
            .context(protocol)?;
        // Neither way back is good for the other.
        let back = allowed_by(NAME, &begin(&person).await?).await?;
        let elsewhere = back.replace("/hub/oauth_callback?", "/hub/oauth_callback/wiki?");
        person.post("/hub/wiki/permission/withdraw", &[]).await?;
        person.open(&elsewhere).await?;
        ensure!(hub.rows().await?.count(ALLOWED).await? == 0, "{protocol}");
    }
    Ok(())
}
