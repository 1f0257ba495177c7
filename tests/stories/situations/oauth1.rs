//! What only OAuth 1.0a has: request tokens, signatures, clocks, statements.

use anyhow::{Result, ensure};
use holt_tests::wiki::{Arrived, Consent, Consumer, Often, Place, Release, Stage, Trouble};
use url::Url;

use super::{KEY, SECRET, Scene, said};

/// A body that the wiki's library for OAuth answers with, whatever is wrong.
fn error(text: &str) -> Trouble {
    Trouble::Says {
        status: 200,
        content_type: "text/html".to_owned(),
        body: format!("Error: {text}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_denies_stays_at_the_wiki_and_can_begin_again() -> Result<()> {
    let scene = Scene::oauth1().await?;
    let somebody = scene.somebody()?;
    let to = somebody.begin().await?;
    let stays = somebody.visitor.go(to.as_str(), Consent::Decline).await?;
    ensure!(matches!(stays, Arrived::Stays { .. }), "{stays:?}");
    said(somebody.whole_way().await?, 200, "").await?;
    ensure!(somebody.person.who().await? == somebody.name);
    // It waits for nobody: rows of what was begun are gone after a while, and long enough for two factors and a letter.
    let left = scene
        .count("SELECT max(expires - created) / 60000 FROM pending_logins")
        .await?;
    ensure!((10..=60).contains(&left), "{left} minutes");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_took_too_long_is_begun_again() -> Result<()> {
    let scene = Scene::oauth1().await?;
    // Before it was allowed: the wiki says so.
    let somebody = scene.somebody()?;
    let to = somebody.begin().await?;
    scene.wiki.expire_sign_ins();
    match somebody.visitor.go(to.as_str(), Consent::Accept).await? {
        Arrived::Stays { page, .. } => ensure!(page.contains("E004"), "{page}"),
        Arrived::Away(url) => anyhow::bail!("sent to {url}"),
    }
    // After it.
    let callback = somebody.approved().await?;
    scene.wiki.expire_sign_ins();
    said(somebody.back(&callback).await?, 400, "Begin again").await?;
    // With a verifier that the wiki did not give.
    let mut forged = somebody.approved().await?;
    let token = forged
        .query_pairs()
        .find(|(name, _)| name == "oauth_token")
        .map(|(_, value)| value.into_owned());
    forged.set_query(Some(&format!(
        "oauth_token={}&oauth_verifier=guessed",
        token.unwrap_or_default()
    )));
    said(somebody.back(&forged).await?, 403, "does not belong").await?;
    scene.is_well_again().await
}

/// A token is spent by asking, so a lost answer is the end of that sign-in and is not repeated.
#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_replays_are_handled_by_what_may_be_repeated() -> Result<()> {
    let scene = Scene::oauth1().await?;
    let somebody = scene.somebody()?;
    let callback = somebody.approved().await?;
    scene.wiki.forget_seen();
    scene.wiki.cause(
        Place::At("token".to_owned()),
        Often::Times(1),
        Trouble::AnswerLost,
    );
    said(somebody.back(&callback).await?, 503, "does not answer").await?;
    ensure!(scene.wiki.count("token") == 1, "{:?}", scene.wiki.seen());
    // Taken for a repetition once: asked once more with another nonce.
    let callback = somebody.approved().await?;
    scene.wiki.forget_seen();
    scene.wiki.cause(
        Place::At("identify".to_owned()),
        Often::Times(1),
        error("Nonce already used: 6d2a8f"),
    );
    said(somebody.back(&callback).await?, 200, "").await?;
    ensure!(scene.wiki.count("identify") == 2, "{:?}", scene.wiki.seen());
    // And always: told, not asked for ever.
    let other = scene.somebody()?;
    let callback = other.approved().await?;
    scene.wiki.forget_seen();
    scene
        .wiki
        .cause_at("identify", error("Nonce already used: 6d2a8f"));
    said(other.back(&callback).await?, 503, "does not answer").await?;
    ensure!(scene.wiki.count("identify") == 2, "{:?}", scene.wiki.seen());
    scene.is_well_again().await
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_are_told_by_how_much() -> Result<()> {
    let scene = Scene::oauth1().await?;
    scene.wiki.set_clock_ahead(-1000);
    said(scene.somebody()?.whole_way().await?, 502, "1000 s apart").await?;
    scene.wiki.set_clock_ahead(0);
    scene.is_well_again().await
}

/// What the operator did, or the wiki's people; a begin alone proves little.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_not_right_is_the_operators_to_hear_of() -> Result<()> {
    let scene = Scene::oauth1().await?;
    let plain = || {
        Consumer::oauth1(
            KEY,
            SECRET,
            &format!("{}/hub/oauth_callback", scene.hub.url()),
        )
    };
    type Spoil = fn(&mut Consumer);
    // Before anybody is sent away.
    let early: [(Spoil, &str); 3] = [
        (
            |consumer| consumer.secret = "another".to_owned(),
            "secret is wrong",
        ),
        (|consumer| consumer.owner_only = true, "owner-only"),
        (
            |consumer| consumer.ip_ranges = vec!["203.0.113.0/24".parse().expect("a network")],
            "this machine's address",
        ),
    ];
    for (spoil, logged) in early {
        scene.wiki.change_consumer(KEY, spoil)?;
        scene.wiki.forget_seen();
        said(scene.somebody()?.whole_way().await?, 502, "mend that").await?;
        ensure!(
            scene.wiki.seen().len() == 1,
            "repeated: {:?}",
            scene.wiki.seen()
        );
        ensure!(
            scene.hub.said().contains(logged),
            "{logged}: {}",
            scene.hub.said()
        );
        scene.wiki.consumer(plain());
    }
    scene.wiki.forget_consumer(KEY);
    said(scene.somebody()?.whole_way().await?, 502, "mend that").await?;
    ensure!(
        scene.hub.said().contains("is client_id right?"),
        "{}",
        scene.hub.said()
    );
    scene.wiki.consumer(plain());
    scene.is_well_again().await?;
    // While somebody was away: the statement is refused.
    for (spoil, logged) in [
        (
            (|consumer: &mut Consumer| consumer.stage = Stage::Disabled) as Spoil,
            "disabled",
        ),
        (
            |consumer| consumer.only_wiki = Some("otherwiki".to_owned()),
            "another wiki",
        ),
    ] {
        let somebody = scene.somebody()?;
        let callback = somebody.approved().await?;
        scene.wiki.change_consumer(KEY, spoil)?;
        said(somebody.back(&callback).await?, 502, "mend that").await?;
        ensure!(
            scene.hub.said().contains(logged),
            "{logged}: {}",
            scene.hub.said()
        );
        scene.wiki.consumer(plain());
    }
    // Not approved yet: the wiki begins, and its page refuses.
    scene
        .wiki
        .change_consumer(KEY, |consumer| consumer.stage = Stage::Proposed)?;
    let somebody = scene.somebody()?;
    let to = somebody.begin().await?;
    match somebody.visitor.go(to.as_str(), Consent::Accept).await? {
        Arrived::Stays { page, .. } => {
            ensure!(page.contains("E005") || page.contains("E012"), "{page}")
        }
        Arrived::Away(url) => anyhow::bail!("sent to {url}"),
    }
    scene.wiki.consumer(plain());
    scene.is_well_again().await
}

/// The grant is taken back between the token and the statement.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_it_back_begins_again() -> Result<()> {
    let scene = Scene::oauth1().await?;
    for release in [Release::Lts143, Release::Master] {
        scene.wiki.set_release(release);
        let somebody = scene.somebody()?;
        let callback = somebody.approved().await?;
        scene.wiki.cause_at("identify", Trouble::GrantsRevoked);
        said(somebody.back(&callback).await?, 400, "Begin again").await?;
        scene.is_well_again().await?;
    }
    Ok(())
}

/// The wiki takes itself for another server than the one in the settings: both are named.
#[tokio::test(flavor = "multi_thread")]
async fn another_name_of_the_wiki_is_told_with_both() -> Result<()> {
    let scene = Scene::oauth1().await?;
    scene.wiki.set_server("https://wiki.example");
    said(scene.somebody()?.whole_way().await?, 502, "mend that").await?;
    let log = scene.hub.said();
    ensure!(
        log.contains(&scene.wiki.url()) && log.contains("does not call itself"),
        "{log}"
    );
    scene.wiki.set_server(&scene.wiki.url());
    // Only its statements are issued by another.
    scene.wiki.set_canonical_server("https://canonical.example");
    said(scene.somebody()?.whole_way().await?, 502, "mend that").await?;
    let log = scene.hub.said();
    ensure!(log.contains("https://canonical.example"), "{log}");
    let here: Url = scene.wiki.url().parse()?;
    scene
        .wiki
        .set_canonical_server(here.as_str().trim_end_matches('/'));
    scene.is_well_again().await
}
