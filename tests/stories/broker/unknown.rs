//! The wiki or the hub fails in the middle: nothing is done twice, and who asked is told.

use anyhow::{Result, ensure};
use holt_tests::kernel::Kernel;
use holt_tests::wait::eventually;
use holt_tests::wiki::{Often, Place, Trouble};

use super::{SOON, acting};

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_done_is_not_done_again() -> Result<()> {
    let (hub, wiki, person) = acting("oauth1", "timeout = \"20s\"").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    let save = |text: &str| {
        format!(
            "import pywikibot\n\
             pywikibot.config.put_throttle = 0\n\
             page = pywikibot.Page(pywikibot.Site(), 'Sandbox')\npage.text = {text:?}\n\
             try:\n    page.save()\n    print('saved')\n\
             except Exception as error:\n    print(type(error).__name__, error)"
        )
    };
    ensure!(kernel.run(&save("first")).await?.contains("saved"));
    // It is done and the answer is lost.
    wiki.cause(
        Place::At("edit".to_owned()),
        Often::Times(1),
        Trouble::AnswerLost,
    );
    let said = kernel.run(&save("second")).await?;
    ensure!(said.contains("may have done what was asked"), "{said}");
    ensure!(wiki.edits().len() == 2, "{:?}", wiki.edits());
    // Reading is asked again, without anybody noticing.
    wiki.cause(
        Place::At("tokens".to_owned()),
        Often::Times(1),
        Trouble::AnswerLost,
    );
    let said = kernel
        .run(
            "import holt_broker\n\
             api = holt_broker.sites()[0]['origin'] + holt_broker.sites()[0]['api']\n\
             print(holt_broker.session().get(api, params={'action': 'query', 'meta': 'tokens', 'type': 'csrf'}).status_code)",
        )
        .await?;
    ensure!(said.trim() == "200", "{said}");
    // Not reached: it waits until it is, and is done once.
    wiki.down()?;
    let saving = async {
        let said = kernel.run(&save("third")).await?;
        ensure!(said.contains("saved"), "{said}");
        anyhow::Ok(())
    };
    let back = async {
        eventually("the wiki was asked in vain", SOON, || async {
            let rows = hub.rows().await.map_err(|error| format!("{error:#}"))?;
            let count = rows
                .count("SELECT count(*) FROM wiki_actions WHERE code = 'away'")
                .await;
            match count {
                Ok(1..) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
        wiki.up()
    };
    tokio::try_join!(saving, back)?;
    ensure!(wiki.edits().len() == 3, "{:?}", wiki.edits());
    // The hub ends while the wiki thinks.
    wiki.forget_seen();
    wiki.cause(Place::At("edit".to_owned()), Often::Always, Trouble::Hangs);
    let saving = async { kernel.run(&save("fourth")).await };
    let killing = async {
        eventually("the edit is under way", SOON, || async {
            if wiki.count("edit") == 1 {
                Ok(())
            } else {
                Err(wiki.count("edit"))
            }
        })
        .await?;
        hub.kill("hub")?;
        anyhow::Ok(())
    };
    let (said, ()) = tokio::try_join!(saving, killing)?;
    ensure!(said.contains("look there before you ask again"), "{said}");
    ensure!(wiki.count("edit") == 1, "{} times", wiki.count("edit"));
    wiki.cure();
    hub.ready(SOON).await?;
    let said = kernel.run(&save("fifth")).await?;
    ensure!(said.contains("saved"), "{said}");
    Ok(())
}
