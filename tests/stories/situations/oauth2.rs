//! What only OAuth 2.0 has: codes, PKCE, bearers.

use anyhow::{Result, ensure};
use holt_tests::wiki::{Consent, Consumer, Often, Place, Release, Stage, Trouble};

use super::{KEY, SECRET, Scene, said};

#[tokio::test(flavor = "multi_thread")]
async fn who_denies_comes_back_with_a_word_and_nothing_is_lost() -> Result<()> {
    let scene = Scene::oauth2().await?;
    let somebody = scene.somebody()?;
    let waiting = somebody.approved().await?;
    let to = somebody.begin().await?;
    let denied = somebody
        .visitor
        .comes_back(to.as_str(), Consent::Decline)
        .await;
    // Allowed before, so the wiki may not ask again; then the refusal is what it would send.
    let denied = match denied {
        Ok(url) if url.query_pairs().any(|(name, _)| name == "error") => url,
        _ => {
            let mut url = waiting.clone();
            url.set_query(Some("error=unauthorized_client&message=x"));
            url
        }
    };
    said(somebody.back(&denied).await?, 403, "not authorised").await?;
    // The other tab's sign-in is untouched.
    said(somebody.back(&waiting).await?, 200, "").await?;
    let fresh = scene.somebody()?;
    let to = fresh.begin().await?;
    let denied = fresh
        .visitor
        .comes_back(to.as_str(), Consent::Decline)
        .await?;
    ensure!(
        denied.query_pairs().any(|(name, _)| name == "error"),
        "{denied}"
    );
    said(fresh.back(&denied).await?, 403, "not authorised").await?;
    said(fresh.whole_way().await?, 200, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_that_are_old_used_or_guessed_are_begun_again() -> Result<()> {
    for release in [Release::Lts143, Release::Master] {
        let scene = Scene::oauth2().await?;
        scene.wiki.set_release(release);
        let somebody = scene.somebody()?;
        let callback = somebody.approved().await?;
        scene.wiki.expire_sign_ins();
        said(somebody.back(&callback).await?, 400, "Begin again").await?;
        // Someone else's code in one's own sign-in: PKCE tells.
        let (own, other) = (
            somebody.approved().await?,
            scene.somebody()?.approved().await?,
        );
        let field = |url: &url::Url, name: &str| {
            let found = url.query_pairs().find(|(field, _)| field == name);
            found
                .map(|(_, value)| value.into_owned())
                .unwrap_or_default()
        };
        let mut mixed = own.clone();
        mixed
            .query_pairs_mut()
            .clear()
            .append_pair("code", &field(&other, "code"))
            .append_pair("state", &field(&own, "state"));
        let page = somebody.back(&mixed).await?;
        let status = page.status().as_u16();
        ensure!(
            [400, 403].contains(&status),
            "{status} {}",
            page.text().await?
        );
        ensure!(somebody.person.who().await.is_err());
        // A lost answer has spent the code.
        let callback = somebody.approved().await?;
        scene.wiki.forget_seen();
        scene.wiki.cause(
            Place::At("access_token".to_owned()),
            Often::Times(1),
            Trouble::AnswerLost,
        );
        said(somebody.back(&callback).await?, 503, "does not answer").await?;
        ensure!(
            scene.wiki.count("access_token") == 1,
            "{:?}",
            scene.wiki.seen()
        );
        scene.is_well_again().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bearers_that_do_not_hold_are_begun_again() -> Result<()> {
    let scene = Scene::oauth2().await?;
    scene.wiki.set_access_token_seconds(-60);
    said(scene.somebody()?.whole_way().await?, 400, "Begin again").await?;
    scene.wiki.set_access_token_seconds(3600);
    let somebody = scene.somebody()?;
    let callback = somebody.approved().await?;
    scene.wiki.cause_at("profile", Trouble::GrantsRevoked);
    said(somebody.back(&callback).await?, 400, "Begin again").await?;
    scene.is_well_again().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_right_is_the_operators_to_hear_of() -> Result<()> {
    let scene = Scene::oauth2().await?;
    let plain = || {
        Consumer::oauth2(
            KEY,
            SECRET,
            &format!("{}/hub/oauth_callback", scene.hub.url()),
        )
    };
    type Spoil = fn(&mut Consumer);
    let spoils: [Spoil; 2] = [
        |consumer| consumer.secret = "another".to_owned(),
        |consumer| consumer.grant_types.clear(),
    ];
    for spoil in spoils {
        let somebody = scene.somebody()?;
        let callback = somebody.approved().await?;
        scene.wiki.change_consumer(KEY, spoil)?;
        scene.wiki.forget_seen();
        said(somebody.back(&callback).await?, 502, "mend that").await?;
        ensure!(
            scene.wiki.count("access_token") == 1,
            "repeated: {:?}",
            scene.wiki.seen()
        );
        scene.wiki.consumer(plain());
    }
    // Disabled: the wiki's own page refuses, and the hub goes on.
    scene
        .wiki
        .change_consumer(KEY, |consumer| consumer.stage = Stage::Disabled)?;
    let somebody = scene.somebody()?;
    let to = somebody.begin().await?;
    let way = somebody.visitor.go(to.as_str(), Consent::Accept).await?;
    if let holt_tests::wiki::Arrived::Away(url) = way {
        let page = somebody.back(&url).await?;
        ensure!(
            !page.status().is_success() && !page.status().is_server_error(),
            "{}",
            page.status()
        );
    }
    scene.wiki.consumer(plain());
    scene.is_well_again().await
}
