//! The first minutes: the link, the welcome, passwords, invitations, and what strangers cannot do.

use anyhow::{Context, Result, ensure};
use holt_tests::hub::Hub;
use holt_tests::person::Person;
use reqwest::Method;

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_link_signs_in_once() -> Result<()> {
    let hub = Hub::start().await?;
    let admin = Person::admin(&hub).await?;
    let me = admin
        .api(Method::GET, "/hub/api/user", None)
        .await?
        .text()
        .await?;
    let me: serde_json::Value = serde_json::from_str(&me)?;
    ensure!(me["admin"] == true, "{me}");
    let again = Person::stranger(&hub)?;
    let answer = again.open(hub.link()).await?;
    ensure!(
        answer.status().is_client_error(),
        "a used link answered {}",
        answer.status()
    );
    ensure!(again.who().await.is_err(), "a used link signed in");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_of_the_link_does_not_use_it_up() -> Result<()> {
    let hub = Hub::start().await?;
    let preview = Person::stranger(&hub)?;
    let path = hub.link().trim_start_matches(&hub.url()).to_owned();
    preview.api(Method::HEAD, &path, None).await?;
    ensure!(preview.who().await.is_err(), "a HEAD signed in");
    Person::admin(&hub).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_open_one_link_at_once_one_is_signed_in() -> Result<()> {
    let hub = Hub::start().await?;
    let people = (0..4)
        .map(|_| Person::stranger(&hub))
        .collect::<Result<Vec<_>>>()?;
    futures_util::future::join_all(people.iter().map(|person| person.open(hub.link()))).await;
    let mut signed_in = 0;
    for person in &people {
        signed_in += usize::from(person.who().await.is_ok());
    }
    ensure!(signed_in == 1, "{signed_in} were signed in");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_lets_one_person_in_who_then_has_a_password() -> Result<()> {
    let hub = Hub::start().await?;
    let admin = Person::admin(&hub).await?;
    admin.open("/hub/admin").await?;
    let page = admin.post("/hub/admin/invite", &[]).await?;
    let text = page.text().await?;
    let at = text.find("/hub/link/").context("no link on the page")?;
    let link: String = text[at..]
        .chars()
        .take_while(|c| !matches!(c, '"' | '<' | '&' | ' '))
        .collect();
    let name = "Ünï \"Cödé\" (WMF)'s";
    let password = "correct horse battery";
    let guest = Person::stranger(&hub)?;
    let form = guest.open(&link).await?;
    ensure!(form.status().is_success(), "{}", form.status());
    let fields = [
        ("username", name),
        ("name", name),
        ("password", password),
        ("password2", password),
        ("password_again", password),
    ];
    let answer = guest.post(&link, &fields).await?;
    ensure!(
        answer.status().is_redirection(),
        "{} {}",
        answer.status(),
        answer.text().await?
    );
    ensure!(guest.who().await? == name);
    let again = Person::stranger(&hub)?;
    again.open("/hub/login").await?;
    let answer = again
        .post("/hub/login", &[("username", name), ("password", password)])
        .await?;
    ensure!(answer.status().is_redirection(), "{}", answer.status());
    ensure!(again.who().await? == name);
    let wrong = Person::stranger(&hub)?;
    wrong.open("/hub/login").await?;
    let answer = wrong
        .post("/hub/login", &[("username", name), ("password", "guess")])
        .await?;
    ensure!(answer.status().is_client_error(), "{}", answer.status());
    ensure!(wrong.who().await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_administer_has_no_admin_page_and_no_other_user() -> Result<()> {
    let hub = Hub::start().await?;
    let (rook, _wren) = (
        Person::user(&hub, "Rook").await?,
        Person::user(&hub, "Wren").await?,
    );
    for path in ["/hub/admin", "/hub/api/users"] {
        let answer = rook.api(Method::GET, path, None).await?;
        ensure!(answer.status() == 403, "{path}: {}", answer.status());
    }
    for (method, path) in [
        (Method::GET, "/hub/api/users/Wren"),
        (Method::POST, "/hub/api/users/Wren/server"),
        (Method::DELETE, "/hub/api/users/Wren/server"),
        (Method::DELETE, "/hub/api/users/Wren"),
    ] {
        let answer = rook.api(method.clone(), path, None).await?;
        ensure!(
            matches!(answer.status().as_u16(), 403 | 404),
            "{method} {path}: {}",
            answer.status()
        );
    }
    Ok(())
}
