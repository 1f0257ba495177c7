//! Manners that wikis ask for: who lags is waited for, as long as it says, and is told so through the hub.

use anyhow::{Result, ensure};
use holt_tests::kernel::Kernel;
use holt_tests::wiki::{Often, Place, Trouble};

use super::acting;

#[tokio::test(flavor = "multi_thread")]
async fn a_wiki_that_lags_is_waited_for_as_long_as_it_says() -> Result<()> {
    let (_hub, wiki, person) = acting("oauth2", "").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    kernel
        .run(
            "import time, pywikibot, holt_broker\n\
             pywikibot.config.put_throttle = pywikibot.config.minthrottle = 0\n\
             site = pywikibot.Site()\nsite.login()\n\
             page = pywikibot.Page(site, 'Lagging')\npage.text = 'first'\npage.save(quiet=True)\n\
             other, session = holt_broker.mwclient(), holt_broker.session()\n\
             one = holt_broker.site()\n\
             def timed(do):\n    \
                 begun = time.monotonic()\n    \
                 do()\n    \
                 print(time.monotonic() - begun)",
        )
        .await?;
    // The lag is more than anybody takes, the pause is short: who waits by the header waits two seconds, and who goes by the lag a minute.
    let lags = || {
        wiki.cause(
            Place::At("edit".to_owned()),
            Often::Times(2),
            Trouble::Lags {
                seconds: 5,
                retry_after: 2,
            },
        );
    };
    for (who, save) in [
        (
            "pywikibot",
            "page.text = 'second'\npywikibot.config.write_maxlag = 4\ntimed(lambda: page.save(quiet=True))",
        ),
        (
            "mwclient",
            "timed(lambda: other.pages['Lagging'].edit('third', 'a summary', maxlag=4))",
        ),
    ] {
        if who == "mwclient" {
            // Its pauses grow by its own measure after the first one.
            kernel.run("other.sleepers.retry_timeout = 1").await?;
        }
        wiki.cure();
        wiki.forget_seen();
        let edits = wiki.edits().len();
        lags();
        let took: f64 = kernel
            .run(save)
            .await?
            .lines()
            .last()
            .unwrap_or_default()
            .parse()?;
        ensure!((4.0..20.0).contains(&took), "{who} waited {took} s");
        ensure!(wiki.count("edit") == 3, "{who}: {:?}", wiki.seen());
        ensure!(wiki.edits().len() == edits + 1, "{who}: {:?}", wiki.edits());
    }
    // A program of one's own sees what the wiki says.
    wiki.cure();
    wiki.cause(
        Place::At("siteinfo".to_owned()),
        Often::Times(1),
        Trouble::Lags {
            seconds: 5,
            retry_after: 2,
        },
    );
    wiki.cause(
        Place::At("siteinfo".to_owned()),
        Often::Times(1),
        Trouble::TooMany {
            retry_after: Some("7".to_owned()),
        },
    );
    let ask = "answer = session.get(one['origin'] + one['api'], params={'action': 'query', 'meta': 'siteinfo', 'maxlag': 3, 'format': 'json'})\n\
               print(answer.status_code, [answer.headers.get(name) for name in ('Retry-After', 'X-Database-Lag', 'MediaWiki-API-Error')])";
    let said = kernel.run(ask).await?;
    ensure!(said == "200 ['2', '5', 'maxlag']", "{said}");
    let said = kernel.run(ask).await?;
    ensure!(said == "429 ['7', None, None]", "{said}");
    Ok(())
}
