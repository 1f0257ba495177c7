//! What goes wrong when a test wants it so: outages, odd answers, lost answers, locks; and what the wiki counts.

use std::time::Duration;

use anyhow::Result;
use holt_tests::wiki::{Hidden, Often, Place, Trouble};
use serde_json::{Value, json};

use crate::client::*;

async fn standing(wiki: &holt_tests::wiki::Wiki, which: &str) -> Result<Value> {
    let api = wiki.api_url();
    let address =
        format!("{api}?action=query&meta=globaluserinfo&{which}&format=json&formatversion=2");
    Ok(http()?.get(address).send().await?.json().await?)
}

#[tokio::test]
async fn a_wiki_that_is_down_refuses_and_comes_back_where_it_was() -> Result<()> {
    let wiki = wiki()?;
    // A connection that is kept is cut as well.
    let client = http()?;
    let address = wiki.index_url();
    assert_eq!(client.get(&address).send().await?.status(), 200);
    wiki.down()?;
    let error = client.get(&address).send().await.unwrap_err();
    assert!(error.is_connect() || error.is_request(), "{error:?}");
    wiki.up()?;
    assert_eq!(client.get(&address).send().await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_wiki_hangs_and_loses_answers() -> Result<()> {
    let wiki = wiki()?;
    wiki.cause(Place::Everywhere, Often::Times(1), Trouble::Hangs);
    let asked = http()?.get(wiki.index_url()).send();
    assert!(
        tokio::time::timeout(Duration::from_millis(200), asked)
            .await
            .is_err()
    );

    let (request, verifier) = approved(&wiki).await?;
    wiki.cause(
        Place::At("token".to_owned()),
        Often::Times(1),
        Trouble::AnswerLost,
    );
    let mut call = Call::new(&wiki, "token").with("oauth_verifier", &verifier);
    call.token = Some(request.clone());
    assert!(call.send(&wiki).await.is_err());
    let mut again = Call::new(&wiki, "token").with("oauth_verifier", &verifier);
    again.token = Some(request);
    assert!(again.send(&wiki).await?.contains("#E009"), "it was done");
    Ok(())
}

#[tokio::test]
async fn odd_answers_come_where_they_are_caused() -> Result<()> {
    let wiki = wiki()?;
    let wait = |seconds: &str| Some(seconds.to_owned());
    for (trouble, status, waits, location) in [
        (
            Trouble::ErrorPage {
                status: 503,
                retry_after: wait("3"),
            },
            503,
            "3",
            "",
        ),
        (Trouble::HtmlPage, 200, "", ""),
        (
            Trouble::TooMany {
                retry_after: wait("0.5"),
            },
            429,
            "0.5",
            "",
        ),
        (Trouble::UserAgentRefused, 403, "", ""),
        (
            Trouble::Moved {
                status: 301,
                to: "/elsewhere".to_owned(),
            },
            301,
            "",
            "/elsewhere",
        ),
        (Trouble::Endless { bytes: 1 << 20 }, 200, "", ""),
    ] {
        wiki.cause_at("globaluserinfo", trouble);
        let address = format!("{}?action=query&meta=globaluserinfo", wiki.api_url());
        let answer = http()?.get(address).send().await?;
        let header = |name: &str| {
            let value = answer.headers().get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        assert_eq!(answer.status(), status);
        assert_eq!(header("retry-after"), waits);
        assert_eq!(header("location"), location);
        assert!(header("content-type").starts_with("text/html"));
        assert_eq!(http()?.get(wiki.index_url()).send().await?.status(), 200);
        wiki.cure();
    }
    Ok(())
}

#[tokio::test]
async fn locks_are_told_by_number_and_hidden_accounts_are_missing() -> Result<()> {
    let wiki = wiki()?;
    let found = standing(&wiki, "guiid=7000003").await?;
    let expected = json!({"home": "peerwiki", "id": SUB, "registration": "2026-11-21T07:31:01Z", "name": NAME});
    assert_eq!(found["query"]["globaluserinfo"], expected);
    wiki.change_account(SUB, |account| {
        account.locked = true;
        account.home = None;
        account.registered = None;
    })?;
    let found = standing(&wiki, "guiid=7000003").await?;
    let expected =
        json!({"home": null, "id": SUB, "registration": null, "name": NAME, "locked": true});
    assert_eq!(found["query"]["globaluserinfo"], expected);
    for hidden in [Hidden::FromLists, Hidden::Suppressed] {
        wiki.change_account(SUB, |account| account.hidden = hidden)?;
        for which in ["guiid=7000003", "guiuser=Ordinary_user"] {
            let found = standing(&wiki, which).await?;
            assert_eq!(found["query"]["globaluserinfo"], json!({"missing": true}));
        }
    }
    let found = standing(&wiki, "guiid=5").await?;
    assert_eq!(found["error"]["code"], "invaliduserid");
    wiki.without_central_auth();
    let found = standing(&wiki, "guiid=7000003").await?;
    assert_eq!(found["query"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn requests_are_counted_by_what_they_ask() -> Result<()> {
    let wiki = wiki()?;
    let access = access(&wiki).await?;
    identify(&wiki, &access).await?;
    identify(&wiki, &access).await?;
    let counts = ["initiate", "token", "identify", "UserLogin"].map(|what| wiki.count(what));
    assert_eq!(counts, [1, 1, 2, 2]);
    let seen = wiki.seen();
    assert_eq!(seen[0].user_agent, "wiki-tests/1 (tests@example.org)");
    assert!(!format!("{seen:?}{wiki:?}").contains(&access.0));
    wiki.forget_seen();
    assert!(wiki.seen().is_empty());
    Ok(())
}

#[tokio::test]
async fn programs_that_do_not_say_whom_to_write_to_are_refused() -> Result<()> {
    let wiki = wiki()?;
    wiki.demand_user_agent();
    let plain = reqwest::get(wiki.index_url()).await?;
    assert_eq!(plain.status(), 403);
    assert_eq!(http()?.get(wiki.index_url()).send().await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_signed_request_for_any_other_page_is_refused() -> Result<()> {
    let wiki = wiki()?;
    let page = http()?
        .get(format!("{}?title=Main_Page", wiki.index_url()))
        .header("authorization", "OAuth oauth_token=\"x\"")
        .send()
        .await?;
    assert_eq!(page.status(), 400);
    assert!(
        page.text()
            .await?
            .contains("OAuth can only be used with the API")
    );
    Ok(())
}
