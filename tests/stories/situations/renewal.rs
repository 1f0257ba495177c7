//! What was given at a sign-in is tried now and then: renewed where it ran out, and who took it back is signed out, servers going on.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holt_tests::kernel::Kernel;
use holt_tests::wait::eventually;
use holt_tests::wiki::{Consumer, Often, Place, Release, Trouble};

use super::{KEY, SECRET, Scene, Somebody, said};

const SOON: Duration = Duration::from_secs(30);
const OFTEN: &str = "[auth_state]\nrenew = \"2s\"";

async fn scene(protocol: &str) -> Result<Scene> {
    let provider = format!("protocol = \"{protocol}\"");
    let register = |back: &str| match protocol {
        "oauth1" => Consumer::oauth1(KEY, SECRET, back),
        _ => Consumer::oauth2(KEY, SECRET, back),
    };
    Scene::new(register, &provider, OFTEN).await
}

async fn is_out(somebody: &Somebody) -> Result<()> {
    eventually("the session is over", SOON, || async {
        match somebody.person.who().await {
            Ok(name) => Err(format!("{name} is signed in")),
            Err(_) => Ok(()),
        }
    })
    .await
}

/// Asked so often from now on.
async fn is_asked(scene: &Scene, what: &str, times: usize) -> Result<()> {
    scene.wiki.forget_seen();
    eventually("the wiki is asked", SOON, || async {
        match scene.wiki.count(what) {
            count if count >= times => Ok(()),
            count => Err(format!("{what}: {count}")),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_it_back_is_signed_out_and_their_server_goes_on() -> Result<()> {
    for (protocol, asked) in [("oauth1", "identify"), ("oauth2", "profile")] {
        let scene = scene(protocol).await?;
        let (one, other) = (scene.somebody()?, scene.somebody()?);
        said(one.whole_way().await?, 200, "")
            .await
            .context(protocol)?;
        said(other.whole_way().await?, 200, "")
            .await
            .context(protocol)?;
        let person = holt_tests::person::Person::by_wiki(&scene.hub, &one.name).await?;
        person.start("").await?;
        // While all is well, and while the wiki says nothing, nobody is signed out.
        is_asked(&scene, asked, 4).await.context(protocol)?;
        scene.wiki.cause(
            Place::Everywhere,
            Often::Always,
            Trouble::ErrorPage {
                status: 503,
                retry_after: None,
            },
        );
        is_asked(&scene, asked, 4).await.context(protocol)?;
        ensure!(person.who().await? == one.name);
        scene.wiki.cure();
        scene.wiki.revoke(KEY, one.sub);
        is_out(&one).await.context(protocol)?;
        ensure!(person.who().await.is_err(), "another browser of theirs");
        ensure!(other.person.who().await? == other.name);
        ensure!(
            scene.hub.containers().await?.len() == 1,
            "the server was ended"
        );
        let back = holt_tests::person::Person::by_wiki(&scene.hub, &one.name).await?;
        back.enter("").await?;
        let mut kernel = Kernel::started(&back, "").await?;
        ensure!(kernel.run("6*7").await? == "42");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_out_is_renewed_once_and_a_lost_answer_is_asked_for_again() -> Result<()> {
    // Older releases spend a refresh token at once, newer ones let it be used again for a while.
    for (release, is_lost_for_good) in [(Release::Lts143, true), (Release::Master, false)] {
        let scene = scene("oauth2").await?;
        scene.wiki.set_release(release);
        let somebody = scene.somebody()?;
        said(somebody.whole_way().await?, 200, "").await?;
        let sealed = "SELECT sealed FROM auth_states";
        let rows = scene.hub.rows().await?;
        let before = rows.texts(sealed).await?;
        scene.wiki.forget_seen();
        scene.wiki.expire_access_tokens();
        eventually("it is renewed", SOON, || async {
            match rows.texts(sealed).await {
                Ok(now) if now != before => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
        ensure!(
            scene.wiki.count("access_token") == 1,
            "{:?}",
            scene.wiki.seen()
        );
        is_asked(&scene, "profile", 2).await?;
        ensure!(
            scene.wiki.count("access_token") == 0,
            "{:?}",
            scene.wiki.seen()
        );
        ensure!(somebody.person.who().await? == somebody.name);
        // The answer of the next one is lost.
        scene.wiki.cause(
            Place::At("access_token".to_owned()),
            Often::Times(1),
            Trouble::AnswerLost,
        );
        scene.wiki.forget_seen();
        scene.wiki.expire_access_tokens();
        if is_lost_for_good {
            is_out(&somebody).await?;
            said(somebody.whole_way().await?, 200, "").await?;
        } else {
            eventually("asked once more", SOON, || async {
                match scene.wiki.count("access_token") {
                    2 => Ok(()),
                    count => Err(count.to_string()),
                }
            })
            .await?;
            is_asked(&scene, "profile", 2).await?;
        }
        ensure!(somebody.person.who().await? == somebody.name);
    }
    Ok(())
}
