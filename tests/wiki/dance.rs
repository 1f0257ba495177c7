//! OAuth 1.0a through a browser: what each step gives, and how it is refused.

use anyhow::{Context as _, Result};
use holt_tests::wiki::{Arrived, Consent, Consumer, ReadOnly, Stage, Visitor};

use crate::client::*;

async fn request_token(wiki: &holt_tests::wiki::Wiki) -> Result<Token> {
    let call = Call::new(wiki, "initiate").with("oauth_callback", "oob");
    token_of(&call.send(wiki).await?)
}

#[tokio::test]
async fn the_dialog_appears_once_for_signing_in_only() -> Result<()> {
    let wiki = wiki()?;
    let first = access(&wiki).await?;
    let visitor = Visitor::new(NAME)?;
    let again = request_token(&wiki).await?;
    // Nothing would be accepted now: the way back shows that nothing was asked.
    let back = visitor
        .comes_back(&dialog(&wiki, &again), Consent::Decline)
        .await?;
    assert_eq!(back.path(), "/hub/oauth_callback");
    assert_eq!(access(&wiki).await?, first, "one token for each person");
    Ok(())
}

#[tokio::test]
async fn grants_to_edit_are_asked_for_every_time() -> Result<()> {
    let wiki = wiki()?;
    wiki.consumer(Consumer::oauth1(KEY, SECRET, CALLBACK).with_grants(&["basic", "editpage"]));
    access(&wiki).await?;
    let again = request_token(&wiki).await?;
    let stays = Visitor::new(NAME)?
        .go(&dialog(&wiki, &again), Consent::Decline)
        .await?;
    let Arrived::Stays { status: 200, page } = stays else {
        panic!("{stays:?}");
    };
    assert!(page.contains("You have chosen not to allow"), "{page}");
    let mut call = Call::new(&wiki, "token").with("oauth_verifier", "none");
    call.token = Some(again);
    assert_eq!(
        call.send(&wiki).await?,
        "Error: No token was found matching your request."
    );
    Ok(())
}

#[tokio::test]
async fn a_forged_verifier_is_refused() -> Result<()> {
    let wiki = wiki()?;
    let (request, _) = approved(&wiki).await?;
    let mut call = Call::new(&wiki, "token").with("oauth_verifier", "0");
    call.token = Some(request);
    let said = call.send(&wiki).await?;
    assert_eq!(said, "Error: The verification code provided was not valid.");
    Ok(())
}

#[tokio::test]
async fn a_request_token_lives_ten_minutes_and_ten_more_when_approved() -> Result<()> {
    let wiki = wiki()?;
    let request = request_token(&wiki).await?;
    wiki.pass(590);
    let back = Visitor::new(NAME)?
        .comes_back(&dialog(&wiki, &request), Consent::Accept)
        .await?;
    wiki.pass(590);
    let verifier = crate::recording::field(back.query().context("a query")?, "oauth_verifier")?;
    let mut call = Call::new(&wiki, "token").with("oauth_verifier", &verifier);
    call.timestamp += 1180;
    call.token = Some(request);
    assert!(call.send(&wiki).await?.starts_with("oauth_token="));

    let late = {
        let mut call = Call::new(&wiki, "initiate").with("oauth_callback", "oob");
        call.timestamp += 1180;
        token_of(&call.send(&wiki).await?)?
    };
    wiki.expire_sign_ins();
    let mut call = Call::new(&wiki, "token").with("oauth_verifier", "x");
    call.timestamp += 1180;
    call.token = Some(late);
    assert!(call.send(&wiki).await?.contains("#E004"));
    Ok(())
}

#[tokio::test]
async fn an_expired_request_token_is_told_to_the_browser_alone() -> Result<()> {
    let wiki = wiki()?;
    let request = request_token(&wiki).await?;
    wiki.expire_sign_ins();
    let stays = Visitor::new(NAME)?
        .go(&dialog(&wiki, &request), Consent::Accept)
        .await?;
    assert!(format!("{stays:?}").contains("E004"), "{stays:?}");
    Ok(())
}

#[tokio::test]
async fn a_locked_account_cannot_sign_in_there() -> Result<()> {
    let wiki = wiki()?;
    wiki.change_account(SUB, |account| account.locked = true)?;
    let request = request_token(&wiki).await?;
    let stays = Visitor::new(NAME)?
        .go(&dialog(&wiki, &request), Consent::Accept)
        .await?;
    assert!(
        format!("{stays:?}").contains("globally locked"),
        "{stays:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_switched_off_consumer_still_begins_and_then_is_refused_to_the_browser() -> Result<()> {
    let wiki = wiki()?;
    wiki.change_consumer(KEY, |consumer| consumer.stage = Stage::Proposed)?;
    let request = request_token(&wiki).await?;
    let stays = Visitor::new(NAME)?
        .go(&dialog(&wiki, &request), Consent::Accept)
        .await?;
    assert!(format!("{stays:?}").contains("E005"), "{stays:?}");
    Ok(())
}

#[tokio::test]
async fn a_read_only_wiki_lets_begin_but_not_approve() -> Result<()> {
    let wiki = wiki()?;
    let known = access(&wiki).await?;
    wiki.revoke(KEY, SUB);
    wiki.set_read_only(ReadOnly::Wiki);
    let request = request_token(&wiki).await?;
    let stays = Visitor::new(NAME)?
        .go(&dialog(&wiki, &request), Consent::Accept)
        .await?;
    assert!(
        format!("{stays:?}").contains("currently locked"),
        "{stays:?}"
    );

    wiki.set_read_only(ReadOnly::OAuth);
    let call = Call::new(&wiki, "initiate").with("oauth_callback", "oob");
    assert_eq!(
        call.send(&wiki).await?,
        "Error: The OAuth database is temporarily locked. Please try again in a few minutes."
    );
    let said = identify(&wiki, &known).await?;
    assert!(said.contains("mwoauthdatastore-access-token-not-found"));
    Ok(())
}

#[tokio::test]
async fn callbacks_are_what_was_registered() -> Result<()> {
    let fixed =
        "Error: oauth_callback must be set, and must be set to &quot;oob&quot; (case-sensitive)";
    let wiki = wiki()?;
    for (callback, passes) in [("oob", true), ("OOB", false), (CALLBACK, false)] {
        let call = Call::new(&wiki, "initiate").with("oauth_callback", callback);
        let said = call.send(&wiki).await?;
        assert_eq!(said.starts_with("oauth_token="), passes, "{callback}");
        assert_eq!(said == fixed, !passes, "{said}");
    }
    wiki.consumer(Consumer::oauth1(KEY, SECRET, CALLBACK).with_prefix());
    for (callback, passes) in [
        ("oob", true),
        ("http://127.0.0.1:8000/hub/oauth_callback?next=%2F", true),
        ("https://127.0.0.1:8000/hub/oauth_callback", true),
        ("http://127.0.0.1:8000/hub/oauth_callbackX", true),
        ("http://127.0.0.1:8000/hub/oauth_callback/../../x", true),
        ("http://127.0.0.1:8001/hub/oauth_callback", false),
        ("http://localhost:8000/hub/oauth_callback", false),
        ("http://me@127.0.0.1:8000/hub/oauth_callback", false),
        ("http://127.0.0.1:8000/hub", false),
    ] {
        let call = Call::new(&wiki, "initiate").with("oauth_callback", callback);
        let said = call.send(&wiki).await?;
        assert_eq!(
            said.starts_with("oauth_token="),
            passes,
            "{callback}: {said}"
        );
    }
    Ok(())
}
