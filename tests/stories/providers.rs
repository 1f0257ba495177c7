//! Several ways to sign in side by side, and what is said to each: names that are taken, homes by number, keys that were lost.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holt_tests::chrome::Chrome;
use holt_tests::hub::{Hub, Wish};
use holt_tests::kernel::Kernel;
use holt_tests::openid::{self, OpenId};
use holt_tests::person::Person;
use holt_tests::wait::eventually;
use holt_tests::wiki::{Consent, Consumer, Visitor, Wiki};
use holt_tests::{docker, images};

use crate::wiki::{KEY, SECRET};

const PAGE: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(40);

/// A hub that has the secrets of these providers.
async fn hub(providers: &[&str]) -> Result<Hub> {
    docker::engine_answers().await?;
    let wish = providers.iter().fold(Wish::default(), |wish, name| {
        let secret = if *name == "idp" {
            openid::CLIENT_SECRET
        } else {
            SECRET
        };
        let variable = format!("HOLT__PROVIDER__{}__CLIENT_SECRET", name.to_uppercase());
        wish.env(&variable, secret)
    });
    Hub::new(wish)
}

async fn common() -> Result<String> {
    let image = images::single_user().await?;
    Ok(format!(
        "[docker]\nimage = \"{image}\"\n[access]\nallow_all = true\n"
    ))
}

/// A wiki that knows the hub, and the section of a provider for it.
fn wiki(hub: &Hub, name: &str, callback_path: &str) -> Result<(Wiki, String)> {
    let wiki = Wiki::start()?;
    wiki.consumer(Consumer::oauth1(
        KEY,
        SECRET,
        &format!("{}{callback_path}", hub.url()),
    ));
    let section = format!(
        "[provider.{name}]\nprotocol = \"oauth1\"\nclient_id = \"{KEY}\"\nindex_url = \"{}\"\ncallback_path = \"{callback_path}\"\n",
        wiki.index_url()
    );
    Ok((wiki, section))
}

/// Signs in by a provider of this name.
async fn by(hub: &Hub, provider: &str, account: &str) -> Result<(Person, String)> {
    let person = Person::stranger(hub)?;
    let page = person
        .look(&format!("/hub/login/{provider}?next=/hub/home"))
        .await?;
    let to = page
        .headers()
        .get("location")
        .context("no way to the provider")?;
    let back = Visitor::new(account)?
        .comes_back(to.to_str()?, Consent::Accept)
        .await?;
    let page = person
        .open(&format!(
            "{}?{}",
            back.path(),
            back.query().unwrap_or_default()
        ))
        .await?;
    ensure!(
        page.status().is_success(),
        "{} {}",
        page.status(),
        page.text().await?
    );
    let name = person.who().await?;
    Ok((person, name))
}

/// In a real browser, through the pages of a certified provider; and beside it a wiki with an account of the same name.
#[tokio::test(flavor = "multi_thread")]
async fn an_openid_provider_and_a_wiki_stand_side_by_side() -> Result<()> {
    let mut hub = hub(&["wiki", "idp"]).await?;
    let idp = OpenId::start(&format!("{}/hub/oauth_callback/idp", hub.url())).await?;
    let (wiki, section) = wiki(&hub, "wiki", "/hub/oauth_callback")?;
    hub.configure(&format!(
        "{}{section}[provider.idp]\nkind = \"oidc\"\nlabel = \"The institute\"\nissuer = \"{}\"\nclient_id = \"{}\"\n\
         callback_path = \"/hub/oauth_callback/idp\"\nclaim_groups = \"realm_access.roles\"\nadmin_groups = [\"keepers\"]\n",
        common().await?,
        idp.issuer(),
        openid::CLIENT_ID
    ))?;
    hub.up().await?;
    wiki.account(7_000_003, "Rook");
    let (_, first) = by(&hub, "wiki", "Rook").await?;
    ensure!(first == "Rook", "{first}");
    for (account, name, is_admin) in [("Rook", "Rook-idp", false), ("keeper1", "keeper1", true)] {
        let chrome = Chrome::start().await?;
        chrome.go(&format!("{}/hub/login", hub.url())).await?;
        chrome.picture("providers-side-by-side").await?;
        chrome.click("a.provider[href*='/idp']", PAGE).await?;
        let field = chrome.element("input[name=login]", PAGE).await?;
        field.send_keys(account).await?;
        chrome
            .element("input[name=password]", PAGE)
            .await?
            .send_keys("any")
            .await?;
        chrome.click("button[type=submit]", PAGE).await?;
        // The provider asks whether the hub may know.
        chrome
            .until(
                "the question is there",
                "return document.querySelector('input[name=login]') === null",
                PAGE,
            )
            .await?;
        chrome.click("button[type=submit]", PAGE).await?;
        chrome
            .until("home", "return location.pathname.startsWith('/hub/')", PAGE)
            .await?;
        let said = chrome
            .script("return fetch('/hub/api/user').then(r => r.text())")
            .await;
        chrome.go(&format!("{}/hub/home", hub.url())).await?;
        let page = chrome.script("return document.body.innerText").await?;
        let page = page.as_str().unwrap_or_default().to_owned();
        ensure!(page.contains(name), "{page} {said:?}");
        let admin = chrome
            .script("return document.querySelector('a[href=\"/hub/admin\"]') !== null")
            .await?;
        ensure!(admin.as_bool() == Some(is_admin), "{account}: {page}");
        chrome.close().await?;
    }
    let rows = hub.rows().await?;
    ensure!(
        rows.count("SELECT count(DISTINCT user_id) FROM identities")
            .await?
            == 3
    );
    Ok(())
}

/// Two wikis: equal names and equal numbers are two people.
#[tokio::test(flavor = "multi_thread")]
async fn two_wikis_never_share_an_account() -> Result<()> {
    let mut hub = hub(&["wiki", "other"]).await?;
    let (one, first) = wiki(&hub, "wiki", "/hub/oauth_callback")?;
    let (two, second) = wiki(&hub, "other", "/hub/oauth_callback/other")?;
    hub.configure(&format!("{}{first}{second}", common().await?))?;
    hub.up().await?;
    one.account(7_000_003, "Same name");
    two.account(7_000_003, "Same name");
    let (_, a) = by(&hub, "wiki", "Same name").await?;
    let (b_person, b) = by(&hub, "other", "Same name").await?;
    ensure!(
        (a.as_str(), b.as_str()) == ("Same name", "Same name-other"),
        "{a} {b}"
    );
    let page = b_person.open("/user/Same%20name/").await?;
    ensure!(page.status().is_client_error(), "{}", page.status());
    // What one wiki sends back is not taken for the other's.
    let person = Person::stranger(&hub)?;
    let to = person.look("/hub/login/other").await?;
    let to = to
        .headers()
        .get("location")
        .context("no way")?
        .to_str()?
        .to_owned();
    let back = Visitor::new("Same name")?
        .comes_back(&to, Consent::Accept)
        .await?;
    let page = person
        .open(&format!(
            "/hub/oauth_callback?{}",
            back.query().unwrap_or_default()
        ))
        .await?;
    ensure!(page.status() == 400, "{}", page.status());
    ensure!(person.who().await.is_err());
    Ok(())
}

/// Homes are called after the account's number, survive a deleted user for the time said, and are gone after it.
#[tokio::test(flavor = "multi_thread")]
async fn homes_are_by_number_and_outlive_their_user_for_a_while() -> Result<()> {
    let mut hub = hub(&["wiki"]).await?;
    let (wiki, section) = wiki(&hub, "wiki", "/hub/oauth_callback")?;
    hub.configure(&format!(
        "[server]\nhome_path = \"{{sub}}\"\nhome_grace = \"20s\"\n{}{section}",
        common().await?
    ))?;
    hub.up().await?;
    for (sub, name) in [(7_000_003, "Keeps it"), (7_000_004, "Loses it")] {
        wiki.account(sub, name);
        let person = Person::by_wiki(&hub, name).await?;
        person.start("").await?;
        let mut kernel = Kernel::started(&person, "").await?;
        kernel
            .run("open('kept.txt', 'w').write('mine'); print('written')")
            .await?;
        person.ask_stop("").await?;
        person.until_stopped("", SOON).await?;
        ensure!(
            hub.data_dir()
                .join(format!("homes/{sub}/kept.txt"))
                .is_file()
        );
    }
    let admin = Person::admin(&hub).await?;
    for name in ["Keeps%20it", "Loses%20it"] {
        let answer = admin
            .api(
                reqwest::Method::DELETE,
                &format!("/hub/api/users/{name}"),
                None,
            )
            .await?;
        ensure!(answer.status() == 204, "{}", answer.status());
    }
    // The one who is back in time has everything.
    let back = eventually("the deleted user can come again", SOON, || async {
        Person::by_wiki(&hub, "Keeps it")
            .await
            .map_err(|error| format!("{error:#}"))
    })
    .await?;
    back.start("").await?;
    let mut kernel = Kernel::started(&back, "").await?;
    ensure!(kernel.run("print(open('kept.txt').read())").await? == "mine");
    let home = hub.data_dir().join("homes/7000004");
    eventually(
        "the other's home is removed",
        Duration::from_secs(120),
        || async {
            if home.exists() {
                Err(hub
                    .said()
                    .lines()
                    .rev()
                    .take(3)
                    .collect::<Vec<_>>()
                    .join("\n"))
            } else {
                Ok(())
            }
        },
    )
    .await?;
    ensure!(kernel.run("print(open('kept.txt').read())").await? == "mine");
    Ok(())
}

/// Keys are replaced one after the other without anybody noticing; and when all are lost, people sign in again, and servers start.
#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_unseen_and_lost_keys_stop_no_server() -> Result<()> {
    let mut hub = hub(&["wiki"]).await?;
    let (wiki, section) = wiki(&hub, "wiki", "/hub/oauth_callback")?;
    let keys = hub.scratch("auth-state.keys");
    let write = |text: String| -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(&keys, text)?;
        Ok(std::fs::set_permissions(
            &keys,
            std::fs::Permissions::from_mode(0o600),
        )?)
    };
    let (old, new, other) = ("11".repeat(32), "22".repeat(32), "33".repeat(32));
    write(format!("{old}\n"))?;
    hub.configure(&format!(
        "[auth_state]\nkeys_file = \"{}\"\nrenew = \"2s\"\n{}{section}",
        keys.display(),
        common().await?
    ))?;
    hub.up().await?;
    wiki.account(7_000_003, "Somebody");
    let person = Person::by_wiki(&hub, "Somebody").await?;
    let rows = hub.rows().await?;
    let kept = async || {
        rows.texts("SELECT key_id || ':' || sealed FROM auth_states")
            .await
    };
    let before = kept().await?;
    write(format!("{new}\n{old}\n"))?;
    let was = hub.kill("hub")?;
    hub.replaced("hub", was).await?;
    eventually("it is sealed anew", SOON, || async {
        match kept().await {
            Ok(now) if now != before => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    // The old key can go: the wiki is still asked with what was kept.
    write(format!("{new}\n"))?;
    let was = hub.kill("hub")?;
    hub.replaced("hub", was).await?;
    wiki.forget_seen();
    let asked = async || match wiki.count("identify") {
        0 => Err("not asked"),
        _ => Ok(()),
    };
    eventually("what was kept is used", SOON, asked).await?;
    // All keys are lost.
    write(format!("{other}\n"))?;
    let was = hub.kill("hub")?;
    hub.replaced("hub", was).await?;
    eventually("the hub answers again", SOON, || async {
        match person.who().await {
            Ok(name) if name == "Somebody" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    person.start("").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    ensure!(kernel.run("6*7").await? == "42");
    let again = Person::by_wiki(&hub, "Somebody").await?;
    ensure!(again.name() == "Somebody");
    wiki.forget_seen();
    eventually("what was given anew is used", SOON, asked).await?;
    Ok(())
}
