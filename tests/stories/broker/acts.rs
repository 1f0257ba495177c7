//! Programs act on the wiki: pywikibot's scripts, uploads, and requests while a credential is renewed.

use anyhow::{Result, ensure};
use holt_tests::kernel::Kernel;
use holt_tests::wait::eventually;

use super::{NAME, SOON, acting, run};

#[tokio::test(flavor = "multi_thread")]
async fn pywikibot_is_the_person_who_signed_in() -> Result<()> {
    for protocol in ["oauth1", "oauth2"] {
        let (hub, wiki, person) = acting(protocol, "").await?;
        let mut kernel = Kernel::started(&person, "").await?;
        let said = run(&mut kernel, "pwb login").await?;
        ensure!(
            said.contains("Logged in on") && said.contains(NAME),
            "{protocol}: {said}"
        );
        let said = kernel
            .run(
                "import pywikibot\n\
                 page = pywikibot.Page(pywikibot.Site(), 'Sandbox')\n\
                 page.text = 'Ünïcode & = + % ~ text\\n'\n\
                 page.save(summary='Trying + out')\n\
                 print(pywikibot.Site().user())",
            )
            .await?;
        ensure!(said.contains(NAME), "{protocol}: {said}");
        let edits = wiki.edits();
        ensure!(edits.len() == 1, "{protocol}: {edits:?} {said}");
        ensure!(
            edits[0].user == NAME
                && edits[0].title == "Sandbox"
                && edits[0].text.trim() == "Ünïcode & = + % ~ text"
                && edits[0].summary == "Trying + out",
            "{edits:?}"
        );
        let agent = &edits[0].user_agent;
        ensure!(
            agent.starts_with("Holt/")
                && agent.contains("user/O%27Brien%20%28WMF%29")
                && agent.contains("Pywikibot/"),
            "{agent}"
        );
        let _ = hub;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_makes_a_thousand_requests_and_its_credential_runs_out_in_the_middle() -> Result<()>
{
    for protocol in ["oauth1", "oauth2"] {
        let limits = "requests_per_second = 2000\nburst = 2000\nconcurrent = 50";
        let (hub, wiki, person) = acting(protocol, limits).await?;
        let mut kernel = Kernel::started(&person, "").await?;
        wiki.forget_seen();
        let script = "import pywikibot\n\
                      pywikibot.config.minthrottle = 0\n\
                      site = pywikibot.Site()\n\
                      site.login()\n\
                      for number in range(1000):\n    \
                          site.simple_request(action='query', meta='siteinfo', siprop='general', maxlag=5, tick=number % 7).submit()\n\
                      print('a thousand as', site.user())\n";
        kernel
            .run(&format!("open('many.py', 'w').write({script:?})"))
            .await?;
        let asked = || {
            let seen = wiki.seen();
            seen.iter()
                .filter(|seen| seen.what.contains("siteinfo"))
                .count()
        };
        let expiring = async {
            eventually("half of it is done", SOON, || async {
                if asked() >= 500 { Ok(()) } else { Err(asked()) }
            })
            .await?;
            wiki.expire_access_tokens();
            anyhow::Ok(())
        };
        let (said, ()) = tokio::try_join!(run(&mut kernel, "pwb many"), expiring)?;
        ensure!(
            said.contains(&format!("a thousand as {NAME}")),
            "{protocol}: {said}"
        );
        let (asked, renewed) = (asked(), wiki.count("access_token"));
        ensure!(asked >= 1000, "{protocol}: {asked}");
        ensure!(
            renewed == usize::from(protocol == "oauth2"),
            "{protocol}: {renewed} renewals"
        );
        let rows = hub.rows().await?;
        eventually(
            "they are written down, and no more than are kept",
            SOON,
            || async {
                let count = rows.count("SELECT count(*) FROM wiki_actions").await;
                match count {
                    Ok(1000) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_ran_out_is_renewed_once_however_many_ask() -> Result<()> {
    let (_hub, wiki, person) = acting("oauth2", "concurrent = 40").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    wiki.expire_access_tokens();
    wiki.forget_seen();
    let said = kernel
        .run(
            "import concurrent.futures, holt_broker\n\
             session = holt_broker.session()\n\
             api = holt_broker.sites()[0]['origin'] + holt_broker.sites()[0]['api']\n\
             def ask(number):\n    \
                 data = {'action': 'query', 'meta': 'userinfo', 'uiprop': 'rights', 'format': 'json'}\n    \
                 return session.post(api, data=data).json()['query']['userinfo']['name']\n\
             with concurrent.futures.ThreadPoolExecutor(30) as pool:\n    \
                 print(set(pool.map(ask, range(30))))",
        )
        .await?;
    ensure!(said.trim() == format!("{{\"{NAME}\"}}"), "{said}");
    ensure!(
        wiki.count("access_token") == 1,
        "{} refreshes",
        wiki.count("access_token")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_notebook_runs_from_top_to_bottom() -> Result<()> {
    let (_hub, wiki, person) = acting("oauth2", "").await?;
    let mut kernel = Kernel::started(&person, "").await?;
    let said = kernel
        .run(
            "import json\n\
             with open('/usr/local/share/holt/examples/wiki.ipynb') as file:\n    \
                 cells = [''.join(cell['source']) for cell in json.load(file)['cells'] if cell['cell_type'] == 'code']\n\
             for cell in cells:\n    \
                 get_ipython().run_cell(cell).raise_error()",
        )
        .await?;
    ensure!(
        said.contains("A wiki for tests") && said.matches(NAME).count() >= 3,
        "{said}"
    );
    let edits = wiki.edits();
    ensure!(
        edits.len() == 1 && edits[0].title == format!("User:{NAME}/sandbox"),
        "{edits:?}"
    );
    Ok(())
}
