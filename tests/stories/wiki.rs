//! Signing in with a wiki's account: by both protocols, in a browser too; what each trouble looks like; and locks, outages, new names.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holt_tests::chrome::Chrome;
use holt_tests::docker;
use holt_tests::hub::{Hub, Wish};
use holt_tests::images;
use holt_tests::kernel::Kernel;
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use holt_tests::wiki::{Consumer, Hidden, Often, Place, ReadOnly, Tamper, Trouble, Wiki};

const PAGE: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(40);
/// What the hub is registered as at the wiki; a secret of tests only.
pub(super) const KEY: &str = "ff68fd86be55839e0bc4db271de8860c";
pub(super) const SECRET: &str = "707b147bc75e3b420d4220edb2da8d3d6bd70d40";

/// A hub whose people are a wiki's, and that asks often whether they are locked.
async fn hub_of(protocol: &str) -> Result<(Hub, Wiki)> {
    hub_with(
        protocol,
        "[lock_check]\ninterval = \"10s\"",
        "label = \"Wikimedia\"",
    )
    .await
}

/// A hub whose people are a wiki's, with other sections, and with more lines for the provider's.
pub(super) async fn hub_with(protocol: &str, others: &str, provider: &str) -> Result<(Hub, Wiki)> {
    docker::engine_answers().await?;
    let image = images::single_user().await?;
    let mut hub = Hub::new(Wish::default().env("HOLT__PROVIDER__WIKI__CLIENT_SECRET", SECRET))?;
    let wiki = Wiki::start()?;
    let callback = format!("{}/hub/oauth_callback", hub.url());
    wiki.consumer(match protocol {
        "oauth1" => Consumer::oauth1(KEY, SECRET, &callback),
        _ => Consumer::oauth2(KEY, SECRET, &callback),
    });
    hub.configure(&format!(
        "{others}\n[docker]\nimage = \"{image}\"\n[access]\nallow_all = true\n\
         [provider.wiki]\n{provider}\nprotocol = \"{protocol}\"\nclient_id = \"{KEY}\"\nindex_url = \"{}\"\n",
        wiki.index_url()
    ))?;
    hub.up().await?;
    Ok((hub, wiki))
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_by_both_protocols_and_work() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let (hub, wiki) = hub_of(protocol).await?;
        wiki.account(7_000_003, "O'Brien (WMF)");
        let person = Person::by_wiki(&hub, "O'Brien (WMF)")
            .await
            .context(protocol)?;
        ensure!(person.name() == "O'Brien (WMF)", "{}", person.name());
        person.start("").await?;
        let mut kernel = Kernel::started(&person, "").await?;
        let seen = kernel
            .run("import os; print(os.environ['JUPYTERHUB_USER'])")
            .await?;
        ensure!(seen == "O'Brien (WMF)", "{seen}");
        let seen = wiki.seen();
        let mut agents = seen
            .iter()
            .map(|seen| &seen.user_agent)
            .filter(|agent| *agent != "holt-tests" && !agent.starts_with("Mozilla/"));
        ensure!(
            agents.all(|agent| agent.starts_with("Holt/") && agent.contains("http")),
            "{seen:?}"
        );
        // Somebody else in the same browser of the wiki, and the same person in another browser.
        wiki.account(7_000_004, "Other user");
        let other = Person::by_wiki(&hub, "Other user").await?;
        ensure!(other.open(&person.prefix("")).await?.status() == 403);
        let again = Person::by_wiki(&hub, "O'Brien (WMF)").await?;
        ensure!(again.name() == person.name());
        let rows = hub.rows().await?;
        ensure!(rows.count("SELECT count(*) FROM identities").await? == 2);
        let kept = rows.texts("SELECT sealed FROM auth_states").await?;
        ensure!(kept.len() == 2, "{kept:?}");
        let said = hub.said();
        for secret in [SECRET, "oauth_token=", "code="] {
            ensure!(!said.contains(secret), "the log holds {secret}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_with_two_tabs_and_can_decline() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let (hub, wiki) = hub_of(protocol).await?;
        wiki.account(7_000_003, "עברית (WMF)");
        let chrome = Chrome::start().await?;
        chrome.go(&format!("{}/hub/login", hub.url())).await?;
        chrome.picture(&format!("wiki-1-login-{protocol}")).await?;
        chrome.click("a.provider", PAGE).await?;
        let name = chrome.element("#wpName1", PAGE).await?;
        name.send_keys("עברית (WMF)").await?;
        chrome.click("#wpLoginAttempt", PAGE).await?;
        chrome.click("#mw-oauth-decline", PAGE).await?;
        if protocol == "oauth2" {
            // The wiki sends the browser back without saying which sign-in it was.
            chrome.element("a[href='/hub/login']", PAGE).await?;
            chrome.picture("wiki-2-declined").await?;
        } else {
            let told = "return document.body.innerText.includes('chosen not to allow')";
            chrome.until("the wiki has heard it", told, PAGE).await?;
        }
        // Two tabs begin; the first finishes first, and the second after it.
        chrome
            .go(&format!("{}/hub/login/wiki?next=/hub/sessions", hub.url()))
            .await?;
        chrome.element("#mw-oauth-accept", PAGE).await?;
        let first = chrome.page.window().await?;
        let second = chrome.page.new_window(true).await?.handle;
        chrome.page.switch_to_window(second.clone()).await?;
        chrome
            .go(&format!("{}/hub/login/wiki?next=/hub/home", hub.url()))
            .await?;
        chrome.element("#mw-oauth-accept", PAGE).await?;
        chrome.page.switch_to_window(first).await?;
        chrome.click("#mw-oauth-accept", PAGE).await?;
        chrome.element("#end-all", PAGE).await?;
        chrome
            .picture(&format!("wiki-3-sessions-{protocol}"))
            .await?;
        chrome.page.switch_to_window(second).await?;
        chrome.click("#mw-oauth-accept", PAGE).await?;
        let home = "return location.pathname === '/hub/home'";
        chrome
            .until("the second tab is where it wanted", home, PAGE)
            .await?;
        chrome.close().await?;
        let said = hub.said();
        ensure!(!said.contains("panicked"), "{said}");
        drop(wiki);
    }
    Ok(())
}

/// What a person sees whose sign-in ran out, whose account was locked while they were in, and who comes back under another name.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_meets_an_old_sign_in_a_lock_and_a_new_name() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let (hub, wiki) = hub_of(protocol).await?;
        wiki.account(7_000_003, "Old name");
        let chrome = Chrome::start().await?;
        let home = format!("{}/hub/home", hub.url());
        let says = async |words: &str| {
            let script = format!("return document.body.innerText.includes({words:?})");
            chrome.until(words, &script, SOON).await
        };
        // It ran out while the question was on the screen.
        chrome.go(&format!("{}/hub/login", hub.url())).await?;
        chrome.click("a.provider", PAGE).await?;
        let name = chrome.element("#wpName1", PAGE).await?;
        name.send_keys("Old name").await?;
        chrome.click("#wpLoginAttempt", PAGE).await?;
        chrome.element("#mw-oauth-accept", PAGE).await?;
        if protocol == "oauth1" {
            wiki.expire_sign_ins();
            chrome.click("#mw-oauth-accept", PAGE).await?;
            says("E004").await?;
        } else {
            let body = r#"{"error":"invalid_request","hint":"Authorization code has expired"}"#;
            let expired = Trouble::Says {
                status: 400,
                content_type: "application/json".to_owned(),
                body: body.to_owned(),
            };
            wiki.cause_at("access_token", expired);
            chrome.click("#mw-oauth-accept", PAGE).await?;
            says("Begin again").await?;
            chrome.picture("wiki-4-too-late").await?;
            wiki.cure();
            chrome.element("a[href='/hub/login']", PAGE).await?;
        }
        // The wiki knows the browser by now, and may not ask again.
        let in_by = async |name: &str| -> Result<()> {
            chrome
                .go(&format!("{}/hub/login?next=/hub/home", hub.url()))
                .await?;
            chrome.click("a.provider", PAGE).await?;
            eventually("home, or a question", PAGE, || async {
                let at = chrome
                    .page
                    .current_url()
                    .await
                    .map_err(|error| error.to_string())?;
                if at.path() == "/hub/home" {
                    return Ok(());
                }
                let _ = chrome
                    .click("#mw-oauth-accept", Duration::from_millis(200))
                    .await;
                Err(at.to_string())
            })
            .await?;
            says(name).await
        };
        in_by("Old name").await?;
        // Locked while they look at it.
        wiki.change_account(7_000_003, |account| account.locked = true)?;
        eventually("the session is over", SOON, || async {
            chrome
                .go(&home)
                .await
                .map_err(|error| format!("{error:#}"))?;
            let at = chrome
                .page
                .current_url()
                .await
                .map_err(|error| error.to_string())?;
            if at.path() == "/hub/login" {
                Ok(())
            } else {
                Err(at.to_string())
            }
        })
        .await?;
        chrome.click("a.provider", PAGE).await?;
        if protocol == "oauth2" {
            // A profile tells nothing of locks, so the hub asks.
            says("locked on all wikis").await?;
            chrome.picture("wiki-5-locked").await?;
        } else {
            says("locked").await?;
        }
        wiki.change_account(7_000_003, |account| account.locked = false)?;
        wiki.rename(7_000_003, "New name");
        in_by("New name").await?;
        chrome
            .picture(&format!("wiki-6-renamed-{protocol}"))
            .await?;
        chrome.close().await?;
        let rows = hub.rows().await?;
        ensure!(
            rows.count("SELECT count(*) FROM users WHERE name IN ('Old name', 'New name')")
                .await?
                == 1
        );
    }
    Ok(())
}

/// More accounts locked at once than can be: nothing ends, the operator hears of it; and once it looks right again, who is locked is out.
#[tokio::test(flavor = "multi_thread")]
async fn a_wiki_that_calls_everybody_locked_is_not_believed() -> Result<()> {
    let (hub, wiki) = hub_of("oauth2").await?;
    let subs: Vec<u64> = (7_000_003..7_000_007).collect();
    let all = subs.iter().map(|sub| {
        let (hub, wiki) = (&hub, &wiki);
        async move {
            let name = format!("Person {sub}");
            wiki.account(*sub, &name);
            let person = Person::by_wiki(hub, &name).await?;
            person.start("").await?;
            anyhow::Ok(person)
        }
    });
    let people = futures_util::future::try_join_all(all).await?;
    let lock = |subs: &[u64], locked: bool| -> Result<()> {
        for sub in subs {
            wiki.change_account(*sub, |account| account.locked = locked)?;
        }
        Ok(())
    };
    // All in one moment, so that one pass finds them all.
    wiki.cause_at("globaluserinfo", broken());
    lock(&subs, true)?;
    wiki.forget_seen();
    eventually("all are due", SOON, || async {
        let count = wiki.count("globaluserinfo");
        if count >= subs.len() {
            Ok(())
        } else {
            Err(count)
        }
    })
    .await?;
    wiki.cure();
    let admin = Person::admin(&hub).await?;
    eventually("the operator is told", SOON, || async {
        let metrics = async { anyhow::Ok(admin.open("/hub/metrics").await?.text().await?) };
        let metrics = metrics.await.map_err(|error| format!("{error:#}"))?;
        let is_told = metrics.contains("holt_lock_check_halted{provider=\"wiki\"} 1");
        if is_told && hub.said().contains("that is not believed") {
            Ok(())
        } else {
            Err(metrics)
        }
    })
    .await?;
    ensure!(hub.containers().await?.len() == 4);
    for person in &people {
        person.who().await?;
    }
    // Two are locked in truth.
    lock(&subs[2..], false)?;
    eventually("two are out", SOON, || async {
        match hub.containers().await {
            Ok(left) if left.len() == 2 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    ensure!(people[0].who().await.is_err() && people[1].who().await.is_err());
    ensure!(people[2].who().await.is_ok() && people[3].who().await.is_ok());
    Ok(())
}

/// Makes something wrong with the wiki or an account.
type Cause = fn(&Wiki);

fn broken() -> Trouble {
    Trouble::ErrorPage {
        status: 500,
        retry_after: None,
    }
}

fn everywhere(wiki: &Wiki, trouble: Trouble) {
    wiki.cause(Place::Everywhere, Often::Always, trouble);
}

/// Its statements have this member.
fn says(wiki: &Wiki, member: &str, value: &str) {
    wiki.tamper(Tamper::Set(member.to_owned(), value.into()));
}

fn hide(wiki: &Wiki, hidden: Hidden) {
    wiki.change_account(7_000_003, |account| account.hidden = hidden)
        .expect("the account was made");
}

/// What goes wrong, and the page that a person sees.
const TROUBLES: &[(Cause, u16, &str)] = &[
    (|wiki| everywhere(wiki, broken()), 503, "does not answer"),
    (
        |wiki| everywhere(wiki, Trouble::HtmlPage),
        503,
        "does not answer",
    ),
    (
        |wiki| everywhere(wiki, Trouble::UserAgentRefused),
        502,
        "mend that",
    ),
    (
        |wiki| {
            let to = "http://elsewhere.invalid/w/index.php".to_owned();
            everywhere(wiki, Trouble::Moved { status: 301, to });
        },
        502,
        "mend that",
    ),
    (|wiki| wiki.set_read_only(ReadOnly::OAuth), 503, "read-only"),
    (|wiki| wiki.tamper(Tamper::Signature), 502, "mend that"),
    (|wiki| says(wiki, "aud", "another"), 502, "mend that"),
    (|wiki| says(wiki, "nonce", "another"), 502, "mend that"),
    (
        |wiki| wiki.tamper(Tamper::Algorithm("HS512".to_owned())),
        502,
        "mend that",
    ),
    (
        |wiki| wiki.tamper(Tamper::Algorithm("none".to_owned())),
        502,
        "mend that",
    ),
    (|wiki| wiki.tamper(Tamper::Made(-500)), 502, "mend that"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_trouble_of_a_wiki_is_a_page_that_says_what_to_do() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let (hub, wiki) = hub_of(protocol).await?;
        wiki.account(7_000_003, "Ordinary user");
        let is_old = protocol == "oauth1";
        let mut cases: Vec<(Cause, u16, &str)> = vec![(
            |wiki| wiki.cause_at("globaluserinfo", broken()),
            503,
            "does not answer",
        )];
        if is_old {
            cases.extend(TROUBLES.iter().copied());
        }
        for (place, (cause, status, words)) in cases.into_iter().enumerate() {
            cause(&wiki);
            let page = Person::stranger(&hub)?
                .through_wiki("Ordinary user", "accept", "/hub/home")
                .await?;
            let found = page.status();
            let text = page.text().await?;
            ensure!(
                found.as_u16() == status && text.contains(words),
                "{protocol} {place}: {found} {text}"
            );
            wiki.cure();
            wiki.tell_the_truth();
            wiki.set_read_only(ReadOnly::No);
        }
        // Accounts that may not: locked, hidden, without a name, without a number.
        let changes: [(Cause, &str); 4] = [
            (|wiki| hide(wiki, Hidden::FromLists), "hidden"),
            (|wiki| hide(wiki, Hidden::Suppressed), "cannot sign in here"),
            (|wiki| says(wiki, "sub", "0"), "cannot sign in here"),
            (
                |wiki| {
                    wiki.cause_at("identify", Trouble::GrantsRevoked);
                    wiki.cause_at("profile", Trouble::GrantsRevoked);
                },
                "Begin again",
            ),
        ];
        for (cause, words) in changes {
            cause(&wiki);
            let page = Person::stranger(&hub)?
                .through_wiki("Ordinary user", "accept", "/hub/home")
                .await?;
            let status = page.status();
            let text = page.text().await?;
            ensure!(
                status.is_client_error() && text.contains(words),
                "{protocol} {words}: {status} {text}"
            );
            hide(&wiki, Hidden::No);
            wiki.cure();
            wiki.tell_the_truth();
        }
        let rows = hub.rows().await?;
        ensure!(rows.count("SELECT count(*) FROM identities").await? == 0);
        if is_old {
            wiki.set_clock_ahead(400);
            let page = Person::stranger(&hub)?.open("/hub/login/wiki").await?;
            let text = page.text().await?;
            ensure!(text.contains("400 s apart"), "{text}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_account_is_out_and_an_outage_ends_nothing() -> Result<()> {
    let (hub, wiki) = hub_of("oauth2").await?;
    wiki.account(7_000_003, "Locked soon");
    wiki.account(7_000_004, "Innocent");
    let locked = Person::by_wiki(&hub, "Locked soon").await?;
    let innocent = Person::by_wiki(&hub, "Innocent").await?;
    locked.start("").await?;
    innocent.start("").await?;
    let mut open = Kernel::started(&locked, "").await?;
    let mut untouched = Kernel::started(&innocent, "").await?;
    wiki.change_account(7_000_003, |account| account.locked = true)?;
    open.until_closed(SOON).await?;
    eventually("only the other's server is left", SOON, || async {
        match hub.containers().await {
            Ok(left) if left.len() == 1 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    ensure!(locked.who().await.is_err(), "a locked account is signed in");
    // The wiki still knows the browser, and a profile tells nothing of locks.
    let page = locked
        .through_wiki("Locked soon", "accept", "/hub/home")
        .await?;
    let (status, text) = (page.status(), page.text().await?);
    ensure!(
        status == 403 && text.contains("locked on all wikis"),
        "{status} {text}"
    );
    // Unlocked, they are back.
    wiki.change_account(7_000_003, |account| account.locked = false)?;
    let back = Person::by_wiki(&hub, "Locked soon").await?;
    ensure!(back.name() == "Locked soon");
    // The wiki breaks: questions come to nothing, and nothing ends.
    wiki.cause(Place::Everywhere, Often::Always, broken());
    let asked = async || {
        let said = hub.said();
        if said.contains("could not be asked about") {
            Ok(())
        } else {
            Err("nobody was asked about".to_owned())
        }
    };
    eventually("accounts are asked about in vain", SOON, asked).await?;
    ensure!(untouched.run("6*7").await? == "42");
    ensure!(innocent.who().await? == "Innocent");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_account_keeps_everything_and_old_links_lead_on() -> Result<()> {
    let (hub, wiki) = hub_of("oauth1").await?;
    wiki.account(7_000_003, "Old name");
    let person = Person::by_wiki(&hub, "Old name").await?;
    person.start("").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    kernel
        .run("open('kept.txt', 'w').write('mine'); print('written')")
        .await?;
    wiki.account(7_000_003, "New name");
    let rows = hub.rows().await?;
    eventually("the new name is known", SOON, || async {
        let names = rows
            .texts("SELECT next_name FROM users WHERE next_name IS NOT NULL")
            .await
            .map_err(|error| format!("{error:#}"))?;
        if names == ["New name"] {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    })
    .await?;
    // What runs keeps its name.
    ensure!(person.who().await? == "Old name");
    ensure!(kernel.run("6*7").await? == "42");
    person.ask_stop("").await?;
    person.until_stopped("", SOON).await?;
    let renamed = Person::by_wiki(&hub, "New name").await?;
    ensure!(renamed.name() == "New name");
    renamed.start("").await?;
    let mut kernel = Kernel::started(&renamed, "").await?;
    ensure!(kernel.run("print(open('kept.txt').read())").await? == "mine");
    let page = renamed.open("/user/Old%20name/lab").await?;
    ensure!(
        page.url().path() == "/user/New%20name/lab",
        "{}",
        page.url()
    );
    Ok(())
}

/// Names that accounts have, from `spec/golden`: quotes, every script, invisible letters, 255 bytes, pairs that look alike.
fn nasty_names() -> Result<Vec<(u64, String)>> {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../spec/golden/wiki-names.json"
    );
    let all: Vec<serde_json::Value> = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let names: Vec<(u64, String)> = all
        .iter()
        .filter_map(|one| Some((one["sub"].as_u64()?, one["name"].as_str()?.to_owned())))
        .collect();
    ensure!(names.len() == 65, "{} names", names.len());
    Ok(names)
}

/// Signs in, works in a home of their own, and comes back.
async fn comes_works_and_comes_back(hub: &Hub, name: &str) -> Result<()> {
    let person = Person::by_wiki(hub, name).await?;
    ensure!(person.name() == name, "became {:?}", person.name());
    person.start("").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    let code = "import os; f = open('own.txt', 'a'); f.write(os.environ['JUPYTERHUB_USER']); f.close(); print(open('own.txt').read())";
    let seen = kernel.run(code).await?;
    ensure!(seen == name, "the home says {seen:?}");
    person.ask_stop("").await?;
    person.until_stopped("", SOON).await?;
    let again = Person::by_wiki(hub, name).await?;
    ensure!(again.name() == name, "came back as {:?}", again.name());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nasty_names_each_have_a_user_and_a_home_of_their_own() -> Result<()> {
    let (hub, wiki) = hub_of("oauth2").await?;
    let names = nasty_names()?;
    for (sub, name) in &names {
        wiki.account(*sub, name);
    }
    // A few at a time: it is names that are tried, not the machine.
    for some in names.chunks(6) {
        let all = some.iter().map(|(_, name)| {
            let hub = &hub;
            async move {
                comes_works_and_comes_back(hub, name)
                    .await
                    .with_context(|| format!("{name:?}"))
            }
        });
        futures_util::future::try_join_all(all).await?;
    }
    let rows = hub.rows().await?;
    ensure!(rows.count("SELECT count(*) FROM identities").await? == 65);
    ensure!(
        rows.count("SELECT count(DISTINCT user_id) FROM identities")
            .await?
            == 65
    );
    Ok(())
}
