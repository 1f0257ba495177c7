//! What is the same for both protocols.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holt_tests::wait::eventually;
use holt_tests::wiki::{Arrived, Consent, Hidden, Json, Often, Place, ReadOnly, Tamper, Trouble};

use super::{Scene, said};

const SOON: Duration = Duration::from_secs(30);

/// Both, one after the other.
async fn both() -> Result<[(&'static str, Scene); 2]> {
    Ok([
        ("oauth1", Scene::oauth1().await?),
        ("oauth2", Scene::oauth2().await?),
    ])
}

/// What does not come from this browser's own sign-in, whole, is nothing; and the wiki hears nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_this_browser_began_is_finished_and_once() -> Result<()> {
    for (protocol, scene) in both().await? {
        let context = || protocol;
        let (first, second) = (scene.somebody()?, scene.somebody()?);
        let callback = first.approved().await?;
        // Nobody's browser, and somebody else's that is on its own way.
        let theirs = second.begin().await?;
        scene.wiki.forget_seen();
        said(second.back(&callback).await?, 400, "")
            .await
            .with_context(context)?;
        let stranger = scene.somebody()?;
        said(stranger.back(&callback).await?, 400, "")
            .await
            .with_context(context)?;
        // Cut short, twice over, or nothing at all.
        for query in [
            "".to_owned(),
            callback
                .query()
                .unwrap_or_default()
                .split('&')
                .next()
                .unwrap_or_default()
                .to_owned(),
            format!("{0}&{0}", callback.query().unwrap_or_default()),
            "oauth_token=%00&oauth_verifier=x&state=../..&code=y".to_owned(),
        ] {
            let mut odd = callback.clone();
            odd.set_query(Some(&query));
            said(first.back(&odd).await?, 400, "")
                .await
                .with_context(context)?;
        }
        ensure!(
            scene.wiki.seen().is_empty(),
            "{protocol}: {:?}",
            scene.wiki.seen()
        );
        // It was not used up by any of that.
        said(first.back(&callback).await?, 200, "")
            .await
            .with_context(context)?;
        ensure!(first.person.who().await? == first.name);
        // Reloaded: whoever is signed in goes on, and the wiki is not asked again.
        scene.wiki.forget_seen();
        said(first.back(&callback).await?, 200, "")
            .await
            .with_context(context)?;
        ensure!(scene.wiki.seen().is_empty(), "{:?}", scene.wiki.seen());
        // The other's goes on too.
        let back = second
            .visitor
            .comes_back(theirs.as_str(), Consent::Accept)
            .await?;
        said(second.back(&back).await?, 200, "")
            .await
            .with_context(context)?;
        ensure!(second.person.who().await? == second.name);
    }
    Ok(())
}

/// Two tabs, the same person: each has a sign-in of its own, and both hold.
#[tokio::test(flavor = "multi_thread")]
async fn several_sign_ins_at_once_all_hold() -> Result<()> {
    for (protocol, scene) in both().await? {
        let somebody = scene.somebody()?;
        let (one, two) = (somebody.approved().await?, somebody.approved().await?);
        ensure!(one != two, "{protocol}: {one}");
        said(somebody.back(&two).await?, 200, "")
            .await
            .context(protocol)?;
        said(somebody.back(&one).await?, 200, "")
            .await
            .context(protocol)?;
        // In another browser at the same time.
        let elsewhere = holt_tests::person::Person::by_wiki(&scene.hub, &somebody.name).await?;
        ensure!(elsewhere.who().await? == somebody.person.who().await?);
        ensure!(scene.count("SELECT count(*) FROM auth_states").await? == 1);
    }
    Ok(())
}

/// The wiki is away in every way, and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_wiki_that_is_away_is_said_to_be_and_sessions_go_on() -> Result<()> {
    for (protocol, scene) in both().await? {
        let inside = scene.somebody()?;
        said(inside.whole_way().await?, 200, "")
            .await
            .context(protocol)?;
        let somebody = scene.somebody()?;
        let callback = somebody.approved().await?;
        scene.wiki.down()?;
        said(somebody.back(&callback).await?, 503, "does not answer")
            .await
            .context(protocol)?;
        ensure!(inside.person.who().await? == inside.name);
        scene.wiki.up()?;
        scene.is_well_again().await.context(protocol)?;
        // A page of the server's own: asked at most three times, and only what may be repeated.
        scene.wiki.forget_seen();
        scene.wiki.cause(
            Place::Everywhere,
            Often::Times(2),
            Trouble::ErrorPage {
                status: 502,
                retry_after: Some("0.1".to_owned()),
            },
        );
        if protocol == "oauth1" {
            // The begin is repeated, signed anew.
            said(scene.somebody()?.whole_way().await?, 200, "")
                .await
                .context("repeated")?;
            ensure!(scene.wiki.count("initiate") == 3, "{:?}", scene.wiki.seen());
        }
        scene.is_well_again().await.context(protocol)?;
        // More than anybody reads.
        let place = if protocol == "oauth1" {
            "identify"
        } else {
            "profile"
        };
        scene
            .wiki
            .cause_at(place, Trouble::Endless { bytes: 1 << 20 });
        said(scene.somebody()?.whole_way().await?, 503, "does not answer")
            .await
            .context(protocol)?;
        scene.is_well_again().await.context(protocol)?;
    }
    Ok(())
}

/// A wiki that hangs is left after fifteen seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_wiki_that_hangs_is_not_waited_for_long() -> Result<()> {
    let scene = Scene::oauth2().await?;
    let somebody = scene.somebody()?;
    let callback = somebody.approved().await?;
    scene.wiki.cause_at("access_token", Trouble::Hangs);
    // The browser itself gives up after a minute.
    said(somebody.back(&callback).await?, 503, "does not answer").await?;
    scene.is_well_again().await
}

/// "Too many requests" is told with its wait, and for that long nobody makes it worse.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_hold_all_back() -> Result<()> {
    for (protocol, scene) in both().await? {
        let place = if protocol == "oauth1" {
            "identify"
        } else {
            "profile"
        };
        let (first, second) = (scene.somebody()?, scene.somebody()?);
        let (one, two) = (first.approved().await?, second.approved().await?);
        let retry_after = Some("2.5".to_owned());
        scene.wiki.cause(
            Place::At(place.to_owned()),
            Often::Times(1),
            Trouble::TooMany { retry_after },
        );
        said(first.back(&one).await?, 503, "wait 3 s")
            .await
            .context(protocol)?;
        scene.wiki.forget_seen();
        said(second.back(&two).await?, 503, "asks us to wait")
            .await
            .context(protocol)?;
        ensure!(
            scene.wiki.seen().is_empty(),
            "{protocol}: {:?}",
            scene.wiki.seen()
        );
        eventually("the wait is over", SOON, || async {
            scene
                .is_well_again()
                .await
                .map_err(|error| format!("{error:#}"))
        })
        .await?;
    }
    Ok(())
}

/// Nothing can be written: who is on the way hears it from the wiki, and nobody else notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_wiki_that_is_read_only_says_so_and_comes_back() -> Result<()> {
    for (protocol, scene) in both().await? {
        let inside = scene.somebody()?;
        said(inside.whole_way().await?, 200, "")
            .await
            .context(protocol)?;
        scene.wiki.set_read_only(ReadOnly::Wiki);
        let somebody = scene.somebody()?;
        let to = somebody.begin().await?;
        match somebody.visitor.go(to.as_str(), Consent::Accept).await? {
            Arrived::Stays { page, .. } => ensure!(page.contains("locked"), "{protocol}: {page}"),
            Arrived::Away(url) => anyhow::bail!("{protocol}: sent to {url}"),
        }
        ensure!(inside.person.who().await? == inside.name);
        scene.wiki.set_read_only(ReadOnly::No);
        scene.is_well_again().await.context(protocol)?;
    }
    Ok(())
}

/// Blocks are shown to the rules and enforced only by them; hidden, unattached and nameless accounts stay out.
#[tokio::test(flavor = "multi_thread")]
async fn blocked_accounts_come_in_and_hidden_ones_do_not() -> Result<()> {
    for (protocol, scene) in both().await? {
        let blocked = scene.somebody()?;
        scene
            .wiki
            .change_account(blocked.sub, |account| account.blocked = true)?;
        said(blocked.whole_way().await?, 200, "")
            .await
            .context(protocol)?;
        let locked = scene.somebody()?;
        let callback = locked.approved().await?;
        // Between the wiki's page and ours.
        scene
            .wiki
            .change_account(locked.sub, |account| account.locked = true)?;
        said(locked.back(&callback).await?, 403, "locked")
            .await
            .context(protocol)?;
        for hidden in [Hidden::FromLists, Hidden::Suppressed] {
            let somebody = scene.somebody()?;
            let callback = somebody.approved().await?;
            scene
                .wiki
                .change_account(somebody.sub, |account| account.hidden = hidden)?;
            said(somebody.back(&callback).await?, 403, "here")
                .await
                .context(protocol)?;
            ensure!(
                somebody.person.who().await.is_err(),
                "{protocol}: {hidden:?}"
            );
        }
        let loose = scene.somebody()?;
        scene
            .wiki
            .change_account(loose.sub, |account| account.attached = false)?;
        said(loose.whole_way().await?, 403, "central")
            .await
            .context(protocol)?;
        ensure!(scene.count("SELECT count(*) FROM identities").await? == 1);
    }
    Ok(())
}

/// Old accounts have neither a home wiki nor a date; lists come as objects, numbers as floats; members that nobody knows are there.
#[tokio::test(flavor = "multi_thread")]
async fn odd_ways_to_write_are_read() -> Result<()> {
    for (protocol, scene) in both().await? {
        let somebody = scene.somebody()?;
        scene.wiki.change_account(somebody.sub, |account| {
            account.registered = None;
            account.home = None;
        })?;
        scene.wiki.tamper(Tamper::Objects);
        scene.wiki.tamper(Tamper::Fractions);
        scene
            .wiki
            .tamper(Tamper::Set("something".to_owned(), Json::Null));
        scene
            .wiki
            .tamper(Tamper::Set("blocked".to_owned(), 0.into()));
        said(somebody.whole_way().await?, 200, "")
            .await
            .context(protocol)?;
        ensure!(somebody.person.who().await? == somebody.name);
        scene.is_well_again().await.context(protocol)?;
    }
    Ok(())
}
